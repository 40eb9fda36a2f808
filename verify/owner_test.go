package verify

import (
	"os/exec"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A run is dead when its process is gone from this machine, or has not been heard of for long where nobody can look.
func TestWhoIsDead(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	me := self()
	if me.Start == "" || me.Boot == "" {
		t.Fatalf("a process does not know itself: %+v", me)
	}
	at := func(o owner, age time.Duration, heard ...time.Duration) *corev1.Namespace {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			CreationTimestamp: metav1.NewTime(now.Add(-age)),
			Annotations:       map[string]string{ownerAnnotation: `{"host":"` + o.Host + `","boot":"` + o.Boot + `","pid":` + "1" + `,"start":"` + o.Start + `"}`},
		}}
		for _, h := range heard {
			when := metav1.NewTime(now.Add(-h))
			ns.ManagedFields = append(ns.ManagedFields, metav1.ManagedFieldsEntry{Time: &when})
		}
		return ns
	}
	first := me
	first.Start = started(1)
	other := owner{Host: "elsewhere", Boot: "other", Start: "7"}
	again := first
	again.Start = "0" // another process with the number
	rebooted := first
	rebooted.Boot = "earlier"
	for _, row := range []struct {
		name string
		ns   *corev1.Namespace
		want bool
	}{
		{"this machine, and it lives, however long", at(first, 24*time.Hour), false},
		{"this machine, and the number is another process'", at(again, time.Second), true},
		{"another machine, a moment ago", at(other, time.Minute), false},
		{"another machine, long ago", at(other, time.Hour), true},
		{"another machine, long ago, but heard of", at(other, time.Hour, 50*time.Minute, time.Minute), false},
		{"this machine before it was started anew, a moment ago", at(rebooted, time.Minute), false},
		{"nobody's, long ago", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}}, true},
	} {
		if got := dead(row.ns, me, now); got != row.want {
			t.Errorf("%s: dead is %t", row.name, got)
		}
	}
}

func TestTaintsAreTakenAwayAlone(t *testing.T) {
	all := []corev1.Taint{{Key: "theirs", Effect: "NoSchedule"}, {Key: runLabel, Value: "a", Effect: "NoExecute"}, {Key: runLabel, Value: "b", Effect: "NoSchedule"}}
	if got := without(all, "a"); len(got) != 2 || got[0].Key != "theirs" || got[1].Value != "b" {
		t.Errorf("%+v", got)
	}
	if got := without(nil, "a"); got == nil {
		t.Error("a patch with null would not take the last one away")
	}
}

// Who would be sent away by our taint.
func TestTolerates(t *testing.T) {
	taint := corev1.Taint{Key: runLabel, Value: "a", Effect: corev1.TaintEffectNoExecute}
	for _, row := range []struct {
		name string
		t    corev1.Toleration
		want bool
	}{
		{"everything", everywhere, true},
		{"our key", ours, true},
		{"our key for another run", corev1.Toleration{Key: runLabel, Operator: corev1.TolerationOpEqual, Value: "b"}, false},
		{"our key for this run", corev1.Toleration{Key: runLabel, Value: "a"}, true},
		{"another effect", corev1.Toleration{Key: runLabel, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}, false},
		{"for a while only", corev1.Toleration{Operator: corev1.TolerationOpExists, TolerationSeconds: ptr(int64(300))}, false},
		{"something else", corev1.Toleration{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists}, false},
	} {
		if got := tolerates([]corev1.Toleration{row.t}, taint); got != row.want {
			t.Errorf("%s: %t", row.name, got)
		}
	}
	if tolerates(nil, taint) {
		t.Error("nothing tolerates it")
	}
}

// Which nodes take any pod.
func TestFreeNodes(t *testing.T) {
	ready := corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		Addresses:  []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "n"}, {Type: corev1.NodeInternalIP, Address: "192.168.1.31"}},
	}
	with := func(taints ...corev1.Taint) *corev1.Node {
		return &corev1.Node{Spec: corev1.NodeSpec{Taints: taints}, Status: ready}
	}
	cordoned := with()
	cordoned.Spec.Unschedulable = true
	for _, row := range []struct {
		name       string
		node       *corev1.Node
		free, head bool
	}{
		{"a worker", with(), true, false},
		{"the control plane", with(corev1.Taint{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}), false, true},
		{"cordoned", cordoned, false, false},
		{"not Ready", &corev1.Node{}, false, false},
		{"preferably not", with(corev1.Taint{Key: "x", Effect: corev1.TaintEffectPreferNoSchedule}), true, false},
		{"with the taint of another run", with(corev1.Taint{Key: runLabel, Value: "a", Effect: corev1.TaintEffectNoSchedule}), true, false},
	} {
		n := nodeOf(row.node)
		if n.Free != row.free || n.ControlPlane != row.head {
			t.Errorf("%s: %+v", row.name, n)
		}
	}
	if n := nodeOf(with()); n.Address != "192.168.1.31" {
		t.Errorf("its address is %s", n.Address)
	}
}

// TestADeadProcessIsDead, also before its parent has asked how it ended.
func TestADeadProcessIsDead(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	if started(cmd.Process.Pid) == "" {
		t.Error("it runs, and is taken for dead")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); started(cmd.Process.Pid) != ""; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it was killed, and is taken for alive")
		}
	}
}
