package addons

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kubewright/kubewright/inventory"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// decode reads a stream of YAML or JSON documents, strictly: a key that is there twice, or text behind a document's end, is a mistake. All mistakes are told, each
// with its document and never with what stands there, which may be a secret.
func decode(text string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	var errs []error
	seen := map[string]bool{}
	docs := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for n, from := 1, "its manifests"; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.Join(append(errs, fmt.Errorf("document %d of %s cannot be read: %s", n, from, plainly(err, nil)))...)
		}
		if bytes.HasPrefix(doc, []byte("---")) { // the first one's, which stays with it
			_, doc, _ = bytes.Cut(doc, []byte("\n"))
		}
		if file, ok := strings.CutPrefix(strings.TrimSpace(string(doc)), inventory.ManifestFrom); ok && !strings.Contains(file, "\n") {
			n, from = 0, file
			continue
		}
		all, err := documents(doc)
		if err != nil {
			errs = append(errs, fmt.Errorf("document %d of %s cannot be read: %s", n, from, plainly(err, doc)))
			continue
		}
		for _, m := range all {
			objects, err := objectsIn(m)
			if err != nil {
				errs = append(errs, fmt.Errorf("document %d of %s: %w", n, from, err))
			}
			for _, u := range objects {
				id := Object{Manifest: u.Object}.ID().String()
				if seen[id] {
					errs = append(errs, fmt.Errorf("document %d of %s: %s is there twice", n, from, id))
				}
				seen[id] = true
				out = append(out, u)
			}
		}
	}
	if len(out) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("there is no object in its manifests"))
	}
	return out, errors.Join(errs...)
}

var (
	errNoSection = errors.New("it is no object with fields")
	errBehindEnd = errors.New("there is more behind its end, without a line of --- before it")
)

// documents are the objects of a document: one of YAML, or any number of JSON, one behind the other.
func documents(doc []byte) ([]map[string]any, error) {
	raw, isJSON := values(doc)
	if !isJSON {
		if head, more, cut := bytes.Cut(doc, []byte("\n...\n")); cut {
			if hasWords(more) {
				return nil, errBehindEnd
			}
			doc = head
		}
		raw = [][]byte{doc}
	}
	var out []map[string]any
	for _, r := range raw {
		r, err := yaml.YAMLToJSONStrict(r)
		if err != nil {
			return nil, err
		}
		var v any
		if err := json.Unmarshal(r, &v); err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case nil:
		case map[string]any:
			if len(v) > 0 {
				out = append(out, v)
			}
		default:
			return nil, errNoSection
		}
	}
	return out, nil
}

// values are the values of a stream of JSON, if it is one.
func values(doc []byte) ([][]byte, bool) {
	if !bytes.HasPrefix(bytes.TrimSpace(doc), []byte("{")) {
		return nil, false
	}
	var out [][]byte
	d := json.NewDecoder(bytes.NewReader(doc))
	for {
		var r json.RawMessage
		switch err := d.Decode(&r); {
		case errors.Is(err, io.EOF):
			return out, true
		case err != nil:
			return nil, false
		}
		out = append(out, r)
	}
}

func hasWords(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return true
		}
	}
	return false
}

// plainly is what a reader of YAML says, without the names of our functions, and without what stands in the document.
func plainly(err error, doc []byte) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	switch {
	case bytes.Contains(doc, []byte("{{")):
		return "there is {{ }} of a template in it; have that filled in first, as helm template does"
	case strings.Contains(text, "invalid map key"):
		return "a key in it is not text"
	case strings.Contains(text, "unsupported value"):
		return "a number in it is none that JSON has"
	}
	for _, ours := range []string{"error converting YAML to JSON: ", "yaml: unmarshal errors: ", "yaml: "} {
		text = strings.TrimPrefix(text, ours)
	}
	return text
}
