package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// newProxy hands requests on to the API server, which is known by the certificates in a file. Watches pass, as websockets too.
func newProxy(api, caFile string) (http.Handler, error) {
	to, err := url.Parse(api)
	if err != nil || to.Scheme != "https" || to.Hostname() == "" {
		return nil, fmt.Errorf("--api %s is not the address of an API server", api)
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	known := x509.NewCertPool()
	if !known.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", caFile)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			// The API server gets the token that withToken has found, and nothing else that says who asks.
			for name := range r.Out.Header {
				if name == "Cookie" || name == "Origin" || strings.HasPrefix(name, "X-Remote-") {
					r.Out.Header.Del(name)
				}
			}
			if r.In.Header.Get("Upgrade") != "" {
				r.Out.Header.Set("Origin", api) // the API server refuses a websocket without one
			}
		},
		// Websockets need HTTP/1.1, and this is what a transport with settings of its own speaks.
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: known, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 32,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		},
		ModifyResponse: func(r *http.Response) error {
			for _, name := range []string{"Set-Cookie", "Content-Security-Policy", "Access-Control-Allow-Origin"} {
				r.Header.Del(name) // a pod's, reached through the API server, are not ours
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // whoever asked has gone
			}
			log.Printf("%s: %v", r.URL.Path, err)
			refuse(w, http.StatusBadGateway, "ServiceUnavailable", "the API server does not answer")
		},
	}, nil
}

// withToken puts the caller's token to the request: the one they logged in with, or the one that a program sends by itself. Without one
// nothing is asked, not even what the API server would tell everybody.
func withToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			c, err := r.Cookie(cookieName(r))
			if err != nil || !bearer.MatchString(c.Value) {
				refuse(w, http.StatusUnauthorized, "Unauthorized", "log in with a token")
				return
			}
			r.Header.Set("Authorization", "Bearer "+c.Value)
		}
		next.ServeHTTP(w, r)
	})
}

// keyPair is the server's certificate, read again when the file is another: a mounted Secret changes in place.
type keyPair struct {
	cert, key string

	mu   sync.Mutex
	read time.Time
	pair *tls.Certificate
}

func (k *keyPair) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.current() }}
}

func (k *keyPair) current() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fi, err := os.Stat(k.cert)
	if err != nil {
		return nil, err
	}
	if k.pair == nil || !fi.ModTime().Equal(k.read) {
		pair, err := tls.LoadX509KeyPair(k.cert, k.key)
		if err != nil {
			return nil, err
		}
		k.pair, k.read = &pair, fi.ModTime()
	}
	return k.pair, nil
}
