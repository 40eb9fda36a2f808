package convert

// move is what became of a kind.
type move struct {
	to   string // apiVersion, and the kind if that is another one
	why  string
	rule func(w *work, o object, from string)
}

// gone are kinds that have no equal.
var gone = map[string]string{
	"PodSecurityPolicy":       "it is gone since 1.25; leave it out, and put Pod Security labels on the namespace instead, such as pod-security.kubernetes.io/enforce: baseline",
	"PodSecurityPolicyReview": "PodSecurityPolicy is gone since 1.25; use Pod Security labels on the namespace",
	"ThirdPartyResource":      "it is gone since 1.8; write a CustomResourceDefinition (apiextensions.k8s.io/v1) with a schema, and its objects anew",
	"PodPreset":               "it is gone since 1.20; write env and volumes into the pods' own templates, or use a mutating webhook",
	"DeploymentRollback":      "it is gone since 1.16; use kubectl rollout undo",

	"InitializerConfiguration":           "initializers are gone since 1.14; write a MutatingWebhookConfiguration (admissionregistration.k8s.io/v1), whose server answers before the object is kept",
	"ExternalAdmissionHookConfiguration": "it is gone since 1.9; write a ValidatingWebhookConfiguration (admissionregistration.k8s.io/v1)",
	"AuditSink":                          "it is gone since 1.19; the API server takes its audit webhook from a file (--audit-webhook-config-file)",
}

const (
	whyApps  = "served since 1.9, alone since 1.16"
	whyAlone = "the older version is gone"
)

// moves are by the old apiVersion and kind. A function, as its rules use it for references.
func moves() map[string]move {
	return map[string]move{
		"apps/v1alpha1 PetSet":                   {"apps/v1 StatefulSet", "PetSet became StatefulSet in 1.5", petSet},
		"apps/v1beta1 StatefulSet":               {"apps/v1", whyApps, statefulSet},
		"apps/v1beta2 StatefulSet":               {"apps/v1", whyApps, statefulSet},
		"extensions/v1beta1 Deployment":          {"apps/v1", whyApps, deployment},
		"apps/v1beta1 Deployment":                {"apps/v1", whyApps, deployment},
		"apps/v1beta2 Deployment":                {"apps/v1", whyApps, deployment},
		"extensions/v1beta1 DaemonSet":           {"apps/v1", whyApps, daemonSet},
		"apps/v1beta2 DaemonSet":                 {"apps/v1", whyApps, daemonSet},
		"extensions/v1beta1 ReplicaSet":          {"apps/v1", whyApps, nil},
		"apps/v1beta2 ReplicaSet":                {"apps/v1", whyApps, nil},
		"apps/v1beta1 ControllerRevision":        {"apps/v1", whyApps, nil},
		"apps/v1beta2 ControllerRevision":        {"apps/v1", whyApps, nil},
		"extensions/v1beta1 Ingress":             {"networking.k8s.io/v1", "served since 1.19, alone since 1.22", ingress},
		"networking.k8s.io/v1beta1 Ingress":      {"networking.k8s.io/v1", "served since 1.19, alone since 1.22", ingress},
		"extensions/v1beta1 NetworkPolicy":       {"networking.k8s.io/v1", "alone since 1.16", nil},
		"networking.k8s.io/v1beta1 IngressClass": {"networking.k8s.io/v1", "alone since 1.22", nil},

		"extensions/v1beta1 HorizontalPodAutoscaler":   {"autoscaling/v2", "autoscaling/v1 and v2 took its place", oldestScaler},
		"autoscaling/v1 HorizontalPodAutoscaler":       {"autoscaling/v2", "v2 says the same and more, and is what the examples of today use", scaler},
		"autoscaling/v2alpha1 HorizontalPodAutoscaler": {"autoscaling/v2", whyAlone, scaler},
		"autoscaling/v2beta1 HorizontalPodAutoscaler":  {"autoscaling/v2", "alone since 1.25", scaler},
		"autoscaling/v2beta2 HorizontalPodAutoscaler":  {"autoscaling/v2", "alone since 1.26", scaler},

		"batch/v2alpha1 ScheduledJob":         {"batch/v1 CronJob", "ScheduledJob became CronJob in 1.5", nil},
		"batch/v2alpha1 CronJob":              {"batch/v1", "alone since 1.25", nil},
		"batch/v1beta1 CronJob":               {"batch/v1", "alone since 1.25", nil},
		"extensions/v1beta1 Job":              {"batch/v1", "gone since 1.6", oldJob},
		"policy/v1alpha1 PodDisruptionBudget": {"policy/v1", whyAlone, budget},
		"policy/v1beta1 PodDisruptionBudget":  {"policy/v1", "alone since 1.25", budget},

		"rbac.authorization.k8s.io/v1alpha1 Role":               {"rbac.authorization.k8s.io/v1", whyAlone, nil},
		"rbac.authorization.k8s.io/v1alpha1 ClusterRole":        {"rbac.authorization.k8s.io/v1", whyAlone, nil},
		"rbac.authorization.k8s.io/v1alpha1 RoleBinding":        {"rbac.authorization.k8s.io/v1", whyAlone, binding},
		"rbac.authorization.k8s.io/v1alpha1 ClusterRoleBinding": {"rbac.authorization.k8s.io/v1", whyAlone, binding},
		"rbac.authorization.k8s.io/v1beta1 Role":                {"rbac.authorization.k8s.io/v1", "alone since 1.22", nil},
		"rbac.authorization.k8s.io/v1beta1 ClusterRole":         {"rbac.authorization.k8s.io/v1", "alone since 1.22", nil},
		"rbac.authorization.k8s.io/v1beta1 RoleBinding":         {"rbac.authorization.k8s.io/v1", "alone since 1.22", binding},
		"rbac.authorization.k8s.io/v1beta1 ClusterRoleBinding":  {"rbac.authorization.k8s.io/v1", "alone since 1.22", binding},

		"storage.k8s.io/v1beta1 StorageClass":                   {"storage.k8s.io/v1", "alone since 1.22", nil},
		"storage.k8s.io/v1beta1 CSIDriver":                      {"storage.k8s.io/v1", "alone since 1.22", nil},
		"storage.k8s.io/v1beta1 CSINode":                        {"storage.k8s.io/v1", "alone since 1.22", nil},
		"storage.k8s.io/v1beta1 VolumeAttachment":               {"storage.k8s.io/v1", "alone since 1.22", nil},
		"scheduling.k8s.io/v1alpha1 PriorityClass":              {"scheduling.k8s.io/v1", "alone since 1.22", nil},
		"scheduling.k8s.io/v1beta1 PriorityClass":               {"scheduling.k8s.io/v1", "alone since 1.22", nil},
		"coordination.k8s.io/v1beta1 Lease":                     {"coordination.k8s.io/v1", "alone since 1.22", nil},
		"storage.k8s.io/v1beta1 CSIStorageCapacity":             {"storage.k8s.io/v1", "alone since 1.27", nil},
		"node.k8s.io/v1alpha1 RuntimeClass":                     {"node.k8s.io/v1", whyAlone, runtimeClass},
		"node.k8s.io/v1beta1 RuntimeClass":                      {"node.k8s.io/v1", "alone since 1.25", nil},
		"discovery.k8s.io/v1alpha1 EndpointSlice":               {"discovery.k8s.io/v1", whyAlone, slice},
		"discovery.k8s.io/v1beta1 EndpointSlice":                {"discovery.k8s.io/v1", "alone since 1.25", slice},
		"certificates.k8s.io/v1beta1 CertificateSigningRequest": {"certificates.k8s.io/v1", "alone since 1.22", request},

		"apiextensions.k8s.io/v1beta1 CustomResourceDefinition":               {"apiextensions.k8s.io/v1", "alone since 1.22", definition},
		"apiregistration.k8s.io/v1beta1 APIService":                           {"apiregistration.k8s.io/v1", "alone since 1.22", apiService},
		"admissionregistration.k8s.io/v1beta1 ValidatingWebhookConfiguration": {"admissionregistration.k8s.io/v1", "alone since 1.22", webhooks},
		"admissionregistration.k8s.io/v1beta1 MutatingWebhookConfiguration":   {"admissionregistration.k8s.io/v1", "alone since 1.22", webhooks},
	}
}

// byKind are the rules that hold whatever version an object came from.
var byKind = map[string]func(w *work, o object){
	"PersistentVolume": volume, "PersistentVolumeClaim": func(w *work, o object) { w.claim(o, "") },
	"Deployment": selector, "ReplicaSet": selector, "DaemonSet": selector,
	"StatefulSet": func(w *work, o object) { selector(w, o); claims(w, o) }, "StorageClass": storageClass, "ServiceAccount": serviceAccount, "Secret": secret,
	"Role": role, "ClusterRole": role, "RoleBinding": powerful, "ClusterRoleBinding": powerful,
	"Endpoints": func(w *work, o object) {
		w.note(o, Told, "", "Endpoints still work and are deprecated since 1.33", "EndpointSlice (discovery.k8s.io/v1) is what readers should watch")
	},
	"ReplicationController": oldest,
	"Service":               service, "Namespace": namespace, "Job": job, "CronJob": cronJob,
}
