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
// client asks again (KIP-511). In ZooKeeper mode Kafka has no features; ours is transaction.version, where the configuration turns it on.
//
// Source: KafkaApis#handleApiVersionsRequest, ApiVersionsRequest#getErrorResponse.
var apiVersionsRoute = on(kmsg.ApiVersions, (*API).apiVersions)

func (a *API) apiVersions(r *server.Request, req *kmsg.ApiVersionsRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	resp.FinalizedFeaturesEpoch = -1
	switch {
	case r.Header.Unsupported:
		resp.ErrorCode = kerr.UnsupportedVersion.Code
		for _, key := range wire.Served(a.Config.TransactionVersion) {
			if kmsg.Key(key.ApiKey) == kmsg.ApiVersions {
				resp.ApiKeys = append(resp.ApiKeys, key)
			}
		}
	case req.Version >= 3 && !(validSoftware(req.ClientSoftwareName) && validSoftware(req.ClientSoftwareVersion)):
		resp.ErrorCode = kerr.InvalidRequest.Code
	default:
		resp.ApiKeys = wire.Served(a.Config.TransactionVersion)
		a.features(resp)
	}
	return server.Now(resp)
}

// features tells the epoch of the cluster's features (KIP-584), of which there are none in ZooKeeper mode, and of transaction.version, if the
// configuration turns it on (KIP-890).
func (a *API) features(resp *kmsg.ApiVersionsResponse) {
	if a.FeaturesEpoch != nil {
		resp.FinalizedFeaturesEpoch = a.FeaturesEpoch()
	}
	level := a.Config.TransactionVersion
	if level == 0 {
		return
	}
	supported := kmsg.NewApiVersionsResponseSupportedFeature()
	supported.Name, supported.MinVersion, supported.MaxVersion = wire.FeatureTransactionVersion, 0, wire.TransactionV2
	final := kmsg.NewApiVersionsResponseFinalizedFeature()
	final.Name, final.MinVersionLevel, final.MaxVersionLevel = wire.FeatureTransactionVersion, level, level
	if resp.Version < 4 {
		supported.MinVersion = 1 // before KIP-1022 no client could read 0
	}
	resp.SupportedFeatures = append(resp.SupportedFeatures, supported)
	resp.FinalizedFeatures = append(resp.FinalizedFeatures, final)
	resp.FinalizedFeaturesEpoch = max(resp.FinalizedFeaturesEpoch, 0)
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
