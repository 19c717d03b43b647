package policy

import (
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// BackupsStayApart is about runs that get into each other's way, and into that of the servers.
var BackupsStayApart = Rule{
	ID:        "backups-stay-apart",
	Title:     "Backups run one at a time, end, and have one place; their pods are taken for no server",
	Why:       "A run that never ends keeps all later ones from starting, and nobody notices until a backup is needed. A launcher would wait for the data of a pod that it takes for a server.",
	Fix:       "Set concurrencyPolicy: Forbid, activeDeadlineSeconds, restartPolicy: Never and a time zone in the CronJob, and no label that the launchers select by.",
	Reference: "docs/adr/0037-backups.md",
	Check: func(r *Release) (result Result) {
		leases := map[string]bool{}
		for _, lease := range render.All[*coordinationv1.Lease](r.Manifests) {
			leases[lease.Name] = true
		}
		jobs := render.All[*batchv1.CronJob](r.Manifests)
		for _, p := range r.Peers() {
			if value, _ := p.Containers()[0].Literal("LAUNCHER_BACKUP_ENABLED"); !p.Sentinel() {
				result.check((value == "true") == (len(jobs) > 0), p.Owner, p.Containers()[0].Path+".env[LAUNCHER_BACKUP_ENABLED]", "is %q, and there are %d CronJobs", value, len(jobs))
			}
		}
		for _, job := range jobs {
			id, spec := "CronJob/"+job.Name, job.Spec
			result.check(spec.ConcurrencyPolicy == batchv1.ForbidConcurrent, id, "spec.concurrencyPolicy", "is not Forbid")
			result.check(spec.TimeZone != nil, id, "spec.timeZone", "is not set, so the time depends on the cluster")
			result.check(spec.JobTemplate.Spec.ActiveDeadlineSeconds != nil, id, "spec.jobTemplate.spec.activeDeadlineSeconds", "is not set")
			result.check(leases[job.Name], id, "metadata.name", "there is no Lease of this name")
		}
		for _, p := range r.Pods() {
			if p.Backup {
				checkBackupPod(r, p, &result)
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "two at a time", Values: withBackup, Change: func(r *Release) { r.backup().Spec.ConcurrencyPolicy = batchv1.AllowConcurrent }},
		{Name: "for ever", Values: withBackup, Change: func(r *Release) { r.backup().Spec.JobTemplate.Spec.ActiveDeadlineSeconds = nil }},
		{Name: "again and again", Values: withBackup, Change: func(r *Release) {
			r.backup().Spec.JobTemplate.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
		}},
		{Name: "some time", Values: withBackup, Change: func(r *Release) { r.backup().Spec.TimeZone = nil }},
		{Name: "no Lease", Values: withBackup, Change: func(r *Release) { r.remove("Lease/" + render.Fullname + backupSuffix) }},
		{Name: "a peer", Values: withBackup, Change: func(r *Release) {
			meta := &r.backup().Spec.JobTemplate.Spec.Template.ObjectMeta
			meta.Labels["app"], meta.Labels["release"] = render.Chart(must{}, nil).Chart, render.Release
		}},
		{Name: "two places", Values: withBackup, Change: func(r *Release) {
			setEnv(&r.backup().Spec.JobTemplate.Spec.Template.Spec.Containers[0], "LAUNCHER_BACKUP_DIR", "/backups")
		}},
		{Name: "another command", Values: withBackup, Change: func(r *Release) { r.backup().Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = nil }},
		{Name: "servers that do not know", Values: withBackup, Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_BACKUP_ENABLED", "false") }},
		{Name: "servers that wait for backups", Change: func(r *Release) { setEnv(r.redis(), "LAUNCHER_BACKUP_ENABLED", "true") }},
	},
}

const withBackup = "{networkPolicy: {enabled: true, clients: [{podSelector: {matchLabels: {app: cart}}}]}, " +
	"backup: {enabled: true, s3: {endpoint: 'https://s3.example.com:9000', bucket: backups, existingSecret: keys}, encryption: {existingSecret: age}}}"

// checkBackupPod looks at a pod that makes backups.
func checkBackupPod(r *Release, p Pod, result *Result) {
	c := p.Containers()[0]
	result.check(p.Spec.RestartPolicy == corev1.RestartPolicyNever, p.Owner, p.Path+".restartPolicy", "is not Never")
	result.check(len(c.Command) == 0 && len(c.Args) == 1 && c.Args[0] == "backup", p.Owner, c.Path+".args", "is not the command backup of the image's entry point")
	_, directory := c.Literal("LAUNCHER_BACKUP_DIR")
	_, bucket := c.Literal("LAUNCHER_BACKUP_S3_BUCKET")
	result.check(directory != bucket, p.Owner, c.Path+".env[LAUNCHER_BACKUP_DIR]", "there is not one place")
	for _, peer := range r.Peers() {
		selector, _ := peer.Containers()[0].Literal("LAUNCHER_POD_SELECTOR")
		parsed, err := labels.Parse(selector)
		result.check(err == nil && !parsed.Matches(labels.Set(p.Meta.Labels)), p.Owner, p.MetaPath()+".labels", "are those by which the launchers find their peers")
	}
}

// backup is the CronJob of the backups.
func (r *Release) backup() *batchv1.CronJob {
	return render.One[*batchv1.CronJob](must{}, r.Manifests, render.Fullname+backupSuffix)
}
