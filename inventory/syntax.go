package inventory

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	goyaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"sigs.k8s.io/yaml"
)

// tree is the file as two YAML readers see it: one that knows where things stand, and the one whose values Kubernetes
// itself would get. The first has positions; the second says how a plain word like no or 1.30 will really be read.
type tree struct {
	root  ast.Node
	value any
	known bool // whether value is there to compare with
}

// parse reads the text as YAML. What is wrong with the YAML as such ends the reading, for nothing after it can be trusted;
// features that a cluster file does not use are reported and walked around.
func (r *reading) parse(text string) (tree, bool) {
	tokens := lexer.Tokenize(text)
	if !r.bounded(tokens) {
		return tree{}, false
	}
	plain := r.features(tokens)
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntax(err)
		return tree{}, false
	}
	docs := r.documents(f)
	if len(docs) == 0 {
		r.add(Problem{Code: codeFile, Wrong: "has nothing but comments", Remedy: howToStart})
		return tree{}, false
	}
	t := tree{root: docs[0].Body}
	// Aliases are what makes YAML explode, so a file with them is never given to the reader that resolves them.
	if plain {
		if err := yaml.Unmarshal([]byte(text), &t.value); err != nil {
			r.syntax(err)
			return tree{}, false
		}
		t.known = len(docs) == 1
	}
	return t, true
}

// documents are those that hold something. More than one is a problem, and the first is read anyway.
func (r *reading) documents(f *ast.File) []*ast.DocumentNode {
	var docs []*ast.DocumentNode
	for _, d := range f.Docs {
		if d.Body == nil || d.Body.Type() == ast.DirectiveType || d.Body.Type() == ast.CommentType {
			continue
		}
		docs = append(docs, d)
		if len(docs) == 2 {
			at, ok := placeOf(d.Start)
			if !ok {
				at, _ = placeOf(d.Body.GetToken())
			}
			r.add(Problem{Code: codeHead, Line: at.line, Column: at.column, Wrong: "a second YAML document starts here",
				Remedy: "keep one cluster in one file, without ---"})
		}
	}
	return docs
}

// The bounds that keep a hostile file from costing more than a moment. A real cluster file is four levels deep and has no
// section with more than a dozen keys; YAML readers need time with the square of either.
const (
	maxDepth = 24
	maxKeys  = 256
)

func (r *reading) bounded(tokens token.Tokens) bool {
	var (
		flow, run, line int
		columns         []int // of the block structures we are in
		keys            []int // how many each of them has
	)
	for _, t := range tokens {
		if t.Position == nil {
			continue
		}
		first := t.Position.Line != line
		line = t.Position.Line
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		}
		switch t.Type {
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			run++
		default:
			run = 0
		}
		if flow <= 0 && (first || t.Type == token.SequenceEntryType || t.Next != nil && t.Next.Type == token.MappingValueType) {
			for len(columns) > 0 && columns[len(columns)-1] > t.Position.Column {
				columns, keys = columns[:len(columns)-1], keys[:len(keys)-1]
			}
			if len(columns) == 0 || columns[len(columns)-1] < t.Position.Column {
				columns, keys = append(columns, t.Position.Column), append(keys, 0)
			}
			if t.Next != nil && t.Next.Type == token.MappingValueType {
				keys[len(keys)-1]++
			}
		}
		wrong := ""
		if flow > maxDepth || run > maxDepth || len(columns) > 2*maxDepth {
			wrong = fmt.Sprintf("lists and sections are nested more than %d deep here", maxDepth)
		} else if len(keys) > 0 && keys[len(keys)-1] > maxKeys {
			wrong = fmt.Sprintf("a section has more than %d keys here", maxKeys)
		}
		if wrong != "" {
			r.add(Problem{Code: codeFeature, Line: line, Column: t.Position.Column, Wrong: wrong, Remedy: "a cluster file never needs that"})
			return false
		}
	}
	return true
}

// features reports what YAML can do and a cluster file has no use for. It says whether there was nothing of that kind.
func (r *reading) features(tokens token.Tokens) bool {
	plain := true
	var last Problem
	for _, t := range tokens {
		var what, remedy string
		switch t.Type {
		case token.AnchorType:
			what, remedy = "an anchor (&)", "write the value where it is meant, or in quotes if & belongs to it"
		case token.AliasType:
			what, remedy = "an alias (*)", "write the value again, or in quotes if * belongs to it"
		case token.MergeKeyType:
			what, remedy = "a merge (<<)", "write the keys out; what hosts share goes under spec.ssh"
		case token.TagType:
			what, remedy = "a tag (!)", "leave it out, or write the value in quotes if ! belongs to it"
		case token.MappingKeyType:
			what, remedy = "a long-form key (?)", "write key: value"
		case token.DirectiveType:
			what, remedy = "a directive (%)", "leave the line out"
		default:
			continue
		}
		plain = false
		// One complaint a line is enough: who writes one alias on a line writes ten.
		if at, ok := placeOf(t); ok && (last.Line != at.line || last.Found != what) {
			last = Problem{Code: codeFeature, Line: at.line, Column: at.column, Found: what, Wrong: "is not read in a cluster file", Remedy: remedy}
			r.add(last)
		}
	}
	return plain
}

var lineNumber = regexp.MustCompile(`line (\d+): `)

// syntax reports that a text is not YAML, with the line that stopped the reader.
func (r *reading) syntax(err error) {
	at, msg := place{1, 1}, ""
	var syntax *goyaml.SyntaxError
	if errors.As(err, &syntax) {
		// Its Error would print the file around the place, and take minutes over a long line.
		msg = syntax.Message
		if p, ok := placeOf(syntax.Token); ok {
			at = p
		}
	} else {
		msg = err.Error()
		if m := lineNumber.FindStringSubmatch(msg); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				at.line = n
			}
		}
		if i := strings.LastIndex(msg, "yaml: "); i >= 0 {
			msg = msg[i+len("yaml: "):]
		}
		msg = lineNumber.ReplaceAllString(msg, "")
	}
	at.line = min(max(at.line, 1), len(r.lines))
	line := r.lines[at.line-1]
	wrong, remedy := "is not YAML ("+bare(msg)+")", ""
	switch {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		wrong, remedy = "is indented with a tab", "use spaces"
	case strings.Contains(msg, "end character of"):
		wrong, remedy = "has a quote that is never closed", "close it on the same line"
	case strings.Contains(msg, "mapping value"):
		remedy = "check the indentation; a value with : in it needs quotes"
	case strings.Contains(msg, "reserved character"), strings.Contains(msg, "cannot start"):
		remedy = "put the value in quotes"
	case strings.Contains(msg, "must be specified"), strings.Contains(msg, "not found"):
		remedy = "close the bracket"
	default:
		remedy = "check the indentation and the quotes around here"
	}
	r.add(Problem{Code: codeSyntax, Line: at.line, Column: max(at.column, 1), Found: showLine(line, r.raw), Wrong: wrong, Remedy: remedy})
}
