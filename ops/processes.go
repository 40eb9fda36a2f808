package ops

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Processes is a machine that knows the environment of its processes.
type Processes interface {
	// Running says whether some process was started with this value of InputsVar.
	Running(ctx context.Context, inputs string) bool
}

func running(ctx context.Context, m Machine, inputs string) (bool, error) {
	p, ok := find[Processes](m)
	if !ok {
		return false, errors.New("the processes of this machine cannot be asked")
	}
	return p.Running(ctx, inputs), nil
}

// Running looks through /proc. The threads of the kernel have no environment, and what ends meanwhile has none either.
func (h *host) Running(ctx context.Context, inputs string) bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil || ctx.Err() != nil {
			continue
		}
		if env, err := os.ReadFile("/proc/" + e.Name() + "/environ"); err == nil && carries(env, inputs) {
			return true
		}
	}
	return false
}

// carries says whether an environment as in /proc/PID/environ has this value of InputsVar.
func carries(env []byte, inputs string) bool {
	return bytes.Contains(append([]byte{0}, env...), []byte("\x00"+InputsVar+"="+inputs+"\x00"))
}

// Running says whether a static pod with these inputs is declared: on a pretend machine declaring it is running it.
func (p *Pretend) Running(_ context.Context, inputs string) bool {
	files, _ := filepath.Glob(p.Path("/etc/kubernetes/manifests") + "/*")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && !strings.HasPrefix(filepath.Base(file), ".") && bytes.Contains(data, []byte(inputs)) {
			return true
		}
	}
	return false
}
