package ops

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Probe is a server that answers 200. Setting it is waiting for it, right beside it, so that nothing polls over the network.
type Probe struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	CA      string `json:"ca,omitempty"`   // a file with the authority that an https server is verified by
	Cert    string `json:"cert,omitempty"` // files with a client certificate and its key
	KeyFile string `json:"key,omitempty"`
	Within  int    `json:"within,omitempty"` // seconds
	// Inputs is the value of InputsVar that the server's process was started with; "" is not compared. Without it the old process of a
	// changed static pod, which answers for a while yet, would be taken for the new one.
	Inputs string `json:"inputs,omitempty"`
	OK     bool   `json:"ok,omitempty"`
}

const (
	probeEvery = 25 * time.Millisecond
	probeOnce  = 10 * time.Second       // for a look; what is not there refuses at once, and a busy host needs a while to answer
	probeTry   = 2 * time.Second        // for one of many while waiting
	probeOld   = 100 * time.Millisecond // between looks through all processes, which are not as cheap
)

func (p Probe) Key() Key { return Key("probe:" + p.Name) }

func (p Probe) Observe(ctx context.Context, m Machine) (Op, error) {
	err := p.ready(ctx, m, probeOnce)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	p.OK = err == nil
	return p, nil
}

// Set waits; a wish that it should not answer, which only an undo has, waits for nothing.
func (p Probe) Set(ctx context.Context, m Machine, _ Op) error {
	if !p.OK {
		return nil
	}
	if err := changing(m, "wait for "+p.Name); err != nil {
		return err
	}
	within := time.Duration(max(p.Within, 1)) * time.Second
	waiting, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	last := errors.New("it did not answer")
	for {
		err := p.ready(waiting, m, probeTry)
		if err == nil {
			return nil
		}
		every := probeEvery
		if errors.Is(err, errOldRuns) {
			every = probeOld
		}
		if waiting.Err() == nil { // else it says only that time is over
			last = err
		}
		if pause(waiting, every) != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%s was not ready within %s: %w", p.Name, within, last)
		}
	}
}

// same: that something answers although it did not before is nothing to undo.
func (p Probe) same(seen Op) bool { return !p.OK || seen.(Probe).OK }

var errOldRuns = errors.New("the old one still runs")

// ready says what is lacking. A server is asked again once its process is there: the first answer may have been the last of the old one.
func (p Probe) ready(ctx context.Context, m Machine, timeout time.Duration) error {
	err := p.once(ctx, m, timeout)
	if err != nil || p.Inputs == "" {
		return err
	}
	started, err := running(ctx, m, p.Inputs)
	if err != nil {
		return err
	}
	if !started {
		return fmt.Errorf("it answers, but %w: no process has %s=%s", errOldRuns, InputsVar, p.Inputs)
	}
	return p.once(ctx, m, timeout)
}

// once asks once. Files are read each time: they may be made while it waits.
func (p Probe) once(ctx context.Context, m Machine, timeout time.Duration) error {
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if strings.HasPrefix(p.URL, "https:") {
		var err error
		if trust, err = trusting(m, p.CA); err != nil {
			return err
		}
		if p.Cert != "" {
			pair, err := tls.LoadX509KeyPair(m.Path(p.Cert), m.Path(p.KeyFile))
			if err != nil {
				return fmt.Errorf("%s: %w", p.Cert, cause(err))
			}
			trust.Certificates = []tls.Certificate{pair}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
	if err != nil {
		return err
	}
	client := &http.Client{
		Transport:     transport(m, trust),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	return fmt.Errorf("%s: %s %s", p.URL, resp.Status, strings.Join(strings.Fields(string(said)), " "))
}
