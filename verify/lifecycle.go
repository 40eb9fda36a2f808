package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var initContainers = Check{
	Name: "init-containers", Short: "init containers run one after the other, before the others", Remedy: kubelets,
	Run: func(ctx context.Context, e *Env) error {
		spec := podSpec(e.web())
		spec.InitContainers = []corev1.Container{
			e.tool("first", "touch", "/work/made-by-first"),
			e.tool("second", "mv", "/work/made-by-first", "/work/made-by-second"),
			e.tool("third", "cp", "/work/made-by-second", "/work/made-by-third"),
		}
		mount(&spec, corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, "/work")
		if err := e.create(ctx, pod("prepared", spec)); err != nil {
			return err
		}
		p, err := e.pod(ctx, "prepared")
		if err != nil {
			return err
		}
		var order []string
		for i, c := range p.Status.InitContainerStatuses {
			done := c.State.Terminated
			if done == nil || done.ExitCode != 0 || c.RestartCount > 0 {
				return fmt.Errorf("%s did not succeed at once: %+v", c.Name, c.State)
			}
			if i > 0 && done.StartedAt.Time.Before(p.Status.InitContainerStatuses[i-1].State.Terminated.FinishedAt.Time) {
				return fmt.Errorf("%s began before %s had ended", c.Name, p.Status.InitContainerStatuses[i-1].Name)
			}
			order = append(order, c.Name)
		}
		if _, err := e.exec(ctx, e.Namespace, p.Name, "web", nil, "busybox", "test", "-e", "/work/made-by-third"); err != nil {
			return err
		}
		e.Saw("%s each ended before the next began, each with what the one before had left, and then web began", strings.Join(order, ", "))
		return nil
	},
}

var hooks = Check{
	Name: "hooks", Short: "postStart runs when a container starts, and preStop before it ends", Remedy: kubelets,
	Run: func(ctx context.Context, e *Env) error {
		if err := e.create(ctx, pod("witness", podSpec(e.web()))); err != nil {
			return err
		}
		w, err := e.pod(ctx, "witness")
		if err != nil {
			return err
		}
		c := e.idle("hooked")
		run := func(argv ...string) *corev1.LifecycleHandler {
			return &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: append([]string{"busybox"}, argv...)}}
		}
		c.Lifecycle = &corev1.Lifecycle{
			PostStart: run("touch", "/uploads/started"),
			PreStop:   run("wget", "-q", "-O", "/dev/null", fmt.Sprintf("http://%s:%d/echo?msg=stopping", w.Status.PodIP, webPort)),
		}
		spec := podSpec(c)
		spec.TerminationGracePeriodSeconds = ptr(int64(5))
		p := pod("hooked", spec)
		if err := e.create(ctx, p); err != nil {
			return err
		}
		if _, err := e.pod(ctx, "hooked"); err != nil {
			return err
		}
		if _, err := e.exec(ctx, e.Namespace, "hooked", "", nil, "busybox", "test", "-e", "/uploads/started"); err != nil {
			return fmt.Errorf("postStart has not run: %w", err)
		}
		e.Saw("postStart had run when the pod was ready")
		if err := e.remove(ctx, p, p.Name, &p.UID); err != nil {
			return err
		}
		if err := awaitGone[*corev1.Pod](ctx, e, p.Name); err != nil {
			return err
		}
		text, err := e.logs(ctx, "witness", "web")
		if err != nil {
			return err
		}
		if !strings.Contains(text, "stopping") {
			return errors.New("preStop has not asked the other pod before the container ended")
		}
		e.Saw("preStop asked another pod before the container ended")
		return nil
	},
}

var probes = Check{
	Name: "probes", Short: "a pod gets a Service's traffic only while its readiness probe succeeds, and is restarted when its liveness probe fails", Remedy: kubelets,
	Run: func(ctx context.Context, e *Env) error {
		probe := func(h corev1.ProbeHandler) *corev1.Probe {
			return &corev1.Probe{ProbeHandler: h, PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 5}
		}
		// exec: ready while a file is there.
		gated := e.web()
		gated.ReadinessProbe = probe(execProbe("test", "-e", "/uploads/ready"))
		// TCP and HTTP: ready because something listens and answers.
		tcp := e.web()
		tcp.ReadinessProbe = probe(corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(webPort)}})
		closed := e.web()
		closed.ReadinessProbe = probe(corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}})
		http := e.web()
		http.ReadinessProbe = probe(httpGet("/hostname"))
		missing := e.web()
		missing.ReadinessProbe = probe(httpGet("/redirect?code=404"))
		alive := e.web()
		alive.LivenessProbe = probe(execProbe("test", "!", "-e", "/uploads/sick"))
		for name, c := range map[string]corev1.Container{"exec": gated, "tcp": tcp, "tcp-closed": closed, "http": http, "http-404": missing, "alive": alive} {
			if err := e.create(ctx, pod(name, podSpec(c))); err != nil {
				return err
			}
		}
		s := service("exec")
		if err := e.create(ctx, s); err != nil {
			return err
		}
		for _, name := range []string{"tcp", "http", "alive"} {
			if _, err := e.pod(ctx, name); err != nil {
				return err
			}
		}
		for _, name := range []string{"tcp-closed", "http-404"} {
			p, err := await(ctx, e, name, running)
			if err != nil {
				return err
			}
			if ready(p) {
				return fmt.Errorf("%s is ready, though its probe cannot succeed", name)
			}
		}
		e.Saw("pods whose TCP and HTTP probes are answered are ready; that of a closed port and that of a 404 are not")
		p, err := await(ctx, e, "exec", running)
		if err != nil {
			return err
		}
		for _, step := range []struct {
			argv  []string
			ready bool
			says  string
		}{
			{nil, false, "before its file was there"},
			{[]string{"touch", "/uploads/ready"}, true, "when its file was there"},
			{[]string{"rm", "/uploads/ready"}, false, "when its file was gone"},
		} {
			if step.argv != nil {
				if _, err := e.exec(ctx, e.Namespace, "exec", "", nil, append([]string{"busybox"}, step.argv...)...); err != nil {
					return err
				}
			}
			if err := e.gate(ctx, s.Name, p.Status.PodIP, step.ready); err != nil {
				return fmt.Errorf("%s: %w", step.says, err)
			}
		}
		e.Saw("a pod was among its Service's endpoints only while its exec probe succeeded")
		if _, err := e.exec(ctx, e.Namespace, "alive", "", nil, "busybox", "touch", "/uploads/sick"); err != nil {
			return err
		}
		if _, err := await(ctx, e, "alive", func(p *corev1.Pod) string {
			if restarts(p) > 0 && ready(p) {
				return ""
			}
			return fmt.Sprintf("its liveness probe fails, and it has been restarted %d times", restarts(p))
		}); err != nil {
			return err
		}
		e.Saw("a container whose liveness probe failed was started again, and was well")
		return nil
	},
}

// gate waits until an address is ready among a Service's endpoints, or is not.
func (e *Env) gate(ctx context.Context, service, address string, want bool) error {
	_, err := awaitAll(ctx, e, discoveryv1.LabelServiceName+"="+service, func(all []*discoveryv1.EndpointSlice) string {
		for _, s := range all {
			for _, p := range s.Endpoints {
				if len(p.Addresses) == 1 && p.Addresses[0] == address && p.Conditions.Ready != nil && *p.Conditions.Ready == want {
					return ""
				}
			}
		}
		return fmt.Sprintf("%s is not there with ready=%t", address, want)
	})
	return err
}

var restartPolicy = Check{
	Name: "restart-policy", Short: "a container that ends is started again, or not, as the pod's restart policy says", Remedy: kubelets,
	Run: func(ctx context.Context, e *Env) error {
		for _, row := range []struct {
			policy  corev1.RestartPolicy
			program string
			says    string
			ends    func(p *corev1.Pod) bool
		}{
			{corev1.RestartPolicyNever, "false", "failed and was left so", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed && restarts(p) == 0 }},
			{corev1.RestartPolicyOnFailure, "true", "succeeded and was left so", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded && restarts(p) == 0 }},
			{corev1.RestartPolicyOnFailure, "false", "failed and was started again", func(p *corev1.Pod) bool { return restarts(p) > 0 }},
			{corev1.RestartPolicyAlways, "true", "succeeded and was started again nevertheless", func(p *corev1.Pod) bool { return restarts(p) > 0 }},
		} {
			name := strings.ToLower(string(row.policy)) + "-" + row.program
			spec := podSpec(e.tool("once", row.program))
			spec.RestartPolicy = row.policy
			if err := e.create(ctx, pod(name, spec)); err != nil {
				return err
			}
			if _, err := await(ctx, e, name, func(p *corev1.Pod) string {
				if row.ends(p) {
					return ""
				}
				return fmt.Sprintf("it is %s after %d restarts", p.Status.Phase, restarts(p))
			}); err != nil {
				return err
			}
			e.Saw("%s: a container that ran %s %s", row.policy, row.program, row.says)
		}
		return nil
	},
}
