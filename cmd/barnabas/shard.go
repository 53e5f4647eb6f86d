package main

import (
	"fmt"
	"strconv"
	"strings"
)

// shard is which part of the work this process does: number of count, counted from 1.
type shard struct{ number, count int }

func (s shard) String() string { return fmt.Sprintf("%d/%d", s.number, s.count) }

// takes tells whether the n-th piece of work is this shard's.
func (s shard) takes(n int) bool { return n%s.count == s.number-1 }

// ciShards are the environment variables in which CI systems, Kubernetes and Slurm tell a job its number among how many,
// and what their first number is ("" for a variable that tells).
var ciShards = []struct{ index, count, first string }{
	{"CI_NODE_INDEX", "CI_NODE_TOTAL", "1"},                                    // GitLab, and GitHub matrices by convention
	{"CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", "0"},                            // CircleCI
	{"BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", "0"},            // Buildkite
	{"SEMAPHORE_JOB_INDEX", "SEMAPHORE_JOB_COUNT", "1"},                        // Semaphore
	{"BITBUCKET_PARALLEL_STEP", "BITBUCKET_PARALLEL_STEP_COUNT", "0"},          // Bitbucket
	{"SYSTEM_JOBPOSITIONINPHASE", "SYSTEM_TOTALJOBSINPHASE", "1"},              // Azure Pipelines
	{"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "$SLURM_ARRAY_TASK_MIN"}, // Slurm arrays
	{"JOB_COMPLETION_INDEX", "BARNABAS_SHARDS", "0"},                           // Kubernetes indexed jobs, which do not tell how many there are
}

// findShard is the --shard flag's, or the environment's, or the whole.
func findShard(flag string, getenv func(string) string) (shard, error) {
	if flag == "" {
		flag = getenv("BARNABAS_SHARD")
	}
	if flag != "" {
		return parseShard(flag)
	}
	for _, ci := range ciShards {
		index, count, first := getenv(ci.index), getenv(ci.count), ci.first
		if index == "" || count == "" {
			continue
		}
		if name, ok := strings.CutPrefix(first, "$"); ok {
			if first = getenv(name); first == "" {
				first = "0"
			}
		}
		i, err1 := strconv.Atoi(index)
		n, err2 := strconv.Atoi(count)
		zero, err3 := strconv.Atoi(first)
		s := shard{i - zero + 1, n}
		if err1 != nil || err2 != nil || err3 != nil || !s.valid() {
			return shard{}, usage("%s=%s and %s=%s are no shard of a whole; set --shard I/N", ci.index, index, ci.count, count)
		}
		return s, nil
	}
	return shard{1, 1}, nil
}

func parseShard(text string) (shard, error) {
	a, b, ok := strings.Cut(text, "/")
	number, err1 := strconv.Atoi(a)
	count, err2 := strconv.Atoi(b)
	s := shard{number, count}
	if !ok || err1 != nil || err2 != nil || !s.valid() {
		return shard{}, usage("--shard %q: write I/N, from 1/N to N/N", text)
	}
	return s, nil
}

func (s shard) valid() bool { return s.number >= 1 && s.number <= s.count }
