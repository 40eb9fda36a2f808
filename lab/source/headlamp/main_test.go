package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newPair makes a certificate for 127.0.0.1 that signs itself, and its key.
func newPair(t *testing.T, serial int64) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "headlamp"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func otherAuthority(t *testing.T) string {
	cert, _ := newPair(t, 1)
	return cert
}

// A mounted Secret changes under a server that runs.
func TestHTTPSFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	s := settings{
		listen: freeAddress(t), page: filepath.Join(dir, "page"), api: "https://127.0.0.1:1", apiCA: filepath.Join(dir, "ca.crt"),
		cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"),
	}
	write(t, filepath.Join(s.page, "index.html"), "the page")
	write(t, s.apiCA, otherAuthority(t))
	put := func(serial int64, at time.Time) string {
		cert, key := newPair(t, serial)
		write(t, s.cert, cert)
		write(t, s.key, key)
		if err := os.Chtimes(s.cert, at, at); err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := put(1, time.Now().Add(-time.Minute))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, s) }()
	for serial, cert := range []string{first, ""} {
		if cert == "" {
			cert = put(2, time.Now())
		}
		known := x509.NewCertPool()
		known.AppendCertsFromPEM([]byte(cert))
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: known}, DisableKeepAlives: true}}
		var resp *http.Response
		var err error
		for range 100 { // until it listens
			resp, err = client.Post("https://"+s.listen+"/clusters/main/set-token", "application/json", strings.NewReader(`{"token":"x"}`))
			if err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if got := resp.TLS.PeerCertificates[0].SerialNumber.Int64(); got != int64(serial)+1 {
			t.Errorf("certificate %d is served, not %d", got, serial+1)
		}
		if got, want := resp.Header.Get("Set-Cookie"), "__Host-headlamp=x; Path=/; HttpOnly; Secure; SameSite=Strict"; got != want {
			t.Errorf("the cookie is %q", got)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestWhatCannotBeServedIsSaid(t *testing.T) {
	dir := t.TempDir()
	good := settings{listen: "127.0.0.1:0", page: filepath.Join(dir, "page"), api: "https://127.0.0.1:1", apiCA: filepath.Join(dir, "ca.crt")}
	write(t, filepath.Join(good.page, "index.html"), "")
	write(t, good.apiCA, otherAuthority(t))
	write(t, filepath.Join(dir, "empty"), "")
	for want, change := range map[string]func(*settings){
		"--tls-cert and --tls-key come together":          func(s *settings) { s.cert = "x" },
		"--api http://127.0.0.1:1 is not the address":     func(s *settings) { s.api = "http://127.0.0.1:1" },
		"--api https://: is not the address":              func(s *settings) { s.api = "https://:" }, // not in a pod
		"empty has no certificate":                        func(s *settings) { s.apiCA = filepath.Join(dir, "empty") },
		"none/index.html: no such file or directory":      func(s *settings) { s.page = filepath.Join(dir, "none") },
		"listen tcp: address nowhere: missing port in ad": func(s *settings) { s.listen = "nowhere" },
	} {
		s := good
		change(&s)
		if err := serve(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
