package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
)

// maxLine bounds one line in either direction. Whoever sends more is not our peer.
const maxLine = 64 << 20

var errLongLine = errors.New("the peer sent a line that does not end")

// What the workstation may say.
const (
	doObserve  = "observe"
	doLock     = "lock"
	doApply    = "apply"
	doSign     = "sign"
	doReadCA   = "read-ca"
	doReset    = "reset"
	doNote     = "note"
	doEnd      = "end"
	doPast     = "past"
	doLast     = "last"
	doUndo     = "undo"
	doForget   = "forget"
	doSurvey   = "survey"
	doPing     = "ping"
	doAnswer   = "answer" // to a question of the agent's
	doCancel   = "cancel" // of the request with this id
	doShutdown = "shutdown"
)

// call is a line from the workstation. Everything said about one request, in both directions, carries its id; that is all the
// multiplexing there is.
type call struct {
	ID      int64        `json:"id"`
	Do      string       `json:"do"`
	Run     string       `json:"run,omitempty"`
	Phase   string       `json:"phase,omitempty"`
	Steps   []wireOp     `json:"steps,omitempty"`
	Keys    []ops.Key    `json:"keys,omitempty"`
	Holder  *Holder      `json:"holder,omitempty"`
	Name    string       `json:"name,omitempty"` // of an authority
	Request *pki.Request `json:"request,omitempty"`
	Survey  *SurveyAsk   `json:"survey,omitempty"`
	Ask     int64        `json:"ask,omitempty"`   // with answer: which question
	Data    []byte       `json:"data,omitempty"`  // a CSR, or an answer
	Error   string       `json:"error,omitempty"` // with answer: why there is none
}

// reply is a line from the agent: its hello, or something about the request with this id.
type reply struct {
	Hello    *Hello            `json:"hello,omitempty"`
	ID       int64             `json:"id,omitempty"`
	Progress *ops.Progress     `json:"progress,omitempty"`
	Ask      int64             `json:"ask,omitempty"`
	Question *ops.Question     `json:"question,omitempty"`
	Done     bool              `json:"done,omitempty"` // the last line about this request
	Failure  *failure          `json:"failure,omitempty"`
	Ops      []json.RawMessage `json:"ops,omitempty"`
	Survey   *Survey           `json:"survey,omitempty"`
	Data     []byte            `json:"data,omitempty"`
}

type wireOp struct {
	Op  json.RawMessage `json:"op"`
	Why string          `json:"why,omitempty"`
}

func encodeSteps(steps []ops.Step) ([]wireOp, error) {
	out := make([]wireOp, len(steps))
	for i, s := range steps {
		raw, err := ops.Encode(s.Op)
		if err != nil {
			return nil, fmt.Errorf("%s: cannot be sent: %w", s.Op.Key(), err)
		}
		out[i] = wireOp{Op: raw, Why: s.Why}
	}
	return out, nil
}

func decodeSteps(in []wireOp) ([]ops.Step, error) {
	out := make([]ops.Step, len(in))
	for i, w := range in {
		op, err := ops.Decode(w.Op)
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", i+1, err)
		}
		out[i] = ops.Step{Op: op, Why: w.Why}
	}
	return out, nil
}

// readLine returns the next line without its end. A last line that was cut off is no line: the error is io.EOF or what broke the
// connection.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, errLongLine
		}
		if err == nil {
			return append(line, part[:len(part)-1]...), nil
		}
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// encodeLine is a value as one line, end included.
func encodeLine(v any) ([]byte, error) {
	line, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(line) >= maxLine {
		return nil, fmt.Errorf("a message of %d MiB is more than a line may hold", len(line)>>20)
	}
	return append(line, '\n'), nil
}

// isEnd tells whether an error is only the peer having left.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, io.ErrUnexpectedEOF)
}
