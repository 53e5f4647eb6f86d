package wire

import (
	"errors"

	"barnabas/broker/env"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Code is the Kafka error code that err puts on the wire: 0 for nil, the code of the innermost *kerr.Error that err
// wraps, KAFKA_STORAGE_ERROR for a failing disk, and UNKNOWN_SERVER_ERROR for what has no code of its own.
//
// Source: org.apache.kafka.common.protocol.Errors#forException.
func Code(err error) int16 {
	if err == nil {
		return 0
	}
	var kafka *kerr.Error
	switch {
	case errors.As(err, &kafka):
		return kafka.Code
	case errors.Is(err, env.ErrIO), errors.Is(err, env.ErrNoSpace):
		return kerr.KafkaStorageError.Code
	default:
		return kerr.UnknownServerError.Code
	}
}
