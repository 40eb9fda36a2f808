package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/report"
)

// savedPlan is a plan as plan saves it and up --plan carries it out: what it was computed from, and what every step saw. There are no secrets in it.
type savedPlan struct {
	Kind      string                 `json:"kind"`
	Version   int                    `json:"version"`
	Digest    string                 `json:"digest"`  // of all the rest
	Program   string                 `json:"program"` // the version of kubewright that made it
	Made      time.Time              `json:"made"`
	Cluster   string                 `json:"cluster"`
	Inventory string                 `json:"inventory"` // digest
	Lock      string                 `json:"lock"`      // digest of the bundle's lock
	Facts     map[string]agent.Facts `json:"facts"`     // what each host said of itself
	Targets   []engine.Promise       `json:"targets"`
}

const (
	planKind    = "kubewright-plan"
	planVersion = 1
	planLimit   = 256 << 20
)

// newSavedPlan makes a promise of a plan.
func newSavedPlan(f *fleet, plan *engine.Plan) (*savedPlan, error) {
	s := &savedPlan{Kind: planKind, Version: planVersion, Program: version, Made: time.Now().UTC().Truncate(time.Second),
		Cluster: f.cluster.Metadata.Name, Inventory: inventoryDigest(f.cluster), Lock: lockDigest(f.bundle.Lock), Facts: f.facts()}
	var err error
	if s.Targets, err = plan.Promise(); err != nil {
		return nil, err
	}
	// What counts is what a reader will have.
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	s = new(savedPlan)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, err
	}
	s.Digest, err = s.sum()
	return s, err
}

func inventoryDigest(c *inventory.Cluster) string { return hexDigest(inventory.Render(c)) }

func lockDigest(l bundle.Lock) string {
	raw, err := json.Marshal(l)
	if err != nil {
		return err.Error() // equals no digest
	}
	return hexDigest(raw)
}

func hexDigest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (s *savedPlan) sum() (string, error) {
	bare := *s
	bare.Digest = ""
	raw, err := json.Marshal(bare)
	return hexDigest(raw), err
}

// mark is what the names of this plan's runs end in, so that a host's journal tells them from others.
func (s *savedPlan) mark() string { return "-plan-" + strings.TrimPrefix(s.Digest, "sha256:")[:12] }

// write puts the plan into a file for its owner alone, whole or not at all.
func (s *savedPlan) write(path string) error {
	raw, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return writeWhole(path, append(raw, '\n'), 0o600)
}

// mayWritePlan refuses to write a plan over anything but a plan, before any host is asked.
func mayWritePlan(path string) error {
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
		return usageError{fmt.Errorf("there is no folder for %s", path)}
	}
	if _, err := readPlan(path); err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return coded{exitRefused, fmt.Errorf("%s is there and is no saved plan; it is not written over", path)}
}

// readPlan reads a saved plan and believes it only if it is whole and unchanged.
func readPlan(path string) (*savedPlan, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, usageError{err}
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, planLimit))
	if err != nil {
		return nil, usageError{err}
	}
	wrong := func(format string, args ...any) (*savedPlan, error) {
		return nil, usageError{fmt.Errorf("%s: %s; make it anew with kubewright plan", path, fmt.Sprintf(format, args...))}
	}
	var head struct {
		Kind    string
		Version int
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		if bytes.Contains(raw[:min(len(raw), 200)], []byte(planKind)) {
			return wrong("is cut off or damaged (%v)", err)
		}
		return wrong("is no saved plan")
	}
	switch {
	case head.Kind != planKind:
		return wrong("is no saved plan")
	case head.Version > planVersion:
		return wrong("was made by a later kubewright (plan version %d, this one knows %d)", head.Version, planVersion)
	}
	s := new(savedPlan)
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(s); err != nil {
		return wrong("cannot be read: %v", err)
	}
	if sum, err := s.sum(); err != nil || sum != s.Digest || len(s.Digest) < len("sha256:")+12 {
		return wrong("was changed after it was made")
	}
	return s, nil
}

// madeFrom refuses a plan that was made from something else than what would be carried out now.
func (s *savedPlan) madeFrom(c *inventory.Cluster, b *bundle.Bundle) error {
	conflict := func(format string, args ...any) error {
		return coded{exitConflict, fmt.Errorf("the plan %s; nothing was changed: make it anew with kubewright plan", fmt.Sprintf(format, args...))}
	}
	switch {
	case s.Cluster != c.Metadata.Name:
		return conflict("is for cluster %s, not %s", report.Escape(s.Cluster), c.Metadata.Name)
	case s.Program != version:
		return conflict("was made by kubewright %s, and this is %s", report.Escape(s.Program), version)
	case s.Inventory != inventoryDigest(c):
		return conflict("was made from another inventory: what this one says has changed since %s", s.Made.Format(time.RFC3339))
	case s.Lock != lockDigest(b.Lock):
		return conflict("was made from another bundle: its lock has changed since %s", s.Made.Format(time.RFC3339))
	}
	return nil
}
