package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// AppendResponse appends a whole frame, size first, that carries resp in the version set in it.
func AppendResponse(dst []byte, correlation int32, resp kmsg.Response) []byte {
	start := len(dst)
	dst = appendResponseHeader(dst, correlation, resp)
	dst = resp.AppendTo(dst)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// appendResponseHeader leaves four bytes for the size, then writes the header: v1, with tags, for flexible versions,
// but always v0 for ApiVersions, which a client must be able to read before it knows what the broker speaks (KIP-511).
func appendResponseHeader(dst []byte, correlation int32, resp kmsg.Response) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	if resp.IsFlexible() && kmsg.Key(resp.Key()) != kmsg.ApiVersions {
		dst = append(dst, 0)
	}
	return dst
}

// Correlation reads the correlation id of a response frame without its size: the only thing one can know of it before
// the request that it answers is found.
func Correlation(frame []byte) (int32, error) {
	if len(frame) < 4 {
		return 0, fmt.Errorf("%w response header: %d bytes", ErrMalformed, len(frame))
	}
	return int32(binary.BigEndian.Uint32(frame)), nil
}

// ParseResponse reads the response to req from a frame without its size. Byte fields point into frame; strings are
// copies. An ApiVersions answer of UNSUPPORTED_VERSION is read as version 0, whatever was asked. Errors wrap ErrMalformed.
//
// The response is walked before it is decoded, as in ParseRequest, if its key is one that we serve too.
func ParseResponse(frame []byte, req kmsg.Request) (correlation int32, resp kmsg.Response, err error) {
	if correlation, err = Correlation(frame); err != nil {
		return 0, nil, err
	}
	body := frame[4:]
	resp = req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if kmsg.Key(req.Key()) == kmsg.ApiVersions {
		if len(body) >= 2 && binary.BigEndian.Uint16(body) == 35 {
			resp.SetVersion(0)
		}
	} else if resp.IsFlexible() {
		if body, err = skipTags(body); err != nil {
			return correlation, nil, fmt.Errorf("%w response header: %v", ErrMalformed, err)
		}
	}
	if _, _, ok := Versions(req.Key()); ok {
		if err := served[req.Key()].response.check(body, resp.GetVersion()); err != nil {
			return correlation, nil, fmt.Errorf("%w %s v%d response: %v", ErrMalformed, kmsg.NameForKey(req.Key()), resp.GetVersion(), err)
		}
	}
	if err := resp.ReadFrom(body); err != nil {
		return correlation, nil, fmt.Errorf("%w %s v%d response: %v", ErrMalformed, kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return correlation, resp, nil
}
