// Package wire is the Kafka protocol's outer shell: frames, request and response headers, the versions that we
// serve, error codes, and the encoding of fetch responses whose records never pass through user space.
//
// The messages themselves are those of github.com/twmb/franz-go/pkg/kmsg. What comes from the network is hostile until
// ParseRequest has returned: it walks the frame by the message's shape before kmsg may allocate anything.
// wire never does I/O of its own, never waits, and knows nothing of partitions or logs.
//
// Source in Kafka: org.apache.kafka.common.requests (RequestHeader, ResponseHeader, RequestContext#parseRequest),
// org.apache.kafka.common.network.NetworkReceive, and FetchResponse's use of MultiRecordsSend.
package wire
