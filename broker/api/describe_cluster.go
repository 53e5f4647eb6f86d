package api

import (
	"barnabas/broker/server"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeCluster v0-v1 (KIP-700). v1 endpoint type (KIP-919).
//
// Source: KafkaApis#handleDescribeCluster.
var describeClusterRoute = on(kmsg.DescribeCluster, (*API).describeCluster)

func (a *API) describeCluster(_ *server.Request, req *kmsg.DescribeClusterRequest) server.Reply {
	return server.Now(a.Metadata.Snapshot().DescribeCluster(req, a.ClusterID, a.Listener))
}
