package main

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// cluster is what the page calls the one cluster that there is.
const cluster = "main"

// below is where the page asks the API server: /clusters/main/api/v1/...
const below = "/clusters/" + cluster

// newHandler puts the answers together.
func newHandler(page, proxy http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) })
	mux.HandleFunc("/config", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"clusters": []any{map[string]any{"name": cluster, "auth_type": "", "meta_data": map[string]any{}}}})
	})
	mux.HandleFunc("/plugins", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, []any{}) })
	mux.HandleFunc("POST "+below+"/set-token", setToken)
	mux.Handle(below+"/", http.StripPrefix(below, withToken(proxy)))
	// What is left are offers of Headlamp's own server that this one does not make: draining, port forwarding, other clusters.
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			page.ServeHTTP(w, r)
			return
		}
		refuse(w, http.StatusNotFound, "NotFound", "this server does not offer "+r.URL.Path)
	})
	return guarded(mux)
}

// pagePolicy lets the page load nothing from anywhere else. Its styles are made while it runs.
const pagePolicy = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; " +
	"worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// answerPolicy is for what comes from the API server. Through it pods are reached too, and a pod's page must never run as part of this one:
// it would have the reader's login.
const answerPolicy = "sandbox; default-src 'none'; frame-ancestors 'none'"

// guarded lets in only what the page itself asks, and says to the browser what it may do with the answers.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", pagePolicy)
		if strings.HasPrefix(r.URL.Path, "/clusters/") {
			h.Set("Content-Security-Policy", answerPolicy)
			h.Set("Cache-Control", "no-store")
			if !sameOrigin(r) {
				refuse(w, http.StatusForbidden, "Forbidden", "another page asks, in the name of whoever is logged in here")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// sameOrigin says whether no other page asks. A cookie goes along from every port of the same host, and browsers let any page open a
// websocket, so that neither keeps others out.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "": // plain HTTP, or not a browser
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	u, err := url.Parse(origin)
	return origin == "" || err == nil && u.Host == r.Host
}

// bearer is what a token is written with.
var bearer = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]+$`)

// longest is the longest token that is taken: a cookie has room for 4096 bytes.
const longest = 3800

// setToken keeps the token of somebody who logs in, where no script can read it, or forgets it.
func setToken(w http.ResponseWriter, r *http.Request) {
	var body struct{ Token string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&body); err != nil {
		refuse(w, http.StatusBadRequest, "BadRequest", "the token must come as JSON")
		return
	}
	token := strings.TrimSpace(body.Token)
	c := &http.Cookie{Name: cookieName(r), Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: encrypted(r)}
	switch {
	case token == "":
		c.MaxAge = -1
	case len(token) > longest || !bearer.MatchString(token):
		refuse(w, http.StatusBadRequest, "BadRequest", fmt.Sprintf("that is not a token, or one of more than %d bytes", longest))
		return
	}
	http.SetCookie(w, c)
	w.WriteHeader(http.StatusOK)
}

// encrypted says whether the browser speaks HTTPS, to us or to an Ingress in front of us. Whoever pretends that it does gets a cookie that their own
// browser does not send.
func encrypted(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

// cookieName has, with HTTPS, the prefix by which browsers take the cookie from this server only.
func cookieName(r *http.Request) string {
	if encrypted(r) {
		return "__Host-headlamp"
	}
	return "headlamp"
}

// newPage serves a folder. Every address that is no file is the page itself, which knows its own addresses.
func newPage(dir string) (http.Handler, error) {
	if _, err := os.Stat(filepath.Join(dir, "index.html")); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	files := http.FileServerFS(root.FS())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if strings.HasPrefix(name, "assets/") {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable") // their names change with their content
		} else {
			w.Header().Set("Cache-Control", "no-cache")
			if fi, err := root.Stat(name); err != nil || fi.IsDir() {
				r.URL.Path = "/"
			}
		}
		w.Header().Set("Vary", "Accept-Encoding")
		if _, err := root.Stat(name + ".gz"); err == nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
			r.URL.Path += ".gz"
		}
		files.ServeHTTP(w, r)
	}), nil
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v)
}

// refuse answers as the API server does, so that the page understands.
func refuse(w http.ResponseWriter, code int, reason, message string) {
	answer(w, code, map[string]any{
		"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure", "message": message, "reason": reason, "code": code,
	})
}
