package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
)

// registryFlags are how a registry is reached that is not the cluster's own.
type registryFlags struct {
	authFile, ca string
	plainHTTP    bool
}

func (f *registryFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.authFile, "auth-file", "", "credentials: a config.json of Docker's form, or one line USER:PASSWORD; of mode 0600")
	cmd.Flags().StringVar(&f.ca, "ca", "", "a PEM file with the authorities that may have signed the registry's certificate (default: the system's)")
	cmd.Flags().BoolVar(&f.plainHTTP, "plain-http", false, "allow an address that begins with http://")
}

// used says whether any of the flags was given, where they have no meaning.
func (f *registryFlags) used() bool { return f.authFile != "" || f.ca != "" || f.plainHTTP }

// role is what a command wants of a registry. Where there are two, a config.json may know either, and credentials that name no registry are for the one that
// is written to.
type role int

const (
	only role = iota
	giver
	taker
)

// at is the registry at an address, with the credentials of --auth-file, or else of the environment.
func (f *registryFlags) at(flag, address string, as role) (bundle.Registry, error) {
	wrong := func(flag string, err error) (bundle.Registry, error) {
		return bundle.Registry{}, usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	r, err := bundle.ParseRegistry(address)
	if err != nil {
		return wrong(flag, err)
	}
	if r.Plain() && !f.plainHTTP {
		return wrong(flag, errors.New("a registry without TLS is asked only with --plain-http: everybody on the way can read and change what it sends"))
	}
	if r.Transport, r.Trust, err = bundle.Transport(f.ca); err != nil {
		return wrong("--ca", err)
	}
	if f.authFile == "" {
		if as == giver {
			return r, nil
		}
		if r.Credentials, err = bundle.Environment(); err != nil {
			return wrong(flag, err)
		}
		return r, nil
	}
	file, err := bundle.ReadAuthFile(f.authFile)
	if err != nil {
		return wrong("--auth-file", err)
	}
	known, ok := file.For(r)
	switch {
	case file.OneLine() && as == giver:
		return r, nil
	case !ok && as == only:
		return wrong("--auth-file", fmt.Errorf("%s has no credentials for %s", f.authFile, r))
	}
	r.Credentials = known
	return r, nil
}

// moved tells what becomes of each component, and at the end how much crossed the network.
type moved struct {
	w           io.Writer
	word, there string // pushed, there
	name        func(bundle.Component) string

	sent, kept int64
	parts      int
}

func (m *moved) tell(p bundle.Pushed) {
	if !p.Done {
		return
	}
	m.sent, m.kept, m.parts = m.sent+p.Sent, m.kept+p.There, m.parts+1
	if p.Skipped {
		fmt.Fprintf(m.w, "%s %s\n", m.there, report.Escape(m.name(p.Component)))
		return
	}
	fmt.Fprintf(m.w, "%s %s (%s)\n", m.word, report.Escape(m.name(p.Component)), bundle.Size(p.Sent))
}

func (m *moved) sum(verb, where string) {
	fmt.Fprintf(m.w, "%s %d bytes (%s); %d bytes (%s) of %d components were there already: %s\n", verb, m.sent, bundle.Size(m.sent), m.kept, bundle.Size(m.kept),
		m.parts, where)
}
