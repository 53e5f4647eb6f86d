package legacy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"barnabas/broker/zookeeper"
)

// What the pattern of a member's node may be (TopicCount).
const (
	patternStatic    = "static"
	patternWhitelist = "white_list"
	patternBlacklist = "black_list"
)

// filter says by a regular expression which topics are read: those whose whole name it matches, or those that it does not. Kafka's own topics
// are not among them unless internal is set (exclude.internal.topics=false).
//
// DEVIATION(TopicFilter): the expression is one of RE2, and Java's back references and looks around are refused.
//
// Source: kafka.consumer.TopicFilter.
type filter struct {
	pattern  string // patternWhitelist or patternBlacklist
	regex    string // as it stands in ZooKeeper
	whole    *regexp.Regexp
	internal bool
}

// newFilter reads an expression as people write it in property files: commas are alternatives, blanks are nothing, quotes around it are nobody's.
func newFilter(pattern, raw string, internal bool) (*filter, error) {
	regex := strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(raw), ",", "|"), " ", "")
	regex = strings.Trim(regex, `"'`)
	whole, err := regexp.Compile(`\A(?:` + regex + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("%s %q is no regular expression: %w", pattern, raw, err)
	}
	return &filter{pattern: pattern, regex: regex, whole: whole, internal: internal}, nil
}

func (f *filter) allows(topic string) bool {
	if !f.internal && (topic == "__consumer_offsets" || topic == "__transaction_state") {
		return false
	}
	return f.whole.MatchString(topic) == (f.pattern == patternWhitelist)
}

// of is which of the topics it lets through, sorted.
func (f *filter) of(topics []string) []string {
	allowed := slices.DeleteFunc(slices.Clone(topics), func(topic string) bool { return !f.allows(topic) })
	slices.Sort(allowed)
	return allowed
}

// filterOf is the filter of a consumer that has one, nil where it names its topics.
func filterOf(o Options) (*filter, error) {
	switch given := len(o.Topics) > 0; {
	case given && o.Whitelist+o.Blacklist != "", o.Whitelist != "" && o.Blacklist != "":
		return nil, errors.New("a consumer has topics, a whitelist or a blacklist, and no two of them")
	case o.Whitelist != "":
		return newFilter(patternWhitelist, o.Whitelist, o.Internal)
	case o.Blacklist != "":
		return newFilter(patternBlacklist, o.Blacklist, o.Internal)
	}
	return nil, nil
}

// readTopics finds out which topics a consumer with a filter reads now, and asks to be told when topics come or go.
//
// Source: ZookeeperTopicEventWatcher, WildcardStreamsHandler#handleTopicEvent.
func (k *Consumer) readTopics() (changed bool, err error) {
	all, _, err := k.session.Children(zookeeper.PathTopics, true)
	if err != nil {
		return false, err
	}
	k.topicsDue = false
	topics := k.filter.of(all)
	changed = !slices.Equal(topics, k.topics)
	k.topics = topics
	return changed, nil
}
