package jute

import (
	"errors"
	"fmt"

	"barnabas/broker/zookeeper"
)

// Code is an error code of KeeperException. It is an error itself, for those that package zookeeper has no name for.
type Code int32

const (
	OK                      Code = 0
	SystemError             Code = -1
	RuntimeInconsistency    Code = -2
	MarshallingError        Code = -5
	Unimplemented           Code = -6
	BadArguments            Code = -8
	NoNode                  Code = -101
	NoAuth                  Code = -102
	BadVersion              Code = -103
	NoChildrenForEphemerals Code = -108
	NodeExists              Code = -110
	NotEmpty                Code = -111
	SessionExpired          Code = -112
	InvalidACL              Code = -114
	AuthFailed              Code = -115
	SessionMoved            Code = -118
	NoWatcher               Code = -121
)

var codeNames = map[Code]string{
	OK: "ok", SystemError: "system error", RuntimeInconsistency: "runtime inconsistency",
	MarshallingError: "marshalling error", Unimplemented: "unimplemented", NoAuth: "not authorised",
	InvalidACL: "invalid ACL", AuthFailed: "authentication failed", SessionMoved: "session moved",
	NoWatcher: "no such watcher",
}

func (c Code) Error() string {
	if name, ok := codeNames[c]; ok {
		return "zookeeper: " + name
	}
	return fmt.Sprintf("zookeeper: error %d", int32(c))
}

var codeErrors = []struct {
	code Code
	err  error
}{
	{NoNode, zookeeper.ErrNoNode},
	{NodeExists, zookeeper.ErrNodeExists},
	{BadVersion, zookeeper.ErrBadVersion},
	{NotEmpty, zookeeper.ErrNotEmpty},
	{NoChildrenForEphemerals, zookeeper.ErrNoChildrenForEphemerals},
	{BadArguments, zookeeper.ErrBadArguments},
	{SessionExpired, zookeeper.ErrSessionExpired},
}

// Err is the error for c: one of package zookeeper's if it has one, c itself else, nil for OK.
func (c Code) Err() error {
	if c == OK {
		return nil
	}
	for _, ce := range codeErrors {
		if ce.code == c {
			return ce.err
		}
	}
	return c
}

// CodeOf is the code that stands for err on the wire; SystemError for one that has none.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	var code Code
	if errors.As(err, &code) {
		return code
	}
	for _, ce := range codeErrors {
		if errors.Is(err, ce.err) {
			return ce.code
		}
	}
	return SystemError
}
