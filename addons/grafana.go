package addons

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const grafanaName = "grafana"

// grafana shows the dashboards. Most bundles do not have its image.
func grafana(e Env) (Parts, error) {
	if e.Has != nil && !e.Has(grafanaName) {
		return Parts{}, errors.New("the bundle has no image grafana: leave monitoring.grafana out, or add the image to the bundle")
	}
	const ns, name = monitoringNamespace, grafanaName
	labels := named(name)
	port := e.Cluster.Spec.Addons.Monitoring.Grafana.NodePort
	sources, err := yaml.Marshal(map[string]any{"apiVersion": 1, "datasources": []any{map[string]any{
		"name": "Prometheus", "uid": "prometheus", "type": "prometheus", "access": "proxy", "isDefault": true, "editable": false,
		"url": "http://" + prometheusName + "." + ns + ".svc:9090", "jsonData": map[string]any{"timeInterval": scrapeSeconds},
	}}})
	if err != nil {
		return Parts{}, err
	}
	providers, err := yaml.Marshal(map[string]any{"apiVersion": 1, "providers": []any{map[string]any{
		"name": "kubewright", "type": "file", "folder": "kubewright", "disableDeletion": true, "allowUiUpdates": false, "options": map[string]any{"path": "/dashboards"},
	}}})
	if err != nil {
		return Parts{}, err
	}
	texts, reads := map[string]string{}, string(sources)+string(providers)
	for _, d := range boards(e.Cluster) {
		text, err := d.render()
		if err != nil {
			return Parts{}, err
		}
		texts[d.slug()+".json"] = text
	}
	fromSecret := func(variable, key string) corev1.EnvVar {
		return corev1.EnvVar{Name: variable, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "grafana-admin"}, Key: key}}}
	}
	return Parts{
		Objects: []runtime.Object{
			serviceAccount(ns, name),
			textMap("grafana-sources", map[string]string{"prometheus.yaml": string(sources)}),
			textMap("grafana-providers", map[string]string{"kubewright.yaml": string(providers)}),
			textMap("grafana-dashboards", texts),
			front(name, port, "web", 3000, labels),
			deployment(ns, name, labels, reads, 1, oneAtATime(), corev1.PodSpec{
				ServiceAccountName: name, AutomountServiceAccountToken: new(false), NodeSelector: linux(), SecurityContext: &corev1.PodSecurityContext{FSGroup: new(int64(472))},
				Containers: []corev1.Container{{
					Name: name, Image: e.Image(grafanaName), ImagePullPolicy: corev1.PullIfNotPresent,
					Env: []corev1.EnvVar{
						fromSecret("GF_SECURITY_ADMIN_USER", "user"), fromSecret("GF_SECURITY_ADMIN_PASSWORD", "password"),
						{Name: "GF_ANALYTICS_REPORTING_ENABLED", Value: "false"}, {Name: "GF_ANALYTICS_CHECK_FOR_UPDATES", Value: "false"},
						{Name: "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", Value: "false"}, {Name: "GF_SECURITY_DISABLE_GRAVATAR", Value: "true"},
						{Name: "GF_NEWS_NEWS_FEED_ENABLED", Value: "false"},
					},
					Ports:           []corev1.ContainerPort{{Name: "web", ContainerPort: 3000, Protocol: corev1.ProtocolTCP}},
					Resources:       requests("50m", "128Mi"),
					SecurityContext: locked(472),
					ReadinessProbe:  httpProbe("/api/health", "web", corev1.URISchemeHTTP, 2),
					VolumeMounts: []corev1.VolumeMount{
						{Name: "data", MountPath: "/var/lib/grafana"}, {Name: "tmp", MountPath: "/tmp"},
						{Name: "sources", MountPath: "/etc/grafana/provisioning/datasources", ReadOnly: true},
						{Name: "providers", MountPath: "/etc/grafana/provisioning/dashboards", ReadOnly: true},
						{Name: "dashboards", MountPath: "/dashboards", ReadOnly: true},
					},
				}},
				Volumes: []corev1.Volume{
					emptyVolume("data"), emptyVolume("tmp"), configVolume("sources", "grafana-sources"), configVolume("providers", "grafana-providers"),
					configVolume("dashboards", "grafana-dashboards"),
				},
			}),
		},
		Secrets: []Member{Password{Namespace: ns, Name: "grafana-admin", User: "admin"}},
		Ready:   rolledOut("Deployment", ns, name),
		Doors: []Door{{
			Name: "Grafana", URL: fmt.Sprintf("http://%s:%d", e.Cluster.Door().String(), port),
			Login: "admin; the password is in the Secret " + ns + "/grafana-admin",
		}},
	}, nil
}
