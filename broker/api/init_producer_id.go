package api

import (
	"barnabas/broker/server"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// InitProducerId v0-v5 (KIP-98). v2 flexible; v3 producer id and epoch to go on with (KIP-360); v4, v5 error codes.
// Without a transactional id the producer gets a new id, with epoch 0. With one it needs a transaction coordinator, and there is
// none yet: COORDINATOR_NOT_AVAILABLE.
//
// Source: KafkaApis#handleInitProducerIdRequest, TransactionCoordinator#handleInitProducerId.
var initProducerIDRoute = on(kmsg.InitProducerID, (*API).initProducerID)

func (a *API) initProducerID(_ *server.Request, req *kmsg.InitProducerIDRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case req.TransactionalID == nil:
		id, err := a.producerIDs.next()
		if err != nil {
			resp.ErrorCode = wire.Code(err)
		} else {
			resp.ProducerID, resp.ProducerEpoch = id, 0
		}
	case *req.TransactionalID == "":
		resp.ErrorCode = kerr.InvalidRequest.Code
	default:
		resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
	}
	return server.Now(resp)
}
