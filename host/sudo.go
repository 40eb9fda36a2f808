package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// exitNotFound is what a shell returns for a program that is not there. Behind "sudo -n" it is sudo that is missing: sudo itself
// returns 1 for whatever it does not find or allow.
const exitNotFound = 127

// sudoRefused tells whether an ended program was stopped by sudo for a reason that will stop every other one too. It reads sudo's words,
// which may be in any language: when it recognises nothing the next thing is tried, and the last error says the same more slowly.
func (c *Conn) sudoRefused(p *program) error {
	if !p.gone() {
		return nil
	}
	end := p.ended()
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(end.Last, w) {
				return true
			}
		}
		return false
	}
	switch {
	case end.Status == exitNotFound, says("password is required", "must have a tty", "not in the sudoers", "may not run sudo"):
		return c.sudoError(end)
	}
	return nil
}

// sudoError explains a refusal and says which line ends it.
func (c *Conn) sudoError(end *ExitError) error {
	user := c.addr.User
	line := user + " ALL=(root) NOPASSWD: ALL"
	remedy := "on the host, as root: visudo -f /etc/sudoers.d/kubewright, with the line: " + line
	switch {
	case end.Status == exitNotFound:
		remedy = "install sudo on the host and add this line with visudo -f /etc/sudoers.d/kubewright: " + line + "; or log in as root with ssh.user"
	case strings.Contains(end.Last, "tty"):
		remedy = "on the host, as root: visudo -f /etc/sudoers.d/kubewright, with the line: Defaults:" + user + " !requiretty"
	}
	return c.addr.fail("become root", &SudoError{User: user, Said: end.Last}, remedy)
}

// putBySudo is the way for a host whose sftp-server cannot be run through sudo: the file goes to a directory of the login's own,
// which nobody else can enter, and root copies it from there. All names are ours, so that no argument needs quoting.
func (c *Conn) putBySudo(ctx context.Context, f *files, name string, size int64, r io.Reader, mode fs.FileMode) error {
	stage, dirs := ".kubewright-"+randomHex(), "install -d -m 0700 -o root -g root "+strings.Join(stateDirs(name), " ")
	if passing.MatchString(name) {
		// Not even the login's home is written to. Unlike install, mkdir takes no directory that is there already.
		stage, dirs = "/dev/shm/"+stage, "mkdir -m 0700 "+path.Dir(name)
	}
	if err := f.Mkdir(stage); err != nil {
		return err
	}
	staged := stage + "/file"
	defer func() {
		if c.Err() == nil {
			f.Remove(staged)
			f.RemoveDirectory(stage)
		}
	}()
	if err := f.Chmod(stage, 0o700); err != nil {
		return err
	}
	if err := f.write(ctx, staged, size, r, 0o600); err != nil {
		return err
	}
	part := name + ".part"
	for _, command := range []string{
		dirs,
		"install -T -m 0" + strconv.FormatUint(uint64(mode.Perm()), 8) + " -o root -g root " + staged + " " + part,
		"sync " + part,
		"mv -f -T " + part + " " + name,
	} {
		if err := c.asRoot(ctx, command); err != nil {
			return err
		}
	}
	return nil
}

// asRoot runs one of our constant commands through sudo and waits for it.
func (c *Conn) asRoot(ctx context.Context, command string) error {
	p, err := c.run(ctx, "sudo -n "+command)
	if err != nil {
		return err
	}
	defer p.channel.Close()
	stop := context.AfterFunc(ctx, func() { p.channel.Close() })
	defer stop()
	p.channel.CloseWrite()
	if n, _ := io.Copy(io.Discard, io.LimitReader(p.channel, maxHello)); n == maxHello {
		p.channel.Close() // none of these has so much to say
	}
	select {
	case <-p.exited:
	case <-p.conn.over:
		return p.conn.err
	}
	tool, _, _ := strings.Cut(command, " ")
	switch end := p.ended(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case end.Status == 0:
		return nil
	case end.Status < 0, strings.Contains(end.Last, tool+": "): // the tool's own words: sudo let it run
		return p.conn.because(end)
	default:
		return c.sudoError(end)
	}
}

func randomHex() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
