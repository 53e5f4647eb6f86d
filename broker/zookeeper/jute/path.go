package jute

import (
	"fmt"
	"strings"

	"barnabas/broker/zookeeper"
)

// ValidatePath checks a path by ZooKeeper's rules (PathUtils#validatePath). The path of a sequential create may end in
// a slash. Errors: zookeeper.ErrBadArguments, wrapped with the path and the reason.
func ValidatePath(path string, sequential bool) error {
	reason := ""
	switch {
	case path == "":
		reason = "is empty"
	case path[0] != '/':
		reason = "does not start with a slash"
	case path == "/":
		return nil
	}
	if sequential {
		path += "1"
	}
	if reason == "" {
		for name := range strings.SplitSeq(path[1:], "/") {
			if name == "" || name == "." || name == ".." {
				reason = "has an empty or relative name"
			}
		}
		for _, r := range path {
			if !validRune(r) {
				reason = "has a character that is not allowed"
			}
		}
	}
	if reason == "" {
		return nil
	}
	return fmt.Errorf("path %q %s: %w", path, reason, zookeeper.ErrBadArguments)
}

// validRune leaves out what Java's char cannot hold alone, too: surrogates stand for everything above U+FFFF. A byte
// that is no UTF-8 reads as U+FFFD and is refused with it.
func validRune(r rune) bool {
	return r > 0x1f && (r < 0x7f || r > 0x9f) && (r < 0xd800 || r > 0xf8ff) && r < 0xfff0
}
