package host_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/host/sshtest"
)

func TestEndlessOutputIsBounded(t *testing.T) {
	bin, hash := small(t)
	for name, fault := range map[string]func(*sshtest.Faults){
		"stdout": func(f *sshtest.Faults) { f.Endless = true },
		"stderr": func(f *sshtest.Faults) { f.EndlessTail = true },
	} {
		s := sshtest.Start(t, sshtest.Options{Agent: greeter(hash)})
		s.Fault(fault)
		began := time.Now()
		_, err := dial(t, s, host.WithTimeout(time.Second, time.Second)).Agent(t.Context(), bin, nil)
		if err == nil || strings.ContainsAny(err.Error(), "\x1b\x00") || len(err.Error()) > 8192 {
			t.Errorf("%s: %v", name, err)
		}
		wantRemedy(t, err)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
	}
}

func TestConnectionCut(t *testing.T) {
	bin, hash := small(t)
	for _, after := range []int64{1000, 2100, 2200, 2300, 2400, 2500, 2700, 3000, 3500, 4000} {
		s := sshtest.Start(t, sshtest.Options{Agent: greeter(hash)})
		s.Fault(func(f *sshtest.Faults) { f.CutAfter = after })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		c, err := host.Dial(ctx, s.Address("node-1"))
		if err == nil {
			_, err = c.Agent(ctx, bin, nil)
			c.Close()
		}
		if err == nil {
			t.Errorf("after %d bytes: no error", after)
		} else if r := wantRemedy(t, err); strings.Contains(r, ".bashrc") {
			t.Errorf("after %d bytes: a cut is not a login script: %v", after, err)
		}
		if refused := new(host.LoginError); errors.As(err, &refused) {
			t.Errorf("after %d bytes: a cut is not a refusal: %v", after, err)
		}
		if ctx.Err() != nil {
			t.Errorf("after %d bytes: it took too long", after)
		}
		cancel()
	}
}

func TestCutSessionSaysSo(t *testing.T) {
	bin, hash := small(t)
	s := sshtest.Start(t, sshtest.Options{Agent: greeter(hash)})
	s.Install(bin)
	c := dial(t, s)
	session, err := c.Agent(t.Context(), bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	time.AfterFunc(50*time.Millisecond, s.Cut)
	_, err = session.Observe(t.Context(), nil)
	wantRemedy(t, err)
	<-c.Done()
	wantRemedy(t, c.Err())
}

func TestSilentHostIsNoticed(t *testing.T) {
	bin, hash := small(t)
	s := sshtest.Start(t, sshtest.Options{Agent: greeter(hash)})
	s.Install(bin)
	c := dial(t, s, host.WithKeepalive(50*time.Millisecond, 200*time.Millisecond))
	time.Sleep(300 * time.Millisecond) // several answered keepalives: a good host is not given up
	session, err := c.Agent(t.Context(), bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	s.Fault(func(f *sshtest.Faults) { f.Silent = true })
	began := time.Now()
	_, err = session.Observe(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "no sign of life") {
		t.Errorf("got %v", err)
	}
	wantRemedy(t, err)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	if c.Err() == nil {
		t.Error("the connection does not say why it ended")
	}
}
