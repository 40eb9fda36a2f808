package addons

import (
	"fmt"
	"testing"
)

func TestOwnImages(t *testing.T) {
	c := cluster(t, `    - name: a
      manifests: |
        apiVersion: v1
        kind: Pod
        metadata: {name: a}
        spec: {initContainers: [{name: i, image: "r:5000/i"}], containers: [{name: c, image: "elsewhere/c:1"}, {name: d, image: "r:5000/x/d:1"}]}
        ---
        apiVersion: batch/v1
        kind: CronJob
        metadata: {name: a}
        spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: "r:5000/c:1@sha256:00"}, {name: d, image: "r:5000/x/d:1"}]}}}}}
`)
	if got, want := fmt.Sprint(OwnImages(c, "r:5000")), "[{a i latest} {a x/d 1} {a c sha256:00}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
