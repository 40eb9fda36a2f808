package agent

import (
	"reflect"
	"testing"
)

// TestRoutes reads a table as /proc/net/route shows it on a little-endian machine, which all are that kubewright is built for.
func TestRoutes(t *testing.T) {
	got, defaults := routes(`Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0101A8C0	0003	0	0	0	00000000	0	0	0
cni0	0000F40A	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth0	0001F40A	1F01A8C0	0003	0	0	0	00FFFFFF	0	0	0
eth0	nonsense
`, "")
	want := []Route{{Network: "10.244.0.0/24", Interface: "cni0"}, {Network: "10.244.1.0/24", Interface: "eth0", Gateway: "192.168.1.31"}}
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(defaults, []string{"eth0"}) {
		t.Errorf("got %+v and the way out %v", got, defaults)
	}
}
