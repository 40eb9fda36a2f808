package preflight

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

func TestRuntimes(t *testing.T) {
	active, ours := ops.UnitState{Exists: true, Active: true}, ops.UnitState{Exists: true, Active: true, Inputs: "ours"}
	for name, row := range map[string]struct {
		runtime string
		facts   agent.Facts
		found   string // empty: nothing stands in the way
	}{
		"nothing":             {inventory.RuntimeDocker, agent.Facts{}, ""},
		"somebody's docker":   {inventory.RuntimeDocker, agent.Facts{Units: map[string]ops.UnitState{"docker.service": active, "containerd.service": active}, Docker: "docker.io"}, ""},
		"of no package":       {inventory.RuntimeDocker, agent.Facts{Units: map[string]ops.UnitState{"docker.service": active}}, ""},
		"of another package":  {inventory.RuntimeDocker, agent.Facts{Units: map[string]ops.UnitState{"docker.service": active}, Docker: "docker-ce"}, "from the package docker-ce"},
		"our containerd":      {inventory.RuntimeDocker, agent.Facts{Units: map[string]ops.UnitState{"containerd.service": ours}, Changes: 3}, "pods run in containerd"},
		"our docker":          {inventory.RuntimeDocker, agent.Facts{Units: map[string]ops.UnitState{"docker.service": active, "cri-docker.service": ours}, Changes: 3, Docker: "docker.io"}, ""},
		"docker, unwanted":    {inventory.RuntimeContainerd, agent.Facts{Units: map[string]ops.UnitState{"docker.service": active}}, "docker.service runs already"},
		"our docker, no more": {inventory.RuntimeContainerd, agent.Facts{Units: map[string]ops.UnitState{"docker.service": active, "cri-docker.service": ours}, Changes: 3}, "pods run in Docker"},
		"docker beside ours":  {inventory.RuntimeContainerd, agent.Facts{Units: map[string]ops.UnitState{"docker.service": active, "containerd.service": ours}, Changes: 3}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := &inventory.Cluster{Spec: inventory.Spec{Docker: inventory.Docker{Package: inventory.DockerIO}}}
			l := look{Input: Input{Cluster: c}, f: row.facts, host: inventory.Host{Name: "n", Roles: []inventory.Role{inventory.Worker}, Runtime: row.runtime}}
			runtime(&l)
			if len(l.found) > 1 || (len(l.found) > 0) != (row.found != "") {
				t.Fatalf("found %+v", l.found)
			}
			if row.found != "" && (!strings.Contains(l.found[0].Found, row.found) || l.found[0].Need == "" || l.found[0].Remedy == "") {
				t.Errorf("found %+v", l.found[0])
			}
		})
	}
}
