package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ParseError says where a schedule file is wrong, how, and what to do about it.
type ParseError struct {
	File   string
	Line   int // from 1
	Reason string
	Remedy string
}

// Error is "file:line: reason; remedy".
func (e *ParseError) Error() string {
	return fmt.Sprintf("%s:%d: %s; %s", e.File, e.Line, e.Reason, e.Remedy)
}

// Bounds of what Parse takes: far beyond any use, and small enough that arithmetic on them cannot overflow.
const (
	timeMax   = 1_000_000 * time.Second
	faultsMax = 100_000
	lineMax   = 4096
	slowMax   = 1_000_000
	driftMax  = 500_000
	bitsMax   = 1000
	bytesMax  = 1 << 40
)

const timeRemedy = `write seconds with the unit, such as "3.200s"`

// Parse reads a schedule file. The name is for errors, which tell the line, what is wrong and what to do
// (*ParseError). Faults are sorted by their times; those of the same time keep their order.
func Parse(name string, data []byte) (File, error) {
	file := File{Name: name}
	var read []readFault
	header := false
	for i, text := range strings.Split(string(data), "\n") {
		text = strings.TrimSpace(text)
		var err *ParseError
		switch {
		case len(text) > lineMax:
			err = wrong("a line of %d bytes", len(text))("keep lines below %d bytes", lineMax)
		case isHeader(text) && header:
			err = wrong("a second header")("keep one line of scenario=, seed= and so on")
		case isHeader(text):
			header = true
			file.Header, err = parseHeader(text)
		case text == "" || text[0] == '#':
		case len(read) == faultsMax:
			err = wrong("more than %d faults", faultsMax)("split the schedule")
		default:
			var fault Fault
			if fault, err = parseFault(text); err == nil {
				read = append(read, readFault{fault, i + 1})
			}
		}
		if err != nil {
			err.File, err.Line = name, i+1
			return File{}, err
		}
	}
	slices.SortStableFunc(read, func(a, b readFault) int { return cmp.Compare(a.At, b.At) })
	for _, f := range read {
		file.Schedule, file.Lines = append(file.Schedule, f.Fault), append(file.Lines, f.line)
	}
	return file, nil
}

// readFault is a fault and the line that it stands in.
type readFault struct {
	Fault
	line int
}

// wrong begins an error with the reason; the function it returns takes the remedy.
func wrong(reason string, args ...any) func(remedy string, args ...any) *ParseError {
	return func(remedy string, more ...any) *ParseError {
		return &ParseError{Reason: fmt.Sprintf(reason, args...), Remedy: fmt.Sprintf(remedy, more...)}
	}
}

func parseFault(text string) (f Fault, err *ParseError) {
	words := strings.Fields(text)
	var ok bool
	if f.At, ok = parseSeconds(words[0]); !ok {
		return f, wrong("%q is not a time", words[0])(timeRemedy)
	}
	if len(words) == 1 {
		return f, wrong("a time and no fault")("write one of %s behind it", verbs())
	}
	form := formOf(words[1:])
	if form == nil {
		return f, wrong("unknown fault %q", strings.Join(words[1:], " "))("write one of %s", verbs())
	}
	f.Kind = form.kind
	p := &params{form: form, given: words[1+len(strings.Fields(form.verb)):]}
	form.parse(p, &f)
	return f, p.finish()
}

// parseSeconds reads "3.200s" or "3s".
func parseSeconds(s string) (time.Duration, bool) {
	number, ok := strings.CutSuffix(s, "s")
	whole, frac, dotted := strings.Cut(number, ".")
	if !ok || !digits(whole) || (dotted && !digits(frac)) || len(frac) > 9 {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d <= timeMax
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
