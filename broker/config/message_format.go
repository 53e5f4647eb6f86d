package config

import (
	"fmt"
	"strconv"
	"strings"
)

// setMessageFormat takes a version of Kafka as message.format.version knows them: "0.10.2", "2.8", "3.0-IV1".
//
// Source: MetadataVersion#fromVersionString, LogConfig (shouldIgnoreMessageFormatVersion).
func setMessageFormat(t *Topic, text string) error {
	if !isKafkaVersion(text) {
		return fmt.Errorf("%q is no version of Kafka from 0.8.0 to 3.9", text)
	}
	t.MessageFormat = text
	return nil
}

func isKafkaVersion(text string) bool {
	release, iv, stepped := strings.Cut(text, "-IV")
	if stepped {
		if n, err := strconv.ParseUint(iv, 10, 8); err != nil || n > 20 {
			return false
		}
	}
	switch release {
	case "0.8.0", "0.8.1", "0.8.2", "0.9.0", "0.10.0", "0.10.1", "0.10.2", "0.11.0", "1.0", "1.1":
		return true
	}
	var major, minor int
	if n, err := fmt.Sscanf(release, "%d.%d", &major, &minor); n != 2 || err != nil || release != fmt.Sprintf("%d.%d", major, minor) {
		// what follows a release of three numbers, such as 2.8.1, is not looked at by Kafka either
		parts := strings.Split(release, ".")
		if len(parts) != 3 {
			return false
		}
		return isKafkaVersion(parts[0] + "." + parts[1])
	}
	return major == 2 && minor >= 0 && minor <= 8 || major == 3 && minor >= 0 && minor <= 9
}
