package record

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// RefusedRecords is the error of a batch that is whole, but some of whose records a leader does not take (KIP-467): those without the key
// that a compacted topic asks for (INVALID_RECORD), and those with a timestamp out of the bounds (INVALID_TIMESTAMP, the batch's code if
// there is any). Nothing of the batch is appended.
//
// Source: LogValidator#processRecordErrors, RecordValidationException.
type RefusedRecords struct {
	Records []RefusedRecord // in the order of the batch
	Count   int             // of all, more than there are Records if they are very many
	code    *kerr.Error
}

// RefusedRecord is one record, and what is wrong with it.
type RefusedRecord struct {
	Index int32 // in its batch, from 0
	Text  string
}

// refusedNamed is how many records of a batch are named.
//
// DEVIATION(KIP-467): Kafka names all. A small compressed batch may hold many millions, and each name takes memory.
const refusedNamed = 10_000

// and adds a record to those that are refused so far, nil for none.
func (e *RefusedRecords) and(index int32, code *kerr.Error, format string, args ...any) *RefusedRecords {
	if e == nil {
		e = &RefusedRecords{code: code}
	}
	if code == kerr.InvalidTimestamp {
		e.code = code
	}
	if e.Count++; len(e.Records) < refusedNamed {
		e.Records = append(e.Records, RefusedRecord{index, fmt.Sprintf(format, args...)})
	}
	return e
}

func (e *RefusedRecords) Error() string {
	return fmt.Sprintf("%d records are refused, the first of them record %d: %s: %v", e.Count, e.Records[0].Index, e.Records[0].Text, e.code)
}

func (e *RefusedRecords) Unwrap() error { return e.code }
