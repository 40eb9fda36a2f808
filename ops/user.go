package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Group is a group of users, with a number of its own.
type Group struct {
	Name   string `json:"name"`
	GID    int    `json:"gid,omitempty"`
	Absent bool   `json:"absent,omitempty"`
}

// User is a system user, who cannot log in by password. Home and Shell that are not said are not compared; a new user has none.
type User struct {
	Name    string   `json:"name"`
	UID     int      `json:"uid,omitempty"`
	GID     int      `json:"gid,omitempty"` // the number of the primary group, which has to be there
	Comment string   `json:"comment,omitempty"`
	Home    string   `json:"home,omitempty"`
	Shell   string   `json:"shell,omitempty"`
	Groups  []string `json:"groups,omitempty"`  // further groups that the user is in, among others
	Outside []string `json:"outside,omitempty"` // groups that the user is not in: what an observation says of the wish's other groups
	Absent  bool     `json:"absent,omitempty"`
	Half    bool     `json:"half,omitempty"` // in observations: only one of the two databases has the account
}

const (
	noHome  = "/nonexistent"
	noShell = "/usr/sbin/nologin"
)

func (g Group) Key() Key { return Key("group:" + g.Name) }
func (u User) Key() Key  { return Key("user:" + u.Name) }

// Touches are the databases, of which we change single lines.
func (g Group) Touches() []string { return []string{"/etc/group", "/etc/gshadow"} }
func (u User) Touches() []string  { return []string{"/etc/passwd", "/etc/shadow", "/etc/group"} }

func (g Group) Observe(_ context.Context, m Machine) (Op, error) {
	seen := Group{Name: g.Name}
	fields, err := account(m, "/etc/group", g.Name, 4)
	if err != nil {
		return nil, err
	}
	if fields == nil {
		seen.Absent = true
		return seen, nil
	}
	seen.GID, err = strconv.Atoi(fields[2])
	return seen, err
}

func (g Group) Set(ctx context.Context, m Machine, _ Op) error {
	if err := plainAccount(g.Name); err != nil {
		return err
	}
	return lockAccounts(ctx, m, func() error {
		if g.Absent {
			if user, err := withGroup(m, g.Name); err != nil || user != "" {
				return errors.Join(err, fmt.Errorf("the group %s is that of the user %s", g.Name, user))
			}
			return errors.Join(putAccount(m, "/etc/gshadow", g.Name, ""), putAccount(m, "/etc/group", g.Name, ""))
		}
		if err := freeNumber(m, "/etc/group", g.Name, g.GID); err != nil {
			return err
		}
		fields, err := account(m, "/etc/group", g.Name, 4)
		if err != nil {
			return err
		}
		if fields == nil {
			if err := putAccount(m, "/etc/gshadow", g.Name, g.Name+":!::"); err != nil {
				return err
			}
			fields = []string{g.Name, "x", "", ""}
		}
		fields[2] = strconv.Itoa(g.GID)
		return putAccount(m, "/etc/group", g.Name, strings.Join(fields, ":"))
	})
}

func (u User) Observe(_ context.Context, m Machine) (Op, error) {
	seen := User{Name: u.Name}
	fields, err := account(m, "/etc/passwd", u.Name, 7)
	if err != nil {
		return nil, err
	}
	secret, err := account(m, "/etc/shadow", u.Name, 2)
	if err != nil {
		return nil, err
	}
	seen.Absent, seen.Half = fields == nil, exists(m, "/etc/shadow") && (fields == nil) != (secret == nil)
	if seen.Absent {
		return seen, nil
	}
	uid, err1 := strconv.Atoi(fields[2])
	gid, err2 := strconv.Atoi(fields[3])
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("/etc/passwd: %s: %w", u.Name, err)
	}
	seen.UID, seen.GID, seen.Comment, seen.Home, seen.Shell = uid, gid, fields[4], fields[5], fields[6]
	for _, name := range slices.Concat(u.Groups, u.Outside) {
		g, err := account(m, "/etc/group", name, 4)
		if err != nil {
			return nil, err
		}
		put(&seen.Groups, &seen.Outside, name, g != nil && slices.Contains(strings.Split(g[3], ","), u.Name))
	}
	return seen, nil
}

func (u User) same(seen Op) bool {
	s := seen.(User)
	if u.Absent || s.Absent {
		return u.Absent == s.Absent && u.Half == s.Half
	}
	either := func(want, is string) bool { return want == "" || want == is }
	return u.UID == s.UID && u.GID == s.GID && u.Half == s.Half && either(u.Comment, s.Comment) && either(u.Home, s.Home) && either(u.Shell, s.Shell) &&
		sameSet(u.Groups, s.Groups) && sameSet(u.Outside, s.Outside)
}

// Set edits the databases as shadow's tools do, under the lock that they take too, but leaves no backups: an undo is then exact. The user is
// there, as far as others see, when passwd has the line, which comes last and goes first.
func (u User) Set(ctx context.Context, m Machine, _ Op) error {
	if err := plainAccount(append(append([]string{u.Name}, u.Groups...), u.Outside...)...); err != nil {
		return err
	}
	if strings.ContainsAny(u.Comment+u.Home+u.Shell, ":\n") {
		return errors.New("a colon or a line's end cannot be part of an account")
	}
	return lockAccounts(ctx, m, func() error {
		if u.Absent {
			if err := putAccount(m, "/etc/passwd", u.Name, ""); err != nil {
				return err
			}
			if err := u.leave(m, nil); err != nil {
				return err
			}
			if u.Half {
				return nil
			}
			return putAccount(m, "/etc/shadow", u.Name, "")
		}
		return u.make(m)
	})
}

func (u User) make(m Machine) error {
	if err := freeNumber(m, "/etc/passwd", u.Name, u.UID); err != nil {
		return err
	}
	groups, err := os.ReadFile(m.Path("/etc/group"))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(strings.Split(string(groups), "\n"), func(l string) bool { f := strings.Split(l, ":"); return len(f) > 2 && f[2] == strconv.Itoa(u.GID) }) {
		return fmt.Errorf("there is no group %d for the user %s", u.GID, u.Name)
	}
	if secret, err := account(m, "/etc/shadow", u.Name, 2); err != nil {
		return err
	} else if secret == nil && !u.Half {
		if err := putAccount(m, "/etc/shadow", u.Name, u.Name+":!:"+strconv.FormatInt(m.Now().Unix()/86400, 10)+"::::::"); err != nil {
			return err
		}
	}
	if err := u.leave(m, u.Groups); err != nil {
		return err
	}
	fields, err := account(m, "/etc/passwd", u.Name, 7)
	if err != nil {
		return err
	}
	if fields == nil {
		fields = []string{u.Name, "x", "", "", "", noHome, noShell}
	}
	fields[2], fields[3] = strconv.Itoa(u.UID), strconv.Itoa(u.GID)
	for i, value := range []string{u.Comment, u.Home, u.Shell} {
		if value != "" {
			fields[4+i] = value
		}
	}
	return putAccount(m, "/etc/passwd", u.Name, strings.Join(fields, ":"))
}

// leave takes the user out of the groups that it is not to be in, and puts it into those given. A user that goes is in none.
func (u User) leave(m Machine, in []string) error {
	groups, err := os.ReadFile(m.Path("/etc/group"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(groups)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 4 {
			continue
		}
		members := slices.DeleteFunc(strings.Split(fields[3], ","), func(s string) bool { return s == "" })
		is, wanted := slices.Contains(members, u.Name), slices.Contains(in, fields[0])
		switch {
		case wanted && !is:
			members = append(members, u.Name)
		case is && (u.Absent || slices.Contains(u.Outside, fields[0])):
			members = slices.DeleteFunc(members, func(s string) bool { return s == u.Name })
		default:
			continue
		}
		fields[3] = strings.Join(members, ",")
		if err := putAccount(m, "/etc/group", fields[0], strings.Join(fields, ":")); err != nil {
			return err
		}
	}
	for _, name := range in {
		if g, err := account(m, "/etc/group", name, 4); err != nil || g == nil {
			return errors.Join(err, fmt.Errorf("there is no group %s", name))
		}
	}
	return nil
}

var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}$`)

func plainAccount(names ...string) error {
	for _, name := range names {
		if !accountName.MatchString(name) {
			return fmt.Errorf("%q is not the name of a system user or group", name)
		}
	}
	return nil
}
