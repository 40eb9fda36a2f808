package bundle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Class is what kind of trouble there is with a registry: it decides what can be done about it.
type Class string

// The classes.
const (
	Unreachable  Class = "unreachable"    // refused, no route, no such name, no answer in time
	TLS          Class = "tls"            // its certificate is not one to believe
	Scheme       Class = "scheme"         // plain HTTP where TLS was asked for, or the other way round
	Unauthorized Class = "unauthorized"   // 401: no credentials, or wrong ones
	Forbidden    Class = "forbidden"      // 403: they are known and may not
	NotFound     Class = "not found"      // 404
	Busy         Class = "busy"           // 429, still after several tries
	Broken       Class = "broken"         // 5xx, still after several tries
	Truncated    Class = "truncated"      // a blob ended before its length
	WrongDigest  Class = "wrong digest"   // other bytes than the digest promises
	WrongKind    Class = "wrong platform" // for other machines than those asked for
	Refused      Class = "refused"        // any other answer
)

// Trouble is what went wrong with a registry, in words of its own.
type Trouble struct {
	Class    Class
	Registry string // HOST:PORT
	What     string // traefik:v3.6.6, or what else was asked for; empty where it is about the registry as a whole
	Words    string
	Err      error // what it was made of, where there is more than the words say
}

func (t *Trouble) Error() string {
	if t.What == "" {
		return fmt.Sprintf("registry %s: %s", t.Registry, t.Words)
	}
	return fmt.Sprintf("registry %s: %s: %s", t.Registry, t.What, t.Words)
}

func (t *Trouble) Unwrap() error { return t.Err }

// Remedy is what can be done.
func (t *Trouble) Remedy() string {
	switch t.Class {
	case Unreachable:
		return "see that the registry runs and that this machine reaches its port; what has come over already is not sent again"
	case TLS:
		return "give the authority that signed the registry's certificate with --ca FILE, or have the certificate made anew; it is never believed unseen"
	case Scheme:
		return "write http://HOST:PORT with --plain-http for a registry without TLS, and HOST:PORT for one that has it"
	case Unauthorized, Forbidden:
		return "give credentials that may do this with --auth-file FILE, or KUBEWRIGHT_REGISTRY_USER and KUBEWRIGHT_REGISTRY_PASSWORD"
	case NotFound:
		return "push it with kubewright images push, or mirror it from a registry that has it"
	case Busy, Broken:
		return "look into the registry's log and run the same command again: only what is missing is sent"
	case Truncated:
		return "run the same command again: what came in full is kept, what was cut off is not"
	case WrongDigest:
		return "the registry keeps damaged or replaced content: delete it there and push it anew from a bundle that bundle inspect finds sound"
	case WrongKind:
		return "name the platforms that are there with --platform, or use a bundle for the machines that you have"
	}
	return ""
}

// in puts an error from any depth of a request into its class. What is of no class, as an error of a local file, is returned as it is.
func (r Registry) in(what string, err error) error {
	var known *Trouble
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return errStopped
	case errors.As(err, &known):
		if known.What == "" && what != "" {
			named := *known
			named.What = what
			return &named
		}
		return known
	case errors.Is(err, ErrDamaged):
		return err
	}
	class, words := r.classify(err)
	if class == "" {
		return err
	}
	return &Trouble{Class: class, Registry: r.host(), What: what, Words: words, Err: err}
}

// errStopped is what is said of a request that was not waited for. It is a context.Canceled.
var errStopped error = stopped{}

type stopped struct{}

func (stopped) Error() string        { return "interrupted; the same command goes on where this one ended" }
func (stopped) Is(target error) bool { return target == context.Canceled }

func (r Registry) classify(err error) (Class, string) {
	var (
		answer  *transport.Error
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		alert   tls.AlertError
		record  tls.RecordHeaderError
		dns     *net.DNSError
		network *net.OpError
		slow    interface{ Timeout() bool }
		request *url.Error
	)
	switch {
	case errors.As(err, &answer):
		return r.answered(answer)
	case errors.As(err, &unknown):
		return TLS, "TLS: its certificate is signed by an authority that is not among " + r.trusted()
	case errors.As(err, &name):
		return TLS, fmt.Sprintf("TLS: its certificate is for another name (%s); it was checked against %s", name.Error(), r.trusted())
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return TLS, fmt.Sprintf("TLS: its certificate was valid from %s to %s only; it was checked against %s",
			invalid.Cert.NotBefore.UTC().Format("2006-01-02"), invalid.Cert.NotAfter.UTC().Format("2006-01-02"), r.trusted())
	case errors.As(err, &verify):
		return TLS, fmt.Sprintf("TLS: its certificate is not valid (%v); it was checked against %s", verify.Err, r.trusted())
	case errors.Is(err, http.ErrSchemeMismatch):
		return Scheme, "it speaks plain HTTP, and TLS was asked for"
	case errors.As(err, &record):
		return Scheme, "it does not speak TLS, which was asked for"
	case errors.As(err, &alert):
		return TLS, "TLS: it ended the handshake: " + alert.Error()
	case errors.As(err, &dns):
		return Unreachable, fmt.Sprintf("the name %s leads nowhere (%s)", dns.Name, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return Unreachable, "connection refused: nothing listens there"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Unreachable, "there is no way to it (no route to host)"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return Unreachable, "no answer in time"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return Unreachable, "the connection was cut off"
	case errors.As(err, &network):
		return Unreachable, network.Err.Error()
	case errors.As(err, &request): // it leads from one address to the next without end, or to one that is not asked
		return Refused, clip(request.Err.Error())
	}
	return "", ""
}

// answered is the class of what the registry itself said.
func (r Registry) answered(e *transport.Error) (Class, string) {
	said := fmt.Sprintf("%d %s", e.StatusCode, strings.ToLower(http.StatusText(e.StatusCode)))
	for _, d := range e.Errors {
		if d.Message != "" {
			said += ": " + clip(d.Message)
			break
		}
	}
	switch code := e.StatusCode; {
	case code == http.StatusUnauthorized && r.Credentials.none():
		return Unauthorized, said + " (no credentials were given)"
	case code == http.StatusUnauthorized:
		return Unauthorized, fmt.Sprintf("%s (it does not accept the credentials of %s)", said, r.Credentials.From)
	case code == http.StatusForbidden && r.Credentials.none():
		return Forbidden, said + " (no credentials were given)"
	case code == http.StatusForbidden:
		return Forbidden, fmt.Sprintf("%s (the credentials of %s may not do this)", said, r.Credentials.From)
	case forgotten(e):
		return Broken, said + " (it forgot an upload that it had begun)"
	case code == http.StatusNotFound:
		return NotFound, said
	case code == http.StatusTooManyRequests:
		return Busy, said
	case code >= 500:
		return Broken, said
	case code == http.StatusBadRequest && strings.Contains(e.Error(), "HTTP request to an HTTPS server"):
		return Scheme, "it speaks TLS, and plain HTTP was asked for"
	}
	return Refused, said
}

// forgotten says whether a registry knows nothing any more of an upload that it let begin, as one that was started anew or that are several without a common place.
func forgotten(e *transport.Error) bool {
	return slices.ContainsFunc(e.Errors, func(d transport.Diagnostic) bool { return d.Code == transport.BlobUploadUnknownErrorCode })
}

// clip keeps a message that somebody else wrote to one line of a bearable length.
func clip(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 200 {
		s = s[:200] + "..."
	}
	return s
}
