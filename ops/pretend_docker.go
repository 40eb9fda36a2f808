package ops

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// PretendDocker is Docker's engine on a pretend machine, as far as ops speak with it. What it stores lies in its directory there, and goes with it.
type PretendDocker struct {
	Running func() bool            // nil: always
	Driver  func() string          // of cgroups; nil: systemd
	Pull    func(ref string) error // nil: every image can be had

	m *Pretend
}

// pretendStore is what the engine keeps.
type pretendStore struct {
	Images     []dockerImage     `json:"images,omitempty"`
	Containers []dockerContainer `json:"containers,omitempty"`
}

const pretendStoreFile = "/var/lib/docker/pretend.json"

// ServeDocker gives the machine a Docker.
func (p *Pretend) ServeDocker(d *PretendDocker) {
	d.m = p
	p.Serve(engineURL+"/", d)
}

// ServeStore gives d the machine's store, without a server.
func (p *Pretend) ServeStore(d *PretendDocker) { d.m = p }

// Run adds a container to the store, with its image; labels of a pod's make it one.
func (d *PretendDocker) Run(id, imageID string, pod bool, digests ...string) error {
	s := d.read()
	c := dockerContainer{ID: id, Names: []string{"/" + id}, ImageID: imageID, State: "running"}
	if pod {
		c.Labels = map[string]string{podLabel: "container"}
	}
	if !slices.ContainsFunc(s.Containers, func(x dockerContainer) bool { return x.ID == id }) {
		s.Containers = append(s.Containers, c)
	}
	if !slices.ContainsFunc(s.Images, func(x dockerImage) bool { return x.ID == imageID }) {
		s.Images = append(s.Images, dockerImage{ID: imageID, Digests: digests})
	}
	return d.write(s)
}

// Stop is what a restart does to containers that nobody restarts.
func (d *PretendDocker) Stop() error {
	s := d.read()
	for i := range s.Containers {
		s.Containers[i].State = "exited"
	}
	return d.write(s)
}

// Store is what there is, for tests to read.
func (d *PretendDocker) Store() (images, containers []string) {
	s := d.read()
	for _, i := range s.Images {
		images = append(images, i.ID)
	}
	for _, c := range s.Containers {
		containers = append(containers, c.ID)
	}
	return images, containers
}

func (d *PretendDocker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.Running != nil && !d.Running() {
		w.WriteHeader(refused)
		return
	}
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	switch path := r.URL.Path; {
	case path == "/info":
		driver := "systemd"
		if d.Driver != nil {
			driver = d.Driver()
		}
		answer(map[string]string{"CgroupDriver": driver})
	case path == "/images/json":
		answer(d.read().Images)
	case path == "/containers/json":
		answer(d.read().Containers)
	case path == "/images/create":
		if err := d.pull(r.FormValue("fromImage") + "@" + r.FormValue("tag")); err != nil {
			answer(map[string]string{"error": err.Error()}) // the status was sent long ago
		}
	case r.Method == http.MethodPost && d.start(path):
	case r.Method == http.MethodDelete && d.remove(path):
	case r.Method == http.MethodGet && d.has(strings.TrimSuffix(strings.TrimPrefix(path, "/images/"), "/json")):
		answer(struct{}{})
	default:
		w.WriteHeader(http.StatusNotFound)
		answer(map[string]string{"message": "no such thing: " + path})
	}
}

func (d *PretendDocker) pull(ref string) error {
	if d.Pull != nil {
		if err := d.Pull(ref); err != nil {
			return err
		}
	}
	if d.has(ref) {
		return nil
	}
	s := d.read()
	s.Images = append(s.Images, dockerImage{ID: "id-of-" + ref, Digests: []string{ref}})
	return d.write(s)
}

func (i dockerImage) is(name string) bool { return i.ID == name || slices.Contains(i.Digests, name) }

func (d *PretendDocker) has(name string) bool {
	return slices.ContainsFunc(d.read().Images, func(i dockerImage) bool { return i.is(name) })
}

func (d *PretendDocker) start(path string) bool {
	s := d.read()
	for i, c := range s.Containers {
		if path == "/containers/"+c.ID+"/start" {
			s.Containers[i].State = "running"
			return d.write(s) == nil
		}
	}
	return false
}

func (d *PretendDocker) remove(path string) bool {
	s := d.read()
	before := len(s.Images) + len(s.Containers)
	if name, ok := strings.CutPrefix(path, "/images/"); ok {
		s.Images = slices.DeleteFunc(s.Images, func(i dockerImage) bool { return i.is(name) })
	}
	if name, ok := strings.CutPrefix(path, "/containers/"); ok {
		s.Containers = slices.DeleteFunc(s.Containers, func(c dockerContainer) bool { return c.ID == name })
	}
	return len(s.Images)+len(s.Containers) < before && d.write(s) == nil
}

func (d *PretendDocker) read() (s pretendStore) {
	data, err := os.ReadFile(d.m.Path(pretendStoreFile))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil && !missing(err) {
		panic(fmt.Sprintf("%s: %v", pretendStoreFile, err)) // only this file writes it
	}
	return s
}

func (d *PretendDocker) write(s pretendStore) error {
	real := d.m.Path(pretendStoreFile)
	if len(s.Images)+len(s.Containers) == 0 {
		if err := os.Remove(real); err != nil && !missing(err) {
			return err
		}
		return nil
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(real), 0o710); err != nil {
		return err
	}
	return os.WriteFile(real, data, 0o600)
}

// ServeCRI has a container runtime answer kubelets that ask for its cgroup driver, while it runs.
func (p *Pretend) ServeCRI(running func() bool) {
	p.Serve(criURL+"/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !running() {
			w.WriteHeader(refused)
			return
		}
		_, _ = w.Write([]byte{0, 0, 0, 0, 2, 0x0a, 0}) // one message: linux, with the driver that is left out
	}))
}
