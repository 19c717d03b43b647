package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDocumentedInstallGivesOneMasterTwoSlavesThreeSentinels(t *testing.T) {
	documentedRelease(t)
	roles := map[string]int{}
	table := strings.Split(strings.TrimSpace(bash(t, "kubectl get pods -L redis-role --namespace=kube-public")), "\n")
	require.Equal(t, "REDIS-ROLE", lastWord(table[0]))
	for _, row := range table[1:] {
		if strings.HasPrefix(row, "redis-ha-redis-ha-") {
			roles[lastWord(row)]++
		}
	}
	require.Equal(t, map[string]int{"master": 1, "slave": 2, "sentinel": 3}, roles)
}

func lastWord(line string) string {
	words := strings.Fields(line)
	return words[len(words)-1]
}

func TestDocumentedRedisCliReachesTheMasterFromAServerPod(t *testing.T) {
	r := documentedRelease(t)
	v, err := r.look(t.Context())
	require.NoError(t, err)
	require.Contains(t, bash(t, "kubectl get svc --namespace=kube-public"), "redis-ha-redis-ha-master-svc")
	for _, pod := range v.component("server") {
		inside := "redis-cli -h redis-ha-redis-ha-master-svc.kube-public -p 6379"
		said := bash(t, "kubectl exec -i "+pod.Name+" --namespace=kube-public -- bash <<'END'\n"+
			inside+" <<'COMMANDS'\nset documented "+pod.Name+"\nget documented\nCOMMANDS\nEND")
		require.Equal(t, []string{"OK", pod.Name}, strings.Fields(said), "from pod %s", pod.Name)
	}
}

func TestEachServiceLeadsToItsRole(t *testing.T) {
	r := documentedRelease(t)
	master := r.master(t)
	for _, host := range []string{"redis-ha-redis-ha-master-svc.kube-public", "redis-ha-redis-ha.kube-public.svc.cluster.local"} {
		require.Equal(t, "master", strings.Fields(r.cli(t, host, redisPort, "role"))[0], host)
	}
	slave := "redis-ha-redis-ha-slave-svc.kube-public"
	require.Equal(t, []string{"slave", master.Status.PodIP}, strings.Fields(r.cli(t, slave, redisPort, "role"))[:2])
	require.Contains(t, r.cli(t, slave, redisPort, "set", "on-a-slave", "1"), "READONLY")
	require.Equal(t, []string{master.Status.PodIP, "6379"}, strings.Fields(
		r.cli(t, "redis-ha-redis-ha-sentinel.kube-public", sentinelPort, "sentinel", "get-master-addr-by-name", masterName)))
}

func TestEachServerKeepsItsDataOnAVolumeOfItsOwn(t *testing.T) {
	r := documentedRelease(t)
	v, err := r.look(t.Context())
	require.NoError(t, err)
	used := map[string]string{}
	for _, pod := range v.component("server") {
		claim := dataClaim(t, r, &pod)
		require.Empty(t, used[claim.Spec.VolumeName], "the volume of pod %s has another pod too", pod.Name)
		used[claim.Spec.VolumeName] = pod.Name
		require.Equal(t, "10Gi", claim.Spec.Resources.Requests.Storage().String())
		files, err := env.Execute(t.Context(), r.namespace, pod.Name, nil, "ls", "/redis-master-data")
		require.NoError(t, err)
		require.Contains(t, files, "appendonly", "files of pod %s", pod.Name)
	}
}

// dataClaim finds the claim behind a server's data.
func dataClaim(t *testing.T, r *release, pod *corev1.Pod) *corev1.PersistentVolumeClaim {
	t.Helper()
	for _, volume := range pod.Spec.Volumes {
		if volume.Name == "data" {
			// The names of such claims are rules of Kubernetes.
			name := "data-" + pod.Name
			if r.workload == "" {
				require.NotNil(t, volume.Ephemeral, "volume data of pod %s", pod.Name)
				name = pod.Name + "-data"
			}
			claim, err := env.Kube.CoreV1().PersistentVolumeClaims(r.namespace).Get(t.Context(), name, metav1.GetOptions{})
			require.NoError(t, err)
			require.Equal(t, corev1.ClaimBound, claim.Status.Phase)
			return claim
		}
	}
	require.Failf(t, "no volume data", "pod %s", pod.Name)
	return nil
}

func TestNotesCommandsWork(t *testing.T) {
	r := documentedRelease(t)
	r.runNotes(t)
}

// notesPrefix starts each line of NOTES.txt that is a command.
const notesPrefix = "  $ "

// runNotes pastes every command of the notes into a shell.
func (r *release) runNotes(t *testing.T) {
	t.Helper()
	status := r.helm(t, "status", r.name, "-o", "json")
	var parsed struct {
		Info struct {
			Notes string `json:"notes"`
		} `json:"info"`
	}
	require.NoError(t, json.Unmarshal([]byte(status), &parsed))
	commands := 0
	for line := range strings.Lines(parsed.Info.Notes) {
		command, found := strings.CutPrefix(strings.TrimRight(line, "\n"), notesPrefix)
		if !found || strings.HasPrefix(command, "kubectl delete") { // what comes after helm uninstall
			continue
		}
		commands++
		typed, wanted := "", ""
		if strings.Contains(command, "-it") {
			// With nothing typed redis-cli would wait for the end of its input alone,
			// which kubectl exec loses once in a thousand times under load.
			typed, wanted = "PING\n", "PONG"
		}
		said, err := tryBash(t, command, typed)
		require.NoErrorf(t, err, "a command of the notes: %s", command)
		require.NotEmptyf(t, strings.TrimSpace(said), "output of: %s", command)
		require.Containsf(t, said, wanted, "output of: %s", command)
		if strings.Contains(command, "get secret") { // random letters may be any word
			continue
		}
		for _, word := range []string{"ERR", "NOAUTH", "WRONGPASS", "error"} {
			require.NotContainsf(t, said, word, "output of: %s", command)
		}
	}
	require.GreaterOrEqual(t, commands, 8, "commands in the notes")
}

func TestHelmTestPasses(t *testing.T) {
	r := documentedRelease(t)
	require.Contains(t, r.helm(t, "test", r.name), "Succeeded")
	left, err := r.objects(t.Context())
	require.NoError(t, err)
	require.NotContains(t, left, "pod/redis-ha-redis-ha-test")
}
