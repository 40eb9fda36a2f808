package lab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// aptSource is where the machine itself takes its packages from: the lab's root filesystem is made from the same place, so
// mirrors, proxies and offline copies work as they do for the machine.
type aptSource struct {
	suite   string   // the machine's release
	files   []string // its source lists that speak of this release
	options string   // its Acquire options, as an apt configuration file
}

func readAptSource() (aptSource, error) {
	var s aptSource
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return s, err
	}
	if s.suite = codename(release); s.suite == "" {
		return s, errors.New("/etc/os-release has no VERSION_CODENAME: the lab is made from a Debian-like machine's own packages")
	}
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources"} {
		names, _ := filepath.Glob(pattern) // the patterns are good
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				return s, err
			}
			if speaksOf(b, s.suite) {
				s.files = append(s.files, name)
			}
		}
	}
	if len(s.files) == 0 {
		return s, fmt.Errorf("no apt source of this machine speaks of %s", s.suite)
	}
	dump, err := exec.Command("apt-config", "dump", "--no-empty", "--format", "%f \"%v\";%n").Output()
	if err != nil {
		return s, fmt.Errorf("apt-config dump: %w", err)
	}
	s.options = acquireOptions(dump)
	return s, nil
}

func codename(osRelease []byte) string {
	for line := range bytes.Lines(osRelease) {
		if v, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("VERSION_CODENAME=")); ok {
			return strings.Trim(string(v), `"`)
		}
	}
	return ""
}

// speaksOf says whether a source list has the release in a line that is not a comment.
func speaksOf(list []byte, suite string) bool {
	word := regexp.MustCompile(`(^|[\s/])` + regexp.QuoteMeta(suite) + `($|[\s/-])`)
	lines := bufio.NewScanner(bytes.NewReader(list))
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); !strings.HasPrefix(line, "#") && word.MatchString(line) {
			return true
		}
	}
	return false
}

// acquireOptions keeps what decides whether a download works and leaves what the machine wants for itself.
func acquireOptions(dump []byte) string {
	var out strings.Builder
	for line := range strings.Lines(string(dump)) {
		rest, ok := strings.CutPrefix(line, "Acquire::")
		if !ok {
			continue
		}
		head := strings.ToLower(rest[:strings.IndexFunc(rest+" ", func(r rune) bool { return r == ':' || r == ' ' })])
		if slices.Contains([]string{"http", "https", "check-valid-until", "check-date", "retries", "forceipv4", "forceipv6"}, head) {
			out.WriteString(line)
		}
	}
	return out.String()
}
