package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// packagesPath is where every host finds the packages that the lab was asked for, as a repository for apt.
const packagesPath = "/usr/lib/kwlab/packages"

// sourceList is the hosts' only source of packages. The repository is the machine's own copy of what apt verified, so nothing signs it.
const sourceList = "deb [trusted=yes] file:" + packagesPath + " ./\n"

var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

// offeredPackages is where the repository of the lab that is there can be found.
func offeredPackages() string { return filepath.Join(stateDir, "packages") }

// offerPackages has the packages at hand for hosts that are yet to start.
func offerPackages(ctx context.Context, o Options, base string, names []string) error {
	dir, err := repository(ctx, o, base, names)
	if err != nil || dir == "" || exists(offeredPackages()) {
		return err
	}
	return os.Symlink(dir, offeredPackages())
}

// repository returns a directory with the packages and everything they depend on that the root filesystem lacks, as a flat repository; "" where none
// are wanted. It is made once for a list of names and a root filesystem, and kept.
func repository(ctx context.Context, o Options, base string, names []string) (string, error) {
	if len(names) == 0 {
		return "", nil
	}
	dir := base[:strings.LastIndex(base, "/")+1] + repositoryName(base, names)
	if exists(dir) {
		return dir, nil
	}
	began := time.Now()
	o.say("downloading %s and what they depend on (once)", strings.Join(names, ", "))
	tmp := dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	src, err := readAptSource()
	if err != nil {
		return "", err
	}
	if err := download(ctx, src, base, tmp, names); err != nil {
		return "", err
	}
	index, err := packagesIndex(ctx, filepath.Join(tmp, "archives"))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(tmp, "archives", "Packages"), index, 0o644); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(tmp, "archives"), dir); err != nil {
		return "", err
	}
	o.say("%d packages downloaded in %s", bytes.Count(index, []byte("\nFilename: ")), time.Since(began).Round(100*time.Millisecond))
	return dir, nil
}

// repositoryName has the root filesystem's name in it: what packages are missing depends on that.
func repositoryName(base string, names []string) string {
	b, err := json.Marshal(names)
	if err != nil {
		panic(err) // strings only
	}
	sum := sha256.Sum256(b)
	return "packages-" + strings.TrimPrefix(filepath.Base(base), "rootfs-") + "-" + hex.EncodeToString(sum[:8])
}

// wantedPackages is the list as it is kept: sorted, each once.
func wantedPackages(names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		if !packageName.MatchString(n) {
			return nil, fmt.Errorf("%q is not the name of a Debian package", n)
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// download has the machine's apt fetch into tmp/archives, as if it ran on a host: with the machine's sources, but a state and a configuration of
// its own, so that neither the machine's lists nor its hooks are touched.
func download(ctx context.Context, src aptSource, base, tmp string, names []string) error {
	for _, d := range []string{"lists/partial", "archives/partial", "sources"} {
		if err := os.MkdirAll(filepath.Join(tmp, d), 0o755); err != nil {
			return err
		}
	}
	for _, f := range src.files {
		if err := os.Symlink(f, filepath.Join(tmp, "sources", filepath.Base(f))); err != nil {
			return err
		}
	}
	conf := filepath.Join(tmp, "apt.conf")
	if err := os.WriteFile(conf, []byte(aptConf(src, base, tmp)), 0o644); err != nil {
		return err
	}
	todo := [][]string{{"update"}}
	for _, n := range names { // one by one: a test may want packages that exclude each other
		todo = append(todo, []string{"install", "--yes", "--download-only", "--no-install-recommends", n})
	}
	for _, argv := range todo {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet"}, argv...)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "APT_CONFIG=" + conf}
		if out, err := cmd.CombinedOutput(); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(argv, " "), err, lastLines(string(out), 10))
		}
	}
	return errors.Join(os.RemoveAll(filepath.Join(tmp, "archives", "partial")), os.RemoveAll(filepath.Join(tmp, "archives", "lock")))
}

func aptConf(src aptSource, base, tmp string) string {
	set := func(name, value string) string { return fmt.Sprintf("%s %q;\n", name, value) }
	return set("Dir::Etc::Main", "/dev/null") + set("Dir::Etc::Parts", "/dev/null") +
		set("Dir::Etc::SourceList", "/dev/null") + set("Dir::Etc::SourceParts", filepath.Join(tmp, "sources")) +
		set("Dir::State", tmp) + set("Dir::State::Status", filepath.Join(base, "var/lib/dpkg/status")) + set("Dir::State::Lists", filepath.Join(tmp, "lists")) +
		set("Dir::Cache", tmp) + set("Dir::Cache::Archives", filepath.Join(tmp, "archives")) +
		set("APT::Sandbox::User", "root") + set("Debug::NoLocking", "true") + set("Acquire::Languages", "none") + src.options
}

// packagesIndex is what apt reads of a repository: every package's own control fields, and where and what its file is.
func packagesIndex(ctx context.Context, dir string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, errors.New("apt downloaded nothing: the root filesystem has these packages already"))
	}
	var out bytes.Buffer
	for _, file := range files {
		fields, err := exec.CommandContext(ctx, "dpkg-deb", "--field", file).Output()
		if err != nil {
			return nil, fmt.Errorf("dpkg-deb %s: %w", filepath.Base(file), err)
		}
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		size, err := io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%s\nFilename: ./%s\nSize: %d\nSHA256: %x\n\n", bytes.TrimSpace(fields), filepath.Base(file), size, h.Sum(nil))
	}
	return out.Bytes(), nil
}
