package laws

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
)

// snapshot is everything on the machines that can be compared: of "master:/etc/hosts" its mode, owner and content, and for what is
// no file a line such as "master:unit kubelet.service enabled=true" that is so.
type snapshot map[string]string

// lockPath is the agent's lock; it goes with a reboot.
const lockPath = "/run/kubewright.lock"

// snapshot looks at every machine, kubewright's own state included.
func (f *fleet) snapshot() (snapshot, error) {
	s := snapshot{}
	for _, name := range f.names {
		m := f.machines[name]
		root := m.Path("/")
		err := filepath.WalkDir(root, func(real string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, real)
			if err != nil {
				return err
			}
			path := filepath.Join("/", rel)
			if path == lockPath {
				return nil
			}
			what, err := describe(m, real, d)
			s[name+":"+path] = what
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		rest, err := m.Snapshot()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for line := range strings.Lines(rest) {
			if !strings.HasPrefix(line, "/") { // units, links, firewall entries: what is no file
				s[name+":"+strings.TrimSpace(line)] = "so"
			}
		}
	}
	return s, nil
}

func describe(m *ops.Pretend, path string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	uid, gid := m.OwnerOf(info.Sys().(*syscall.Stat_t))
	meta := fmt.Sprintf("%s %d:%d", info.Mode(), uid, gid)
	switch {
	case d.Type() == fs.ModeSymlink:
		to, err := os.Readlink(path)
		return "symlink to " + to, err
	case d.Type().IsRegular():
		content, err := os.ReadFile(path)
		return fmt.Sprintf("%s %q", meta, content), err
	}
	return meta, nil
}

var (
	// pemText and pemData are keys and certificates as they are in files and inside kubeconfigs; they are other bytes each time.
	pemText = regexp.MustCompile(`-----BEGIN ([A-Z ]+)-----[A-Za-z0-9+/=\\n\s]*-----END [A-Z ]+-----`)
	pemData = regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/=]*`)
)

// plain is the snapshot without the journals and with all keys and certificates looking alike.
func (s snapshot) plain() snapshot {
	p := snapshot{}
	for at, what := range s {
		_, path, _ := strings.Cut(at, ":")
		if path != agent.StateDir && !strings.HasPrefix(path, agent.StateDir+"/") {
			p[at] = pemData.ReplaceAllString(pemText.ReplaceAllString(what, "<$1>"), "<pem>")
		}
	}
	return p
}

// state names something left of the agent's state on a machine.
func (s snapshot) state(name string) string {
	if _, left := s[name+":"+agent.StateDir]; left {
		return name + ":" + agent.StateDir
	}
	return ""
}

// differ tells what is other than wanted.
func differ(want, got snapshot) error {
	const most = 20
	keys := slices.Sorted(maps.Keys(want))
	for at := range got {
		if _, ok := want[at]; !ok {
			keys = append(keys, at)
		}
	}
	slices.Sort(keys)
	var lines []string
	for _, at := range keys {
		w, wanted := want[at]
		g, there := got[at]
		switch {
		case !wanted:
			lines = append(lines, fmt.Sprintf("%s is there: %s", at, short(g)))
		case !there:
			lines = append(lines, fmt.Sprintf("%s is gone: %s", at, short(w)))
		case w != g:
			lines = append(lines, fmt.Sprintf("%s is %s, want %s", at, short(g), short(w)))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	if n := len(lines); n > most {
		lines = append(lines[:most], fmt.Sprintf("and %d more", n-most))
	}
	return errors.New(strings.Join(lines, "\n"))
}

func short(s string) string {
	if len(s) > 300 {
		return s[:300] + "..."
	}
	return s
}
