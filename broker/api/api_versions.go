package api

import (
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions v0-v4. v3 the client's software (KIP-511) and features (KIP-584), flexible, but for the response's header; v4
// features from version 0 (KIP-1022).
//
// A version that we do not know is answered UNSUPPORTED_VERSION in the form of v0, with the versions of ApiVersions itself, so that the
// client asks again (KIP-511). We have no features: in ZooKeeper mode there is none.
//
// Source: KafkaApis#handleApiVersionsRequest, ApiVersionsRequest#getErrorResponse.
var apiVersionsRoute = on(kmsg.ApiVersions, (*API).apiVersions)

func (a *API) apiVersions(r *server.Request, req *kmsg.ApiVersionsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	resp.FinalizedFeaturesEpoch = -1
	switch {
	case r.Header.Unsupported:
		resp.ErrorCode = kerr.UnsupportedVersion.Code
		for _, key := range wire.Served() {
			if kmsg.Key(key.ApiKey) == kmsg.ApiVersions {
				resp.ApiKeys = append(resp.ApiKeys, key)
			}
		}
	case req.Version >= 3 && !(validSoftware(req.ClientSoftwareName) && validSoftware(req.ClientSoftwareVersion)):
		resp.ErrorCode = kerr.InvalidRequest.Code
	default:
		resp.ApiKeys = wire.Served()
	}
	return server.Now(resp)
}

// validSoftware is Kafka's [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?
func validSoftware(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		inside := i > 0 && i < len(s)-1
		if !alphanumeric && !(inside && (c == '-' || c == '.')) {
			return false
		}
	}
	return true
}
