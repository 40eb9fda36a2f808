package bundle

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/kubewright/kubewright/pki"
)

func TestRegistryAddresses(t *testing.T) {
	for _, row := range []struct {
		in, want, prefix string
		plain            bool
		words            string // of the error
	}{
		{in: "192.168.1.100:5000", want: "192.168.1.100:5000"},
		{in: "registry.example.com", want: "registry.example.com"},
		{in: "registry.example.com/", want: "registry.example.com"},
		{in: "https://registry.example.com:443/course/k8s", want: "registry.example.com:443/course/k8s", prefix: "course/k8s"},
		{in: "http://127.0.0.1:5000/lab", want: "127.0.0.1:5000/lab", prefix: "lab", plain: true},
		{in: "[fd00::1]:5000", want: "[fd00::1]:5000"},
		{in: "localhost:5000", want: "localhost:5000"},
		{in: "", words: "names no host"},
		{in: "registry", words: "neither HOST:PORT nor a name with a dot"},
		{in: "ftp://registry:5000", words: `begins with "ftp://"`},
		{in: "user:pass@registry:5000", words: "credentials go into --auth-file"},
		{in: "registry:5000/Course", words: "lower-case"},
		{in: "registry:5000/nginx:1.2", words: "ends with a tag"},
		{in: "registry:0", words: "no port between"},
		{in: "registry:fünf", words: "no port between"},
		{in: "regi stry:5000", words: "is not HOST:PORT"},
		{in: "registry:5000//x", words: "lower-case"},
	} {
		t.Run(row.in, func(t *testing.T) {
			r, err := ParseRegistry(row.in)
			if row.words != "" {
				expect(t, err, row.words)
				if err != nil && strings.Contains(err.Error(), "pass") {
					t.Errorf("a password is repeated: %v", err)
				}
				return
			}
			must(t, err)
			if r.String() != row.want || r.Prefix != row.prefix || r.Plain() != row.plain {
				t.Errorf("got %+v (%s)", r, r)
			}
		})
	}
}

func TestCredentialsComeFromAFileOfOnesOwn(t *testing.T) {
	auth := base64.StdEncoding.EncodeToString([]byte("course:open sesame"))
	r := Registry{Address: "registry:5000"}
	for _, row := range []struct {
		name, text string
		mode       os.FileMode
		user       string
		words      string
	}{
		{"one line", "course:open sesame\n", 0o600, "course", ""},
		{"a config.json", `{"auths":{"registry:5000":{"auth":"` + auth + `"}},"currentContext":"x"}`, 0o400, "course", ""},
		{"with a scheme and a path", `{"auths":{"https://registry:5000/v2/":{"username":"course","password":"open sesame"}}}`, 0o600, "course", ""},
		{"of a place in a registry", `{"auths":{"registry:5000/course/k8s":{"auth":"` + auth + `"},"registry:5000/course":{"username":"less","password":"x"},"registry:5000":{"username":"least","password":"x"}}}`, 0o600, "least", ""},
		{"of another registry", `{"auths":{"other:5000":{"auth":"` + auth + `"}}}`, 0o600, "", ""},
		{"readable by the group", "course:open sesame", 0o640, "", "can be read by others than its owner (mode 0640): chmod 600"},
		{"readable by all", "course:open sesame", 0o604, "", "chmod 600"},
		{"no colon", "open sesame", 0o600, "", "neither a config.json nor one line USER:PASSWORD"},
		{"two lines", "a:b\nc:d\n", 0o600, "", "neither a config.json"},
		{"empty", "", 0o600, "", "neither a config.json"},
		{"broken JSON", `{"auths": open sesame`, 0o600, "", "is not the JSON of a config.json"},
		{"broken base64", `{"auths":{"registry:5000":{"auth":"open sesame"}}}`, 0o600, "", "auth is not the base64 of USER:PASSWORD"},
		{"a helper", `{"auths":{"registry:5000":{}},"credsStore":"desktop"}`, 0o600, "", "in a helper program"},
		{"nothing", `{}`, 0o600, "", "no credentials in it"},
	} {
		t.Run(row.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "auth")
			must(t, os.WriteFile(name, []byte(row.text), 0o600))
			must(t, os.Chmod(name, row.mode))
			f, err := ReadAuthFile(name)
			if row.words != "" {
				expect(t, err, row.words)
				if err != nil && strings.Contains(err.Error(), "sesame") {
					t.Errorf("a password is repeated: %v", err)
				}
				return
			}
			must(t, err)
			c, ok := f.For(r)
			if c.User != row.user || ok != (row.user != "") {
				t.Errorf("got %q, %v", c.User, ok)
			}
			if shown := fmt.Sprintf("%v %+v %#v %s", c, c, c, c.Password); strings.Contains(shown, "sesame") {
				t.Errorf("the password is printed: %s", shown)
			}
			if raw, err := json.Marshal(c); err != nil || strings.Contains(string(raw), "sesame") {
				t.Errorf("the password is encoded: %s, %v", raw, err)
			}
		})
	}
}

// TestCredentialsOfTheNearestPlaceAreTaken: several programs write config.json with one entry for each project of a registry.
func TestCredentialsOfTheNearestPlaceAreTaken(t *testing.T) {
	name := filepath.Join(t.TempDir(), "auth")
	must(t, os.WriteFile(name, []byte(`{"auths":{"r:5000/a/b":{"username":"ab","password":"x"},"r:5000/a":{"username":"a","password":"x"},"https://r:5000/v2/":{"username":"all","password":"x"},"q:5000/a":{"username":"q","password":"x"}}}`), 0o600))
	f, err := ReadAuthFile(name)
	must(t, err)
	for _, row := range []struct{ at, want string }{
		{"r:5000", "all"}, {"r:5000/a", "a"}, {"r:5000/a/b", "ab"}, {"r:5000/a/b/c", "ab"}, {"r:5000/a/bb", "a"}, {"r:5000/b", "all"}, {"q:5000/a", "q"}, {"q:5000", ""}, {"q:5000/b", ""},
	} {
		r, err := ParseRegistry(row.at)
		must(t, err)
		if c, ok := f.For(r); c.User != row.want || ok != (row.want != "") {
			t.Errorf("%s: got %q, %v", row.at, c.User, ok)
		}
	}
}

// TestAFileIsAFile: nothing waits for whoever writes into a pipe, or reads what never ends.
func TestAFileIsAFile(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	for _, name := range []string{pipe, "/dev/zero"} {
		_, err := ReadAuthFile(name)
		expect(t, err, "is not a file")
		_, _, err = Transport(name)
		expect(t, err, "is not a file")
		_, err = ReadLock(name)
		expect(t, err, "is not a file")
	}
}

// TestCredentialsStayWithTheRegistry, also where it sends whoever wants a blob to somebody else.
func TestCredentialsStayWithTheRegistry(t *testing.T) {
	b := open(t, specimen(t))
	next := shelf(t, b)
	var shown atomic.Int64
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			shown.Add(1)
		}
		next.ServeHTTP(w, r)
	}))
	defer other.Close()
	var sent atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "course" || password != "sesame" {
			w.Header().Set("WWW-Authenticate", `Basic realm="course"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			sent.Add(1)
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		next.ServeHTTP(w, r)
	}))
	defer s.Close()
	at := Registry{Address: strings.TrimPrefix(s.URL, "https://"), Transport: s.Client().Transport, Credentials: Credentials{User: "course", Password: pki.Secret("sesame"), From: "a file"}}
	must(t, Pull(t.Context(), at, b.Lock, nil, nil, filepath.Join(t.TempDir(), "x"), nil))
	if sent.Load() == 0 || shown.Load() != 0 {
		t.Errorf("of %d requests elsewhere %d showed credentials", sent.Load(), shown.Load())
	}
}

func TestCredentialsOfTheEnvironmentAreTwo(t *testing.T) {
	for _, row := range []struct{ user, password, words string }{
		{"", "", ""}, {"course", "sesame", ""},
		{"course", "", PasswordVariable + " is not"}, {"", "sesame", UserVariable + " is not"},
	} {
		t.Setenv(UserVariable, row.user)
		t.Setenv(PasswordVariable, row.password)
		c, err := Environment()
		if row.words != "" {
			expect(t, err, row.words)
			continue
		}
		if err != nil || c.User != row.user || string(c.Password) != row.password {
			t.Errorf("%+v: %v", row, err)
		}
	}
}

// TestCredentialsAreShownWhereTheyAreAskedFor: to the registry over TLS, and never in the clear.
func TestCredentialsAreShownWhereTheyAreAskedFor(t *testing.T) {
	b := open(t, specimen(t))
	next := shelf(t, b)
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "course" || password != "sesame" {
			w.Header().Set("WWW-Authenticate", `Basic realm="course"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
	s := httptest.NewUnstartedServer(guarded)
	s.Config.ErrorLog = quiet
	s.StartTLS()
	defer s.Close()
	at := Registry{Address: strings.TrimPrefix(s.URL, "https://"), Transport: s.Client().Transport, Credentials: Credentials{User: "course", Password: pki.Secret("sesame"), From: "a file"}}
	must(t, Pull(t.Context(), at, b.Lock, nil, nil, filepath.Join(t.TempDir(), "x"), nil))
	must(t, Push(t.Context(), b, at, nil, nil))
	at.Credentials.Password = pki.Secret("wrong")
	expect(t, Push(t.Context(), b, at, nil, nil), "401 unauthorized (it does not accept the credentials of a file)")

	clear := httptest.NewServer(guarded)
	defer clear.Close()
	at = Registry{Address: clear.URL, Credentials: Credentials{User: "course", Password: pki.Secret("sesame")}}
	expect(t, Push(t.Context(), b, at, nil, nil), "credentials are not sent without TLS")
}
