package inventory

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// place is where something stands in the file.
type place struct{ line, column int }

// reading is one pass over one file: what was decoded, where it stood, and what was wrong with it.
type reading struct {
	file     string
	raw      string
	lines    []string
	problems Problems
	at       map[string]place // of every value, by path; what is not here was not written
	failed   map[string]bool  // paths whose value could not be read; rules about them are skipped
}

func newReading(file string) *reading {
	return &reading{file: file, at: map[string]place{}, failed: map[string]bool{}}
}

// add keeps a problem.
func (r *reading) add(p Problem) {
	p.File = r.file
	r.problems = append(r.problems, p)
}

// report keeps a problem with the value at a path. It stands where the value stands, or where the nearest thing around it does.
func (r *reading) report(path string, p Problem) {
	at := r.place(path)
	p.Path, p.Line, p.Column = path, at.line, at.column
	r.add(p)
}

// fail reports a problem and keeps further rules from judging that value.
func (r *reading) fail(path string, p Problem) {
	r.report(path, p)
	r.failed[path] = true
}

func (r *reading) place(path string) place {
	for {
		if at, ok := r.at[path]; ok {
			return at
		}
		if path == "" {
			return place{1, 1}
		}
		path = parent(path)
	}
}

// wrote says whether the file has a value at the path, and one that could be read.
func (r *reading) wrote(path string) bool {
	_, ok := r.at[path]
	return ok && !r.bad(path)
}

// missing says whether the file says nothing at the path, and was not about to.
func (r *reading) missing(path string) bool {
	_, ok := r.at[path]
	return !ok && !r.bad(path)
}

// bad says whether the value at the path, or one around it, could not be read.
func (r *reading) bad(path string) bool {
	for {
		if r.failed[path] {
			return true
		}
		if path == "" {
			return false
		}
		path = parent(path)
	}
}

func (r *reading) mark(path string, t *token.Token) {
	if at, ok := placeOf(t); ok {
		r.at[path] = at
	}
}

func placeOf(t *token.Token) (place, bool) {
	if t == nil || t.Position == nil {
		return place{}, false
	}
	return place{t.Position.Line, t.Position.Column}, true
}

// Paths are spec.hosts[1].address, and evictionHard["memory.available"] for keys that users choose.

func field(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func entry(path, key string) string { return path + `["` + key + `"]` }

func parent(path string) string {
	if strings.HasSuffix(path, `"]`) {
		if i := strings.LastIndex(path, `["`); i >= 0 {
			return path[:i]
		}
	}
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
