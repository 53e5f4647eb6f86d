package controller

import "barnabas/broker/env"

// The points that a trial should reach, by the function they are in.
var (
	markAllocateProducerIdsBrokerIdNotRegistered = env.NewMark("allocate-producer-ids-broker-id-not-registered")
	markAllocateProducerIdsStaleBrokerEpoch      = env.NewMark("allocate-producer-ids-stale-broker-epoch")
	markHeirLeads                                = env.NewMark("heir-leads")
	markListEmptied                              = env.NewMark("list-emptied")
	markListNotBelieved                          = env.NewMark("list-not-believed")
	markAskNotController                         = env.NewMark("ask-not-controller")
	markAskNotController2                        = env.NewMark("ask-not-controller-2")
	markJudgeFencedLeaderEpoch                   = env.NewMark("judge-fenced-leader-epoch")
	markJudgeIneligibleReplica                   = env.NewMark("judge-ineligible-replica")
	markJudgeInvalidRequest                      = env.NewMark("judge-invalid-request")
	markJudgeInvalidRequest2                     = env.NewMark("judge-invalid-request-2")
	markJudgeInvalidRequest3                     = env.NewMark("judge-invalid-request-3")
	markJudgeInvalidUpdateVersion                = env.NewMark("judge-invalid-update-version")
	markJudgeNotController                       = env.NewMark("judge-not-controller")
	markJudgeOperationNotAttempted               = env.NewMark("judge-operation-not-attempted")
	markJudgeUnknownTopicOrPartition             = env.NewMark("judge-unknown-topic-or-partition")
)
