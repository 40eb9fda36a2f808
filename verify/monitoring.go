package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// part is a Service of an addon and the pods behind it.
type part struct {
	service corev1.Service
	port    corev1.ServicePort
	pods    []corev1.Pod
}

// find looks for the Service of an addon by the name that its objects have as a label, and for the pods that are ready behind it.
func (e *Env) find(ctx context.Context, name, port string) (*part, error) {
	list, err := e.Client.CoreV1().Services("").List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + name})
	if err != nil {
		return nil, err
	}
	for _, s := range list.Items {
		if len(s.Spec.Selector) == 0 || s.Spec.ClusterIP == corev1.ClusterIPNone {
			continue
		}
		i := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return port == "" || p.Name == port })
		if i < 0 {
			continue
		}
		pods, err := e.Client.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: s.Spec.Selector})})
		if err != nil {
			return nil, err
		}
		found := &part{service: s, port: s.Spec.Ports[i]}
		for _, p := range pods.Items {
			if ready(&p) {
				found.pods = append(found.pods, p)
			}
		}
		return found, nil
	}
	return nil, nil
}

// dial is a way to a pod of the part through the API server.
func (e *Env) dialPart(p *part) (dialer, error) {
	if len(p.pods) == 0 {
		return nil, fmt.Errorf("no pod behind the Service %s/%s is ready", p.service.Namespace, p.service.Name)
	}
	target := p.pods[0]
	number := p.port.TargetPort.IntValue()
	for _, c := range target.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == p.port.TargetPort.StrVal && port.Name != "" {
				number = int(port.ContainerPort)
			}
		}
	}
	if number == 0 {
		number = int(p.port.Port)
	}
	return e.dialPod(target.Namespace, target.Name, number), nil
}

// prometheusName is what the Service of Prometheus is called, by kubewright as by kube-prometheus.
const prometheusName = "prometheus-k8s"

const scraping = "Prometheus' own page, Targets; kubectl get pods -A -l app.kubernetes.io/name=prometheus"

// prometheus asks Prometheus' API.
func (e *Env) prometheus(ctx context.Context, p *part, path string, params map[string]string, into any) error {
	r := e.Client.CoreV1().RESTClient().Get().Namespace(p.service.Namespace).Resource("services").
		Name(fmt.Sprintf("%s:%d", p.service.Name, p.port.Port)).SubResource("proxy").Suffix(path)
	for k, v := range params {
		r = r.Param(k, v)
	}
	raw, err := r.Do(ctx).Raw()
	if err != nil {
		return err
	}
	answer := struct {
		Status string
		Error  string
		Data   json.RawMessage
	}{}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return errors.New(answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// target is one thing that Prometheus asks for metrics.
type target struct {
	Labels    map[string]string
	Health    string
	ScrapeURL string
	LastError string
}

var prometheusTargets = Check{
	Name: "prometheus-targets", Short: "everything that Prometheus watches answers it", Needs: []Need{Monitoring}, Remedy: scraping, Within: 2 * time.Minute,
	Run: func(ctx context.Context, e *Env) error {
		p, err := e.find(ctx, prometheusName, "")
		if err != nil {
			return err
		}
		var last error
		for {
			var found struct{ ActiveTargets []target }
			if last = e.prometheus(ctx, p, "api/v1/targets", map[string]string{"state": "active"}, &found); last == nil {
				text, wrong := targetsText(found.ActiveTargets)
				if last = wrong; last == nil {
					e.Saw("%s", text)
					return nil
				}
			}
			select { // one that is new has not been asked yet
			case <-ctx.Done():
				return errors.Join(last, context.Cause(ctx))
			case <-time.After(2 * time.Second):
			}
		}
	},
}

// targetsText says how many targets each job has, or which are not up.
func targetsText(all []target) (string, error) {
	jobs := map[string]int{}
	var down []error
	for _, t := range all {
		jobs[t.Labels["job"]]++
		if t.Health != "up" {
			down = append(down, fmt.Errorf("%s %s is %s: %s", t.Labels["job"], t.ScrapeURL, t.Health, t.LastError))
		}
	}
	if len(all) == 0 {
		down = append(down, errors.New("it watches nothing"))
	}
	var text []string
	for _, j := range slices.Sorted(maps.Keys(jobs)) {
		text = append(text, fmt.Sprintf("%s %d", j, jobs[j]))
	}
	return fmt.Sprintf("all %d targets are up: %s", len(all), strings.Join(text, ", ")), errors.Join(down...)
}

var prometheusQueries = Check{
	Name: "prometheus-queries", Short: "every query of the dashboards has data", Needs: []Need{Monitoring, Panels}, Remedy: scraping, Within: 3 * time.Minute,
	Run: func(ctx context.Context, e *Env) error {
		p, err := e.find(ctx, prometheusName, "")
		if err != nil {
			return err
		}
		left := slices.Clone(e.Queries)
		for {
			var empty []error
			left = slices.DeleteFunc(left, func(q Query) bool {
				var found struct{ Result []json.RawMessage }
				err := e.prometheus(ctx, p, "api/v1/query", map[string]string{"query": q.Expr}, &found)
				if err == nil && len(found.Result) == 0 {
					err = errors.New("no data")
				}
				if err != nil {
					empty = append(empty, fmt.Errorf("%s: %w", q.Name, err))
				}
				return err == nil
			})
			if len(left) == 0 {
				e.Saw("all %d queries have data", len(e.Queries))
				return nil
			}
			select { // a rate needs two samples
			case <-ctx.Done():
				return errors.Join(errors.Join(empty...), context.Cause(ctx))
			case <-time.After(3 * time.Second):
			}
		}
	},
}
