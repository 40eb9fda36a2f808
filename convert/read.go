package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// document is one of a file.
type document struct {
	number, line int // both from 1
	text         string
	json         bool
}

// split takes a file apart. JSON may hold several values, one after the other, with or without lines between them.
func split(in []byte) ([]document, error) {
	if bytes.HasPrefix(in, []byte("\xff\xfe")) || bytes.HasPrefix(in, []byte("\xfe\xff")) {
		return nil, errors.New("it is UTF-16, and manifests are UTF-8: save it as that")
	}
	for i, line := range bytes.Split(in, []byte("\n")) {
		if !utf8.Valid(line) {
			return nil, fmt.Errorf("line %d: it is not UTF-8 (GBK perhaps): save it as that", i+1)
		}
	}
	if trimmed := bytes.TrimSpace(in); bytes.HasPrefix(trimmed, []byte("{")) && json.Valid(firstJSON(trimmed)) {
		return splitJSON(in)
	}
	var out []document
	start, line, at, number := 0, 1, 0, 0 // of the document, and where we are
	end := func(to, next, nextLine int) {
		if text := directive.ReplaceAllString(string(in[start:to]), ""); strings.TrimSpace(text) != "" {
			number++
			out = append(out, document{number: number, line: line, text: text})
		}
		start, line = next, nextLine
	}
	for n, s := range bytes.SplitAfter(in, []byte("\n")) {
		rest, marked := bytes.CutPrefix(s, []byte("---"))
		switch blank := len(bytes.TrimSpace(rest)) == 0; {
		case marked && blank, string(bytes.TrimSpace(s)) == "..." && s[0] == '.':
			end(at, at+len(s), n+2)
		case marked && (rest[0] == ' ' || rest[0] == '\t'): // a comment, or the document itself
			end(at, at+3, n+1)
		}
		at += len(s)
	}
	end(len(in), 0, 0)
	return out, nil
}

// directive is a line such as %YAML 1.1, which stands before a document.
var directive = regexp.MustCompile(`\A(%.*\n)+`)

func firstJSON(in []byte) []byte {
	var raw json.RawMessage
	_ = json.NewDecoder(bytes.NewReader(in)).Decode(&raw)
	return raw
}

func splitJSON(in []byte) ([]document, error) {
	var out []document
	for pos := 0; ; {
		rest := bytes.TrimLeft(in[pos:], " \t\r\n")
		rest = bytes.TrimLeft(bytes.TrimPrefix(rest, []byte("---")), " \t\r\n")
		if len(rest) == 0 {
			return out, nil
		}
		pos = len(in) - len(rest)
		d := json.NewDecoder(bytes.NewReader(rest))
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("after %d bytes of JSON: %w", pos, err)
		}
		out = append(out, document{number: len(out) + 1, line: 1 + bytes.Count(in[:pos], []byte("\n")), text: string(raw), json: true})
		pos += int(d.InputOffset())
	}
}

// read is an object of a document; nil of one that has nothing but comments.
func (d document) read() (object, error) {
	raw := []byte(d.text)
	var err error
	if d.json { // not all JSON is YAML: tabs, and characters that are written by their numbers
		err = unique(json.NewDecoder(bytes.NewReader(raw)))
	} else {
		raw, err = yaml.YAMLToJSONStrict(raw)
	}
	if err != nil {
		return nil, d.at(err)
	}
	if string(raw) == "null" {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // a number is written as it was read
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, d.at(err)
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, d.at(errors.New("it is no object"))
	}
	return o, nil
}

// unique reads a JSON value, in which no object may have a name twice.
func unique(d *json.Decoder) error {
	t, err := d.Token()
	if err != nil || t != json.Delim('{') && t != json.Delim('[') {
		return err
	}
	seen := map[json.Token]bool{}
	for d.More() {
		if t == json.Delim('{') {
			name, err := d.Token()
			if err != nil {
				return err
			}
			if seen[name] {
				return fmt.Errorf("key %q already set in map", name)
			}
			seen[name] = true
		}
		if err := unique(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

var (
	yamlLine = regexp.MustCompile(`^(?:error converting YAML to JSON: )?yaml: (?:unmarshal errors:\s+)?(?:line (\d+): )?`)
	traps    = []struct {
		in   *regexp.Regexp
		what string
	}{
		{regexp.MustCompile(`\{\{`), "has {{: it is a template; render it first, as with helm template"},
		{regexp.MustCompile(`(?m)^[ -]*\t`), "begins with a tab; YAML takes spaces"},
		{regexp.MustCompile("[\u00a0\u3000\u200b]"), "has a space that is none to YAML, as pages have them; write plain ones"},
		{regexp.MustCompile("[\uff1a\uff0c\u201c\u201d\u2018\u2019]"), "has full-width or curved punctuation; write : , \" and '"},
	}
)

// at says where in the file an error is, and what is likely to be its cause.
func (d document) at(err error) error {
	text, line := err.Error(), d.line
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
		if n, e := strconv.Atoi(m[1]); e == nil {
			line += n - 1
		}
	}
	text = fmt.Sprintf("document %d, line %d: %s", d.number, line, strings.ReplaceAll(text, "\n", ";"))
	for _, trap := range traps {
		if at := trap.in.FindStringIndex(d.text); at != nil {
			return fmt.Errorf("%s (line %d %s)", text, d.line+strings.Count(d.text[:at[1]], "\n"), trap.what)
		}
	}
	return errors.New(text)
}
