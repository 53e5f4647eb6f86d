package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Header is the header of a request (RequestHeader v0 to v2).
type Header struct {
	Key         int16
	Version     int16
	Correlation int32
	ClientID    string // "" where the client sent none
	// Unsupported marks an ApiVersions request of a version that we do not know: its body was not read, Version is 0,
	// and the answer is UNSUPPORTED_VERSION in the form of version 0, so that the client can ask again (KIP-511).
	Unsupported bool
}

// ParseRequest reads a request from a frame without its size. Byte fields of the request (records above all) point
// into frame; strings are copies.
//
// Every error wraps ErrMalformed: an unknown key or version, a field that reaches behind the end, or a count that the rest
// of the frame cannot hold. Bytes left over are no error, as in Kafka. Memory taken is bounded by a small multiple of the frame's size.
func ParseRequest(frame []byte) (Header, kmsg.Request, error) {
	h, flexible, body, err := parseHeader(frame)
	if err != nil || h.Unsupported {
		return h, &kmsg.ApiVersionsRequest{}, err
	}
	api := served[h.Key]
	if flexible {
		if body, err = skipTags(body); err != nil {
			return h, nil, fmt.Errorf("%w request header: %v", ErrMalformed, err)
		}
	}
	if err := api.request.check(body, h.Version); err != nil {
		return h, nil, fmt.Errorf("%w %s v%d: %v", ErrMalformed, kmsg.NameForKey(h.Key), h.Version, err)
	}
	req := kmsg.RequestForKey(h.Key)
	req.SetVersion(h.Version)
	if err := req.ReadFrom(body); err != nil {
		return h, nil, fmt.Errorf("%w %s v%d: %v", ErrMalformed, kmsg.NameForKey(h.Key), h.Version, err)
	}
	return h, req, nil
}

// parseHeader reads up to the client id, and says whether tags follow before the body.
func parseHeader(frame []byte) (h Header, flexible bool, rest []byte, err error) {
	if len(frame) < 8 {
		return h, false, nil, fmt.Errorf("%w request header: %d bytes", ErrMalformed, len(frame))
	}
	h.Key = int16(binary.BigEndian.Uint16(frame))
	h.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.Correlation = int32(binary.BigEndian.Uint32(frame[4:]))
	rest = frame[8:]
	low, high, ok := Versions(h.Key)
	if !ok {
		return h, false, nil, fmt.Errorf("%w request: unknown API key %d", ErrMalformed, h.Key)
	}
	if h.Version < low || h.Version > high {
		if kmsg.Key(h.Key) == kmsg.ApiVersions {
			h.Version, h.Unsupported = 0, true
			return h, false, nil, nil
		}
		return h, false, nil, fmt.Errorf("%w request: version %d of %s is not served", ErrMalformed, h.Version, kmsg.NameForKey(h.Key))
	}
	if kmsg.Key(h.Key) == kmsg.ControlledShutdown && h.Version == 0 {
		return h, false, rest, nil // header v0 has no client id
	}
	if len(rest) < 2 {
		return h, false, nil, fmt.Errorf("%w request header: no client id", ErrMalformed)
	}
	n := int(int16(binary.BigEndian.Uint16(rest)))
	rest = rest[2:]
	if n > len(rest) {
		return h, false, nil, fmt.Errorf("%w request header: client id of %d bytes, %d left", ErrMalformed, n, len(rest))
	}
	if n > 0 {
		h.ClientID, rest = string(rest[:n]), rest[n:]
	}
	return h, served[h.Key].request.flexible(h.Version), rest, nil
}

// AppendRequest appends a whole frame, size first, that carries req in the version set in it.
func AppendRequest(dst []byte, clientID string, correlation int32, req kmsg.Request) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(req.Key()))
	dst = binary.BigEndian.AppendUint16(dst, uint16(req.GetVersion()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	if kmsg.Key(req.Key()) != kmsg.ControlledShutdown || req.GetVersion() != 0 {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(clientID)))
		dst = append(dst, clientID...)
		if req.IsFlexible() {
			dst = append(dst, 0)
		}
	}
	dst = req.AppendTo(dst)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
