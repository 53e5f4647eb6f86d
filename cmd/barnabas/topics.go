package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"barnabas/broker/client"
	"barnabas/broker/osenv"
)

// topicSpec is what --topic says.
type topicSpec struct {
	name       string
	partitions int32
	replicas   int16
}

func parseTopics(texts []string) ([]topicSpec, error) {
	var specs []topicSpec
	for _, text := range texts {
		parts := strings.Split(text, ":")
		if len(parts) != 3 || parts[0] == "" {
			return nil, usage("--topic %s: write NAME:PARTITIONS:REPLICAS", text)
		}
		partitions, err1 := strconv.ParseInt(parts[1], 10, 32)
		replicas, err2 := strconv.ParseInt(parts[2], 10, 16)
		if err1 != nil || err2 != nil || partitions < 1 || replicas < 1 {
			return nil, usage("--topic %s: PARTITIONS and REPLICAS are numbers from 1", text)
		}
		specs = append(specs, topicSpec{parts[0], int32(partitions), int16(replicas)})
	}
	return specs, nil
}

// createTopics asks the controller, wherever it is. A topic that is there already is left as it is.
func (c *cluster) createTopics(specs []topicSpec) error {
	if len(specs) == 0 {
		return nil
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	req.TimeoutMillis = 15000
	for _, s := range specs {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = s.name, s.partitions, s.replicas
		req.Topics = append(req.Topics, topic)
	}
	e := osenv.New(osenv.Options{Name: "up"})
	for _, addr := range c.addrs {
		conn, err := client.Dial(e, addr, client.ConnOptions{ClientID: "up", DialTimeout: time.Second})
		if err != nil {
			return err
		}
		resp, err := conn.Do(req, 20*time.Second)
		conn.Close()
		if err != nil {
			return err
		}
		elsewhere := false
		for _, t := range resp.(*kmsg.CreateTopicsResponse).Topics {
			switch err := kerr.ErrorForCode(t.ErrorCode); err {
			case nil, kerr.TopicAlreadyExists:
			case kerr.NotController:
				elsewhere = true
			default:
				why := ""
				if t.ErrorMessage != nil {
					why = ": " + *t.ErrorMessage
				}
				return fmt.Errorf("topic %s: %w%s", t.Topic, err, why)
			}
		}
		if !elsewhere {
			return nil
		}
	}
	return fmt.Errorf("no broker takes itself for the controller")
}
