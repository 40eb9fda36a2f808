package phases

import (
	"bytes"
	"io"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

// service is a systemd unit of ours and what the process reads when it starts.
type service struct {
	Name, Description string // Name without .service
	Exec              string
	Environment       []string
	EnvironmentFile   string
	After, Wants      string
	Requires          string
	Type              string // default exec
	Reads             [][]byte
	Marks             []string           // files it has to be started after: what it reads once and nobody knows beforehand
	More              []*unit.UnitOption // further [Service] options
}

// file is the unit file. It carries the digest of what the service reads, and so changes with it.
func (s service) file() ops.File {
	return ops.File{Path: "/etc/systemd/system/" + s.Name + ".service", Content: s.render(s.inputs()), Mode: 0o644}
}

// unit is the wish that the service runs, started after everything it reads was last changed.
func (s service) unit() ops.Unit {
	return ops.Unit{Name: s.Name + ".service", Enabled: true, Active: true, Inputs: s.inputs(), Reads: s.Marks}
}

func (s service) inputs() string { return digestOf(append([][]byte{s.render("")}, s.Reads...)...) }

func (s service) render(inputs string) []byte {
	opts := []*unit.UnitOption{{Section: "Unit", Name: "Description", Value: s.Description}}
	add := func(section, name, value string) {
		if value != "" {
			opts = append(opts, &unit.UnitOption{Section: section, Name: name, Value: value})
		}
	}
	add("Unit", "After", s.After)
	add("Unit", "Wants", s.Wants)
	add("Unit", "Requires", s.Requires)
	add("Unit", "StartLimitIntervalSec", "0") // one that cannot start yet is never given up (as kubeadm's kubelet)
	kind := s.Type
	if kind == "" {
		kind = "exec"
	}
	add("Service", "Type", kind)
	add("Service", "ExecStart", s.Exec)
	for _, e := range s.Environment {
		add("Service", "Environment", e)
	}
	add("Service", "EnvironmentFile", s.EnvironmentFile)
	if inputs != "" {
		add("Service", "Environment", ops.InputsVar+"="+inputs)
	}
	add("Service", "Restart", "always")
	add("Service", "RestartSec", "2")
	opts = append(opts, s.More...)
	add("Install", "WantedBy", "multi-user.target")
	var out bytes.Buffer
	_, _ = io.Copy(&out, unit.Serialize(opts)) // a bytes.Buffer takes everything
	return out.Bytes()
}

// runtimeUnit is the unit that answers the kubelet.
func (in Input) runtimeUnit() string {
	if in.Host.Docker() {
		return criDockerd
	}
	return "containerd.service"
}

// Units are the services that should run on a host.
func Units(h inventory.Host) []string {
	var out []string
	if h.Has(inventory.Registry) {
		out = append(out, "kubewright-registry.service")
	}
	if h.Node() {
		if h.Docker() {
			out = append(out, "docker.service", criDockerd)
		} else {
			out = append(out, "containerd.service")
		}
		out = append(out, "kubelet.service")
	}
	return out
}
