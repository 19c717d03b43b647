package chart_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

const (
	backup    = render.Fullname + "-backup"
	inClaim   = "backup: {enabled: true, persistentVolumeClaim: dumps}"
	bucketFor = "backup: {enabled: true, s3: {endpoint: '%s', bucket: backups, existingSecret: keys}}"
)

var inBucket = fmt.Sprintf(bucketFor, "https://s3.example.com")

// backupPod is the pod of the CronJob.
func backupPod(t *testing.T, m *render.Manifests) render.PodTemplate {
	t.Helper()
	for _, p := range m.PodTemplates() {
		if p.Owner == "CronJob/"+backup {
			return p
		}
	}
	t.Fatal("there is no CronJob of backups")
	return render.PodTemplate{}
}

// variables are the literal variables of a container, and the keys of Secrets that the others come from.
func variables(c corev1.Container) map[string]string {
	found := map[string]string{}
	for _, e := range c.Env {
		found[e.Name] = e.Value
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			found[e.Name] = e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key
		}
	}
	return found
}

func TestBackupsAreMadeOnRequestOnly(t *testing.T) {
	render.None[*batchv1.CronJob](t, render.Chart(t, nil))
	plain := render.Chart(t, nil).IDs()
	var added []string
	for _, id := range render.Chart(t, render.YAML(t, inClaim)).IDs() {
		if !slices.Contains(plain, id) {
			added = append(added, id)
		}
	}
	assert.Equal(t, []string{"CronJob/" + backup, "Lease/" + backup, "Role/" + backup, "RoleBinding/" + backup, "ServiceAccount/" + backup}, added)
}

// `helm upgrade --reuse-values` renders a new chart with the old one's defaults.
func TestReleaseFromBeforeBackupsIsUpgradedWithItsOwnValues(t *testing.T) {
	for _, values := range []string{"backup: null", "{backup: null, networkPolicy: {enabled: true}}"} {
		render.None[*batchv1.CronJob](t, render.Chart(t, render.YAML(t, values)))
	}
}

func TestBackupsInAClaim(t *testing.T) {
	m := render.Chart(t, render.YAML(t, inClaim))
	p := backupPod(t, m)
	c := p.Spec.Containers[0]
	assert.Equal(t, []string{"backup"}, c.Args)
	assert.Empty(t, c.Command)
	env := variables(c)
	assert.Equal(t, "/backups/"+render.Fullname, env["LAUNCHER_BACKUP_DIR"])
	assert.Equal(t, "30d", env["LAUNCHER_BACKUP_RETENTION"])
	assert.NotContains(t, env, "LAUNCHER_BACKUP_S3_BUCKET")
	assert.NotContains(t, env, "LAUNCHER_BACKUP_RECIPIENTS")
	volume, mount := mounted(t, p, "/backups")
	assert.Equal(t, "dumps", volume.PersistentVolumeClaim.ClaimName)
	assert.False(t, mount.ReadOnly)
}

func TestBackupsInABucket(t *testing.T) {
	m := render.Chart(t, render.YAML(t, `{auth: true, backup: {enabled: true, s3: {endpoint: 'https://s3.example.com', bucket: backups, region: r, existingSecret: keys},
		encryption: {existingSecret: age}}}`))
	env := variables(backupPod(t, m).Spec.Containers[0])
	for name, want := range map[string]string{
		"LAUNCHER_BACKUP_S3_ENDPOINT": "https://s3.example.com", "LAUNCHER_BACKUP_S3_BUCKET": "backups", "LAUNCHER_BACKUP_S3_REGION": "r",
		"LAUNCHER_BACKUP_S3_PREFIX": render.Namespace + "/" + render.Fullname, "LAUNCHER_BACKUP_S3_ACCESS_KEY": "keys/access-key",
		"LAUNCHER_BACKUP_S3_SECRET_KEY": "keys/secret-key", "LAUNCHER_BACKUP_RECIPIENTS": "age/recipient", "REDIS_PASS": render.Fullname + "/auth",
		"REDIS_CHART_PREFIX": render.Fullname + "-", "LAUNCHER_POD_SELECTOR": "app=redis-ha,release=redis-ha",
	} {
		assert.Equal(t, want, env[name], name)
	}
	for _, p := range workloadPods(m) {
		for name, value := range variables(p.Spec.Containers[0]) {
			assert.NotContains(t, value, "keys/", "%s has %s: only backups use the bucket", p.Owner, name)
		}
	}
	m = render.Chart(t, render.YAML(t, inBucket), render.As("another", "elsewhere"))
	for _, p := range m.PodTemplates() {
		if strings.HasPrefix(p.Owner, "CronJob/") {
			assert.Equal(t, "elsewhere/another-redis-ha", variables(p.Spec.Containers[0])["LAUNCHER_BACKUP_S3_PREFIX"], "releases do not delete each other's backups")
		}
	}
}

// A pod of a backup reads its settings once, and has them in its environment.
func TestLogLevelReachesBackupsAndReplacesNoPod(t *testing.T) {
	m := upgraded(t, inClaim, 3, "{"+inClaim+", logLevel: debug}")
	p := backupPod(t, m)
	assert.Equal(t, "debug", variables(p.Spec.Containers[0])["LAUNCHER_LOG_LEVEL"])
	assert.NotContains(t, variables(p.Spec.Containers[0]), "LAUNCHER_SETTINGS_FILE", "nothing mounts it")
	assert.Contains(t, firstLine(m), "This upgrade replaces no pod.")
	assert.Contains(t, firstLine(upgraded(t, "", 3, inClaim)), "This upgrade replaces the pods of the servers,", "they tell of backups")
}

// The pods of a CronJob must end, and must not be taken for servers.
func TestBackupPodIsNoPeer(t *testing.T) {
	m := render.Chart(t, render.YAML(t, inClaim))
	p := backupPod(t, m)
	peers, err := labels.Parse(variables(p.Spec.Containers[0])["LAUNCHER_POD_SELECTOR"])
	require.NoError(t, err)
	assert.False(t, peers.Matches(labels.Set(p.Meta.Labels)))
	for _, service := range render.All[*corev1.Service](m) {
		assert.False(t, labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(p.Meta.Labels)), service.Name)
	}
	assert.Equal(t, corev1.RestartPolicyNever, p.Spec.RestartPolicy)
	spec := render.One[*batchv1.CronJob](t, m, backup).Spec
	assert.Equal(t, batchv1.ForbidConcurrent, spec.ConcurrencyPolicy)
	assert.Equal(t, "Etc/UTC", *spec.TimeZone)
	assert.NotNil(t, spec.JobTemplate.Spec.ActiveDeadlineSeconds)
	assert.EqualValues(t, 2, *spec.JobTemplate.Spec.BackoffLimit)
}

func TestOneCopyOfTheDataFitsTheBackupPod(t *testing.T) {
	m := render.Chart(t, render.YAML(t, "{"+inClaim+", resources: {server: {limits: {memory: 3Gi}}}}"))
	p := backupPod(t, m)
	volume, _ := mounted(t, p, "/run/redis-ha-backup")
	assert.Equal(t, "3Gi", volume.EmptyDir.SizeLimit.String())
	assert.Equal(t, "3Gi", p.Spec.Containers[0].Resources.Limits.Memory().String())
}

func TestServersTellTheLastBackup(t *testing.T) {
	for values, want := range map[string]string{"{}": "", inClaim: "true"} {
		m := render.Chart(t, render.YAML(t, values))
		assert.Equal(t, want, variables(podSpec(t, m, server).Containers[0])["LAUNCHER_BACKUP_ENABLED"], values)
		assert.NotContains(t, variables(podSpec(t, m, sentinel).Containers[0]), "LAUNCHER_BACKUP_ENABLED")
		allowed := false
		for _, rule := range render.One[*rbacv1.Role](t, m, render.Fullname).Rules {
			allowed = allowed || slices.Contains(rule.ResourceNames, backup)
		}
		assert.Equal(t, want != "", allowed, values)
	}
	assert.Empty(t, render.One[*coordinationv1.Lease](t, render.Chart(t, render.YAML(t, inClaim)), backup).Spec)
}

func TestBackupsHaveAnAccountOfTheirOwn(t *testing.T) {
	for values, want := range map[string]string{
		"{" + inClaim + "}": backup,
		"{" + inClaim + ", serviceAccount: {name: mine}}":                                       backup,
		"{" + inClaim + ", serviceAccount: {create: false, name: mine}}":                        "mine",
		"{" + inClaim + ", rbac: {create: false}, serviceAccount: {create: false, name: mine}}": "mine",
	} {
		m := render.Chart(t, render.YAML(t, values))
		p := backupPod(t, m)
		assert.Equal(t, want, p.Spec.ServiceAccountName, values)
		assert.False(t, *p.Spec.AutomountServiceAccountToken, "it mounts a token of its own")
		for _, binding := range render.All[*rbacv1.RoleBinding](m) {
			if binding.Name == backup {
				assert.Equal(t, want, binding.Subjects[0].Name, values)
				assert.Equal(t, backup, binding.RoleRef.Name)
			}
		}
		if strings.Contains(values, "rbac") {
			render.None[*rbacv1.Role](t, m)
		}
	}
}

func TestNetworkPolicyLetsBackupsThroughToTheirPlace(t *testing.T) {
	for endpoint, want := range map[string][]int{
		"https://s3.example.com": {443, 6443}, "http://minio": {443, 6443, 80}, "https://s3.example.com:9000/": {443, 6443, 9000}, "http://[fd00::1]:9001": {443, 6443, 9001}, "": {443, 6443},
	} {
		values := fmt.Sprintf(bucketFor, endpoint)
		if endpoint == "" {
			values = inClaim
		}
		m := render.Chart(t, render.YAML(t, "{networkPolicy: {enabled: true}, "+values+"}"))
		spec := render.One[*networkingv1.NetworkPolicy](t, m, backup).Spec
		require.Len(t, spec.Ingress, 1, "only servers reach a backup")
		assert.Equal(t, 8080, spec.Ingress[0].Ports[0].Port.IntValue())
		out := render.One[*networkingv1.NetworkPolicy](t, m, render.Fullname+"-restore").Spec
		require.Len(t, out.Egress, 1, "servers have no way to the place of the backups")
		assert.True(t, labels.SelectorFromSet(out.Egress[0].To[0].PodSelector.MatchLabels).Matches(labels.Set(backupPod(t, m).Meta.Labels)))
		assert.Equal(t, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}, spec.PolicyTypes)
		var ports []int
		for _, port := range spec.Egress[2].Ports {
			ports = append(ports, port.Port.IntValue())
		}
		assert.Equal(t, want, ports, endpoint)
		assert.True(t, labels.SelectorFromSet(spec.PodSelector.MatchLabels).Matches(labels.Set(backupPod(t, m).Meta.Labels)))
		for _, p := range workloadPods(m) {
			to := labels.SelectorFromSet(spec.Egress[0].To[0].PodSelector.MatchLabels)
			in := labels.SelectorFromSet(spec.Ingress[0].From[0].PodSelector.MatchLabels)
			for _, selects := range []labels.Selector{to, in, labels.SelectorFromSet(out.PodSelector.MatchLabels)} {
				assert.Equal(t, p.Owner == "Deployment/"+server, selects.Matches(labels.Set(p.Meta.Labels)), p.Owner)
			}
		}
	}
}

// backupRefusals are the refusals that are about backups.
var backupRefusals = []refusal{
	{"backups without a place", "backup: {enabled: true}", inClaim, []string{"backup.enabled: the backups have no place", "set backup.persistentVolumeClaim to a claim, or backup.s3.endpoint"}},
	{"backups with two places", "backup: {enabled: true, persistentVolumeClaim: dumps, s3: {bucket: backups}}", inClaim, []string{"backup.persistentVolumeClaim, backup.s3: both are set"}},
	{"a bucket without a server", "backup: {enabled: true, s3: {bucket: backups, existingSecret: keys}}", inBucket, []string{"backup.s3.endpoint: is not set", "set it to the address of the server"}},
	{"a bucket without a name", "backup: {enabled: true, s3: {endpoint: 'https://s3.example.com', existingSecret: keys}}", inBucket, []string{"backup.s3.bucket: is not set"}},
	{"a bucket without keys", "backup: {enabled: true, s3: {endpoint: 'https://s3.example.com', bucket: backups}}", inBucket,
		[]string{"backup.s3.existingSecret: is not set", "the keys access-key and secret-key"}},
	{"times of backups that nobody makes", "backup: {schedule: '@daily'}", "backup: {enabled: true, schedule: '@daily', persistentVolumeClaim: dumps}",
		[]string{"backup.schedule: has no effect while backup.enabled is false;"}},
	{"a bucket that nobody uses", "backup: {s3: {bucket: backups}}", inBucket, []string{"backup.s3.bucket: has no effect while backup.enabled is false and restore.from is empty"}},
	{"keys that nobody encrypts for", "backup: {encryption: {existingSecret: age}}", "backup: {enabled: true, persistentVolumeClaim: dumps, encryption: {existingSecret: age}}",
		[]string{"backup.encryption.existingSecret: has no effect while backup.enabled is false and restore.from is empty"}},
	{"a backup from nowhere", "restore: {from: latest}", "{restore: {from: latest}, backup: {s3: {endpoint: 'https://s3.example.com', bucket: backups, existingSecret: keys}}}",
		[]string{"restore.from: the backups have no place", "backup.s3.endpoint"}},
	{"an S3 server with credentials", fmt.Sprintf(bucketFor, "https://key:secret@s3.example.com"), inBucket, []string{"backup.s3.endpoint: contains credentials", "backup.s3.existingSecret"}},
	{"an S3 server without a scheme", fmt.Sprintf(bucketFor, "s3.example.com"), fmt.Sprintf(bucketFor, "http://s3.example.com"), []string{"backup.s3.endpoint: \"s3.example.com\" is not the address of a server"}},
	{"an S3 server with a path", fmt.Sprintf(bucketFor, "https://s3.example.com/backups"), fmt.Sprintf(bucketFor, "https://s3.example.com/"), []string{"backup.s3.endpoint", "set one without a path"}},
	{"a long name for a CronJob", "{fullnameOverride: " + strings.Repeat("x", 46) + ", " + inClaim + "}", "{fullnameOverride: " + strings.Repeat("x", 45) + ", " + inClaim + "}",
		[]string{"backup.enabled: the full name", "has 46 characters", "at most 45"}},
	{"a word for an hour", "backup: {enabled: true, persistentVolumeClaim: dumps, schedule: 0 noon * * *}", inClaim, []string{`backup.schedule: "noon" is no hour`, "a range such as 0-23"}},
	{"an hour too late", "backup: {enabled: true, persistentVolumeClaim: dumps, schedule: 0 24 * * *}", "backup: {enabled: true, persistentVolumeClaim: dumps, schedule: 0 23 * * *}",
		[]string{`backup.schedule: "24" is no hour; set numbers from 0 to 23`}},
}

func TestSchedulesAreThoseThatKubernetesTakes(t *testing.T) {
	values := func(schedule string) render.Values {
		return render.Values{"backup": map[string]any{"enabled": true, "persistentVolumeClaim": "dumps", "schedule": schedule}}
	}
	for _, legal := range []string{"0 3 * * *", "*/15 * * * *", "5,35 0-6/2 1,15 JAN-mar mon-fri", "@daily", "59 23 31 12 6", "00 03 01 01 0", "0-59/30 * * * Sun"} {
		assert.Equal(t, legal, render.One[*batchv1.CronJob](t, render.Chart(t, values(legal)), backup).Spec.Schedule)
	}
	for schedule, says := range map[string]string{
		"60 3 * * *":    `"60" is no minute; set numbers from 0 to 59`,
		"0 24 * * *":    `"24" is no hour; set numbers from 0 to 23`,
		"0 3 0 * *":     `"0" is no day of the month; set numbers from 1 to 31`,
		"0 3 * 13 *":    `"13" is no month; set numbers from 1 to 12`,
		"0 3 * * 7":     `"7" is no day of the week; set numbers from 0 to 6`,
		"30-10 3 * * *": `"30-10" is no minute; set numbers from 0 to 59, and the smaller one of a range first`,
		"0 3 * mon *":   `"mon" is no month; set *, a number from 1 to 12`,
		"0 3 * * */":    `"*/" is no day of the week`,
		"0 3-4-5 * * *": `"3-4-5" is no hour`,
		"0 3, * * *":    `"" is no hour`,
		"0 *-3 * * *":   `"*-3" is no hour`,
	} {
		lines := problems(t, values(schedule))
		require.Len(t, lines, 1, schedule)
		assert.Contains(t, lines[0], "backup.schedule: "+says, schedule)
	}
	for _, schedule := range []string{"", "daily", "0 3 * *", "0 3 * * * *", "@reboot", "0 3 * * ?"} {
		assert.Contains(t, render.Refused(t, values(schedule)), "at '/backup/schedule'", schedule)
	}
}

func TestServersBeginWithABackupOnRequestOnly(t *testing.T) {
	bucket := strings.Replace(inBucket, "enabled: true", "encryption: {existingSecret: age}", 1)
	m := render.Chart(t, render.YAML(t, "{restore: {from: 20261130T030000Z-1a2b3c4d}, networkPolicy: {enabled: true}, "+bucket+"}"))
	render.None[*batchv1.CronJob](t, m)
	c := podSpec(t, m, server).Containers[0]
	env := variables(c)
	for name, want := range map[string]string{
		"LAUNCHER_RESTORE_FROM": "20261130T030000Z-1a2b3c4d", "LAUNCHER_BACKUP_S3_BUCKET": "backups", "LAUNCHER_BACKUP_S3_PREFIX": render.Namespace + "/" + render.Fullname,
		"LAUNCHER_BACKUP_S3_SECRET_KEY": "keys/secret-key", "LAUNCHER_BACKUP_IDENTITY": "age/identity",
	} {
		assert.Equal(t, want, env[name], name)
	}
	for _, e := range c.Env {
		if e.Name == "LAUNCHER_BACKUP_IDENTITY" {
			assert.True(t, *e.ValueFrom.SecretKeyRef.Optional)
		}
	}
	assert.NotContains(t, variables(podSpec(t, m, sentinel).Containers[0]), "LAUNCHER_RESTORE_FROM")
	policy := render.One[*networkingv1.NetworkPolicy](t, m, render.Fullname+"-restore").Spec
	assert.Equal(t, 443, policy.Egress[0].Ports[0].Port.IntValue())

	m = render.Chart(t, render.YAML(t, "{restore: {from: latest}, networkPolicy: {enabled: true}, backup: {persistentVolumeClaim: dumps}}"))
	for _, p := range workloadPods(m) {
		if p.Owner == "Deployment/"+server {
			volume, mount := mounted(t, p, "/backups")
			assert.Equal(t, "dumps", volume.PersistentVolumeClaim.ClaimName)
			assert.True(t, mount.ReadOnly)
			assert.Equal(t, "/backups/"+render.Fullname, variables(p.Spec.Containers[0])["LAUNCHER_BACKUP_DIR"])
		}
	}
	assert.NotContains(t, m.IDs(), "NetworkPolicy/"+render.Fullname+"-restore")
	assert.NotEmpty(t, render.Chart(t, render.YAML(t, "restore: null")).Objects, "values of a release from before")
}
