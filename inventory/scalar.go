package inventory

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// found is a value as it stands in the file, for messages.
func found(n ast.Node) string {
	switch x := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section"
	case *ast.SequenceNode:
		return "a list"
	case *ast.LiteralNode:
		return show(x.Value.Value)
	case *ast.StringNode:
		return show(x.Value)
	case *ast.NullNode:
		return "nothing"
	}
	if t := n.GetToken(); t != nil {
		return bare(t.Value)
	}
	return "this"
}

func quoted(n ast.Node) bool {
	t := n.GetToken()
	return n.Type() == ast.LiteralType || t != nil && (t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType)
}

// scalar decodes text, numbers and booleans.
func (r *reading) scalar(n ast.Node, o other, v reflect.Value, path string) {
	if n.Type() == ast.NullType {
		r.fail(path, Problem{Code: codeType, Wrong: "has no value", Remedy: "write one; a line that is not needed may be left out"})
		return
	}
	switch v.Kind() {
	case reflect.Int:
		i, ok := r.number(n, path)
		if ok && !o.same(i) {
			r.differs(path)
		} else if ok {
			v.SetInt(int64(i))
		}
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok && (b.Token.Value == "true" || b.Token.Value == "false") {
			if !o.same(b.Value) {
				r.differs(path)
			}
			v.SetBool(b.Value)
			return
		}
		p := Problem{Code: codeType, Found: found(n), Expected: "true or false", Remedy: "write true or false"}
		if is, ok := truth[strings.ToLower(strings.Trim(found(n), `"`))]; ok {
			p.Remedy = "write " + is
			if quoted(n) {
				p.Found += " in quotes"
				p.Remedy += ", without quotes"
			}
		}
		r.fail(path, p)
	case reflect.String:
		if s, ok := r.string(n, o, path, v.Type() == linesType); ok {
			v.SetString(s)
		}
	}
}

var truth = map[string]string{
	"true": "true", "yes": "true", "on": "true", "y": "true", "1": "true",
	"false": "false", "no": "false", "off": "false", "n": "false", "0": "false",
}

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

func (r *reading) number(n ast.Node, path string) (int, bool) {
	p := Problem{Code: codeType, Found: found(n), Expected: "a whole number"}
	text := strings.TrimSpace(strings.Trim(found(n), `"`))
	plain := decimal.MatchString(text)
	if i, err := strconv.ParseInt(text, 10, 32); plain && n.Type() == ast.IntegerType && err == nil {
		return int(i), true
	}
	switch {
	case plain && !quoted(n):
		p.Found, p.Wrong, p.Remedy = bare(text), "is too large a number", "write a smaller one"
	case quoted(n) && plain:
		p.Found += " (text, in quotes)"
		p.Remedy = "write " + text + ", without quotes"
	case n.Type() == ast.IntegerType:
		p.Wrong, p.Remedy = "is not a plain decimal number", "write it without leading zeros, letters, signs and underscores"
	default:
		p.Remedy = "write digits only"
	}
	r.fail(path, p)
	return 0, false
}

// string is text. A word that another YAML reader takes for a boolean, a number or a date is refused: the host named no
// would be the host named false to half of the tools that read this file.
func (r *reading) string(n ast.Node, o other, path string, lines bool) (string, bool) {
	var s string
	switch x := n.(type) {
	case *ast.StringNode:
		s = x.Value
	case *ast.LiteralNode:
		s = x.Value.Value
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		r.fail(path, Problem{Code: codeType, Found: found(n), Expected: "a single value"})
		return "", false
	default:
		r.fail(path, Problem{Code: codeType, Found: found(n), Wrong: "is a number, not text", Expected: "text", Remedy: "write " + show(found(n)) + ", if that is meant"})
		if n.Type() == ast.BoolType {
			r.problems[len(r.problems)-1].Wrong = "is a boolean, not text"
		}
		return "", false
	}
	if s == "" {
		r.fail(path, Problem{Code: codeType, Found: `""`, Wrong: "is empty", Remedy: "write a value; a line that is not needed may be left out"})
		return "", false
	}
	if isPrivateKey(s) {
		r.fail(path, Problem{Code: codeSecret, Found: show(s), Wrong: "stands in the file itself", Remedy: "keep the key in a file of mode 0600, name that in ssh.keyFile, and replace this key: it may have been seen"})
		return "", false
	}
	visible := s
	if lines {
		visible = strings.ReplaceAll(s, "\n", "")
	}
	if c, ok := hidden(visible); ok {
		r.fail(path, Problem{Code: codeHidden, Found: show(s), Wrong: "has a character that cannot be seen, " + fmt.Sprintf("%U", c), Remedy: "type the value again"})
		return "", false
	}
	// off has to be written as it is said. Kubernetes' YAML reader takes it for false, and typed knows about that.
	off := path == firewallPath && s == FirewallOff
	if o.known && o.value != s && !off {
		wrong, remedy := "is read differently by different programs", "write "+show(s)
		switch o.value.(type) {
		case bool:
			wrong = "is a boolean to many programs, not text"
		case float64, int64:
			wrong = "is a number to many programs, not text"
		}
		if quoted(n) {
			remedy = "write it on one line, without escapes"
		}
		r.fail(path, Problem{Code: codeType, Found: bare(s), Wrong: wrong, Expected: "text", Remedy: remedy})
		return "", false
	}
	return s, true
}
