package bundle

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"
)

// brief takes what a registry says besides blobs and manifests in one piece: an answer that is no good, or a token. Neither is long, and neither takes long; one that
// never ends would be read for ever by whoever wants to know what it says.
type brief struct {
	limit time.Duration
	next  http.RoundTripper
}

// mostWords bounds such an answer. What is beyond it is not read.
const mostWords = 256 << 10

func (b brief) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err != nil || answer.Body == nil {
		return answer, err
	}
	good := answer.StatusCode/100 == 2
	if good && (strings.Contains(r.URL.Path, "/blobs/") || strings.Contains(r.URL.Path, "/manifests/")) {
		return answer, nil
	}
	t := time.AfterFunc(b.limit, func() { answer.Body.Close() })
	said, err := io.ReadAll(io.LimitReader(answer.Body, mostWords))
	t.Stop()
	answer.Body.Close()
	if err != nil && good {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(said))
	answer.ContentLength = int64(len(said))
	return answer, nil
}
