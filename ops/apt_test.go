package ops

import (
	"errors"
	"reflect"
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
