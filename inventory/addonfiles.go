package inventory

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The most that a folder of manifests may hold: the API server takes no object above 1.5 MiB, and nobody reads a thousand files.
const (
	maxManifests     = 16 << 20
	maxManifestFiles = 1000
)

// addonFiles reads what addons name on the workstation: manifests of the user's own, which then are part of the cluster file as if they were
// written there, and a certificate, whose private key stays where it is.
func (r *reading) addonFiles(c *Cluster, dir string) {
	for i := range c.Spec.Addons.Own {
		o := &c.Spec.Addons.Own[i]
		p := field(item(addonsPath+".own", i), "path")
		if !r.wrote(p) {
			continue
		}
		abs, err := absolute(dir, o.Path)
		var text string
		if err == nil {
			text, err = readManifests(abs)
		}
		if err != nil {
			r.fail(p, Problem{Code: codeManifest, Found: show(o.Path), Wrong: "cannot be read: " + err.Error(), Remedy: "name a file, or a folder with files that end in .yaml, .yml or .json"})
			continue
		}
		o.Path, o.Manifests = "", Lines(text)
	}
	r.certificate(&c.Spec.Addons.Ingress.Certificate, addonsPath+".ingress.certificate", dir)
}

// certificate checks that two files are a certificate and its key.
func (r *reading) certificate(k *KeyPair, path, dir string) {
	cert, key := field(path, "certFile"), field(path, "keyFile")
	if r.missing(cert) && r.missing(key) || r.bad(cert) || r.bad(key) {
		return
	}
	for _, p := range []string{cert, key} {
		if r.missing(p) {
			r.report(p, Problem{Code: codeAddon, Wrong: "is missing", Remedy: "name both the certificate and its key"})
			return
		}
	}
	for _, f := range []struct {
		path string
		at   *string
	}{{cert, &k.CertFile}, {key, &k.KeyFile}} {
		abs, err := absolute(dir, *f.at)
		if err == nil {
			_, err = readFile(abs, maxKeySize)
		}
		if err != nil {
			r.fail(f.path, Problem{Code: codeAddon, Found: show(*f.at), Wrong: "cannot be read: " + err.Error(), Remedy: "name a file in PEM"})
			return
		}
		*f.at = abs
	}
	pair, err := tls.LoadX509KeyPair(k.CertFile, k.KeyFile)
	if err != nil {
		r.fail(cert, Problem{Code: codeAddon, Found: show(k.CertFile), Wrong: "is no certificate with its key: " + bare(strings.TrimPrefix(err.Error(), "tls: ")), Remedy: "name a certificate in PEM, and the key that belongs to it"})
		return
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if now := time.Now(); err == nil && now.After(leaf.NotAfter) {
		r.fail(cert, Problem{Code: codeAddon, Found: show(k.CertFile), Wrong: "ended on " + leaf.NotAfter.UTC().Format(time.DateOnly), Remedy: "have it made anew"})
	}
}

// readManifests is a file, or all manifests of a folder in the order of their names, as one stream of YAML documents.
func readManifests(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", cause(err)
	}
	if !info.IsDir() {
		return readManifest(path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", cause(err)
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		return e.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) || strings.HasPrefix(e.Name(), ".")
	})
	if len(entries) == 0 {
		return "", errNoManifests
	}
	if len(entries) > maxManifestFiles {
		return "", errManyManifests
	}
	var all strings.Builder
	for _, e := range entries {
		text, err := readManifest(filepath.Join(path, e.Name()))
		if err != nil {
			return "", fmt.Errorf("%s: %w", bare(e.Name()), err)
		}
		if all.Len()+len(text) > maxManifests {
			return "", errManyManifests
		}
		all.WriteString("---\n" + ManifestFrom + bare(e.Name()) + "\n---\n" + text + "\n")
	}
	return all.String(), nil
}

// ManifestFrom begins the comment, alone between two documents, that says which file of a folder the following ones are from.
const ManifestFrom = "# from "

// readManifest is one file, whole, without what editors add to its bytes.
func readManifest(path string) (string, error) {
	data, err := readFile(path, maxManifests+1)
	if err != nil {
		return "", err
	}
	if len(data) > maxManifests {
		return "", errManyManifests
	}
	return strings.ReplaceAll(strings.TrimPrefix(string(data), byteOrderMark), "\r\n", "\n"), nil
}
