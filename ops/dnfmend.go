package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mend: rpm writes down a package once its files are there, then runs its script, and removes what it replaces at the very end, when all others are
// there. So who is cut off leaves files of packages that nobody knows of, packages that are there twice, and scripts that were never run.
func (d dnf) mend(ctx context.Context, m Machine, t *trace, _ packageTable, finish bool) error {
	if err := awaitScripts(ctx, m); err != nil {
		return err
	}
	if err := removeStaleLock(m, d.locks()[0]); err != nil {
		return err
	}
	if err := d.removeReplaced(ctx, m); err != nil {
		return err
	}
	began, err := os.Stat(m.Path(traceFile(m, t.name)))
	if err != nil {
		return err
	}
	fetched, err := d.fetched(ctx, m, t)
	if err != nil {
		return err
	}
	if err := d.sweep(ctx, m, fetched, began.ModTime()); err != nil {
		return err
	}
	installed, err := d.installed(ctx, m)
	if err != nil {
		return err
	}
	var again, restore []rpm
	for _, f := range fetched {
		was := t.Start[f.key()].Version
		switch i := slices.IndexFunc(installed, func(r rpm) bool { return r.key() == f.key() }); {
		case i < 0 || !t.Unfinished:
		case installed[i].version == f.version && f.version != was:
			again = append(again, f)
		case installed[i].version == was:
			restore = append(restore, installed[i])
		}
	}
	if finish {
		return d.runAgain(ctx, m, again)
	}
	return d.restore(ctx, m, t, restore)
}

// awaitScripts waits for scripts of packages that outlived who ran them.
func awaitScripts(ctx context.Context, m Machine) error {
	return awaitHolder(ctx, m, func() (string, error) {
		lines, _ := filepath.Glob(m.Path("/proc/[0-9]*/cmdline"))
		for _, file := range lines {
			if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), "\x00"+rpmScript) {
				pid, _ := strconv.Atoi(path.Base(path.Dir(file)))
				return processName(m, pid), nil
			}
		}
		return "", nil
	})
}

// rpmScript is how the names of the files begin in which rpm has scripts run.
const rpmScript = "/var/tmp/rpm-tmp."

// removeStaleLock removes what dnf would take over, so that it is not left where dnf is not run any more.
func removeStaleLock(m Machine, file string) error {
	if livingPID(m, file) > 0 {
		return nil
	}
	return remove(m, file)
}

// removeReplaced ends what rpm does last: what came first of a package that is there twice goes, and what both have stays.
func (d dnf) removeReplaced(ctx context.Context, m Machine) error {
	installed, err := d.installed(ctx, m)
	if err != nil {
		return err
	}
	last := map[string]rpm{}
	var old []string
	for _, r := range installed {
		if first, twice := last[r.key()]; twice {
			old = append(old, first.exact())
		}
		last[r.key()] = r
	}
	if len(old) == 0 {
		return nil
	}
	return dnfError(run(ctx, m, append([]string{"rpm", "-e"}, old...)...))
}

// fetched are the packages that were downloaded, with the paths in them.
func (d dnf) fetched(ctx context.Context, m Machine, t *trace) ([]rpm, error) {
	var all []rpm
	for _, pattern := range []string{dnfPackages(m) + "/*.rpm", t.dir(m) + "/files/*/*/*.rpm"} {
		files, _ := filepath.Glob(m.Path(pattern)) // the patterns are good
		for _, file := range files {
			name := strings.TrimPrefix(file, strings.TrimSuffix(m.Path("/"), "/"))
			out, err := m.Run(ctx, "rpm", "-qp", "--qf", rpmFormat+`\t\t[%{PROVIDENAME} ]\n`, name)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if r, ok := readRPM(string(out)); ok && err == nil { // else it was not downloaded to its end, so nothing of it was installed
				r.at = name
				all = append(all, r)
			}
		}
	}
	return all, nil
}

// halfName is what rpm calls a file while a package is being unpacked.
var halfName = regexp.MustCompile(`^(.+);[0-9a-f]{8}$`)

// sweep removes what came of packages that rpm does not know of, and rpm's temporary files, as far as they were made since.
func (d dnf) sweep(ctx context.Context, m Machine, fetched []rpm, since time.Time) error {
	var there []string
	for _, f := range fetched {
		out, err := m.Run(ctx, "rpm", "-qp", "--qf", `[%{FILENAMES}\n]`, f.at)
		if err != nil {
			return fmt.Errorf("rpm: %w", dnfError(err))
		}
		dirs := map[string][]string{}
		for line := range strings.Lines(string(out)) {
			if p := strings.TrimRight(line, "\n"); strings.HasPrefix(p, "/") {
				dirs[path.Dir(p)] = append(dirs[path.Dir(p)], path.Base(p))
			}
		}
		for dir, names := range dirs {
			entries, _ := os.ReadDir(m.Path(dir)) // it need not be there
			for _, e := range entries {
				half := halfName.FindStringSubmatch(e.Name())
				if (slices.Contains(names, e.Name()) || half != nil && slices.Contains(names, half[1])) && newer(m, dir+"/"+e.Name(), since) {
					there = append(there, path.Join(dir, e.Name()))
				}
			}
		}
	}
	nobodys, err := d.nobodys(ctx, m, there)
	if err != nil {
		return err
	}
	scripts, _ := filepath.Glob(m.Path(rpmScript) + "*")
	for _, s := range scripts {
		if p := rpmScript + strings.TrimPrefix(s, m.Path(rpmScript)); newer(m, p, since) {
			nobodys = append(nobodys, p)
		}
	}
	slices.Sort(nobodys)
	for _, p := range slices.Backward(slices.Compact(nobodys)) { // what is in a directory before the directory
		fi, err := os.Lstat(m.Path(p))
		switch {
		case err != nil:
		case !fi.IsDir():
			err = remove(m, p)
		default:
			if empty, _ := isEmpty(m, p); empty {
				err = removeDir(m, p)
			}
		}
		if err != nil && !missing(err) {
			return err
		}
	}
	return nil
}

// newer says whether what lies at a path was made after a time.
func newer(m Machine, p string, since time.Time) bool {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, m.Path(p), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME|unix.STATX_CTIME, &st) != nil {
		return false
	}
	at := st.Ctime // where the file system does not tell, its last change has to do
	if st.Mask&unix.STATX_BTIME != 0 {
		at = st.Btime
	}
	return !time.Unix(at.Sec, int64(at.Nsec)).Before(since)
}

// nobodys are those of the paths that no package owns.
func (dnf) nobodys(ctx context.Context, m Machine, paths []string) ([]string, error) {
	var found []string
	for some := range slices.Chunk(paths, 100) {
		out, err := m.Run(ctx, slices.Concat([]string{"rpm", "-qf", "--qf", `\t%{NAME}\n`}, some)...) // fails where one is nobody's
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		answers := 0
		for line := range strings.Lines(string(out)) {
			p, ok := strings.CutPrefix(strings.TrimSpace(line), "file ")
			if p, ok2 := strings.CutSuffix(p, " is not owned by any package"); ok && ok2 && slices.Contains(some, p) {
				found = append(found, p)
			}
			answers++
		}
		if answers < len(some) {
			return nil, fmt.Errorf("rpm: whose files these are is not to be found out: %w", errors.Join(dnfError(err), errors.New(some[0])))
		}
	}
	return found, nil
}

// runAgain installs anew what came and may not have run its scripts. They are made for that: an upgrade runs them too.
func (dnf) runAgain(ctx context.Context, m Machine, packages []rpm) error {
	if len(packages) == 0 {
		return nil
	}
	argv := []string{"rpm", "-U", "--replacepkgs", "--oldpackage", "--nodeps"}
	for _, p := range packages {
		argv = append(argv, p.at)
	}
	return dnfError(run(ctx, m, argv...))
}

// restore installs anew what is in the version that it was in, where files of it are not: they are of the version that was to come, or were removed.
func (d dnf) restore(ctx context.Context, m Machine, t *trace, packages []rpm) error {
	for _, p := range packages {
		_, err := m.Run(ctx, "rpm", "-V", "--nodeps", "--noscripts", "--noconfig", "--nomtime", "--nomode", "--nouser", "--nogroup", p.exact())
		if err == nil {
			continue
		}
		if err := t.fetch(ctx, m, d, p.key(), p.version); err != nil {
			return fmt.Errorf("files of %s %s are of another version, and it is not to be had any more: %w", p.key(), p.version, err)
		}
		if err := dnfError(run(ctx, m, "rpm", "-U", "--replacepkgs", "--oldpackage", "--nodeps", t.kept(m, p.key(), p.version))); err != nil {
			return err
		}
	}
	return nil
}
