package ops

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sys/unix"
)

// How often a server that does not answer is asked, and how much longer to wait each time.
const (
	downloadTries = 6
	downloadPause = 150 * time.Millisecond
	// downloadIdle is how long no byte may come before a connection counts as broken.
	downloadIdle = 30 * time.Second
)

// download streams From into place while the digest is computed. The server is verified by the CA file and nothing else. Broken connections and
// a server that is just starting are tried again; wrong bytes are not.
func (f File) download(ctx context.Context, m Machine, a attrs) error {
	u, err := url.Parse(f.From)
	if err != nil || u.Scheme != "https" {
		return fmt.Errorf("%q is not an https URL", f.From)
	}
	trust, err := trusting(m, f.CA)
	if err != nil {
		return err
	}
	client := &http.Client{
		Transport:     transport(m, trust),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // bytes come from the registry itself
	}
	defer client.CloseIdleConnections()
	return writeFile(m, f.Path, a, func(w io.Writer) error {
		var err error
		for try := 0; try < downloadTries; try++ {
			if try > 0 {
				if err := pause(ctx, downloadPause<<(try-1)); err != nil {
					return err
				}
				if err := rewind(w); err != nil {
					return err
				}
			}
			var again bool
			if again, err = get(ctx, client, f.From, f.Digest, downloadIdle, w); err == nil || !again {
				return err
			}
		}
		return err
	})
}

// get copies what url holds into w, and says whether a failure may be over the next time.
func get(ctx context.Context, client *http.Client, url, digest string, idle time.Duration, w io.Writer) (again bool, err error) {
	getting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := time.AfterFunc(idle, func() { cancel(fmt.Errorf("no byte came for %s", idle)) })
	defer alive.Stop()
	req, err := http.NewRequestWithContext(getting, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	resp, err := client.Do(req)
	if err != nil {
		var untrusted *tls.CertificateVerificationError
		if ctx.Err() == nil && getting.Err() != nil {
			return true, fmt.Errorf("%s: %w", url, context.Cause(getting))
		}
		return ctx.Err() == nil && !errors.As(err, &untrusted), err // it says the URL
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests, fmt.Errorf("%s: %s", url, resp.Status)
	}
	needs(w, resp.ContentLength)
	err = copyChecked(w, heard{resp.Body, func() { alive.Reset(idle) }}, digest, url)
	var wrong *wrongDigestError
	if err == nil || errors.As(err, &wrong) || noRoom(err) {
		return false, err
	}
	if ctx.Err() == nil && getting.Err() != nil {
		err = context.Cause(getting)
	}
	return ctx.Err() == nil, fmt.Errorf("%s: %w", url, err)
}

// heard is a reader that tells of every byte that comes.
type heard struct {
	io.Reader
	tell func()
}

func (h heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.tell()
	}
	return n, err
}

// rewind empties the file that a broken try began to fill.
func rewind(w io.Writer) error {
	f, ok := w.(interface {
		io.Seeker
		Truncate(int64) error
	})
	if !ok {
		return unix.ENOTSUP
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return f.Truncate(0)
}

// trusting is a TLS configuration that verifies servers by the authority in the file and no other.
func trusting(m Machine, file string) (*tls.Config, error) {
	pem, err := readSmall(m, file, true)
	if err != nil {
		return nil, err
	}
	if pem == nil {
		return nil, fmt.Errorf("the authority's certificate %s is not there", file)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
