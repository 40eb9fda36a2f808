package fingerprint

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
)

// units tells which units run, what systemd knows of every unit file, and whether it has read them since they were changed.
func units(ctx context.Context, _ Options) ([]Fact, error) {
	bus, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return nil, err
	}
	defer bus.Close()
	var facts []Fact
	list, err := bus.ListUnitsContext(ctx)
	if err != nil {
		return nil, err
	}
	for _, u := range list {
		if u.ActiveState == "inactive" || passing(u.Name) {
			continue
		}
		value := u.LoadState + " " + u.ActiveState + " " + u.SubState
		if stale, err := bus.GetUnitPropertyContext(ctx, u.Name, "NeedDaemonReload"); err == nil && stale.Value.Value() == true {
			value += " needs-reload"
		}
		facts = append(facts, Fact{"unit", u.Name, value})
	}
	files, err := bus.ListUnitFilesContext(ctx)
	if err != nil {
		return facts, err
	}
	for _, f := range files {
		if told(f.Path) == never {
			continue
		}
		facts = append(facts, Fact{"unit-file", path.Base(f.Path), f.Path + " " + f.Type})
	}
	return facts, nil
}

// passing are units that come and go with logins, and those that are told as mounts, swaps or files.
func passing(name string) bool {
	switch path.Ext(name) {
	case ".device", ".mount", ".swap", ".scope":
		return true
	case ".slice":
		return strings.HasPrefix(name, "user-")
	}
	return strings.HasPrefix(name, "user@") || strings.HasPrefix(name, "user-runtime-dir@")
}

// users tells who has an account here.
func users(context.Context, Options) ([]Fact, error) {
	var facts []Fact
	for _, f := range []struct{ kind, file string }{{"user", "/etc/passwd"}, {"group", "/etc/group"}} {
		b, err := os.ReadFile(f.file)
		if err != nil {
			return facts, err
		}
		for line := range strings.Lines(string(b)) {
			name, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
			facts = append(facts, Fact{f.kind, name, rest})
		}
	}
	return facts, nil
}

// packages tells what is installed, at which version, and what is held.
func packages(ctx context.Context, _ Options) ([]Fact, error) {
	var facts []Fact
	if b, err := os.ReadFile("/var/lib/dpkg/status"); err == nil {
		facts = dpkgFacts(string(b))
	}
	out, _, err := tool(ctx, "rpm", "-qa", "--queryformat", "%{NAME} %{EPOCH}:%{VERSION}-%{RELEASE} %{ARCH}\n")
	for line := range strings.Lines(string(out)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		facts = append(facts, Fact{"package", name, rest})
	}
	return facts, err
}

// dpkgFacts reads dpkg's status file.
func dpkgFacts(status string) []Fact {
	var facts []Fact
	for entry := range strings.SplitSeq(status, "\n\n") {
		field := map[string]string{}
		for line := range strings.Lines(entry) {
			if name, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, " ") {
				field[name] = strings.TrimSpace(value)
			}
		}
		if field["Package"] != "" {
			facts = append(facts, Fact{"package", field["Package"], fmt.Sprintf("%s %s %s", field["Version"], field["Architecture"], field["Status"])})
		}
	}
	return facts
}
