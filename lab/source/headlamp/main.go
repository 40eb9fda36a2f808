// Command headlamp serves the Headlamp page and hands its questions on to the API server, each with the caller's own token. It has no rights
// of its own: whoever has not logged in is told so, and nothing is asked for them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	listen, page, api, apiCA, cert, key string
}

func main() {
	var s settings
	flag.StringVar(&s.listen, "listen", ":4466", "address to serve on")
	flag.StringVar(&s.page, "page", "/headlamp/page", "folder with the page")
	flag.StringVar(&s.api, "api", "https://"+net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")), "the API server")
	flag.StringVar(&s.apiCA, "api-ca", "/etc/headlamp/ca.crt", "certificates that the API server is known by")
	flag.StringVar(&s.cert, "tls-cert", "", "serve HTTPS with this certificate; read again when it changes")
	flag.StringVar(&s.key, "tls-key", "", "its key")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "headlamp:", err)
		os.Exit(1)
	}
}

// serve answers until ctx ends, and then gives what is under way a moment.
func serve(ctx context.Context, s settings) error {
	if (s.cert == "") != (s.key == "") {
		return errors.New("--tls-cert and --tls-key come together")
	}
	proxy, err := newProxy(s.api, s.apiCA)
	if err != nil {
		return err
	}
	page, err := newPage(s.page)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	// No limit on how long an answer takes: watches and logs have no end.
	server := &http.Server{Handler: newHandler(page, proxy), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	go func() {
		if s.cert == "" {
			ended <- server.Serve(l)
			return
		}
		server.TLSConfig = (&keyPair{cert: s.cert, key: s.key}).config()
		ended <- server.ServeTLS(l, "", "")
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	server.Shutdown(last)
	return nil
}
