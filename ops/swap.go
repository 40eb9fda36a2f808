package ops

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Swap is the areas that the kernel swaps to now. The wish has none.
type Swap struct {
	Areas []string `json:"areas,omitempty"` // "PATH PRIORITY", as in /proc/swaps
}

func (s Swap) Key() Key { return "swap:" }

func (s Swap) Observe(_ context.Context, m Machine) (Op, error) {
	data, err := os.ReadFile(m.Path("/proc/swaps"))
	if missing(err) { // a kernel without swap
		return Swap{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read /proc/swaps: %w", cause(err))
	}
	var seen Swap
	for i, line := range strings.Split(string(data), "\n") {
		if f := strings.Fields(line); i > 0 && len(f) >= 5 {
			seen.Areas = append(seen.Areas, unescapeMount(strings.TrimSuffix(f[0], `\040(deleted)`))+" "+f[4])
		}
	}
	return seen, nil
}

func (s Swap) Set(ctx context.Context, m Machine, _ Op) error {
	now, err := s.Observe(ctx, m)
	if err != nil {
		return err
	}
	kernel, err := kernelOf(m)
	if err != nil {
		return err
	}
	active := now.(Swap).Areas
	for _, area := range active {
		name, _ := splitArea(area)
		if slices.ContainsFunc(s.Areas, func(a string) bool { n, _ := splitArea(a); return n == name }) {
			continue
		}
		if err := changing(m, "swap off "+name); err != nil {
			return err
		}
		if err := kernel.SwapOff(name); err != nil {
			return fmt.Errorf("swap off %s: %w", name, err)
		}
	}
	for _, area := range s.Areas {
		name, priority := splitArea(area)
		if slices.ContainsFunc(active, func(a string) bool { n, _ := splitArea(a); return n == name }) {
			continue
		}
		if err := changing(m, "swap on "+name); err != nil {
			return err
		}
		if err := kernel.SwapOn(name, priority); err != nil {
			return fmt.Errorf("swap on %s: %w", name, err)
		}
	}
	return nil
}

// same: the kernel numbers the areas that asked for no priority (-2, -3, ...) in the order in which they came, so only priorities that were
// asked for are compared.
func (s Swap) same(seen Op) bool {
	norm := func(areas []string) []string {
		out := make([]string, 0, len(areas))
		for _, a := range areas {
			name, priority := splitArea(a)
			out = append(out, name+" "+strconv.Itoa(max(priority, -1)))
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(norm(s.Areas), norm(seen.(Swap).Areas))
}

func splitArea(area string) (name string, priority int) {
	i := strings.LastIndexByte(area, ' ')
	if i < 0 {
		return area, -1
	}
	priority, err := strconv.Atoi(area[i+1:])
	if err != nil {
		return area, -1
	}
	return area[:i], priority
}
