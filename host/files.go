package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/agent"
	"github.com/pkg/sftp"
)

// sftpServers are where distributions put OpenSSH's sftp-server: Debian, Fedora, SUSE and Arch, others. It is
// started by path because a subsystem cannot be run through sudo.
var sftpServers = []string{
	"/usr/lib/openssh/sftp-server",
	"/usr/libexec/openssh/sftp-server",
	"/usr/lib/ssh/sftp-server",
	"/usr/libexec/sftp-server",
}

// inFlight is how many write requests of 32 KiB are under way at once: together they fill the 2 MiB window of an SSH channel.
const inFlight = 64

// files writes files on the host.
type files struct {
	*sftp.Client
	program *program
	root    bool // as root; otherwise only the login's own home can be written
}

func (f *files) close() {
	f.Client.Close()
	f.program.Close()
}

// openFiles returns the one SFTP session of this connection, opening it where there is none.
func (c *Conn) openFiles(ctx context.Context) (*files, error) {
	c.filesMu.Lock()
	defer c.filesMu.Unlock()
	if c.files != nil {
		select {
		case <-c.files.program.exited:
		default:
			return c.files, nil
		}
	}
	f, err := c.startFiles(ctx)
	if err != nil {
		return nil, err
	}
	c.files = f
	return f, nil
}

// closeFiles gives the session back, for hosts that allow only one at a time.
func (c *Conn) closeFiles() {
	c.filesMu.Lock()
	defer c.filesMu.Unlock()
	if c.files != nil {
		c.files.close()
		c.files = nil
	}
}

func (c *Conn) startFiles(ctx context.Context) (*files, error) {
	root := c.addr.User == "root"
	if !root {
		for _, server := range sftpServers {
			p, err := c.run(ctx, "sudo -n "+server)
			if err != nil {
				return nil, err
			}
			if f, err := c.sftp(ctx, p, true); err == nil {
				return f, nil
			} else if err := c.sudoRefused(p); err != nil {
				return nil, err
			} else if err := c.Err(); err != nil {
				return nil, err
			}
		}
	}
	p, err := c.subsystem(ctx, "sftp")
	if err != nil {
		if lost := c.Err(); lost != nil {
			return nil, lost
		}
		return nil, c.addr.fail("start sftp", err, "enable the sftp subsystem in the host's sshd_config")
	}
	f, err := c.sftp(ctx, p, root)
	if err != nil {
		return nil, c.addr.fail("start sftp", err, "a login script that prints something breaks sftp: "+
			"let ~"+c.addr.User+"/.bashrc print nothing when it is not interactive")
	}
	return f, nil
}

// sftp greets an sftp-server; it is closed when it does not greet back.
func (c *Conn) sftp(ctx context.Context, p *program, root bool) (*files, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.hello)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { p.channel.Close() })
	client, err := sftp.NewClientPipe(p, p, sftp.UseConcurrentWrites(true), sftp.MaxConcurrentRequestsPerFile(inFlight))
	if !stop() && err == nil {
		client.Close()
		err = ctx.Err()
	}
	if err != nil {
		if p.gone() {
			err = p.ended()
		}
		p.Close()
		return nil, err
	}
	p.trusted.Store(true)
	return &files{Client: client, program: p, root: root}, nil
}

// writable are the paths that Upload takes: ours only, and in letters that mean nothing to any shell.
var writable = regexp.MustCompile(`^` + agent.StateDir + `(/[a-z0-9][a-z0-9-]*)+$`)

// Upload writes a file below /var/lib/kubewright as root: whole, on the disk and then renamed into place, or not at all.
// Directories on the way are made for root alone.
func (c *Conn) Upload(ctx context.Context, name string, size int64, r io.Reader, mode fs.FileMode) error {
	if !writable.MatchString(name) && !passing.MatchString(name) {
		return c.addr.fail("upload "+Printable(name), errors.New("this is no path below "+agent.StateDir), "this is a mistake in kubewright; please report it")
	}
	release, err := c.opts.limits.upload(ctx)
	if err != nil {
		return err
	}
	defer release()
	defer c.lockPath(name)()
	if err := c.put(ctx, name, size, r, mode); err != nil {
		if lost := c.because(err); lost != err {
			return lost
		}
		if own := new(Error); errors.As(err, &own) || ctx.Err() != nil {
			return err
		}
		return c.addr.fail("upload "+name, err, "look at the free space and at the file system of /var/lib on the host")
	}
	return nil
}

// lockPath lets one upload of a path run at a time; two would share the unfinished file.
func (c *Conn) lockPath(name string) (unlock func()) {
	c.pathsMu.Lock()
	mu := c.paths[name]
	if mu == nil {
		mu = new(sync.Mutex)
		c.paths[name] = mu
	}
	c.pathsMu.Unlock()
	mu.Lock()
	return mu.Unlock
}

func (c *Conn) put(ctx context.Context, name string, size int64, r io.Reader, mode fs.FileMode) error {
	f, err := c.openFiles(ctx)
	if err != nil {
		return err
	}
	if !f.root {
		return c.putBySudo(ctx, f, name, size, r, mode)
	}
	if passing.MatchString(name) {
		err = f.makeDir(path.Dir(name)) // which nobody else may have made
	}
	for _, dir := range stateDirs(name) {
		if err == nil {
			err = f.ensureDir(dir)
		}
	}
	if err != nil {
		return err
	}
	part := name + ".part-" + strconv.FormatUint(rand.Uint64(), 36) // another run may be sending the same file
	err = f.write(ctx, part, size, r, mode)
	if err == nil {
		err = f.PosixRename(part, name)
	}
	if err != nil && c.Err() == nil {
		f.Remove(part)
	}
	return err
}

// stateDirs are the directories from the state directory down to the one that holds name; for what is in memory there are none.
func stateDirs(name string) []string {
	if passing.MatchString(name) {
		return nil
	}
	dirs := []string{agent.StateDir}
	rest := strings.TrimPrefix(path.Dir(name), agent.StateDir)
	for part := range strings.SplitSeq(strings.Trim(rest, "/"), "/") {
		if part != "" {
			dirs = append(dirs, path.Join(dirs[len(dirs)-1], part))
		}
	}
	return dirs
}

// ensureDir makes a directory for its owner alone. Anything else under that name, a link to a directory included, was put there by
// somebody else.
func (f *files) ensureDir(dir string) error {
	fi, err := f.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return f.makeDir(dir)
	}
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if fi.Mode().Perm() != 0o700 {
		return f.Chmod(dir, 0o700)
	}
	return nil
}

// makeDir makes a directory that is not there, for its owner alone.
func (f *files) makeDir(dir string) error {
	if err := f.Mkdir(dir); err != nil {
		return err
	}
	return f.Chmod(dir, 0o700)
}

// write fills a file and brings it to the disk.
func (f *files) write(ctx context.Context, name string, size int64, r io.Reader, mode fs.FileMode) error {
	// What lies there is an earlier upload's remains; a link planted there must not be followed.
	if err := f.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w, err := f.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Chmod(mode); err != nil { // before there is anything to read
		return err
	}
	n, err := w.ReadFromWithConcurrency(&upTo{ctx: ctx, r: r, left: size}, inFlight)
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%d bytes were announced and %d came: %w", size, n, io.ErrUnexpectedEOF)
	}
	if _, ok := f.HasExtension("fsync@openssh.com"); ok {
		if err := w.Sync(); err != nil {
			return err
		}
	}
	return w.Close()
}

// upTo reads at most what was announced, and stops when the context does.
type upTo struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

func (u *upTo) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := u.r.Read(b)
	if u.left -= int64(n); u.left < 0 {
		return 0, errors.New("more bytes came than were announced")
	}
	return n, err
}
