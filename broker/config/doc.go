// Package config holds typed broker and topic configuration under Kafka's own names and with Kafka's defaults, and
// reads server.properties. It never decides anything: packages take the fields they need.
package config
