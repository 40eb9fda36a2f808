//go:build e2e

// Package browser looks at a page as a person would: a real Chromium, without a screen, that types into its forms and reads what it shows.
package browser

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds each thing that is done on a page.
const patience = time.Minute

// Browser is one Chromium with a profile of its own and one page in it.
type Browser struct {
	ctx     context.Context
	profile string
	ends    []context.CancelFunc

	complaints chan string
}

// Start starts the browser. With HTTPS it believes the public authorities and, beside them, the certificates that it is given. It ends with
// ctx, or when it is closed.
func Start(ctx context.Context, known ...*x509.Certificate) (*Browser, error) {
	program, err := find()
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "kubewright-browser-")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(profile), chromedp.WindowSize(1280, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it cannot have one as root, and it only sees pages of ours
	}
	if len(known) > 0 {
		options = append(options, chromedp.Flag("ignore-certificate-errors-spki-list", keys(known)))
	}
	b := &Browser{profile: profile, complaints: make(chan string, 100)}
	allocator, end := chromedp.NewExecAllocator(ctx, options...)
	b.ends = append(b.ends, end)
	b.ctx, end = chromedp.NewContext(allocator)
	b.ends = append(b.ends, end)
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(1280, 900)); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := chromedp.Listen(b.ctx, b.listen); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// find prefers the smaller of Debian's two.
func find() (string, error) {
	for _, name := range []string{"chromium-headless-shell", "chromium"} {
		if program, err := exec.LookPath(name); err == nil {
			return program, nil
		}
	}
	return "", errors.New("there is no Chromium; install chromium-headless-shell")
}

// keys names public keys as Chromium's flag has them.
func keys(certs []*x509.Certificate) (list string) {
	for _, c := range certs {
		sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		list += base64.StdEncoding.EncodeToString(sum[:]) + ","
	}
	return list[:len(list)-1]
}

// listen keeps what the page's scripts throw and nobody catches.
func (b *Browser) listen(event any) {
	e, ok := event.(*runtime.EventExceptionThrown)
	if !ok {
		return
	}
	said := e.ExceptionDetails.Text
	if x := e.ExceptionDetails.Exception; x != nil && x.Description != "" {
		said = x.Description
	}
	select {
	case b.complaints <- said:
	default: // a hundred say enough
	}
}

// Complaints returns what the page's scripts have thrown since the last call.
func (b *Browser) Complaints() (all []string) {
	for {
		select {
		case c := <-b.complaints:
			all = append(all, c)
		default:
			return all
		}
	}
}

// Close ends the browser and removes its profile.
func (b *Browser) Close() error {
	err := chromedp.Cancel(b.ctx)
	for i := len(b.ends) - 1; i >= 0; i-- {
		b.ends[i]()
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(b.profile))
}

// run does something on the page; what goes wrong tells what the page shows.
func (b *Browser) run(what string, steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return b.explain(what, chromedp.Do(ctx, steps...))
}

func (b *Browser) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	text, _ := b.text()
	return fmt.Errorf("%s: %w; the page says %q, its scripts %q", what, err, text, b.Complaints())
}

// Open goes to an address.
func (b *Browser) Open(url string) error { return b.run("open "+url, chromedp.Navigate(url)) }

// Await waits until a text is on the page, whatever pages come in between.
func (b *Browser) Await(text string) error {
	late := time.After(patience)
	for {
		if now, err := b.text(); err == nil && strings.Contains(now, text) {
			return nil
		}
		select {
		case <-b.ctx.Done():
			return b.ctx.Err()
		case <-late:
			return b.explain("wait for "+text, errors.New("it does not come"))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Fill types into the field that a CSS selector names. What it types is not told when that fails.
func (b *Browser) Fill(field, text string) error {
	return b.run("fill "+field, chromedp.WaitVisible(chromedp.CSS(field)), chromedp.SendKeys(chromedp.CSS(field), text))
}

// Press presses the button with that label.
func (b *Browser) Press(label string) error {
	return b.run("press "+label, chromedp.Click(chromedp.Search(fmt.Sprintf("//button[normalize-space()=%q]", label))))
}

// Text is what the page shows.
func (b *Browser) Text() (string, error) {
	text, err := b.text()
	if err != nil {
		return "", fmt.Errorf("read the page: %w", err)
	}
	return text, nil
}

func (b *Browser) text() (string, error) {
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ''`))
}

// Screenshot keeps a picture of the page as a PNG.
func (b *Browser) Screenshot(file string) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	return os.WriteFile(file, png, 0o644)
}
