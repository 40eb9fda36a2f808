package verify

import (
	"encoding/xml"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test ./verify -update writes it anew\n%s", path, got)
	}
}

// Every check has a name that fits into a namespace's, a lesson, and a place to look.
func TestChecksAreExplained(t *testing.T) {
	seen := map[string]bool{}
	var list strings.Builder
	for _, c := range All() {
		if !regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`).MatchString(c.Name) || seen[c.Name] {
			t.Errorf("the name %q", c.Name)
		}
		seen[c.Name] = true
		if wrong := validation.IsDNS1123Label(prefix + newRun() + "-" + c.Name); len(wrong) > 0 {
			t.Errorf("%s: %v", c.Name, wrong)
		}
		if len(c.Short) < 30 || strings.HasSuffix(c.Short, ".") || c.Remedy == "" || c.Run == nil {
			t.Errorf("%s is not explained", c.Name)
		}
		if c.Slow && c.Within <= defaultTimeout {
			t.Errorf("%s is slow and has no time of its own", c.Name)
		}
		list.WriteString(c.Name + ": " + c.Short + "\n")
	}
	golden(t, "list.txt", list.String())
}

func TestSelect(t *testing.T) {
	names := func(all []Check) (out []string) {
		for _, c := range all {
			out = append(out, c.Name)
		}
		return out
	}
	all := []Check{{Name: "dns"}, {Name: "job"}, {Name: "hpa", Slow: true}, {Name: "cronjob"}}
	for _, row := range []struct {
		asked []string
		quick bool
		want  string
		wrong string
	}{
		{nil, false, "dns job hpa cronjob", ""},
		{nil, true, "dns job cronjob", ""},
		{[]string{"job", "dns"}, false, "dns job", ""},
		{[]string{"hpa"}, true, "hpa", ""},
		{[]string{"dns", "dns"}, false, "dns", ""},
		{[]string{"cron"}, false, "", `there is no check "cron"; did you mean cronjob?`},
		{[]string{"dsn"}, false, "", `there is no check "dsn"; did you mean dns?`},
		{[]string{"frobnicate"}, false, "", `there is no check "frobnicate"; verify --list has all`},
		{[]string{""}, false, "", `there is no check ""`},
	} {
		got, err := Select(all, row.asked, row.quick)
		if row.wrong == "" && (err != nil || strings.Join(names(got), " ") != row.want) {
			t.Errorf("%v: %v, %v", row.asked, names(got), err)
		}
		if row.wrong != "" && (err == nil || !strings.HasPrefix(err.Error(), row.wrong)) {
			t.Errorf("%v: %v", row.asked, err)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"dns", "dns", 0}, {"dsn", "dns", 2}, {"job", "jobs", 1}, {"php", "hpa", 2}} {
		if got := distance(row.a, row.b); got != row.want || distance(row.b, row.a) != got {
			t.Errorf("%s to %s: %d, want %d", row.a, row.b, got, row.want)
		}
	}
}

// reported is a report with a check of each kind of end.
func reported() Report {
	r := &runner{run: "abc123", results: map[string]Result{}}
	checks := []Check{{Name: "dns", Short: "names are found"}, {Name: "job", Short: "jobs end"}, {Name: "nfs", Short: "volumes are shared"}, {Name: "hpa", Short: "pods come and go"}}
	r.ended(Result{Name: "dns", Short: "names are found", Result: Passed, Seconds: 1.5, Evidence: []string{"web is 10.96.0.7", "the same from node-0001 <itself>"}})
	r.ended(Result{Name: "job", Short: "jobs end", Result: Failed, Seconds: 90, Evidence: nil, Error: "good: 1 pods active\nbad & worse", Remedy: "kubectl get jobs"})
	r.ended(Result{Name: "nfs", Short: "volumes are shared", Result: Skipped, Error: "the inventory names no NFS server"})
	return r.report(checks, 92*time.Second)
}

func TestReports(t *testing.T) {
	r := reported()
	if r.Passed != 1 || r.Failed != 1 || r.Skipped != 1 || len(r.Results) != 4 || r.Results[3].Result != Interrupted {
		t.Errorf("%+v", r)
	}
	var text strings.Builder
	if err := r.JSON(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", text.String())
	text.Reset()
	if err := r.JUnit(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.xml", text.String())
	var back junitSuites
	if err := xml.Unmarshal([]byte(text.String()), &back); err != nil || len(back.Suite.Cases) != 4 || back.Suite.Cases[1].Failure.Message != "good: 1 pods active\nbad & worse" {
		t.Errorf("it cannot be read again: %v, %+v", err, back)
	}
}

// What busybox says of names, in both of its forms.
func TestWhatNslookupFound(t *testing.T) {
	const head = "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n"
	for _, row := range []struct {
		name, text        string
		addresses, target []string
	}{
		{"one address", head + "Name:\tweb.x.svc.cluster.local\nAddress: 10.99.1.2\n\n", []string{"10.99.1.2"}, nil},
		{"several, twice", head + "Name:\tweb\nAddress: 10.244.1.3\nName:\tweb\nAddress: 10.244.0.2\nName:\tweb\nAddress: 10.244.1.3\n", []string{"10.244.0.2", "10.244.1.3"}, nil},
		{"none", head + "** server can't find web: NXDOMAIN\n", nil, nil},
		{"a target", head + "_http._tcp.web.x\tservice = 0 100 80 web.x.svc.cluster.local\n\n", nil, []string{"0 100 80 web.x.svc.cluster.local"}},
		{"nothing at all", "", nil, nil},
	} {
		if got := addresses(row.text); !slices.Equal(got, row.addresses) {
			t.Errorf("%s: addresses %q", row.name, got)
		}
		if got := targets(row.text); !slices.Equal(got, row.target) {
			t.Errorf("%s: targets %q", row.name, got)
		}
	}
}

// How a command ended is read from what the kubelet says of it.
func TestOutcome(t *testing.T) {
	if err := outcome([]string{"true"}, []byte(`{"status":"Success"}`), ""); err != nil {
		t.Error(err)
	}
	err := outcome([]string{"awk", "x"}, []byte(`{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}`), "no\n")
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != 3 || err.Error() != "awk x ended with 3: no" {
		t.Errorf("%v", err)
	}
	for _, raw := range []string{`{"status":"Failure","message":"container not found"}`, `nonsense`, ``} {
		if err := outcome([]string{"true"}, []byte(raw), ""); err == nil || errors.As(err, &exit) {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestTargets(t *testing.T) {
	up := target{Labels: map[string]string{"job": "node"}, Health: "up"}
	down := target{Labels: map[string]string{"job": "etcd"}, Health: "down", ScrapeURL: "https://a:2379/metrics", LastError: "refused"}
	if text, err := targetsText([]target{up, up}); err != nil || text != "all 2 targets are up: node 2" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := targetsText([]target{up, down}); err == nil || err.Error() != "etcd https://a:2379/metrics is down: refused" {
		t.Errorf("%v", err)
	}
	if _, err := targetsText(nil); err == nil {
		t.Error("a Prometheus that watches nothing is fine")
	}
}

// Nothing but what a run has made is ever removed from a node's disk.
func TestOnlyOursIsWiped(t *testing.T) {
	for _, path := range []string{"/etc", "/var/tmp/theirs", "kw-verify-x", "/var/tmp/kw-verify-x/..", "/kw-verify-x/../etc", "/var/tmp/kw-verify-x/", ""} {
		if err := (&Env{}).wipe(t.Context(), "node", path); err == nil || !strings.Contains(err.Error(), "is not ours") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
