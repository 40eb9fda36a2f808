package bundle

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// The waits between tries, and the longest that a registry may ask for.
var waits = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}

const longestWait = 30 * time.Second

// patient asks again where a registry says that it is too busy or broken for now, as long as it asks for, and gives up after a few tries
// with what it said last. Everything else is an answer: a registry that refuses is not asked twice.
type patient struct {
	registry Registry
	next     http.RoundTripper
}

func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	// An upload that was cut off goes on at another place, which only who began it knows.
	again := r.Method != http.MethodPatch && (r.Body == nil || r.Body == http.NoBody || r.GetBody != nil)
	for try := 0; ; try++ {
		answer, err := p.next.RoundTrip(r)
		if err != nil || !again || !passing(answer.StatusCode) {
			return answer, err
		}
		wait, asked := retryAfter(answer.Header.Get("Retry-After"), time.Now())
		if try == len(waits) || wait > longestWait {
			return nil, p.giveUp(answer, try+1, wait, asked)
		}
		io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
		answer.Body.Close()
		if !asked {
			wait = waits[try]
		}
		if err := p.sleep(r.Context(), wait); err != nil {
			return nil, err
		}
		if r.GetBody != nil {
			r = r.Clone(r.Context())
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

func (p patient) giveUp(answer *http.Response, tries int, wait time.Duration, asked bool) error {
	class, words := p.registry.answered(readError(answer))
	times := "tries"
	if tries == 1 {
		times = "try"
	}
	words += fmt.Sprintf(", after %d %s", tries, times)
	if asked {
		words += fmt.Sprintf("; it asks to wait for %s", wait.Round(time.Second))
	}
	return &Trouble{Class: class, Registry: p.registry.host(), Words: words}
}

func (p patient) sleep(ctx context.Context, d time.Duration) error {
	if p.registry.pause != nil {
		return p.registry.pause(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// passing says whether an answer may be another one soon.
func passing(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads the header of that name: seconds, or a date (RFC 9110, section 10.2.3).
func retryAfter(s string, now time.Time) (time.Duration, bool) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, true
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}
