package bundle

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// Registry is a place where images are kept, and how it is reached.
type Registry struct {
	// Address is HOST[:PORT], or http://HOST[:PORT] for a registry without TLS. A registry is never asked in another way than
	// the one given, whatever its answers.
	Address string
	// Prefix is the path below which the components are: REGISTRY/PREFIX/NAME. It may be empty.
	Prefix string
	// Transport carries the requests, and decides whom to trust; http.DefaultTransport if nil.
	Transport http.RoundTripper
	// Trust names whom Transport trusts, for people: "those in ca.crt". The system's authorities if empty.
	Trust string
	// Credentials are shown to the registry if it asks for any.
	Credentials Credentials

	// What a test does not wait for: the pause between two tries, and a registry that sends too slowly.
	pause func(context.Context, time.Duration) error
	stall time.Duration
}

// String is the address as it is written in front of a name, with the prefix and without the scheme.
func (r Registry) String() string { return path.Join(r.host(), r.Prefix) }

func (r Registry) host() string {
	address, _ := strings.CutPrefix(r.Address, "http://")
	return strings.TrimPrefix(address, "https://")
}

// Plain says that the registry is asked without TLS.
func (r Registry) Plain() bool { return strings.HasPrefix(r.Address, "http://") }

func (r Registry) scheme() string {
	if r.Plain() {
		return "http"
	}
	return "https"
}

func (r Registry) trusted() string {
	if r.Trust == "" {
		return "the system's authorities"
	}
	return r.Trust
}

// repository is where a component lives in this registry.
func (r Registry) repository(c Component) string { return path.Join(r.Prefix, c.Repository) }

func (r Registry) named() (name.Registry, error) {
	opts := []name.Option{name.StrictValidation}
	if r.Plain() {
		opts = append(opts, name.Insecure)
	}
	reg, err := name.NewRegistry(r.host(), opts...)
	if err != nil {
		return name.Registry{}, fmt.Errorf("registry %s: %w", r.Address, err)
	}
	return reg, nil
}

// carrier is the transport with everything that holds for all requests: one scheme, and patience.
func (r Registry) carrier() http.RoundTripper {
	rt := r.Transport
	if rt == nil {
		rt = http.DefaultTransport
	}
	return patient{registry: r, next: brief{limit: cmp.Or(r.stall, leastTime), next: only{scheme: r.scheme(), next: rt}}}
}

var (
	hostShape   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)
	prefixShape = repositoryShape
)

// ParseRegistry reads [http://]HOST[:PORT][/PREFIX] and says what is wrong with anything else.
func ParseRegistry(s string) (Registry, error) {
	bad := func(format string, args ...any) (Registry, error) {
		// The address itself is not repeated: a mistake may have put a password into it.
		return Registry{}, fmt.Errorf("the registry's address "+format, args...)
	}
	rest, scheme := s, ""
	if i := strings.Index(s, "://"); i >= 0 {
		scheme, rest = s[:i], s[i+3:]
	}
	if strings.Contains(rest, "@") {
		return bad("has an @ in it: credentials go into --auth-file or the environment, and images are named without digest")
	}
	if scheme != "" && scheme != "http" && scheme != "https" {
		return bad("begins with %q; it is HOST:PORT, or http://HOST:PORT for one without TLS", scheme+"://")
	}
	address, prefix, deeper := strings.Cut(strings.TrimSuffix(rest, "/"), "/")
	host, port, err := splitHostPort(address)
	switch {
	case err != nil:
		return bad("%q: %v", address, err)
	case host == "":
		return bad("%q names no host", s)
	case deeper && strings.Contains(prefix, ":"):
		return bad("%q ends with a tag; it is HOST:PORT/PREFIX, names and versions come from the lock", rest)
	case deeper && !prefixShape.MatchString(prefix):
		return bad("%q has a path that no registry takes: lower-case letters, digits and . _ - between slashes", rest)
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && !hostShape.MatchString(host) {
		return bad("%q is not HOST:PORT", address)
	}
	if port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return bad("%q has no port between 1 and 65535", address)
		}
	} else if !strings.ContainsAny(host, ".:") && host != "localhost" {
		return bad("%q is neither HOST:PORT nor a name with a dot in it", address)
	}
	if scheme == "http" {
		address = "http://" + address
	}
	return Registry{Address: address, Prefix: prefix}, nil
}

func splitHostPort(s string) (host, port string, err error) {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") || !strings.Contains(s, ":") {
		return s, "", nil
	}
	host, port, err = net.SplitHostPort(s)
	var detail *net.AddrError
	if errors.As(err, &detail) {
		err = errors.New(detail.Err)
	}
	return host, port, err
}

// Transport is how a registry is reached from this machine. With a file of authorities only these are believed; without, the system's.
func Transport(caFile string) (rt *http.Transport, trust string, err error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	t.TLSHandshakeTimeout, t.ResponseHeaderTimeout = 10*time.Second, 30*time.Second
	if caFile == "" {
		return t, "", nil
	}
	pem, err := readRegular(caFile)
	if err != nil {
		return nil, "", err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, "", fmt.Errorf("%s has no certificate in it (PEM is needed)", caFile)
	}
	t.TLSClientConfig.RootCAs = roots
	return t, "those in " + caFile, nil
}

// only refuses every scheme but one. The registry client would otherwise take an answer over plain HTTP when TLS
// fails, and that failure is the one an attacker can cause.
type only struct {
	scheme string
	next   http.RoundTripper
}

func (o only) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != o.scheme {
		return nil, fmt.Errorf("refused to use %s: the registry is configured for %s", r.URL.Scheme, o.scheme)
	}
	return o.next.RoundTrip(r)
}
