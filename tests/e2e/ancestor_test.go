package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// documentedCommands are the commands in the first console block after a
// heading of a document, each on one line.
func documentedCommands(t *testing.T, document, heading string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repositoryRoot, "docs", document))
	require.NoError(t, err)
	_, text, found := strings.Cut(string(content), "\n"+heading+"\n")
	require.True(t, found, "heading %q of %s", heading, document)
	_, text, found = strings.Cut(text, "```console\n")
	require.True(t, found, "a block of commands after %q of %s", heading, document)
	text, _, found = strings.Cut(text, "```")
	require.True(t, found, "the end of the block of commands after %q of %s", heading, document)
	var commands []string
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		if command, found := strings.CutPrefix(line, "$ "); found {
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	return commands
}

// TestDataOfTheOldChartAreCopied goes the documented way from the chart that
// this one descends from, whose objects cannot be upgraded in place.
func TestDataOfTheOldChartAreCopied(t *testing.T) {
	documentedRelease(t)
	const namespace = "kube-public"
	remove := "kubectl delete deployments,services,secrets,serviceaccounts,roles,rolebindings,persistentvolumeclaims" +
		" --selector release=old --namespace " + namespace
	bash(t, "sed 's|IMAGE|"+env.Image+"|' testdata/ancestor.yaml | kubectl apply --namespace "+namespace+" --filename -")
	t.Cleanup(func() { bashAfter(t, remove) })
	bash(t, "kubectl rollout status deployment/old-redis-ha-server --timeout 2m --namespace "+namespace)
	old := &release{name: "old", namespace: namespace}
	require.Equal(t, "PONG", strings.TrimSpace(old.cli(t, old.masterService(), redisPort, "ping")))
	const keys = 1000
	said, err := env.Execute(t.Context(), workNamespace, clientPod, nil, "bash", "-c", fmt.Sprintf(
		`for i in $(seq %d); do echo "SET key:$i value:$i"; done | redis-cli -h %s --pipe`, keys, old.masterService()))
	require.NoError(t, err)
	require.Contains(t, said, "errors: 0")

	r := &release{name: "new", namespace: namespace, servers: 2, sentinels: 1}
	r.install(t, "--set", "replicas.servers=2", "--set", "replicas.sentinels=1")
	// The old objects stand in nobody's way, nor does the new release in theirs.
	require.Equal(t, fmt.Sprint(keys), strings.TrimSpace(r.cli(t, old.masterService(), redisPort, "dbsize")))

	t.Cleanup(func() { bashAfter(t, "kubectl delete pod copy --now --ignore-not-found --namespace "+namespace) })
	commands := documentedCommands(t, "operations.md", "## Data from another Redis")
	require.Len(t, commands, 4)
	for _, command := range commands {
		bash(t, "cd "+repositoryRoot+" && "+command)
	}
	require.Equal(t, fmt.Sprint(keys), strings.TrimSpace(r.cli(t, r.masterService(), redisPort, "dbsize")))
	require.Equal(t, "value:1000", strings.TrimSpace(r.cli(t, r.masterService(), redisPort, "get", "key:1000")))

	bash(t, remove)
	eventually(t, recoveryTime, "the new release with the data", r.healthy)
	slave := r.fullname() + "-slave-svc." + namespace
	eventually(t, recoveryTime, "the data on a slave", func(context.Context) error {
		if size := strings.TrimSpace(r.cli(t, slave, redisPort, "dbsize")); size != fmt.Sprint(keys) {
			return fmt.Errorf("it has %s keys, want %d", size, keys)
		}
		return nil
	})
	r.uninstall(t)
}
