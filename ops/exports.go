package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Exports are directories that the host's NFS server lets others mount, now. What is so after a restart is said by files in /etc/exports.d; this is what the
// server has read of them, for it reads them when it is told to and at no other time.
//
// Exports of others are left alone: `exportfs -r` would take away those that somebody made by hand, so ours are made and taken away one by one. Which ones are
// ours is remembered below the state directory, so that what is not wished any more can be told from what never was ours.
type Exports struct {
	Exports []Export `json:"exports,omitempty"`
	Held    bool     `json:"held,omitempty"`
}

// Export is a directory for one client.
type Export struct {
	Path    string `json:"path"`
	Client  string `json:"client"`  // an address
	Options string `json:"options"` // as in /etc/exports; in observations all of them, with those that go without saying
}

// exported is the server's own table of what is exported. exportfs writes it.
const exported = "/var/lib/nfs/etab"

// Key is exports:nfs, as a host has one server.
func (Exports) Key() Key { return "exports:nfs" }

// Observe finds, of what is wished and of what was made before, that which is exported.
func (x Exports) Observe(_ context.Context, m Machine) (Op, error) {
	made, held, err := readExports(m)
	if err != nil {
		return nil, err
	}
	table, err := os.ReadFile(m.Path(exported))
	if err != nil && !missing(err) {
		return nil, fmt.Errorf("read %s: %w", exported, cause(err))
	}
	seen := Exports{Held: held}
	for line := range strings.Lines(string(table)) {
		e, ok := parseExport(line)
		if ok && (x.of(e) != nil || slices.ContainsFunc(made, e.like)) {
			seen.Exports = append(seen.Exports, e)
		}
	}
	slices.SortFunc(seen.Exports, func(a, b Export) int { return strings.Compare(a.name(), b.name()) })
	return seen, nil
}

// parseExport reads a line such as "/srv/nfs\t10.0.0.1(rw,sync)".
func parseExport(line string) (Export, bool) {
	path, rest, _ := strings.Cut(strings.TrimSpace(line), "\t")
	client, options, ok := strings.Cut(rest, "(")
	return Export{path, client, strings.TrimSuffix(options, ")")}, ok
}

// name is what exportfs calls it.
func (e Export) name() string { return e.Client + ":" + e.Path }

func (e Export) like(other Export) bool { return e.name() == other.name() }

// of is what is wished of an export.
func (x Exports) of(e Export) *Export {
	if i := slices.IndexFunc(x.Exports, e.like); i >= 0 {
		return &x.Exports[i]
	}
	return nil
}

// offers says whether an export has every option that is asked for.
func (e Export) offers(options string) bool {
	have := strings.Split(e.Options, ",")
	return !slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return !slices.Contains(have, o) })
}

// same: ours are there as wished, and of what was ours before nothing else.
func (x Exports) same(seen Op) bool {
	s := seen.(Exports)
	if x.Held != s.Held || len(x.Exports) != len(s.Exports) {
		return false
	}
	return !slices.ContainsFunc(s.Exports, func(e Export) bool { want := x.of(e); return want == nil || !e.offers(want.Options) })
}

// text is a line an export.
func (x Exports) text() string {
	if !x.Held && len(x.Exports) == 0 {
		return absent
	}
	out := flag("ours", x.Held)
	for _, e := range x.Exports {
		out += fmt.Sprintf("%s %s(%s)\n", e.Path, e.Client, e.Options)
	}
	return out
}

// Set exports what is not, and takes away what is ours and not wished any more.
func (x Exports) Set(ctx context.Context, m Machine, _ Op) error {
	for _, e := range x.Exports {
		if err := e.check(); err != nil {
			return err
		}
	}
	made, _, err := readExports(m)
	if err != nil {
		return err
	}
	seen, err := x.Observe(ctx, m)
	if err != nil {
		return err
	}
	if x.Held { // remembered before it is made
		if err := writeExports(m, append(made, x.Exports...)); err != nil {
			return err
		}
	}
	now := seen.(Exports)
	for _, e := range now.Exports {
		if x.of(e) == nil {
			if err := run(ctx, m, "exportfs", "-u", e.name()); err != nil {
				return err
			}
		}
	}
	for _, e := range x.Exports {
		if is := now.of(e); is == nil || !is.offers(e.Options) {
			if err := run(ctx, m, "exportfs", "-o", e.Options, e.name()); err != nil {
				return err
			}
		}
	}
	if !x.Held {
		return remove(m, exportsFile(m))
	}
	return writeExports(m, x.Exports)
}

// check keeps anything from exportfs that it could take for something else.
func (e Export) check() error {
	if !strings.HasPrefix(e.Path, "/") || strings.ContainsAny(e.Path+e.Client, " \t\n()\"\\") || e.Client == "" || strings.ContainsAny(e.Client, ":-") || e.Options == "" {
		return errors.New("an export is a path, the address of a client, and options")
	}
	return nil
}

// exportsFile is where it is remembered which exports are ours.
func exportsFile(m Machine) string { return stateDir(m) + "/exports.json" }

func readExports(m Machine) (made []Export, held bool, err error) {
	data, err := readSmall(m, exportsFile(m), false)
	if err != nil || data == nil {
		return nil, false, err
	}
	if err := strict(data, &made); err != nil {
		return nil, false, fmt.Errorf("%s: %w", exportsFile(m), err)
	}
	return made, true, nil
}

func writeExports(m Machine, all []Export) error {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Export) int { return strings.Compare(a.name(), b.name()) })
	data, err := json.Marshal(slices.CompactFunc(all, Export.like))
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if old, err := readSmall(m, exportsFile(m), false); err == nil && string(old) == string(data) {
		return nil
	}
	return writeMark(m, exportsFile(m), data)
}
