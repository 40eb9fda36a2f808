package verify

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// page is what php-fpm runs for nginx. Where it comes from, a ConfigMap, both containers have it.
const page = `<?php echo "php ", getenv("GREETING"), " ", strrev("olleh"), " from ", gethostname(); ?>`

var php = Check{
	Name: "php", Short: "nginx and php-fpm in one pod serve a page of a ConfigMap together", Images: []string{"lab-web"}, Remedy: kubelets,
	Run: func(ctx context.Context, e *Env) error {
		nginx := corev1.Container{
			Name: "nginx", Image: e.image("lab-web"), Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}},
			ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, TimeoutSeconds: 5, ProbeHandler: httpGet("/index.php")},
		}
		nginx.ReadinessProbe.HTTPGet.Port.IntVal = 80
		fpm := corev1.Container{
			Name: "php-fpm", Image: e.image("lab-web"), Command: []string{"php-fpm"},
			EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}},
		}
		spec := podSpec(nginx, fpm)
		mount(&spec, corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "pages"}}}, "/usr/share/nginx/html")
		s := service("site")
		s.Spec.Ports[0].TargetPort.IntVal = 80
		if err := e.create(ctx,
			&corev1.ConfigMap{ObjectMeta: named("pages"), Data: map[string]string{"index.php": page}},
			&corev1.ConfigMap{ObjectMeta: named("settings"), Data: map[string]string{greeting: "says"}},
			pod("site", spec), s,
		); err != nil {
			return err
		}
		p, err := e.pod(ctx, "site")
		if err != nil {
			return err
		}
		if err := e.endpoints(ctx, "site", []*corev1.Pod{p}); err != nil {
			return err
		}
		hands, err := e.asking(ctx, false)
		if err != nil {
			return err
		}
		want := "php says hello from site"
		if err := fromEverywhere(ctx, hands, func(ctx context.Context, h hand) error {
			got, err := e.get(ctx, h, 1, "http://"+s.Spec.ClusterIP+"/")
			if err == nil && strings.TrimSpace(got) != want {
				err = fmt.Errorf("from %s: the page says %q, not %q", h, got, want)
			}
			return err
		}); err != nil {
			return err
		}
		e.Saw("nginx had php-fpm run a page of a ConfigMap, which said %q, from a pod on each of %s", want, names(hands))
		return nil
	},
}
