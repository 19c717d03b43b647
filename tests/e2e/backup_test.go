package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/internal/s3server"
)

const (
	// recipient and identity are a pair of keys of age, for this test only.
	recipient = "age1xyp8wjulp5u2p5rwu4ys04ww6l7h2zvn44ls8k220w3rkh0w0svs7eg6zm"
	identity  = "AGE-SECRET-KEY-1VKLAKNDEP84SKG3WCPLN5T734V95NC2MDKE6M6K3KXA5535JJJMQP62W76"
)

// hostAddress is an address at which the pods reach a process on this machine: the gateway of the nodes.
func hostAddress(t *testing.T) string {
	t.Helper()
	nodes, err := env.Kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	// The second column is the destination, the third the gateway, in hexadecimal digits of a little-endian number.
	text, err := env.OnNode(t.Context(), nodes.Items[0].Name, `while read -r _ to gateway _; do if [ "$to" = 00000000 ]; then echo "$gateway"; fi; done </proc/net/route`)
	require.NoError(t, err)
	number, err := hex.DecodeString(strings.Fields(text + " none")[0])
	require.NoError(t, err, "the default route of a node: %q", text)
	require.Len(t, number, 4)
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], binary.LittleEndian.Uint32(number))
	return netip.AddrFrom4(address).String()
}

// runJob runs a command of the launcher in a pod of the CronJob, as docs/operations.md has it, and gives what it printed. Without arguments the pod
// makes a backup.
func (r *release) runJob(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	if len(arguments) == 0 {
		return r.job(t, name, "Complete", "")
	}
	return r.job(t, name, "Complete", fmt.Sprintf(`{"op":"replace","path":"/spec/template/spec/containers/0/args","value":["%s"]}`, strings.Join(arguments, `","`)))
}

// restoreJob runs launcher restore in a pod of the CronJob, as docs/operations.md has it, with the private key of age. It waits until the Job has
// ended as wanted, Complete or Failed, and gives what it printed.
func (r *release) restoreJob(t *testing.T, name, wanted string, arguments ...string) string {
	t.Helper()
	return r.job(t, name, wanted, fmt.Sprintf(`{"op":"replace","path":"/spec/template/spec/containers/0/args","value":["restore","%s"]},%s,`+
		`{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":"LAUNCHER_BACKUP_IDENTITY","valueFrom":{"secretKeyRef":{"name":"age","key":"identity"}}}}`,
		strings.Join(arguments, `","`), onceOnly))
}

// onceOnly is the change of a Job that is not to repeat what fails.
const onceOnly = `{"op":"add","path":"/spec/backoffLimit","value":0}`

// job makes a Job of the CronJob with changes, in JSON Patch. It waits until the Job has ended as wanted, Complete or Failed, and gives what it printed.
func (r *release) job(t *testing.T, name, wanted, changes string) string {
	t.Helper()
	create := fmt.Sprintf("kubectl create job --namespace %s --from=cronjob/%s-backup %s", r.namespace, r.fullname(), name)
	if changes != "" {
		create += " --dry-run=client -o json | kubectl patch --local -f - --type=json -p " + quote("["+changes+"]") + " -o json | kubectl create -f -"
	}
	bash(t, create)
	_, err := tryBash(t, fmt.Sprintf("kubectl wait --namespace %s --for=condition=%s job/%s --timeout=4m", r.namespace, wanted, name), "")
	logs := bash(t, fmt.Sprintf("kubectl logs --namespace %s job/%s", r.namespace, name))
	require.NoError(t, err, "job %s:\n%s", name, logs)
	return logs
}

// newBackupRelease prepares a namespace for a release that makes backups, and for nothing else.
func newBackupRelease(t *testing.T, name string, servers, sentinels int) *release {
	t.Helper()
	r := &release{name: name, namespace: "redis-ha-e2e-backup-" + name, servers: servers, sentinels: sentinels}
	removeNamespace(t, r.namespace)
	t.Cleanup(func() { removeNamespace(t, r.namespace) })
	bash(t, "kubectl create namespace "+r.namespace)
	return r
}

// requireListed checks that backups are listed, the last one as the Lease remembers it, and gives the list.
func (r *release) requireListed(t *testing.T, job string, number int, encrypted string) string {
	t.Helper()
	list := r.runJob(t, job, "backup", "list")
	lines := strings.Split(strings.TrimSpace(list), "\n")
	require.Len(t, lines, 1+number, list)
	lease, err := env.Kube.CoordinationV1().Leases(r.namespace).Get(t.Context(), r.fullname()+"-backup", metav1.GetOptions{})
	require.NoError(t, err)
	last := strings.Fields(lines[1])
	assert.Contains(t, lease.Annotations["redis-ha/record"], `"name":"`+last[0]+`"`)
	assert.Nil(t, lease.Spec.HolderIdentity, "nobody holds the Lease after the backup")
	assert.Equal(t, encrypted, last[len(last)-1], list)
	return list
}

// An S3 server on this machine keeps the backups of a release with a password and with NetworkPolicies.
func TestBackupsAreMadeInABucketAndListed(t *testing.T) {
	t.Parallel()
	require.NoError(t, env.Prepare(t.Context()))
	r := newBackupRelease(t, "bucket", 3, 3)
	objects := t.TempDir()
	endpoint := s3server.At(t, s3server.Start(t, objects, "-listen", "0.0.0.0:0"), hostAddress(t))
	bash(t, fmt.Sprintf("kubectl create secret generic keys --namespace %s --from-literal=access-key=%s --from-literal=secret-key=%s", r.namespace, s3server.AccessKey, s3server.SecretKey))
	bash(t, fmt.Sprintf("kubectl create secret generic age --namespace %s --from-literal=recipient=%s --from-literal=identity=%s", r.namespace, recipient, identity))
	r.readPassword = true
	r.install(t, "--set", "auth=true,networkPolicy.enabled=true,backup.enabled=true,backup.encryption.existingSecret=age,backup.s3.existingSecret=keys",
		"--set", "backup.s3.endpoint="+endpoint, "--set", "backup.s3.bucket="+s3server.Bucket)
	r.cli(t, r.masterService(), 6379, "SET", "backup:key", strings.Repeat("x", 1000))

	said := r.runJob(t, "backup-now")
	assert.Contains(t, said, `reason="a slave in sync, `)
	assert.Contains(t, said, `msg="the backup is whole"`)
	r.requireListed(t, "backup-list", 1, "yes")
	stored, err := filepath.Glob(filepath.Join(objects, "buckets", s3server.Bucket, r.namespace, r.fullname(), "*"))
	require.NoError(t, err)
	require.Len(t, stored, 2, "the data and their manifest")
	for _, path := range stored {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, strings.HasSuffix(path, ".age"), strings.HasPrefix(string(content), "age-encryption.org/v1"), path)
		assert.NotContains(t, string(content), "backup:key", "the data are encrypted")
	}

	r.runJob(t, "backup-again")
	r.requireListed(t, "backup-list-again", 2, "yes")
	r.upgrade(t, "--set", "backup.retention=1h")
	r.runJob(t, "backup-third")
	list := r.requireListed(t, "backup-list-third", 3, "yes")

	// The bucket is full: the backup fails, says why, and leaves the others as they are.
	full := s3server.At(t, s3server.Start(t, objects, "-listen", "0.0.0.0:0", "-room", "0"), hostAddress(t))
	r.upgrade(t, "--set", "backup.s3.endpoint="+full)
	assert.Contains(t, r.job(t, "backup-full", "Failed", onceOnly), "the S3 server has no more room")
	r.requireListed(t, "backup-list-full", 3, "yes")
	r.healthyAfterBackups(t)

	// Another release begins with one of the backups, and with that one only once.
	name := regexp.MustCompile(`[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}`).FindString(list)
	restored := &release{name: "restored", namespace: r.namespace, servers: 2, sentinels: 1}
	settings := []string{"--set", "replicas.servers=2,replicas.sentinels=1,networkPolicy.enabled=true,backup.encryption.existingSecret=age,backup.s3.existingSecret=keys",
		"--set", "backup.s3.endpoint=" + endpoint, "--set", "backup.s3.bucket=" + s3server.Bucket, "--set", "backup.s3.prefix=" + r.namespace + "/" + r.fullname()}
	restored.install(t, append(settings, "--set", "restore.from="+name)...)
	assert.Equal(t, strings.Repeat("x", 1000), strings.TrimSpace(restored.cli(t, restored.masterService(), 6379, "GET", "backup:key")))
	restored.cli(t, restored.masterService(), 6379, "SET", "backup:key", "later")
	restored.kubectl(t, "rollout", "restart", restored.serverWorkload())
	bash(t, fmt.Sprintf("kubectl rollout status %s --namespace %s --timeout 4m", restored.serverWorkload(), restored.namespace))
	eventually(t, recoveryTime, "a healthy release after the roll-out", restored.healthy)
	assert.Equal(t, "later", strings.TrimSpace(restored.cli(t, restored.masterService(), 6379, "GET", "backup:key")), "the backup is restored once")
}

// A release with one server has no slave, so its master is copied. Its sentinel must not take the copy for a replica.
func TestBackupsAreMadeOnAVolumeWithoutASlave(t *testing.T) {
	t.Parallel()
	r := newBackupRelease(t, "volume", 1, 1)
	claim := fmt.Sprintf(`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"dumps","namespace":"%s"},`+
		`"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}`, r.namespace)
	_, err := tryBash(t, "kubectl create -f -", claim)
	require.NoError(t, err)
	r.install(t, "--set", "replicas.servers=1,replicas.sentinels=1,backup.enabled=true,backup.persistentVolumeClaim=dumps")
	r.cli(t, r.masterService(), 6379, "SET", "backup:key", "value")
	said := r.runJob(t, "backup-now")
	assert.Contains(t, said, `reason="the master, as there is no slave"`)
	list := r.requireListed(t, "backup-list", 1, "no")
	name := regexp.MustCompile(`[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}`).FindString(list)
	fetched := r.runJob(t, "backup-fetch", "backup", "fetch", name, "--to", "/run/redis-ha-backup/fetched.rdb")
	assert.Contains(t, fetched, "has the data of backup "+name)
	known := r.cli(t, r.fullname()+"-sentinel."+r.namespace, 26379, "SENTINEL", "REPLICAS", "mymaster")
	assert.Empty(t, strings.TrimSpace(known), "replicas that the sentinel knows")
	r.healthyAfterBackups(t)
}

// healthyAfterBackups checks that the backups have left the release as it was.
func (r *release) healthyAfterBackups(t *testing.T) {
	t.Helper()
	eventually(t, recoveryTime, "a healthy release after the backups", r.healthy)
	for _, pod := range r.pods(t) {
		for _, c := range pod.Status.ContainerStatuses {
			assert.Zero(t, c.RestartCount, "restarts of %s", pod.Name)
		}
	}
}
