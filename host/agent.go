package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
)

// AgentBinary is the program that hosts are sent: one build for each architecture, by GOARCH.
type AgentBinary map[string]Build

// Build is the agent for one architecture.
type Build struct {
	SHA256 string                 // of the bytes, in hex
	Bytes  func() ([]byte, error) // called only when a host lacks it
}

// ID names the builds together, so that the agent can be started without knowing which of them a host needs.
func (b AgentBinary) ID() string {
	h := sha256.New()
	for _, arch := range slices.Sorted(maps.Keys(b)) {
		fmt.Fprintf(h, "%s %s\n", arch, b[arch].SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// path is where the agent lies on a host.
func (b AgentBinary) path() string { return agent.StateDir + "/agent/" + b.ID() + "/kubewright-agent" }

// Agent starts the agent on the host and returns once it has said hello. On a host that has it this is one exec and no other
// round trip; a host that does not is sent it first. answer is asked what only the workstation knows. The context bounds the start,
// not the session.
func (c *Conn) Agent(ctx context.Context, bin AgentBinary, answer func(context.Context, ops.Question) ([]byte, error)) (*agent.Session, error) {
	s, err := c.startAgent(ctx, bin, bin.path(), answer)
	var missing *missingError
	if !errors.As(err, &missing) {
		return s, err
	}
	if err := c.sendAgent(ctx, bin, bin.path()); err != nil {
		return nil, err
	}
	s, err = c.startAgent(ctx, bin, bin.path(), answer)
	if errors.As(err, &missing) {
		return nil, c.addr.fail("start the agent", missing.end, "look whether /var/lib on the host is mounted noexec, and what its log says")
	}
	return s, err
}

// missingError says that there was no agent to start, as far as can be told: the command ended without a hello. A shell's exit status
// is not enough to go by, as a file cut short by a crash may well run and return 0, and sudo has one status for everything.
type missingError struct{ end *ExitError }

func (e *missingError) Error() string { return "there is no agent: " + e.end.Error() }

func (c *Conn) startAgent(ctx context.Context, bin AgentBinary, at string, answer func(context.Context, ops.Question) ([]byte, error)) (*agent.Session, error) {
	sudo := ""
	if c.addr.User != "root" {
		sudo = "sudo -n "
	}
	p, err := c.run(ctx, sudo+at+" serve")
	if err != nil {
		return nil, err
	}
	start, cancel := context.WithTimeout(ctx, c.opts.hello)
	defer cancel()
	stop := context.AfterFunc(start, func() { p.channel.Close() })
	s, err := agent.Open(start, p, answer)
	if stop(); err == nil {
		if err = c.recognise(bin, s.Hello()); err == nil {
			p.trusted.Store(true)
			return s, nil
		}
		s.Close()
		return nil, err
	}
	defer p.Close()
	lost := new(Error)
	switch {
	case errors.As(err, &lost): // the connection, which the stream was the first to miss
		return nil, lost
	case c.Err() != nil:
		return nil, c.Err()
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case start.Err() != nil:
		return nil, c.addr.fail("start the agent", timedOut{start.Err()}, "look at the load of the host")
	case p.gone():
		if sudo != "" {
			if err := c.sudoRefused(p); err != nil {
				return nil, err
			}
		}
		return nil, &missingError{p.ended()}
	}
	return nil, c.addr.fail("start the agent", errors.New(Printable(err.Error())), "a login script that prints something gets in the way: "+
		"let ~"+c.addr.User+"/.bashrc print nothing when it is not interactive")
}

// recognise checks that the agent which answered is the one that we would send.
func (c *Conn) recognise(bin AgentBinary, h agent.Hello) error {
	want, ok := bin[h.Facts.Arch]
	if !ok {
		return c.addr.fail("start the agent", fmt.Errorf("there is no agent for %s", Printable(h.Facts.Arch)), "use a host of one of: "+archs(bin))
	}
	if h.Hash != want.SHA256 {
		return c.addr.fail("start the agent", fmt.Errorf("the agent on the host is not ours: its hash is %s, not %s", Printable(h.Hash), want.SHA256),
			"find out who changed "+bin.path()+" and remove it; the next run sends it again")
	}
	return nil
}

// sendAgent uploads the build for the host's architecture.
func (c *Conn) sendAgent(ctx context.Context, bin AgentBinary, at string) error {
	arch, err := c.arch(ctx)
	if err != nil {
		return err
	}
	build, ok := bin[arch]
	if !ok {
		return c.addr.fail("send the agent", fmt.Errorf("there is no agent for %s", arch), "use a host of one of: "+archs(bin))
	}
	data, err := build.Bytes()
	if err != nil {
		return c.addr.fail("send the agent", err, "install kubewright again")
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != build.SHA256 {
		return c.addr.fail("send the agent", errors.New("the agent inside kubewright is damaged"), "install kubewright again")
	}
	err = c.Upload(ctx, at, int64(len(data)), bytes.NewReader(data), 0o700)
	c.closeFiles() // the host may allow one session only
	return err
}

// machines are the processors that we know, by the number in the header of every program.
var machines = map[uint16]string{62: "amd64", 183: "arm64", 3: "386", 40: "arm", 243: "riscv64", 22: "s390x", 21: "ppc64le"}

// arch reads which processor the host's programs are for, from the ELF header of its shell: a format, where "uname -m" would be words.
func (c *Conn) arch(ctx context.Context) (string, error) {
	f, err := c.openFiles(ctx)
	if err != nil {
		return "", err
	}
	header := make([]byte, 20)
	sh, err := f.Open("/bin/sh")
	if err == nil {
		_, err = io.ReadFull(sh, header)
		sh.Close()
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, fs.ErrNotExist) {
		if lost := c.because(err); lost != err {
			return "", lost
		}
		return "", c.addr.fail("find its architecture", err, "look at /bin/sh on the host")
	}
	if !bytes.HasPrefix(header, []byte("\x7fELF")) {
		return "", c.addr.fail("find its architecture", errors.New("/bin/sh is not a Linux program"), "use a Linux host")
	}
	n := uint16(header[18]) | uint16(header[19])<<8
	if header[5] == 2 { // big endian
		n = uint16(header[18])<<8 | uint16(header[19])
	}
	if arch := machines[n]; arch != "" {
		return arch, nil
	}
	return fmt.Sprintf("machine %d", n), nil
}

func archs(bin AgentBinary) string {
	return fmt.Sprint(slices.Sorted(maps.Keys(bin)))
}
