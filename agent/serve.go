package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"sync"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// maxLooks bounds how many requests look at the host at once; further ones wait. maxCalls bounds how many may be under way or wait.
const (
	maxLooks = 64
	maxCalls = 1024
)

var (
	errLeft = errors.New("the workstation left")
	errDone = errors.New("the session ended")
)

// server is one agent's end of one session.
type server struct {
	m     ops.Machine
	dir   string // the state directory, as this process can open it
	write func(reply) error

	work        worker
	turn        chan struct{} // held by the one request that changes things
	looks       chan struct{} // held by each that looks at things
	authorities authorities

	mu      sync.Mutex
	ended   bool
	lock    *lock
	running map[int64]context.CancelCauseFunc
	asked   map[int64]chan call
	asks    int64
}

// Serve says hello and then does what the other end asks, until it leaves. It returns at once when the connection or the context ends, except
// that a change under way is finished or given up cleanly first. The lock is held no longer than that.
func Serve(ctx context.Context, conn io.ReadWriter, m ops.Machine, stateDir string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errDone)
	var out sync.Mutex
	s := &server{
		m: m, dir: m.Path(stateDir), turn: make(chan struct{}, 1), looks: make(chan struct{}, maxLooks),
		running: map[int64]context.CancelCauseFunc{}, asked: map[int64]chan call{},
		write: func(r reply) error {
			line, err := encodeLine(r)
			if err != nil {
				return err
			}
			out.Lock()
			defer out.Unlock()
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if _, err = conn.Write(line); err != nil {
				cancel(errLeft)
			}
			return err
		},
	}
	s.work = worker{dir: s.dir, change: make(chan struct{}, 1), log: log.Printf}
	hello := Hello{Protocol: Protocol, Version: Version, StateDir: stateDir, Open: s.remember()}
	var parts sync.WaitGroup
	parts.Go(func() { hello.Hash = ownHash() })
	hello.Facts = Gather(ctx, m, stateDir)
	parts.Wait()
	if err := s.write(reply{Hello: &hello}); err != nil {
		return err
	}
	err := s.listen(ctx, bufio.NewReader(conn))
	cancel(errLeft)
	select {
	case s.work.change <- struct{}{}: // for ever: nothing more is changed
	case <-time.After(grace):
		err = errors.Join(err, fmt.Errorf("a change did not end within %s of being told to", grace))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.lock != nil {
		s.lock.release()
	}
	return err
}

// remember learns from the journal which authorities were made here, and whether the last run came to its end.
func (s *server) remember() (open bool) {
	j, _, err := readJournal(s.dir)
	if err != nil {
		log.Printf("%v", err)
		return false
	}
	for _, c := range j.changes {
		if op, err := ops.Decode(c.Last); err == nil {
			s.authorities.learn(op)
		}
	}
	return j.last != nil && j.last.open
}

// listen reads calls until the peer has left, asked us to end, or been silent for too long.
func (s *server) listen(ctx context.Context, r *bufio.Reader) error {
	lines := make(chan []byte)
	ended := make(chan error, 1)
	go func() { // ends when the connection does, or with the process
		for {
			line, err := readLine(r, maxLine)
			if err != nil {
				ended <- err
				return
			}
			select {
			case lines <- line:
			case <-ctx.Done():
				return
			}
		}
	}()
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	for {
		select {
		case line := <-lines:
			quiet.Reset(silence)
			var c call
			if err := json.Unmarshal(line, &c); err != nil {
				return fmt.Errorf("the peer does not speak our protocol: %w", err)
			}
			if c.Do == doShutdown {
				_ = s.write(reply{ID: c.ID, Done: true})
				return nil
			}
			s.hear(ctx, c)
		case err := <-ended:
			if isEnd(err) {
				return nil
			}
			return err
		case <-quiet.C:
			return fmt.Errorf("nothing was heard from the workstation for %s", silence)
		case <-ctx.Done():
			return nil
		}
	}
}
