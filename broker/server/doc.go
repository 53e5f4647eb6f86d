// Package server is the broker's front door: it accepts connections, cuts their bytes into frames, has each request
// handled in the order of its arrival, and sends the replies in that same order.
//
// Each connection has two tasks. The reader runs a request's handler at once, so what a handler does before it returns
// is ordered (a produce is appended before the next frame is looked at); what it must wait for is left in its Reply. The
// writer awaits the replies one after the other and sends them. So requests pipeline, bounded by Options.InFlightMax.
// DEVIATION(KIP-219 and before): Kafka mutes a connection until its request is answered; we read on.
//
// It never looks into a request, never imports api (the root joins the two), and never recovers from a panic.
//
// Source in Kafka: kafka.network.SocketServer (Acceptor, Processor, RequestChannel), org.apache.kafka.common.network.
package server
