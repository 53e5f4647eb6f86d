package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Strict reads one YAML document into v. An unknown or doubled key, a value of another kind and a second document are errors in one
// sentence: file, line and reason.
func Strict(file string, data []byte, v any) error {
	d := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	err := d.Decode(v)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: the file is empty", file)
	}
	if err == nil {
		var more any
		if err = d.Decode(&more); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			return fmt.Errorf("%s: a second document, behind ---: one is all that is read", file)
		}
	}
	var at interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &at) {
		return fmt.Errorf("%s: %w", file, err)
	}
	reason, t := at.GetMessage(), at.GetToken()
	if t == nil || t.Position == nil {
		return fmt.Errorf("%s: %s", file, reason)
	}
	if _, kind, ok := strings.Cut(reason, " of type "); ok { // the names of our types mean nothing to who writes the file
		reason = fmt.Sprintf("%q is not %s", t.Value, kindOf(kind))
	}
	return fmt.Errorf("%s:%d: %s", file, t.Position.Line, reason)
}

func kindOf(goType string) string {
	switch {
	case strings.HasPrefix(goType, "int"):
		return "a whole number"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	case goType == "bool":
		return "true or false"
	}
	return "what is wanted here (" + goType + ")"
}

// ValueError is the mistake in one value of a YAML document, for types that read themselves.
func ValueError(node ast.Node, format string, args ...any) error {
	reason := fmt.Sprintf(format, args...)
	if path := strings.TrimPrefix(node.GetPath(), "$."); path != "" && path != "$" {
		reason = path + ": " + reason
	}
	return &yaml.SyntaxError{Message: reason, Token: node.GetToken()}
}

// Scalar is the text of a plain value, as it was written.
func Scalar(node ast.Node) (string, error) {
	if s, ok := node.(ast.ScalarNode); ok {
		if text, ok := s.GetValue().(string); ok {
			return text, nil
		}
		if t := node.GetToken(); t != nil {
			return t.Value, nil
		}
	}
	return "", ValueError(node, "a plain value is wanted here")
}
