//go:build e2e

package vm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/kubewright/kubewright/bundle"
	corev1 "k8s.io/api/core/v1"
)

// upUntil starts up and returns when the step begins on the virtual machine; wait is for how up ends.
func upUntil(t *testing.T, key string) (wait func() error) {
	t.Helper()
	dir := t.TempDir()
	events := filepath.Join(dir, "events")
	if err := syscall.Mkfifo(events, 0o600); err != nil {
		t.Fatal(err)
	}
	// Opened for reading and writing, so that opening does not wait for a program that may never write.
	pipe, err := os.OpenFile(events, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	up := kubewright(t, inventory, "up", "--events", events)
	var said bytes.Buffer
	up.Stdout, up.Stderr = &said, &said
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- up.Wait()
		pipe.Close()
	}()
	wait = sync.OnceValue(func() error { return <-ended })
	t.Cleanup(func() {
		if err := wait(); err != nil && t.Failed() {
			t.Logf("up said:\n%s", said.String())
		}
	})
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct{ Type, Target, Key, State string }
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Type == "step" && e.State == "began" && e.Target == vm && e.Key == key {
			go func() { // a full pipe would hold the program up
				for lines.Scan() {
				}
			}()
			return wait
		}
	}
	t.Fatalf("up ended before it came to %s: %v", key, wait())
	return nil
}

// probe is a pod on the virtual machine that answers with its name, and Services in front of it.
const probe = `
apiVersion: v1
kind: Pod
metadata: {name: probe, labels: {app: probe}}
spec:
  nodeName: node-0001
  tolerations: [{operator: Exists}]
  terminationGracePeriodSeconds: 1
  containers:
  - name: probe
    image: %s
    command: [/agnhost, netexec, --http-port=8080]
    readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: answers}
spec: {type: NodePort, selector: {app: probe}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
`

// works uses the cluster: a pod on the virtual machine is reached from it by the Service's name, and from outside by the node's port.
func works(t *testing.T) {
	b, err := bundle.Open(filepath.Join(cache(t), "kubewright", "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := b.Lock.Image("agnhost")
	if err != nil {
		t.Fatal(err)
	}
	cmd := kubectl(t, "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(probe, image.Pinned("192.168.1.21:5000")))
	must(t, cmd)
	defer func() { must(t, kubectl(t, "delete", "pod/probe", "service/answers", "--timeout=300s")) }()
	must(t, kubectl(t, "wait", "--for=condition=Ready", "pod/probe", "--timeout=300s"))
	service := decode[corev1.Service](t, "service", "answers")
	for _, to := range []string{service.Spec.ClusterIP + ":80", "answers.default.svc.cluster.local:80", "answers:80"} {
		eventually(t, "the pod reaches "+to, func() bool {
			return run(t, kubectl(t, "exec", "probe", "--", "/agnhost", "connect", "--timeout=5s", to)).code == 0
		})
	}
	eventually(t, "the node's port answers", func() bool {
		return run(t, inLab(t, "curl", "-sS", "--noproxy", "*", "--max-time", "10", "http://192.168.1.31:30080/hostname")).stdout == "probe"
	})
}

func cache(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
