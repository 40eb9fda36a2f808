package convert

import "strings"

// job leaves a Job's selector to the cluster, which makes one of the Job's uid.
func job(w *work, o object) {
	spec := ensure(o, "spec")
	if spec["selector"] != nil && spec["manualSelector"] != true {
		w.drop(spec, "spec", "selector", "a Job selects its pods by a label of its own")
	}
	for _, meta := range []struct {
		of object
		in string
	}{{sub(o, "metadata"), "metadata"}, {sub(spec, "template", "metadata"), "spec.template.metadata"}} {
		for _, label := range []string{"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"} {
			if labels := sub(meta.of, "labels"); labels[label] != nil {
				w.drop(labels, meta.in+".labels", label, "it is the cluster's to write, of the Job that is made")
				if len(labels) == 0 {
					delete(meta.of, "labels")
				}
			}
		}
	}
	w.ends(sub(spec, "template", "spec"), "spec.template.spec")
}

func cronJob(w *work, o object) {
	spec := ensure(o, "spec")
	if schedule := str(spec, "schedule"); strings.HasPrefix(schedule, "TZ=") || strings.HasPrefix(schedule, "CRON_TZ=") {
		zone, rest, _ := strings.Cut(schedule[strings.Index(schedule, "=")+1:], " ")
		spec["schedule"], spec["timeZone"] = strings.TrimSpace(rest), zone
		w.note(o, Changed, "spec.schedule", "-> spec.timeZone: "+zone, "a schedule with a time zone in it is refused")
	}
	w.ends(sub(spec, "jobTemplate", "spec", "template", "spec"), "spec.jobTemplate.spec.template.spec")
}

// ends checks that a Job's pod may end.
func (w *work) ends(pod object, in string) {
	if p := str(pod, "restartPolicy"); pod != nil && p != "OnFailure" && p != "Never" {
		w.refuse(in+".restartPolicy", "it has to be OnFailure or Never: the default, Always, is for pods that never end")
	}
}
