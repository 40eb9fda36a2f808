package inventory

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const allInOne = "apiVersion: kubewright.io/v1alpha1\nkind: Cluster\nmetadata: {name: lab}\nspec:\n" +
	"  hosts: [{name: m, address: 192.168.1.21, roles: [control-plane, worker, registry]}]\n  addons:\n"

func TestOwnManifestsOfFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "plain.yaml", "kind: A\n", 0o644)
	write(t, dir, "edited.yaml", byteOrderMark+"kind: A\r\n---\r\nkind: B\r\n", 0o644)
	write(t, dir, "huge.yaml", strings.Repeat("# nobody reads so much\n", maxManifests/20), 0o644)
	for _, sub := range []string{"none", "folder", "large", "dangling"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "none/readme.md", "kind: A\n", 0o644)
	write(t, dir, "folder/b.yml", byteOrderMark+"kind: B\r\n", 0o644)
	write(t, dir, "folder/a.yaml", "kind: A", 0o644)
	write(t, dir, "folder/.hidden.yaml", "kind: C", 0o644)
	write(t, dir, "large/a.yaml", strings.Repeat("# nobody reads so much\n", maxManifests/40), 0o644)
	write(t, dir, "large/b.yaml", strings.Repeat("# nobody reads so much\n", maxManifests/40), 0o644)
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling", "a.yaml")); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ path, want string }{
		{"plain.yaml", "kind: A\n"},
		{"edited.yaml", "kind: A\n---\nkind: B\n"},
		{"folder", "---\n# from a.yaml\n---\nkind: A\n---\n# from b.yml\n---\nkind: B\n\n"},
		{"huge.yaml", "there are more manifests in it than anybody reads"}, // and not the first part of it
		{"large", "there are more manifests in it than anybody reads"},
		{"none", "there is no manifest in it"},
		{"dangling", "a.yaml: no such file or directory"},
		{"missing", "no such file or directory"},
	} {
		file := write(t, dir, "cluster.yaml", allInOne+"    own: [{name: a, path: "+row.path+"}]\n", 0o644)
		c, err := Load(file)
		switch {
		case err != nil && !strings.Contains(err.Error(), "cannot be read: "+row.want+": name a file"):
			t.Errorf("%s: got %v", row.path, err)
		case err == nil && string(c.Spec.Addons.Own[0].Manifests) != row.want:
			t.Errorf("%s: got %.200q", row.path, c.Spec.Addons.Own[0].Manifests)
		}
	}
}

func TestIngressCertificateOfFiles(t *testing.T) {
	dir := t.TempDir()
	pair := func(name string, ends time.Time) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cert := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.lab"}, NotBefore: ends.Add(-48 * time.Hour), NotAfter: ends}
		der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
		write(t, dir, name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), 0o600)
	}
	pair("good", time.Now().Add(time.Hour))
	pair("other", time.Now().Add(time.Hour))
	pair("old", time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC))
	for _, row := range []struct{ cert, key, want string }{
		{"good.crt", "good.key", ""},
		{"old.crt", "old.key", `certFile: "` + dir + `/old.crt" ended on 2020-01-02: have it made anew [KW-INV-090]`},
		{"good.crt", "other.key", "is no certificate with its key: private key does not match public key"},
		{"good.key", "good.crt", "is no certificate with its key: "},
		{"good.crt", "missing.key", `keyFile: "missing.key" cannot be read: no such file or directory: name a file in PEM`},
		{".", "good.key", `certFile: "." cannot be read: it is a directory: name a file in PEM`},
	} {
		file := write(t, dir, "cluster.yaml", allInOne+"    ingress: {enabled: true, certificate: {certFile: "+row.cert+", keyFile: "+row.key+"}}\n", 0o644)
		_, err := Load(file)
		if got := ""; err != nil {
			got = err.Error()
			if row.want == "" || !strings.Contains(got, row.want) || strings.Contains(got, "PRIVATE") {
				t.Errorf("%s with %s: got %s", row.cert, row.key, got)
			}
		} else if row.want != "" {
			t.Errorf("%s with %s is taken", row.cert, row.key)
		}
	}
}
