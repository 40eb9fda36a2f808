package ops

import (
	"bytes"
	"os"
	"slices"
	"strings"
)

// accountFiles are the databases of users and groups: one account a line, its name before the first colon.
var accountFiles = []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"}

func isAccounts(p string) bool { return slices.Contains(accountFiles, p) }

// accountLines are the lines of such a file by name.
func accountLines(content []byte) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(string(content)) {
		name, _, _ := strings.Cut(line, ":")
		all[name] = line
	}
	return all
}

// withoutLines takes out of now the accounts that after has and before has not, and gives those that it changed their earlier line where nobody
// changed that since.
func withoutLines(now, before, after []byte) []byte {
	was, came := accountLines(before), accountLines(after)
	var out bytes.Buffer
	for line := range strings.Lines(string(now)) {
		name, _, _ := strings.Cut(line, ":")
		old, there := was[name]
		added, ours := came[name]
		switch {
		case ours && !there:
			continue
		case ours && there && line == added:
			line = old
		}
		out.WriteString(line)
	}
	return out.Bytes()
}

// withoutOurs is what a file of accounts would be, had installing added nothing.
func (t *trace) withoutOurs(m Machine, p string) ([]byte, error) {
	var parts [3][]byte
	for i, file := range []string{p, t.data(m, t.Before[p].Sum), t.data(m, t.After[p].Sum)} {
		content, err := os.ReadFile(m.Path(file))
		if err != nil {
			return nil, err
		}
		parts[i] = content
	}
	return withoutLines(parts[0], parts[1], parts[2]), nil
}

// saveLines keeps that as the bytes to bring back.
func (t *trace) saveLines(m Machine, p string, now *found) (*found, error) {
	content, err := t.withoutOurs(m, p)
	if err != nil {
		return nil, err
	}
	was := *now
	was.Sum = digestOf(content)
	return &was, os.WriteFile(m.Path(t.data(m, was.Sum)), content, 0o600)
}
