package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// once is a pod that runs one program to its end.
func (e *Env) once(argv ...string) corev1.PodSpec {
	spec := podSpec(e.tool("once", argv...))
	spec.RestartPolicy = corev1.RestartPolicyNever
	return spec
}

// jobEnded waits for a condition of a Job.
func (e *Env) jobEnded(ctx context.Context, name string, want batchv1.JobConditionType) (*batchv1.Job, string, error) {
	var reason string
	j, err := await(ctx, e, name, func(j *batchv1.Job) string {
		for _, c := range j.Status.Conditions {
			if c.Status != corev1.ConditionTrue {
				continue
			}
			if c.Type == want {
				reason = c.Reason
				return ""
			}
		}
		return fmt.Sprintf("%d pods active, %d succeeded, %d failed", j.Status.Active, j.Status.Succeeded, j.Status.Failed)
	})
	return j, reason, err
}

var job = Check{
	Name: "job", Short: "a Job runs pods until enough have succeeded, and says when it cannot", Remedy: controllers,
	Run: func(ctx context.Context, e *Env) error {
		good := &batchv1.Job{ObjectMeta: named("good"), Spec: batchv1.JobSpec{
			Completions: ptr(int32(3)), Parallelism: ptr(int32(2)), Template: template("good", e.once("true")),
		}}
		bad := &batchv1.Job{ObjectMeta: named("bad"), Spec: batchv1.JobSpec{BackoffLimit: ptr(int32(0)), Template: template("bad", e.once("false"))}}
		if err := e.create(ctx, good, bad); err != nil {
			return err
		}
		j, _, err := e.jobEnded(ctx, "good", batchv1.JobComplete)
		if err != nil {
			return err
		}
		if j.Status.Succeeded != 3 {
			return fmt.Errorf("the Job is complete with %d of 3 pods", j.Status.Succeeded)
		}
		e.Saw("3 pods succeeded, two at a time, in %s", j.Status.CompletionTime.Sub(j.Status.StartTime.Time))
		_, why, err := e.jobEnded(ctx, "bad", batchv1.JobFailed)
		if err != nil {
			return err
		}
		e.Saw("a Job whose program ends with 1 and may not be repeated failed: %s", why)
		return nil
	},
}

var cronJob = Check{
	Name: "cronjob", Short: "a CronJob makes Jobs by its schedule, and by hand", Remedy: controllers,
	Run: func(ctx context.Context, e *Env) error {
		c := &batchv1.CronJob{ObjectMeta: named("tick"), Spec: batchv1.CronJobSpec{
			Schedule: "* * * * *", ConcurrencyPolicy: batchv1.ForbidConcurrent, Suspend: ptr(true),
			JobTemplate: batchv1.JobTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: app("tick")}, Spec: batchv1.JobSpec{Template: template("tick", e.once("true"))}},
		}}
		if err := e.create(ctx, c); err != nil {
			return err
		}
		// As kubectl create job --from=cronjob/tick does it.
		byHand := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
			Name: "by-hand", Labels: app("by-hand"), Annotations: map[string]string{"cronjob.kubernetes.io/instantiate": "manual"},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, batchv1.SchemeGroupVersion.WithKind("CronJob"))},
		}, Spec: c.Spec.JobTemplate.Spec}
		if err := e.create(ctx, byHand); err != nil {
			return err
		}
		if _, _, err := e.jobEnded(ctx, "by-hand", batchv1.JobComplete); err != nil {
			return err
		}
		e.Saw("a Job made by hand from the CronJob's template is complete")
		// Nobody waits for the next full minute: with a last time that is two minutes ago, the controller finds that it has missed one and makes it up.
		last := metav1.NewTime(time.Now().Add(-2 * time.Minute))
		raw, err := json.Marshal(map[string]any{"status": map[string]any{"lastScheduleTime": last}})
		if err != nil {
			return err
		}
		if _, err := e.Client.BatchV1().CronJobs(e.Namespace).Patch(ctx, "tick", types.MergePatchType, raw, metav1.PatchOptions{}, "status"); err != nil {
			return fmt.Errorf("set when it ran last: %w", err)
		}
		if _, err := patch[*batchv1.CronJob](ctx, e, "tick", map[string]any{"spec": map[string]any{"suspend": false}}); err != nil {
			return err
		}
		jobs, err := awaitAll(ctx, e, "app=tick", func(jobs []*batchv1.Job) string {
			for _, j := range jobs {
				if j.Status.Succeeded > 0 && j.Annotations[batchv1.CronJobScheduledTimestampAnnotation] != "" {
					return ""
				}
			}
			return fmt.Sprintf("the CronJob controller has made %d Jobs by the schedule, none of them complete", len(jobs))
		})
		if err != nil {
			return err
		}
		e.Saw("the controller made %s for the minute %s, and it is complete", jobs[0].Name, jobs[0].Annotations[batchv1.CronJobScheduledTimestampAnnotation])
		return nil
	},
}
