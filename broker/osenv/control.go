package osenv

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

// controlLineMax bounds a line of the control protocol, in bytes.
const controlLineMax = 4096

// Serve takes orders for the hook on a Unix socket at path, which must not exist, until the process ends or the
// listener that it returns is closed. The protocol is lines of text, one answer each, "ok [WORDS]" or "error REASON"
// (docs/formats/control.md).
func (h *Hook) Serve(path string) (io.Closer, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go h.converse(c)
		}
	}()
	return l, nil
}

func (h *Hook) converse(c net.Conn) {
	defer c.Close()
	in := bufio.NewReaderSize(c, controlLineMax)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			if err == bufio.ErrBufferFull {
				fmt.Fprintf(c, "error a line of more than %d bytes\n", controlLineMax)
			}
			return
		}
		answer, err := h.Obey(string(line))
		if err != nil {
			answer = "error " + strings.ReplaceAll(err.Error(), "\n", "; ")
		} else {
			answer = strings.TrimSpace("ok " + answer)
		}
		if _, err := fmt.Fprintln(c, answer); err != nil {
			return
		}
	}
}

// Obey carries out one line of the control protocol and returns the words of its answer. Lines that are empty or begin
// with # do nothing.
func (h *Hook) Obey(line string) (string, error) {
	words := strings.Fields(line)
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return "", nil
	}
	verb, args := words[0], words[1:]
	switch verb {
	case "link":
		return "", h.obeyLink(args)
	case "hold":
		if len(args) != 2 {
			return "", fmt.Errorf("write: hold HOST DURATION")
		}
		d, err := time.ParseDuration(args[1])
		if err != nil || d < 0 {
			return "", fmt.Errorf("hold: %q is not a duration", args[1])
		}
		h.Hold(args[0], d)
		return "", nil
	case "hold-back":
		if len(args) != 2 {
			return "", fmt.Errorf("write: hold-back HOST DURATION")
		}
		d, err := time.ParseDuration(args[1])
		if err != nil || d < 0 {
			return "", fmt.Errorf("hold-back: %q is not a duration", args[1])
		}
		return strconv.Itoa(h.HoldBack(args[0], d)), nil
	case "forget":
		if len(args) != 1 {
			return "", fmt.Errorf("write: forget HOST")
		}
		return strconv.Itoa(h.Forget(args[0])), nil
	case "reset":
		if len(args) != 1 {
			return "", fmt.Errorf("write: reset HOST")
		}
		return strconv.Itoa(h.Reset(args[0])), nil
	case "disk":
		return "", h.obeyDisk(args)
	case "clock":
		return "", h.obeyClock(args)
	case "felt":
		return h.feltWords(), nil
	}
	if f := h.verbs[verb]; f != nil {
		return f(args)
	}
	return "", fmt.Errorf("unknown verb %q; there are %s", verb, joinWords(h.verbNames()))
}

func (h *Hook) verbNames() []string {
	names := []string{"link", "hold", "hold-back", "forget", "reset", "disk", "clock", "felt"}
	for v := range h.verbs {
		names = append(names, v)
	}
	sort.Strings(names)
	return names
}

func (h *Hook) obeyLink(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("write: link HOST [cut-in] [cut-out] [no-dial] [refuse] [delay-in=D] [delay-out=D] [rate-in=BYTES] [loss-in=N]")
	}
	var f LinkFault
	for _, word := range args[1:] {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "cut-in":
			f.CutIn = true
		case "cut-out":
			f.CutOut = true
		case "no-dial":
			f.NoDial = true
		case "refuse":
			f.Refuse = true
		case "delay-in":
			f.DelayIn, err = time.ParseDuration(value)
		case "delay-out":
			f.DelayOut, err = time.ParseDuration(value)
		case "rate-in":
			f.RateIn, err = strconv.ParseInt(value, 10, 64)
		case "loss-in":
			f.LossIn, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("unknown word")
		}
		if err != nil || f.DelayIn < 0 || f.DelayOut < 0 || f.RateIn < 0 || f.LossIn < 0 {
			return fmt.Errorf("link: %q: not understood", word)
		}
	}
	h.SetLink(args[0], f)
	return nil
}

func (h *Hook) obeyDisk(args []string) error {
	var f DiskFault
	for _, word := range args {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "slow":
			f.Slow, err = strconv.Atoi(value)
		case "stall":
			f.Stall, err = time.ParseDuration(value)
		case "fail-sync":
			f.FailSync = true
		case "fail-read":
			f.FailRead = true
		case "fail-write":
			f.FailWrite = true
		case "full":
			f.Full = true
		case "torn":
			f.Torn = true
		case "dir":
			f.Dirs = append(f.Dirs, value)
		default:
			err = fmt.Errorf("unknown word")
		}
		if err != nil || f.Slow < 0 || f.Stall < 0 || key == "dir" && value == "" {
			return fmt.Errorf("disk: %q: not understood; write: disk [slow=N] [stall=D] [fail-sync] [fail-read] [fail-write] [full] [torn] [dir=PATH]", word)
		}
	}
	h.SetDisk(f)
	return nil
}

func (h *Hook) obeyClock(args []string) error {
	var offset time.Duration
	drift := 0
	for _, word := range args {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "offset":
			offset, err = time.ParseDuration(value)
		case "drift":
			drift, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("unknown word")
		}
		if err != nil {
			return fmt.Errorf("clock: %q: not understood; write: clock [offset=D] [drift=PPM]", word)
		}
	}
	h.SetClock(offset, drift)
	return nil
}

// joinWords separates words by commas, since some hold spaces.
func joinWords(words []string) string { return strings.Join(words, ", ") }

// Order sends one line to the control socket at path and returns the words of the answer. It waits no longer than
// timeout, which a process that is stopped needs.
func Order(path, line string, timeout time.Duration) (string, error) {
	c, err := net.DialTimeout("unix", path, timeout)
	if err != nil {
		return "", fmt.Errorf("control: %w", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(timeout))
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", fmt.Errorf("control: %w", err)
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("control: %w", err)
	}
	answer = strings.TrimSpace(answer)
	if words, ok := strings.CutPrefix(answer, "ok"); ok {
		return strings.TrimSpace(words), nil
	}
	return "", fmt.Errorf("control: %s: %s", strings.Fields(line)[0], strings.TrimPrefix(answer, "error "))
}
