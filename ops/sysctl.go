package ops

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Sysctl is the value that the kernel has for a parameter now; a File in /etc/sysctl.d is what it has after the next start.
type Sysctl struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"` // "" in observations: the kernel has no such parameter
}

func (s Sysctl) Key() Key { return Key("sysctl:" + s.Name) }

func (s Sysctl) Observe(_ context.Context, m Machine) (Op, error) {
	data, err := os.ReadFile(m.Path(s.path()))
	if err != nil && !missing(err) {
		return nil, fmt.Errorf("read %s: %w", s.path(), cause(err))
	}
	return Sysctl{Name: s.Name, Value: strings.TrimSpace(string(data))}, nil
}

func (s Sysctl) Set(_ context.Context, m Machine, _ Op) error {
	if s.Value == "" {
		return nil // it was not there; it went or goes with the module that brought it
	}
	if err := changing(m, "set "+s.Name); err != nil {
		return err
	}
	f, err := os.OpenFile(m.Path(s.path()), os.O_WRONLY|os.O_TRUNC, 0)
	if missing(err) {
		return fmt.Errorf("the kernel has no parameter %s", s.Name)
	}
	if err != nil {
		return fmt.Errorf("set %s: %w", s.Name, cause(err))
	}
	_, err = f.WriteString(s.Value + "\n")
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("set %s to %s: %w", s.Name, s.Value, cause(err))
	}
	return nil
}

// same folds white space: the kernel separates with tabs what people separate with blanks. A parameter that was not there is nothing to go back to.
func (s Sysctl) same(seen Op) bool {
	return s.Value == "" || slices.Equal(strings.Fields(s.Value), strings.Fields(seen.(Sysctl).Value))
}

// path follows sysctl(8): where the first separator is a slash, dots belong to the names (of interfaces).
func (s Sysctl) path() string {
	name := s.Name
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		name = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	return "/proc/sys/" + name
}
