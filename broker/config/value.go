package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Type is the type of a key's value; the numbers are those of DescribeConfigs.
type Type int8

const (
	Boolean Type = 1
	String  Type = 2
	Int     Type = 3
	Short   Type = 4
	Long    Type = 5
	Double  Type = 6
	List    Type = 7
)

// Key describes one configuration key of T.
type Key[T any] struct {
	Name    string
	Type    Type
	Default string
	Doc     string
	Broker  string // of a topic key: the broker key that sets its default
	set     func(*T, string) error
	get     func(*T) string
}

// parse puts a value that somebody wrote into c. White space around it does not count (ConfigDef#parseType).
func (k *Key[T]) parse(c *T, text string) error {
	return k.set(c, strings.TrimFunc(text, func(r rune) bool { return r <= ' ' })) // String#trim
}

// Value is the key's value in c, in Kafka's text form.
func (k *Key[T]) Value(c *T) string { return k.get(c) }

func integer[T any, N ~int | ~int16 | ~int32 | ~int64](name string, typ Type, def int64, lowest, highest int64, field func(*T) *N, doc string) *Key[T] {
	return &Key[T]{Name: name, Type: typ, Default: strconv.FormatInt(def, 10), Doc: doc,
		set: func(c *T, text string) error {
			v, err := parseInt(text, lowest, highest)
			if err == nil {
				*field(c) = N(v)
			}
			return err
		},
		get: func(c *T) string { return strconv.FormatInt(int64(*field(c)), 10) },
	}
}

func int32Key[T any](name string, def, lowest int64, field func(*T) *int32, doc string) *Key[T] {
	return integer(name, Int, def, lowest, math.MaxInt32, field, doc)
}

func intKey[T any](name string, def, lowest int64, field func(*T) *int, doc string) *Key[T] {
	return integer(name, Int, def, lowest, math.MaxInt32, field, doc)
}

func longKey[T any](name string, def, lowest int64, field func(*T) *int64, doc string) *Key[T] {
	return integer(name, Long, def, lowest, math.MaxInt64, field, doc)
}

// millis is a duration given in milliseconds. Values too long for a time.Duration mean for ever, as Kafka's
// Long.MaxValue does.
func millis[T any](name string, typ Type, def, lowest int64, field func(*T) *time.Duration, doc string) *Key[T] {
	const longest = int64(math.MaxInt64 / time.Millisecond)
	highest := int64(math.MaxInt64)
	if typ == Int {
		highest = math.MaxInt32
	}
	return &Key[T]{Name: name, Type: typ, Default: strconv.FormatInt(def, 10), Doc: doc,
		set: func(c *T, text string) error {
			v, err := parseInt(text, lowest, highest)
			if err != nil {
				return err
			}
			if v > longest {
				*field(c) = math.MaxInt64
			} else {
				*field(c) = time.Duration(v) * time.Millisecond
			}
			return nil
		},
		get: func(c *T) string {
			if d := *field(c); d != math.MaxInt64 {
				return strconv.FormatInt(d.Milliseconds(), 10)
			}
			return strconv.FormatInt(math.MaxInt64, 10)
		},
	}
}

// decimal is a number from lowest to highest, in Java's text form.
func decimal[T any](name string, def, lowest, highest float64, field func(*T) *float64, doc string) *Key[T] {
	return &Key[T]{Name: name, Type: Double, Default: javaDouble(def), Doc: doc,
		set: func(c *T, text string) error {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsNaN(v) {
				return fmt.Errorf("%q is not a number", text)
			}
			if v < lowest || v > highest {
				return fmt.Errorf("%s is out of range; it must be from %s to %s", text, javaDouble(lowest), javaDouble(highest))
			}
			*field(c) = v
			return nil
		},
		get: func(c *T) string { return javaDouble(*field(c)) },
	}
}

// javaDouble is Double.toString, for the numbers that occur: 0.5, 1.0, 1.0E7, 1.7976931348623157E308.
func javaDouble(v float64) string {
	if a := math.Abs(v); a == 0 || a >= 1e-3 && a < 1e7 {
		text := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return text
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(n)
}

// minutes is a duration given in minutes.
func minutes[T any](name string, def, lowest int64, field func(*T) *time.Duration, doc string) *Key[T] {
	return &Key[T]{Name: name, Type: Int, Default: strconv.FormatInt(def, 10), Doc: doc,
		set: func(c *T, text string) error {
			v, err := parseInt(text, lowest, math.MaxInt32)
			if err == nil {
				*field(c) = time.Duration(v) * time.Minute
			}
			return err
		},
		get: func(c *T) string { return strconv.FormatInt(int64(*field(c)/time.Minute), 10) },
	}
}

// seconds is a duration given in whole seconds.
func seconds[T any](name string, typ Type, def, lowest int64, field func(*T) *time.Duration, doc string) *Key[T] {
	highest := int64(math.MaxInt64 / time.Second)
	if typ == Int {
		highest = math.MaxInt32
	}
	return &Key[T]{Name: name, Type: typ, Default: strconv.FormatInt(def, 10), Doc: doc,
		set: func(c *T, text string) error {
			v, err := parseInt(text, lowest, highest)
			if err == nil {
				*field(c) = time.Duration(v) * time.Second
			}
			return err
		},
		get: func(c *T) string { return strconv.FormatInt(int64(*field(c)/time.Second), 10) },
	}
}

func boolean[T any](name string, def bool, field func(*T) *bool, doc string) *Key[T] {
	return &Key[T]{Name: name, Type: Boolean, Default: strconv.FormatBool(def), Doc: doc,
		set: func(c *T, text string) error {
			switch strings.ToLower(text) {
			case "true":
				*field(c) = true
			case "false":
				*field(c) = false
			default:
				return fmt.Errorf("%q is not a boolean; write true or false", text)
			}
			return nil
		},
		get: func(c *T) string { return strconv.FormatBool(*field(c)) },
	}
}

func text[T any](name, def string, field func(*T) *string, doc string) *Key[T] {
	return &Key[T]{Name: name, Type: String, Default: def, Doc: doc,
		set: func(c *T, text string) error { *field(c) = text; return nil },
		get: func(c *T) string { return *field(c) },
	}
}

// oneOf restricts a text key to some words.
func oneOf[T any](k *Key[T], words ...string) *Key[T] {
	set := k.set
	k.set = func(c *T, text string) error {
		for _, w := range words {
			if text == w {
				return set(c, text)
			}
		}
		return fmt.Errorf("%q is not one of %s", text, strings.Join(words, ", "))
	}
	return k
}

func parseInt(text string, lowest, highest int64) (int64, error) {
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	if v < lowest || v > highest {
		return 0, fmt.Errorf("%d is out of range; it must be from %d to %d", v, lowest, highest)
	}
	return v, nil
}
