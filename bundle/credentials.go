package bundle

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/kubewright/kubewright/pki"
)

// Credentials are what a registry is shown. They come from a file or from the environment, never from a command line, which every user of
// the machine can read.
type Credentials struct {
	User     string
	Password pki.Secret
	Token    pki.Secret // an identity token, in place of both
	From     string     // where they come from, for people
}

func (c Credentials) none() bool { return c.User == "" && len(c.Token) == 0 }

func (c Credentials) authenticator() authn.Authenticator {
	if c.none() {
		return authn.Anonymous
	}
	return authn.FromConfig(authn.AuthConfig{Username: c.User, Password: string(c.Password), IdentityToken: string(c.Token)})
}

// The environment that credentials may come from.
const (
	UserVariable     = "KUBEWRIGHT_REGISTRY_USER"
	PasswordVariable = "KUBEWRIGHT_REGISTRY_PASSWORD"
)

// Environment reads the credentials of the environment; none where there are none.
func Environment() (Credentials, error) {
	user, password := os.Getenv(UserVariable), os.Getenv(PasswordVariable)
	switch {
	case user == "" && password == "":
		return Credentials{}, nil
	case user == "":
		return Credentials{}, fmt.Errorf("%s is set and %s is not", PasswordVariable, UserVariable)
	case password == "":
		return Credentials{}, fmt.Errorf("%s is set and %s is not", UserVariable, PasswordVariable)
	}
	return Credentials{User: user, Password: pki.Secret(password), From: UserVariable}, nil
}

// AuthFile are the credentials that a file has: those of Docker's config.json, one for each registry, or one line USER:PASSWORD.
type AuthFile struct {
	name string
	line Credentials            // of a file with one line
	by   map[string]Credentials // of a config.json, by HOST:PORT[/PREFIX]
}

// ReadAuthFile reads one. A file that others than its owner can read is refused.
func ReadAuthFile(name string) (*AuthFile, error) {
	f, fi, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others than its owner (mode %04o): chmod 600 %s", name, fi.Mode().Perm(), name)
	}
	text, err := io.ReadAll(io.LimitReader(f, mostText+1))
	if err != nil {
		return nil, err
	}
	if len(text) > mostText {
		return nil, fmt.Errorf("%s is too large for credentials", name)
	}
	a := &AuthFile{name: name, by: map[string]Credentials{}}
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		return a, a.config(text)
	}
	user, password, ok := strings.Cut(strings.TrimRight(string(text), "\r\n"), ":")
	if !ok || user == "" || password == "" || strings.ContainsAny(user+password, "\r\n") {
		return nil, fmt.Errorf("%s is neither a config.json nor one line USER:PASSWORD", name)
	}
	a.line = Credentials{User: user, Password: pki.Secret(password), From: name}
	return a, nil
}

// config reads Docker's form. What else Docker keeps there is not ours to judge.
func (a *AuthFile) config(text []byte) error {
	var file struct {
		Auths map[string]struct {
			Auth          string `json:"auth"`
			Username      string `json:"username"`
			Password      string `json:"password"`
			IdentityToken string `json:"identitytoken"`
		} `json:"auths"`
		CredsStore  string            `json:"credsStore"`
		CredHelpers map[string]string `json:"credHelpers"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		// The decoder's own words may hold what it stumbled on.
		return fmt.Errorf("%s is not the JSON of a config.json", a.name)
	}
	for key, e := range file.Auths {
		c := Credentials{User: e.Username, Password: pki.Secret(e.Password), Token: pki.Secret(e.IdentityToken), From: a.name}
		if e.Auth != "" {
			raw, err := base64.StdEncoding.DecodeString(e.Auth)
			user, password, ok := strings.Cut(string(raw), ":")
			if err != nil || !ok {
				return fmt.Errorf("%s: auths: %s: auth is not the base64 of USER:PASSWORD", a.name, key)
			}
			c.User, c.Password = user, pki.Secret(strings.TrimRight(password, "\x00"))
		}
		if !c.none() {
			a.by[placeOf(key)] = c
		}
	}
	if len(a.by) == 0 {
		if file.CredsStore != "" || len(file.CredHelpers) > 0 {
			return fmt.Errorf("%s keeps its credentials in a helper program, and none is run here: write USER:PASSWORD into a file of mode 0600", a.name)
		}
		return fmt.Errorf("%s has no credentials in it", a.name)
	}
	return nil
}

// placeOf is the HOST:PORT of a key in a config.json, or the HOST:PORT/PREFIX that others than Docker write there. A key of Docker's may be an address with a scheme, and
// with the version of the registry's language.
func placeOf(key string) string {
	if _, rest, ok := strings.Cut(key, "://"); ok {
		key = rest
	}
	key = strings.TrimRight(key, "/")
	host, prefix, _ := strings.Cut(key, "/")
	if prefix == "v1" || prefix == "v2" {
		return host
	}
	return key
}

// OneLine says that the file has one user, for whatever registry.
func (a *AuthFile) OneLine() bool { return !a.line.none() }

// For finds the credentials for a registry.
func (a *AuthFile) For(r Registry) (Credentials, bool) {
	if a.OneLine() {
		return a.line, true
	}
	for place := r.String(); ; place = path.Dir(place) { // the longest that is there
		if c, ok := a.by[place]; ok || place == r.host() || place == "." {
			return c, ok
		}
	}
}

// ErrClear is why credentials are not used.
var ErrClear = errors.New("credentials are not sent without TLS, where everybody on the way can read them")
