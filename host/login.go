package host

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
	sshagent "golang.org/x/crypto/ssh/agent"
)

// maxKeys is how many keys are offered; sshd closes the connection after MaxAuthTries, 6 unless told otherwise.
const maxKeys = 5

// login is the keys that one login offers, in order.
type login struct {
	user    string
	signers []ssh.Signer
	tried   []string // what each signer is called
	skipped []string // keys that cannot be offered, and why
	socket  net.Conn // of the SSH agent
}

func (l *login) close() {
	if l.socket != nil {
		l.socket.Close()
	}
}

func (l *login) refused(accepts []string) *LoginError {
	e := &LoginError{User: l.user, Tried: l.tried, Skipped: l.skipped}
	for _, m := range accepts {
		e.Accepts = append(e.Accepts, Printable(m))
	}
	return e
}

// findLogin collects the keys: the named one alone, or the SSH agent's and then the usual files.
func findLogin(a Address) (*login, error) {
	l := &login{user: a.User}
	fromAgent := l.askAgent()
	if a.KeyFile != "" {
		if err := l.readKey(a.KeyFile, fromAgent); err != nil {
			l.close()
			return nil, a.fail("read the key to log in with", err, keyFileRemedy(a.KeyFile, err))
		}
		return l, nil
	}
	for _, s := range fromAgent {
		l.offer(s, "SSH agent")
	}
	for _, name := range []string{"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"} {
		if err := l.readKey(name, fromAgent); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.skipped = append(l.skipped, fmt.Sprintf("%s (%v)", name, err))
		}
	}
	if len(l.signers) == 0 {
		l.close()
		return nil, a.fail("log in", l.refused(nil), "make a key with ssh-keygen, or name one with ssh.keyFile, or load one into the SSH agent with ssh-add")
	}
	return l, nil
}

// askAgent lists the SSH agent's keys. An agent that is not there or does not answer is not an error: there are files.
func (l *login) askAgent() []ssh.Signer {
	path := os.Getenv("SSH_AUTH_SOCK")
	if path == "" {
		return nil
	}
	socket, err := net.DialTimeout("unix", path, 2*time.Second)
	if err != nil {
		l.skipped = append(l.skipped, fmt.Sprintf("SSH agent (%v)", plain(err)))
		return nil
	}
	l.socket = socket
	socket.SetDeadline(time.Now().Add(5 * time.Second))
	signers, err := sshagent.NewClient(socket).Signers()
	if err != nil {
		l.skipped = append(l.skipped, fmt.Sprintf("SSH agent (%v)", plain(err)))
	}
	socket.SetDeadline(time.Now().Add(time.Minute)) // a key may have to be confirmed by a person
	return signers
}

var errPassphrase = errors.New("it is protected by a passphrase")

// readKey offers the key in a file, preceded by its certificate where there is one. A key with a passphrase is looked for in the agent.
func (l *login) readKey(name string, fromAgent []ssh.Signer) error {
	file, err := fromHome(name)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		if signer = inAgent(fromAgent, publicOf(locked.PublicKey, file)); signer == nil {
			return errPassphrase
		}
	} else if err != nil {
		return errors.New("it is not a private key that can be read")
	}
	if cert, ok := readPublic(file + "-cert.pub").(*ssh.Certificate); ok {
		if certified, err := ssh.NewCertSigner(cert, signer); err == nil {
			l.offer(certified, name+"-cert.pub")
		}
	}
	l.offer(signer, name)
	return nil
}

// publicOf is the public half of a locked key: from the file itself, or from the .pub beside it.
func publicOf(k ssh.PublicKey, file string) ssh.PublicKey {
	if k != nil {
		return k
	}
	return readPublic(file + ".pub")
}

func readPublic(file string) ssh.PublicKey {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	k, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil
	}
	return k
}

func inAgent(signers []ssh.Signer, k ssh.PublicKey) ssh.Signer {
	for _, s := range signers {
		if k != nil && string(s.PublicKey().Marshal()) == string(k.Marshal()) {
			return s
		}
	}
	return nil
}

// offer adds a key unless it is there already or there are enough. RSA keys are held to SHA-2.
func (l *login) offer(s ssh.Signer, from string) {
	same := func(o ssh.Signer) bool { return string(o.PublicKey().Marshal()) == string(s.PublicKey().Marshal()) }
	if slices.ContainsFunc(l.signers, same) {
		return
	}
	name := fmt.Sprintf("%s (%s %s)", from, s.PublicKey().Type(), ssh.FingerprintSHA256(s.PublicKey()))
	if len(l.signers) == maxKeys {
		l.skipped = append(l.skipped, name+" (too many)")
		return
	}
	if t := s.PublicKey().Type(); t == ssh.KeyAlgoRSA || t == ssh.CertAlgoRSAv01 {
		as, ok := s.(ssh.AlgorithmSigner)
		if !ok {
			return
		}
		strong, err := ssh.NewSignerWithAlgorithms(as, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
		if err != nil {
			return
		}
		s = strong
	}
	l.signers = append(l.signers, s)
	l.tried = append(l.tried, name)
}

func keyFileRemedy(file string, err error) string {
	switch {
	case errors.Is(err, errPassphrase):
		return "load it into the SSH agent with: ssh-add " + file
	case errors.Is(err, fs.ErrNotExist):
		return "name an existing private key with ssh.keyFile"
	}
	return "name a private key that you may read with ssh.keyFile"
}
