package host

import (
	"context"
	"errors"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
)

// Look is Agent for those who change nothing on the host. Where there is no agent it is sent into memory, and removes itself from there as it
// starts: nothing is written on a disk, and nothing has to be cleared away, whatever becomes of us. Only a host that cannot run programs from
// memory gets it as with Agent; left says so, and Forget then removes it.
func (c *Conn) Look(ctx context.Context, bin AgentBinary, answer func(context.Context, ops.Question) ([]byte, error)) (s *agent.Session, left bool, err error) {
	s, err = c.startAgent(ctx, bin, bin.path(), answer)
	var missing *missingError
	if !errors.As(err, &missing) {
		return s, false, err
	}
	for _, dir := range c.memories(ctx) {
		at := dir + "/kubewright-" + randomHex() + "/kubewright-agent"
		if err = c.sendAgent(ctx, bin, at); err == nil {
			if s, err = c.startAgent(ctx, bin, at, answer); err == nil {
				return s, false, nil
			}
		}
		if c.Err() != nil || ctx.Err() != nil {
			return nil, false, err
		}
		c.clear(ctx, at) // it was not started, or is not ours
		c.closeFiles()
		if errors.As(err, &missing) || isUpload(err) {
			continue // no room there, or a rule against programs that the mount does not show
		}
		return nil, false, err
	}
	s, err = c.Agent(ctx, bin, answer)
	return s, true, err
}

// inMemory are the directories that are in memory on nearly every Linux, best first: only root can make a name in /run.
var inMemory = []string{"/run", "/dev/shm"}

// passing are the paths of agents in memory. Each is in a directory of its own, whose name nobody can guess and make before us.
var passing = regexp.MustCompile(`^(/run|/dev/shm)/kubewright-[0-9a-f]{16}/kubewright-agent$`)

// memories are those directories in memory from which the host lets programs run, as far as it can be known.
func (c *Conn) memories(ctx context.Context) []string {
	f, err := c.openFiles(ctx)
	if err != nil {
		return nil
	}
	file, err := f.Open("/proc/self/mounts")
	if err != nil {
		return nil
	}
	defer file.Close()
	table, err := io.ReadAll(io.LimitReader(file, 4<<20))
	if err != nil {
		return nil
	}
	return runnable(string(table))
}

// runnable reads a table of mounts. What is mounted last on a path counts.
func runnable(mounts string) []string {
	good := map[string]bool{}
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 4 || !slices.Contains(inMemory, f[1]) {
			continue
		}
		how := strings.Split(f[3], ",")
		good[f[1]] = (f[2] == "tmpfs" || f[2] == "ramfs") && slices.Contains(how, "rw") && !slices.Contains(how, "noexec")
	}
	return slices.DeleteFunc(slices.Clone(inMemory), func(dir string) bool { return !good[dir] })
}

// clear removes an agent in memory that did not come to do so itself.
func (c *Conn) clear(ctx context.Context, at string) {
	f, err := c.openFiles(ctx)
	if err != nil {
		return
	}
	if f.root {
		_ = f.Remove(at)
		_ = f.RemoveDirectory(path.Dir(at))
		return
	}
	_ = c.asRoot(ctx, "rm -f "+at)
	_ = c.asRoot(ctx, "rmdir "+path.Dir(at))
}

// isUpload says whether an error is about a file that could not be written, and not about the host.
func isUpload(err error) bool {
	var e *Error
	return errors.As(err, &e) && strings.HasPrefix(e.Op, "upload ")
}
