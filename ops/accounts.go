package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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

// account is the fields of an account's line, at least as many as given; nil where there is none.
func account(m Machine, file, name string, least int) ([]string, error) {
	data, err := os.ReadFile(m.Path(file))
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, cause(err))
	}
	line, there := accountLines(data)[name]
	if !there {
		return nil, nil
	}
	fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
	if len(fields) < least {
		return nil, fmt.Errorf("%s: the line of %s has %d fields", file, name, len(fields))
	}
	return fields, nil
}

// putAccount gives an account its line, or takes it away with "". A host without a file of secrets does not get one.
func putAccount(m Machine, file, name, line string) error {
	data, err := os.ReadFile(m.Path(file))
	if missing(err) && file != "/etc/passwd" && file != "/etc/group" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", file, cause(err))
	}
	var out strings.Builder
	found := false
	for old := range strings.Lines(string(data)) {
		if n, _, _ := strings.Cut(old, ":"); n != name {
			out.WriteString(old)
			continue
		}
		if !found && line != "" {
			out.WriteString(line + "\n")
		}
		found = true
	}
	if !found && line != "" {
		if out.Len() > 0 && !strings.HasSuffix(out.String(), "\n") {
			out.WriteByte('\n')
		}
		out.WriteString(line + "\n")
	}
	if out.String() == string(data) {
		return nil
	}
	return rewrite(m, file, []byte(out.String()), 0o644)
}

// freeNumber refuses a number that another account has: two of one number are one to the kernel.
func freeNumber(m Machine, file, name string, number int) error {
	data, err := os.ReadFile(m.Path(file))
	if err != nil {
		return fmt.Errorf("read %s: %w", file, cause(err))
	}
	if number < 1 || number > 65533 {
		return fmt.Errorf("%d is not the number of a system user or group", number)
	}
	for other, line := range accountLines(data) {
		if f := strings.Split(line, ":"); other != name && len(f) > 2 && f[2] == strconv.Itoa(number) {
			return fmt.Errorf("the number %d is that of %s already", number, other)
		}
	}
	return nil
}

// withGroup is a user whose primary group it is, "" where there is none.
func withGroup(m Machine, group string) (string, error) {
	g, err := account(m, "/etc/group", group, 4)
	if err != nil || g == nil {
		return "", err
	}
	users, err := os.ReadFile(m.Path("/etc/passwd"))
	if err != nil {
		return "", fmt.Errorf("read /etc/passwd: %w", cause(err))
	}
	for name, line := range accountLines(users) {
		if f := strings.Split(line, ":"); len(f) > 3 && f[3] == g[2] {
			return name, nil
		}
	}
	return "", nil
}

const (
	accountsLock  = "/etc/.pwd.lock"
	accountsBound = 15 * time.Second // as lckpwdf(3)
)

// lockAccounts does something while nobody else changes accounts: it holds the lock of lckpwdf(3), which shadow's tools and systemd take.
func lockAccounts(ctx context.Context, m Machine, do func() error) error {
	made := !exists(m, accountsLock)
	f, err := os.OpenFile(m.Path(accountsLock), os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("lock %s: %w", accountsLock, cause(err))
	}
	defer f.Close()
	for began := time.Now(); ; {
		err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
			return fmt.Errorf("lock %s: %w", accountsLock, err)
		}
		if time.Since(began) > accountsBound {
			holder, err := lockHolder(m, []string{accountsLock})
			return errors.Join(err, fmt.Errorf("the accounts have been locked for %s, by %s", accountsBound, holder))
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	err = do()
	if made {
		err = errors.Join(err, os.Remove(m.Path(accountsLock)))
	}
	return err
}
