package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Runtime are the configs of a broker that exist at run time alone: server.properties cannot hold them (DynamicConfig.Broker).
type Runtime struct {
	LeaderReplicationRate   int64 // leader.replication.throttled.rate, bytes a second sent to throttled replicas
	FollowerReplicationRate int64 // follower.replication.throttled.rate, bytes a second fetched for throttled replicas
	MoveRate                int64 // replica.alter.log.dirs.io.max.bytes.per.second, bytes a second copied between log directories
}

// runtimeKeys are sorted by name.
var runtimeKeys = []*Key[Runtime]{
	longKey("follower.replication.throttled.rate", math.MaxInt64, 0, func(r *Runtime) *int64 { return &r.FollowerReplicationRate },
		"Bytes a second that followers here fetch for throttled replicas which are not in sync."),
	longKey("leader.replication.throttled.rate", math.MaxInt64, 0, func(r *Runtime) *int64 { return &r.LeaderReplicationRate },
		"Bytes a second that leaders here send to throttled replicas which are not in sync."),
	longKey("replica.alter.log.dirs.io.max.bytes.per.second", math.MaxInt64, 0, func(r *Runtime) *int64 { return &r.MoveRate },
		"Bytes a second that are copied between the log directories of a broker."),
}

// RuntimeKeys lists the configs that exist at run time alone, sorted by name.
func RuntimeKeys() []*Key[Runtime] { return runtimeKeys }

func runtimeKey(name string) *Key[Runtime] {
	for _, k := range runtimeKeys {
		if k.Name == name {
			return k
		}
	}
	return nil
}

func defaultRuntime() (r Runtime) {
	for _, k := range runtimeKeys {
		mustSet(k.set(&r, k.Default), k.Name)
	}
	return r
}

// Runtime is what has been set at run time.
func (b *Broker) Runtime() Runtime {
	if d := b.dynamic.Load(); d != nil {
		return d.runtime
	}
	return defaultRuntime()
}

// throttledReplicas is a topic's config that names replicas: "*", or partition:broker, comma-separated (ThrottledReplicaListValidator).
func throttledReplicas(name string, field func(*Topic) *string, doc string) *Key[Topic] {
	return &Key[Topic]{Name: name, Type: List, Default: "", Doc: doc,
		get: func(t *Topic) string { return *field(t) },
		set: func(t *Topic, text string) error {
			if text = strings.TrimSpace(text); text != "" && text != "*" {
				for item := range strings.SplitSeq(text, ",") {
					p, b, ok := strings.Cut(strings.TrimSpace(item), ":")
					_, err := strconv.ParseUint(p, 10, 31)
					_, err2 := strconv.ParseUint(b, 10, 31)
					if !ok || err != nil || err2 != nil {
						return fmt.Errorf("%q must be * or a list of [partitionId]:[brokerId]", text)
					}
				}
			}
			*field(t) = text
			return nil
		},
	}
}
