package api

import (
	"barnabas/broker/record"
	"barnabas/broker/server"
	"barnabas/broker/txn"
	"barnabas/broker/wire"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// InitProducerId v0-v5 (KIP-98). v2 flexible; v3 producer id and epoch to go on with (KIP-360); v4, v5 error codes.
// Without a transactional id the producer gets a new id, with epoch 0. With one, the coordinator of the id answers.
// Waits: for the replication of the id's new state.
//
// Source: KafkaApis#handleInitProducerIdRequest, TransactionCoordinator#handleInitProducerId.
var initProducerIDRoute = on(kmsg.InitProducerID, (*API).initProducerID)

func (a *API) initProducerID(_ *server.Request, req *kmsg.InitProducerIDRequest) server.Reply {
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = record.NoProducerID, record.NoProducerEpoch
	in := txn.InitRequest{TimeoutMs: req.TransactionTimeoutMillis, ProducerID: record.NoProducerID, Epoch: record.NoProducerEpoch}
	if req.Version >= 3 {
		in.ProducerID, in.Epoch = req.ProducerID, req.ProducerEpoch
	}
	switch {
	case (in.ProducerID == record.NoProducerID) != (in.Epoch == record.NoProducerEpoch):
		resp.ErrorCode = kerr.InvalidRequest.Code
		return server.Now(resp)
	case req.TransactionalID == nil:
		id, err := a.Txns.ProducerID()
		if err != nil {
			resp.ErrorCode = wire.Code(err)
		} else {
			resp.ProducerID, resp.ProducerEpoch = id, 0
		}
		return server.Now(resp)
	}
	promise := a.Txns.Init(*req.TransactionalID, in)
	return server.When(promise, func(bool) server.Answer {
		result := promise.Value()
		resp.ErrorCode = fenced(result.Err, req.Version >= 4)
		resp.ProducerID, resp.ProducerEpoch = result.ProducerID, result.Epoch
		return server.Answer{Message: resp}
	})
}

// fenced is the code of a coordinator's answer. PRODUCER_FENCED is younger than some versions, whose clients know INVALID_PRODUCER_EPOCH
// (KIP-588).
func fenced(err *kerr.Error, known bool) int16 {
	if err == kerr.ProducerFenced && !known {
		err = kerr.InvalidProducerEpoch
	}
	return codeOf(err)
}
