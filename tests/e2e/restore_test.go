package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/internal/s3server"
)

// restoreGap is for how long a client that writes may be without an acknowledged write while a backup replaces the data: one change of the master.
const restoreGap = 10 * time.Second

// keptBackup is how launcher restore names the backup of the former data.
var keptBackup = regexp.MustCompile(`are kept as backup ([0-9]{8}T[0-9]{6}Z-[0-9a-f]{8})`)

// An encrypted backup replaces the data of a release with a password and NetworkPolicies, while a client writes.
func TestBackupReplacesTheDataOfARunningReleaseOnTheCluster(t *testing.T) {
	t.Parallel()
	require.NoError(t, env.Prepare(t.Context()))
	r := newBackupRelease(t, "replaced", 3, 3)
	endpoint := s3server.At(t, s3server.Start(t, t.TempDir(), "-listen", "0.0.0.0:0"), hostAddress(t))
	bash(t, fmt.Sprintf("kubectl create secret generic keys --namespace %s --from-literal=access-key=%s --from-literal=secret-key=%s", r.namespace, s3server.AccessKey, s3server.SecretKey))
	bash(t, fmt.Sprintf("kubectl create secret generic age --namespace %s --from-literal=recipient=%s --from-literal=identity=%s", r.namespace, recipient, identity))
	r.readPassword = true
	r.install(t, "--set", "auth=true,networkPolicy.enabled=true,backup.enabled=true,backup.encryption.existingSecret=age,backup.s3.existingSecret=keys",
		"--set", "backup.s3.endpoint="+endpoint, "--set", "backup.s3.bucket="+s3server.Bucket)
	r.cli(t, r.masterService(), 6379, "SET", "restored:key", strings.Repeat("x", 1000))
	r.runJob(t, "backup-now")
	list := r.requireListed(t, "backup-list", 1, "yes")
	name := regexp.MustCompile(`[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}`).FindString(list)
	r.cli(t, r.masterService(), 6379, "DEL", "restored:key")
	r.cli(t, r.masterService(), 6379, "SET", "present:key", "present")

	asked := r.restoreJob(t, "restore-asked", "Failed", name)
	assert.Contains(t, asked, "nobody can be asked here: give --yes")
	assert.Contains(t, asked, "1 keys, generation 1")
	assert.Equal(t, "present", strings.TrimSpace(r.cli(t, r.masterService(), 6379, "GET", "present:key")))

	before := r.master(t)
	w := r.write(t)
	w.advance(200)
	said := r.restoreJob(t, "restore", "Complete", name, "--yes")
	t.Logf("launcher restore:\n%s", said)
	assert.Contains(t, said, "all 3 servers have the data of the backup")
	w.advance(200)
	report := w.finish()
	t.Logf("the writer: %+v", report)
	assert.Less(t, time.Duration(report.LongestGapMilliseconds)*time.Millisecond, restoreGap)
	eventually(t, recoveryTime, "a healthy release after the restore", r.healthy)
	assert.NotEqual(t, before.UID, r.master(t).UID, "a slave has taken over")
	r.requireRestored(t, "restored:key", "present:key")
	status := r.kubectl(t, "exec", r.sentinelDeployment(), "--", "launcher", "status")
	assert.Contains(t, status, "data: backup "+name+" has replaced those before generation 2")

	// The restored data outlive all processes, and the former data come back in the same way.
	r.kubectl(t, "rollout", "restart", r.serverWorkload())
	bash(t, fmt.Sprintf("kubectl rollout status %s --namespace %s --timeout 4m", r.serverWorkload(), r.namespace))
	eventually(t, recoveryTime, "a healthy release after the roll-out", r.healthy)
	r.requireRestored(t, "restored:key", "present:key")
	kept := keptBackup.FindStringSubmatch(said)
	require.NotNil(t, kept, said)
	r.restoreJob(t, "restore-back", "Complete", kept[1], "--yes", "--without-backup")
	eventually(t, recoveryTime, "a healthy release with the former data", r.healthy)
	r.requireRestored(t, "present:key", "restored:key")
}

// requireRestored checks that each server has one key and not another one.
func (r *release) requireRestored(t *testing.T, has, lacks string) {
	t.Helper()
	for _, pod := range r.component(t, "server") {
		assert.Equal(t, "1", strings.TrimSpace(r.cli(t, pod.Status.PodIP, 6379, "EXISTS", has)), "%s on %s", has, pod.Name)
		assert.Equal(t, "0", strings.TrimSpace(r.cli(t, pod.Status.PodIP, 6379, "EXISTS", lacks)), "%s on %s", lacks, pod.Name)
	}
}
