package ops

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/kubewright/kubewright/pki"
)

// Kubeconfig is a kubeconfig file (0600) with the authority's certificate in it, and either a client certificate made like a Certificate (Request)
// or the name of the file that holds one (ClientFile).
type Kubeconfig struct {
	Path       string      `json:"path"`
	Cluster    string      `json:"cluster,omitempty"`
	User       string      `json:"user,omitempty"`
	Server     string      `json:"server,omitempty"`
	CACert     string      `json:"caCert,omitempty"`
	Authority  string      `json:"authority,omitempty"`
	Request    pki.Request `json:"request,omitzero"`
	ClientFile string      `json:"clientFile,omitempty"`
	Absent     bool        `json:"absent,omitempty"`
	Stale      string      `json:"stale,omitempty"` // in observations: why it must be made anew
	parents
}

func (k Kubeconfig) Key() Key { return Key("kubeconfig:" + k.Path) }

// Touches names what may be replaced, so that it can be kept.
func (k Kubeconfig) Touches() []string { return []string{k.Path} }

func (k Kubeconfig) Observe(_ context.Context, m Machine) (Op, error) {
	seen := k
	seen.Absent, seen.Stale, seen.parents = false, "", parents{}
	data, err := readSmall(m, k.Path, false)
	if err != nil {
		return nil, err
	}
	if data == nil {
		seen.Absent, seen.parents = true, missingDirs(m, k.Path)
		return seen, nil
	}
	ca, err := readSmall(m, k.CACert, true)
	if err != nil {
		return nil, err
	}
	seen.Stale = k.stale(m, data, ca)
	return seen, nil
}

// stale says why the file is not what is wished.
func (k Kubeconfig) stale(m Machine, data, ca []byte) string {
	fi, err := os.Lstat(m.Path(k.Path))
	if err != nil {
		return "it cannot be read"
	}
	uid, gid := ownerOf(m, fi)
	has, err := pki.DecodeKubeconfig(data)
	switch {
	case err != nil:
		return "it is not one of kubewright's"
	case ca == nil:
		return "its authority is not known here yet"
	case modeOf(fi) != 0o600 || uid != 0 || gid != 0:
		return "others may read it"
	case has.Server != k.Server:
		return "the server changed"
	case has.Cluster != k.Cluster || has.User != k.User:
		return "the names in it changed"
	case !bytes.Equal(bytes.TrimSpace(has.CA), bytes.TrimSpace(ca)):
		return "the authority changed"
	case has.ClientFile != k.ClientFile:
		return "the client's certificate is elsewhere"
	case k.ClientFile != "":
		return ""
	}
	return pki.Stale(has.ClientCert, has.ClientKey, ca, k.Request, m.Now())
}

func (k Kubeconfig) Set(ctx context.Context, m Machine, _ Op) error {
	switch {
	case k.Absent:
		if err := remove(m, k.Path); err != nil {
			return err
		}
		return k.prune(m, k.Path)
	case k.Stale != "":
		return fmt.Errorf("%s was there before (%s); only what was kept of it can bring it back", k.Path, k.Stale)
	}
	ca, err := readSmall(m, k.CACert, true)
	if err != nil {
		return err
	}
	if ca == nil {
		return fmt.Errorf("the authority's certificate %s is not there", k.CACert)
	}
	c := pki.Kubeconfig{Cluster: k.Cluster, Server: k.Server, User: k.User, CA: ca, ClientFile: k.ClientFile}
	if k.ClientFile == "" {
		var old []byte
		if data, err := readSmall(m, k.Path, false); err == nil && data != nil {
			if has, err := pki.DecodeKubeconfig(data); err == nil {
				old = has.ClientKey
			}
		}
		cert, key, err := certify(ctx, m, k.Key(), k.Authority, k.CACert, k.Request, old)
		if err != nil {
			return err
		}
		c.ClientCert, c.ClientKey = cert, key
	}
	data, err := c.Encode()
	if err != nil {
		return err
	}
	return writeFile(m, k.Path, attrs{mode: 0o600}, func(w io.Writer) error { _, err := w.Write(data); return err })
}

func (k Kubeconfig) same(seen Op) bool {
	s := seen.(Kubeconfig)
	return k.Absent == s.Absent && k.Stale == s.Stale
}
