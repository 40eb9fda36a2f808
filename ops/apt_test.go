package ops

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestDpkgDatabase(t *testing.T) {
	w := newWorld(t)
	offer()(t, w)
	w.write(t, dpkgStatus, `Package: dpkg
Status: install ok installed
Architecture: amd64
Version: 1.21.22
Description: a
 Status: not a field

Package: libc6
Status: hold ok installed
Architecture: i386
Version: 2.36-9

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1:2.0

Package: never
Status: unknown ok not-installed
Architecture: amd64

Package: new
Status: install ok unpacked
Architecture: amd64
Version: 3
`, 0o644)
	w.write(t, dpkgDir+"/updates/0000", "Package: new\nStatus: install reinstreq half-installed\nArchitecture: amd64\n", 0o644)
	got, err := apt{}.table(t.Context(), w)
	want := packageTable{
		"dpkg": {Version: "1.21.22"}, "libc6:i386": {Version: "2.36-9", Held: true}, "gone": {Version: "1:2.0", Config: true},
		"new": {Version: "none", State: "reinstreq half-installed"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestAptErrors(t *testing.T) {
	last := "debconf: delaying\nE: Version '9' for 'tini' was not found\nE: Sub-process /usr/bin/dpkg returned an error code (1)"
	err := aptError(&OutputError{Err: errors.New("exit status 100: E: Sub-process /usr/bin/dpkg returned an error code (1)"), Last: last})
	if err.Error() != "Version '9' for 'tini' was not found" || LastLines(err) != last {
		t.Errorf("%v, %q", err, LastLines(err))
	}
}

// TestDNF is dnf and rpm by what they are asked: no machine here has them.
func TestDNF(t *testing.T) {
	w := newWorld(t)
	w.write(t, "/usr/bin/dnf", "", 0o755)
	w.write(t, versionPlugin, "", 0o644)
	w.write(t, versionLocks, "# held\nbash-0:5.1.8-9.el9.*\n!docker-ce-3:20.10.24-3.el9.*\n", 0o644)
	all := map[string]string{"bash": "0:5.1.8-9.el9", "docker-ce": "3:20.10.24-3.el9"}
	w.Handle("rpm", func(argv []string) ([]byte, error) {
		out := ""
		switch argv[1] {
		case "-qa":
			for name, version := range all {
				out += name + "\t" + version + "\n"
			}
		case "-e":
			delete(all, argv[2])
		}
		return []byte(out), nil
	})
	w.Handle("dnf", func(argv []string) ([]byte, error) {
		switch {
		case slices.Contains(argv, "install"):
			all["chrony"] = "0:4.5-1.el9"
		case slices.Contains(argv, "add"):
			w.write(t, versionLocks, "# held\nbash-0:5.1.8-9.el9.*\n!docker-ce-3:20.10.24-3.el9.*\nchrony-0:4.5-1.el9.*\n", 0o644)
		case slices.Contains(argv, "delete"):
			w.write(t, versionLocks, "# held\nbash-0:5.1.8-9.el9.*\n!docker-ce-3:20.10.24-3.el9.*\n", 0o644)
		}
		return nil, nil
	})
	for wish, same := range map[Package]bool{
		{Name: "bash", Version: "5.1.8-9.el9", Held: true}: true, {Name: "docker-ce", Version: "3:20.10.*"}: true, {Name: "docker-ce", Held: true}: false,
	} {
		if seen := observe(t, w, wish); Equal(wish, seen) != same {
			t.Errorf("%+v is seen as %+v", wish, seen)
		}
	}
	before := w.snapshot(t)
	wish := Package{Name: "chrony", Version: "4.5*", Held: true}
	first := observe(t, w, wish)
	if err := set(t, w, wish); err != nil {
		t.Fatal(err)
	}
	if seen := observe(t, w, wish); !Equal(wish, seen) {
		t.Errorf("it is %+v", seen)
	}
	if err := undo(t, w, first, wish); err != nil {
		t.Fatal(err)
	}
	if after := w.snapshot(t); after != before || len(all) != 2 {
		t.Errorf("it is not as it was: %v\n%s", all, differing(before, after))
	}
	if err := os.Remove(w.Path(versionPlugin)); err != nil {
		t.Fatal(err)
	}
	if err := set(t, w, wish); err == nil || !strings.Contains(err.Error(), "versionlock plugin") {
		t.Errorf("without the plugin: %v", err)
	}
}
