package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// versionLocks is the list of dnf's versionlock plugin. It is written by hand: the plugin would ask every repository first, would lock what is offered
// where a package is not installed, and drops the comments of the list when it takes a line out.
type versionLocks struct {
	file  string // "" where there is no plugin
	why   string // why there is none
	lines []string
}

const versionPlugin = "/etc/dnf/plugins/versionlock.conf"

func readVersionLocks(m Machine) (versionLocks, error) {
	l := versionLocks{file: "/etc/dnf/plugins/versionlock.list"}
	conf, err := os.ReadFile(m.Path(versionPlugin))
	if missing(err) {
		return versionLocks{why: "dnf has no versionlock plugin here, so no version can be held: install python3-dnf-plugin-versionlock"}, nil
	}
	if err != nil {
		return l, fmt.Errorf("read %s: %w", versionPlugin, cause(err))
	}
	for line := range strings.Lines(string(conf)) {
		name, value, _ := strings.Cut(line, "=")
		switch value = strings.TrimSpace(value); strings.TrimSpace(name) {
		case "locklist":
			l.file = value
		case "enabled":
			if slices.Contains([]string{"0", "no", "false", "off"}, strings.ToLower(value)) {
				return versionLocks{why: "dnf's versionlock plugin is turned off, so no version can be held: set enabled = 1 in " + versionPlugin}, nil
			}
		}
	}
	data, err := os.ReadFile(m.Path(l.file))
	if err != nil && !missing(err) {
		return l, fmt.Errorf("read %s: %w", l.file, cause(err))
	}
	l.lines = strings.SplitAfter(string(data), "\n")
	return l, nil
}

// readLock reads a line that locks one version: NAME-EPOCH:VERSION-RELEASE.ARCH, where the epoch and the architecture may be missing, and the latter may
// be a *. All others (comments, exclusions, which begin with !, and patterns) are their authors' business.
func readLock(line string) (name, version string, ok bool) {
	line = strings.TrimSpace(line)
	line, _ = cutArch(strings.TrimSuffix(strings.TrimSuffix(line, ".*"), ".noarch"))
	release := strings.LastIndexByte(line, '-')
	if line == "" || strings.ContainsAny(line, "#!*?[ ") || release < 1 {
		return "", "", false
	}
	at := strings.LastIndexByte(line[:release], '-')
	if at < 1 {
		return "", "", false
	}
	return line[:at], strings.TrimPrefix(line[at+1:], "0:"), true
}

// hold says whether no upgrade touches a package. Several locks of one package let it go from one to the other.
func (l versionLocks) hold(r rpm) bool {
	held := false
	for _, line := range l.lines {
		name, version, ok := readLock(line)
		if !ok || name != r.name {
			continue
		}
		_, noEpoch, _ := strings.Cut(r.version, ":")
		if version != r.version && version != noEpoch {
			return false
		}
		held = true
	}
	return held
}

// about are the lines about a package that are more than a lock on one version.
func (l versionLocks) about(name string) string {
	name, _ = cutArch(name)
	var found []string
	for _, line := range l.lines {
		line = strings.TrimSpace(line)
		if _, _, ok := readLock(line); !ok && strings.HasPrefix(strings.TrimPrefix(line, "!"), name+"-") {
			found = append(found, line)
		}
	}
	return strings.Join(found, ", ")
}

func (d dnf) hold(ctx context.Context, m Machine, name string, held bool) error {
	l, err := readVersionLocks(m)
	if err != nil {
		return err
	}
	if l.file == "" {
		return errors.New(l.why)
	}
	all, err := d.installed(ctx, m)
	if err != nil {
		return err
	}
	i := len(all) - 1 // the last that came last
	for i >= 0 && all[i].key() != name && (all[i].name != name || !all[i].beside()) {
		i--
	}
	if i < 0 {
		return nil
	}
	lines := slices.DeleteFunc(slices.Clone(l.lines), func(line string) bool {
		locked, _, ok := readLock(line)
		return ok && locked == all[i].name
	})
	text := strings.Join(lines, "")
	if held {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		version := all[i].version
		if !strings.Contains(version, ":") {
			version = "0:" + version
		}
		text += all[i].name + "-" + version + ".*\n"
	}
	if text == strings.Join(l.lines, "") {
		return nil
	}
	return rewrite(m, l.file, []byte(text), 0o644)
}
