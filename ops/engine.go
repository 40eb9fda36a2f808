package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// DockerSocket is where Docker's engine answers.
const DockerSocket = "/run/docker.sock"

// engineURL is what its requests begin with, for machines that have their own way to servers. No name is looked up for it.
const engineURL = "http://docker"

// engine speaks with Docker's engine over its own HTTP API. Paths have no version in front, so that every version answers with what it knows.
type engine struct{ client *http.Client }

func engineOf(m Machine) engine {
	return engine{&http.Client{Transport: unixTransport(m, DockerSocket)}}
}

// unixTransport leads to a socket, or to wherever the machine says.
func unixTransport(m Machine, socket string) http.RoundTripper {
	if c, ok := find[client](m); ok {
		return c.Transport(nil)
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", m.Path(socket))
		},
		DisableKeepAlives: true, // an op asks once or twice
	}
}

// errNoSuch is what the engine says of what it does not have.
var errNoSuch = errors.New("no such thing")

// engineAway says whether an error means that no engine runs there.
func engineAway(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// maxEngine bounds an answer. One pull tells of every piece of every layer, a line each.
const maxEngine = 64 << 20

// get asks for something and reads the answer into it.
func (e engine) get(ctx context.Context, path string, query url.Values, into any) error {
	body, err := e.do(ctx, http.MethodGet, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxEngine)).Decode(into); err != nil {
		return fmt.Errorf("docker: %s: %w", path, err)
	}
	return nil
}

// remove removes something, and is content when it is not there.
func (e engine) remove(ctx context.Context, path string, query url.Values) error {
	body, err := e.do(ctx, http.MethodDelete, path, query)
	if errors.Is(err, errNoSuch) {
		return nil
	}
	if err != nil {
		return err
	}
	return body.Close()
}

// pull pulls an image by digest. The engine answers at once and tells of a failure at the end.
func (e engine) pull(ctx context.Context, ref string) error {
	name, digest, ok := strings.Cut(ref, "@")
	if !ok {
		return fmt.Errorf("%s names no digest", ref)
	}
	body, err := e.do(ctx, http.MethodPost, "/images/create", url.Values{"fromImage": {name}, "tag": {digest}})
	if err != nil {
		return err
	}
	defer body.Close()
	for d := json.NewDecoder(io.LimitReader(body, maxEngine)); ; {
		var line struct {
			Error string `json:"error"`
		}
		switch err := d.Decode(&line); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("docker: pull: %w", err)
		case line.Error != "":
			return fmt.Errorf("docker: %s", line.Error)
		}
	}
}

// do makes a request; the body of a good answer is the caller's to close.
func (e engine) do(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, engineURL+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	if resp.StatusCode < 300 || resp.StatusCode == http.StatusNotModified { // which says that a container runs already
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var said struct {
		Message string `json:"message"`
	}
	_ = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&said) // what it says is only for people
	if resp.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("docker: %w: %s", errNoSuch, said.Message)
	}
	return nil, fmt.Errorf("docker: %s: %s %s", path, resp.Status, said.Message)
}
