package engine

import (
	"sync"
	"time"
)

// drainTime is how long a run waits at its end for a consumer that is behind.
const drainTime = 5 * time.Second

// emitter hands events to one consumer, one at a time and in order, from a goroutine of its own: the run never waits for
// whoever watches it. A consumer that panics gets no more events; one that hangs is left behind at the end.
type emitter struct {
	emit   func(Event)
	mu     sync.Mutex
	more   *sync.Cond
	queue  []Event
	closed bool
	done   chan struct{}
}

func newEmitter(emit func(Event)) *emitter {
	e := &emitter{emit: emit, done: make(chan struct{})}
	e.more = sync.NewCond(&e.mu)
	go e.deliver()
	return e
}

// send stamps the event with the time and queues it.
func (e *emitter) send(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ev.Time = time.Now()
	e.queue = append(e.queue, ev)
	e.more.Signal()
}

func (e *emitter) deliver() {
	defer close(e.done)
	for {
		e.mu.Lock()
		for len(e.queue) == 0 && !e.closed {
			e.more.Wait()
		}
		if len(e.queue) == 0 {
			e.mu.Unlock()
			return
		}
		ev := e.queue[0]
		e.queue = e.queue[1:]
		e.mu.Unlock()
		if e.emit != nil && !survives(e.emit, ev) {
			e.emit = nil
		}
	}
}

// survives hands over one event and says whether the consumer came back.
func survives(emit func(Event), ev Event) (ok bool) {
	defer func() { ok = recover() == nil }()
	emit(ev)
	return
}

// close delivers what is queued, for a while.
func (e *emitter) close() {
	e.mu.Lock()
	e.closed = true
	e.more.Signal()
	e.mu.Unlock()
	select {
	case <-e.done:
	case <-time.After(drainTime):
		e.mu.Lock()
		e.queue = nil
		e.mu.Unlock()
	}
}
