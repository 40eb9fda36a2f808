package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// Answer answers what an op on the host asks while it is set. It is called from its own goroutine; the context ends with the session.
type Answer func(ctx context.Context, q ops.Question) ([]byte, error)

// Session is the workstation's end of a connection to one agent. Its methods may be called at the same time; what changes the host
// is done one after the other there.
type Session struct {
	conn   io.ReadWriteCloser
	answer Answer
	hello  Hello
	ctx    context.Context // ends when the session does; its cause is why
	cancel context.CancelCauseFunc
	out    chan []byte
	owned  sync.WaitGroup // the goroutines of this session

	mu    sync.Mutex
	last  int64
	calls map[int64]*pending
}

// pending is a request under way. gone is closed when nobody reads its replies any more.
type pending struct {
	replies chan reply
	gone    chan struct{}
}

// maxNoise is how much may be said before the hello, since a login shell may greet; maxHello bounds the hello itself.
const (
	maxNoise = 64 << 10
	maxHello = 4 << 20
)

// maxAnswers bounds how many questions of one agent are being answered at once.
const maxAnswers = 64

// Open waits for the agent's hello on conn, which the session owns from now on. answer may be nil.
func Open(ctx context.Context, conn io.ReadWriteCloser, answer Answer) (*Session, error) {
	s := &Session{conn: conn, answer: answer, out: make(chan []byte), calls: map[int64]*pending{}}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	r := bufio.NewReader(conn)
	greeted := make(chan error, 1)
	go func() { greeted <- s.greet(r) }()
	select {
	case err := <-greeted:
		if err != nil {
			conn.Close()
			return nil, err
		}
	case <-ctx.Done():
		conn.Close() // ends the goroutine
		return nil, fmt.Errorf("the agent did not say hello: %w", context.Cause(ctx))
	}
	s.owned.Go(s.send)
	s.owned.Go(func() { s.end(s.receive(r)) })
	s.owned.Go(s.beat)
	return s, nil
}

// greet reads up to the hello.
func (s *Session) greet(r *bufio.Reader) error {
	var noise []byte
	for {
		line, err := readLine(r, maxHello)
		var first reply
		if err == nil && bytes.HasPrefix(line, []byte(`{"hello":`)) && json.Unmarshal(line, &first) == nil && first.Hello != nil {
			s.hello = *first.Hello
			if s.hello.Protocol != Protocol {
				return fmt.Errorf("the agent speaks protocol %d, this kubewright speaks %d", s.hello.Protocol, Protocol)
			}
			return nil
		}
		noise = append(append(noise, line...), '\n')
		if err == nil && len(noise) > maxNoise {
			err = errors.New("it said something else")
		}
		if err != nil {
			said := ""
			if text := strings.TrimSpace(clean(string(noise), 512)); text != "" {
				said = fmt.Sprintf(", only %q", text)
			}
			return fmt.Errorf("the agent did not say hello%s: %w", said, err)
		}
	}
}

// Hello is what the agent said first.
func (s *Session) Hello() Hello { return s.hello }

// Facts is how the host was when the session was opened.
func (s *Session) Facts() Facts { return s.hello.Facts }

// send is the only writer.
func (s *Session) send() {
	for {
		select {
		case line := <-s.out:
			if _, err := s.conn.Write(line); err != nil {
				s.end(err)
				return
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// receive is the only reader. It hands every reply to whoever made the request.
func (s *Session) receive(r *bufio.Reader) error {
	answers := make(chan struct{}, maxAnswers)
	for {
		line, err := readLine(r, maxLine)
		if err != nil {
			return err
		}
		var m reply
		if err := json.Unmarshal(line, &m); err != nil {
			return fmt.Errorf("the agent does not speak our protocol: %w", err)
		}
		if m.Question != nil {
			select {
			case answers <- struct{}{}:
			default:
				return errors.New("the agent asks too much at once")
			}
			s.owned.Go(func() {
				defer func() { <-answers }()
				s.reply(m)
			})
			continue
		}
		s.mu.Lock()
		p := s.calls[m.ID]
		s.mu.Unlock()
		if p == nil {
			continue // given up already
		}
		select {
		case p.replies <- m:
		case <-p.gone:
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}

func (s *Session) reply(m reply) {
	c := call{ID: m.ID, Do: doAnswer, Ask: m.Ask}
	var err error
	if s.answer == nil {
		err = errors.New("the workstation answers no questions in this session")
	} else {
		c.Data, err = s.answer(s.ctx, *m.Question)
	}
	if err != nil {
		c.Data, c.Error = nil, clip(err.Error(), maxMessage)
		if c.Error == "" {
			c.Error = "the workstation has no answer"
		}
	}
	_ = s.say(s.ctx, c) // if it cannot be said the session is over anyway
}

// beat keeps the agent from taking us for dead, and notices when it is.
func (s *Session) beat() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(beat):
		}
		ctx, cancel := context.WithTimeout(s.ctx, silence-beat)
		_, err := s.call(ctx, call{Do: doPing}, nil)
		late := ctx.Err() != nil && s.ctx.Err() == nil
		cancel()
		if err != nil && late {
			s.end(fmt.Errorf("nothing was heard from the agent for %s", silence-beat))
		}
	}
}

func (s *Session) end(err error) {
	if isEnd(err) {
		err = errors.New("the agent ended or the connection was closed")
	}
	s.cancel(err)
	s.conn.Close()
}

func (s *Session) say(ctx context.Context, c call) error {
	line, err := encodeLine(c)
	if err != nil {
		return err
	}
	select {
	case s.out <- line:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the session and with it the lock. An agent that does not answer in a moment is left to notice by itself.
func (s *Session) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, _ = s.call(ctx, call{Do: doShutdown}, nil)
	s.end(io.EOF)
	s.owned.Wait()
	return nil
}
