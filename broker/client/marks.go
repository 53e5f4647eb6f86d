package client

import "barnabas/broker/env"

// The points that a trial should reach.
var (
	markCommitToldToAbort             = env.NewMark("commit-told-to-abort")
	markEpochNotRaisedInTime          = env.NewMark("epoch-not-raised-in-time")
	markMemberIsToldThatItIsNone      = env.NewMark("member-is-told-that-it-is-none")
	markMemberIsToldToJoinAgain       = env.NewMark("member-is-told-to-join-again")
	markMemberLooksForItsCoordinator  = env.NewMark("member-looks-for-its-coordinator")
	markReadFromNearest               = env.NewMark("consumer-reads-from-nearest")
	markTransactionalCoordinatorMoved = env.NewMark("transactional-coordinator-moved")
	markTransactionalRequestGivenUp   = env.NewMark("transactional-request-given-up")
)
