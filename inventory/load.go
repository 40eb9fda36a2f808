package inventory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"

	"sigs.k8s.io/yaml"
)

// Load reads a cluster file, fills in the defaults and checks every rule. Paths in the file are made absolute: they are
// relative to the file, and ~ is the user's home. The error is a Problems, with everything that is wrong.
func Load(path string) (*Cluster, error) {
	r := newReading(path)
	data, err := readFile(path, maxSize+1)
	if err != nil {
		r.add(Problem{Code: codeFile, Wrong: "cannot be read: " + err.Error(), Remedy: fileRemedy(err)})
		return nil, r.problems
	}
	c := r.read(data)
	if c != nil {
		dir, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			dir = filepath.Dir(path)
		}
		r.keyFiles(c, dir)
		r.addonFiles(c, dir)
	}
	return r.result(c)
}

// Parse is Load for bytes that are already here: name is what problems call them. It touches no file, so paths stay as written.
func Parse(name string, data []byte) (*Cluster, error) {
	r := newReading(name)
	return r.result(r.read(data))
}

// Render is the cluster as YAML, with every default in it. Parse reads it back to the same cluster.
func Render(c *Cluster) []byte {
	out, err := yaml.Marshal(c)
	if err != nil {
		panic("inventory: a cluster is plain data and has to marshal: " + err.Error())
	}
	return out
}

// read is everything but what touches other files. It returns nil when there is nothing to judge.
func (r *reading) read(data []byte) *Cluster {
	text, ok := r.text(data)
	if !ok {
		return nil
	}
	r.raw, r.lines = text, strings.Split(text, "\n")
	t, ok := r.parse(text)
	if !ok {
		return nil
	}
	c := &Cluster{}
	r.decode(t.root, other{t.value, t.known}, reflect.ValueOf(c).Elem(), "")
	if r.failed[""] {
		return nil
	}
	k := check{r, c}
	if !k.head() {
		// The rest is in words of another version: complaining about them would help nobody.
		r.only(codeHead)
		return nil
	}
	if len(r.problems) == 0 {
		c = r.typed(text, c)
		k.c = c
	}
	k.written()
	Default(c)
	k.together()
	return c
}

// typed is the file through the strict decoder that Kubernetes' own files go through. It has to come to the same cluster as
// our walk did; if it ever does not, the file means two things and is refused.
func (r *reading) typed(text string, walked *Cluster) *Cluster {
	c := &Cluster{}
	p := Problem{Code: codeType, Line: 1, Column: 1, Remedy: "put values in quotes and write one key on a line"}
	if err := yaml.UnmarshalStrict([]byte(text), c); err != nil {
		p.Wrong = "the file is refused by the strict decoder: " + bare(err.Error())
		r.add(p)
		return walked
	}
	if walked.Spec.Firewall == FirewallOff && c.Spec.Firewall == "false" {
		c.Spec.Firewall = FirewallOff
	}
	if !reflect.DeepEqual(c, walked) {
		p.Wrong = "the file is read differently by different programs"
		r.add(p)
		return walked
	}
	return c
}

func (r *reading) only(code string) {
	var keep Problems
	for _, p := range r.problems {
		if p.Code == code {
			keep = append(keep, p)
		}
	}
	r.problems = keep
}

func (r *reading) result(c *Cluster) (*Cluster, error) {
	if len(r.problems) > 0 {
		return nil, r.problems.sorted()
	}
	return c, nil
}

var (
	errDirectory = errors.New("it is a directory")
	errNotAFile  = errors.New("it is not a regular file")

	errNoManifests   = errors.New("there is no manifest in it")
	errManyManifests = errors.New("there are more manifests in it than anybody reads")
)

// readFile reads at most so many bytes of a regular file. It never waits, which opening a pipe would.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, cause(err)
	case info.IsDir():
		return nil, errDirectory
	case !info.Mode().IsRegular():
		return nil, errNotAFile
	}
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, cause(err)
	}
	return data, nil
}

// cause is an error without the path, which the message has already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func fileRemedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return howToStart + ", or name another with --config"
	case errors.Is(err, fs.ErrPermission):
		return "make it readable for the user " + fmt.Sprint(os.Getuid())
	}
	return "name the cluster file itself"
}
