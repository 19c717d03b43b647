package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// oldRedis is a Redis that a release takes the data of.
type oldRedis struct {
	// objects is a file in testdata, workload what becomes ready.
	objects, workload string
	// address, secret and key are what docs/moving.md says for it.
	address, secret, key, password string
}

const (
	// movedKeys are written before the copy begins.
	movedKeys = 20_000
	// movingNamespace is the one in the documented commands.
	movingNamespace = "kube-public"
	// copyTime bounds the reading of all keys.
	copyTime = 2 * time.Minute
)

// oldRedises are those that docs/moving.md has a row for.
var oldRedises = map[string]oldRedis{
	"the ancestor": {objects: "ancestor.yaml", workload: "deployment/old-redis-ha-server", address: "old-redis-ha-master-svc:6379", secret: "none", key: "none"},
	"DandyDeveloper": {
		objects: "dandydeveloper.yaml", workload: "statefulset/old-redis-ha-server", address: "old-redis-ha-haproxy:6379",
		secret: "old-redis-ha", key: "auth", password: "secret-of-dandydeveloper",
	},
	"Bitnami": {
		objects: "bitnami.yaml", workload: "statefulset/old-redis-master", address: "old-redis-master:6379",
		secret: "old-redis", key: "redis-password", password: "secret-of-bitnami",
	},
	"a plain redis-server": {objects: "plain.yaml", workload: "deployment/plain", address: "plain:6379", secret: "none", key: "none"},
}

// TestDataOfOtherChartsAreCopiedWhileClientsWrite goes the way of docs/moving.md from objects with the names that other charts give them.
func TestDataOfOtherChartsAreCopiedWhileClientsWrite(t *testing.T) {
	require.NoError(t, env.Prepare(t.Context()))
	r := &release{name: "new", namespace: movingNamespace, servers: 2, sentinels: 1, readPassword: true}
	r.install(t, "--set", "replicas.servers=2", "--set", "replicas.sentinels=1", "--set", "auth=true")
	for name, old := range oldRedises {
		t.Run(name, func(t *testing.T) {
			old.start(t)
			r.takeData(t, old)
			require.Equal(t, "OK", strings.TrimSpace(r.cli(t, r.masterService(), redisPort, "flushall")))
		})
	}
	r.uninstall(t)
}

// start creates the objects, with keys of several types.
func (o oldRedis) start(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		bashAfter(t, "kubectl delete --namespace "+movingNamespace+" --ignore-not-found --wait --filename testdata/"+o.objects)
	})
	bash(t, "sed 's|IMAGE|"+env.Image+"|' testdata/"+o.objects+" | kubectl apply --namespace "+movingNamespace+" --filename -")
	bash(t, "kubectl rollout status "+o.workload+" --timeout 2m --namespace "+movingNamespace)
	host, reader := o.host(), &release{}
	require.Equal(t, "PONG", strings.TrimSpace(reader.cliWith(t, o.password, host, redisPort, "ping")))
	said, err := env.Execute(t.Context(), workNamespace, clientPod, strings.NewReader(login(o.password)+fmt.Sprintf(
		`for i in $(seq %d); do echo "SET key:$i value:$i"; done | redis-cli -h %s --pipe`, movedKeys, host)), "bash", "-s")
	require.NoError(t, err)
	require.Contains(t, said, "errors: 0")
	for _, command := range []string{
		"hset hash field value other value", "hpexpire hash 3600000 fields 1 field", "expire hash 7200", "xadd stream 1-1 a b",
		"xgroup create stream readers 0", "xreadgroup group readers one streams stream >", "zadd sorted 0.1 a", "sadd set a b", "rpush list a b",
	} {
		said := reader.cliWith(t, o.password, host, redisPort, strings.Fields(command)...)
		require.NotContains(t, said, "ERR", command)
	}
}

func (o oldRedis) host() string {
	host, _, _ := strings.Cut(o.address, ":")
	return host + "." + movingNamespace
}

// documented are the commands after a heading of docs/moving.md, with the names of this Redis.
func (o oldRedis) documented(t *testing.T, heading string) []string {
	t.Helper()
	commands := documentedCommands(t, "moving.md", heading)
	names := strings.NewReplacer(
		"|IMAGE|redis-ha:8.0.2-r1|", "|IMAGE|"+env.Image+"|", "|old-redis-master:6379|", "|"+o.address+"|", "|old-redis|", "|"+o.secret+"|", "|redis-password|", "|"+o.key+"|")
	for i := range commands {
		commands[i] = "cd " + repositoryRoot + " && " + names.Replace(commands[i])
	}
	return commands
}

// takeData follows the old Redis by the documented commands, under a client that writes.
func (r *release) takeData(t *testing.T, old oldRedis) {
	t.Helper()
	written := old.writeUntilStopped(t)
	t.Cleanup(func() { bashAfter(t, "kubectl delete job copy --ignore-not-found --namespace "+movingNamespace) })
	for _, command := range old.documented(t, "## Copy by commands") {
		bash(t, command)
	}
	logs := "kubectl logs job/copy --namespace " + movingNamespace
	eventually(t, copyTime, "the copy to follow", func(context.Context) error {
		if said := bash(t, logs); !strings.Contains(said, "the target follows the source") {
			return fmt.Errorf("it says:\n%s", said)
		}
		return nil
	})
	acknowledged := written()
	require.Greater(t, acknowledged, 20, "writes while the copy was going on")

	commands := old.documented(t, "## Cut over after a copy")
	require.Len(t, commands, 4)
	for _, command := range commands[:2] {
		bash(t, command)
	}
	said := bash(t, commands[2])
	require.Contains(t, said, "equal: the target has what the source has")
	for _, secret := range []string{old.password, r.password} {
		require.False(t, secret != "" && strings.Contains(said, secret), "a password in the log")
	}
	bash(t, commands[3])

	master := r.masterService()
	require.Equal(t, fmt.Sprint(movedKeys+acknowledged+5), strings.TrimSpace(r.cli(t, master, redisPort, "dbsize")))
	for _, number := range []int{0, acknowledged / 2, acknowledged - 1} {
		require.Equal(t, fmt.Sprint(number), strings.TrimSpace(r.cli(t, master, redisPort, "get", fmt.Sprintf("move:%d", number))))
	}
	require.Contains(t, r.cli(t, master, redisPort, "xpending", "stream", "readers"), "one")
	for _, side := range []struct{ password, host string }{{old.password, old.host()}, {r.password, master}} {
		left := strings.TrimSpace(r.cliWith(t, side.password, side.host, redisPort, "hpttl", "hash", "fields", "1", "field"))
		milliseconds, err := strconv.Atoi(left)
		require.NoError(t, err, left)
		require.Positive(t, milliseconds, "the field of the hash expires at %s", side.host)
	}
}

// writeUntilStopped starts a client of the old Redis. The function that it gives back stops it, and tells how many writes Redis has
// acknowledged.
func (o oldRedis) writeUntilStopped(t *testing.T) (stop func() int) {
	t.Helper()
	const flag = "/client/stop-moving"
	_, err := env.Execute(t.Context(), workNamespace, clientPod, nil, "rm", "-f", flag)
	require.NoError(t, err)
	end := func(ctx context.Context) error {
		_, err := env.Execute(ctx, workNamespace, clientPod, nil, "touch", flag)
		return err
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		defer cancel()
		_ = end(ctx)
	})
	type outcome struct {
		said string
		err  error
	}
	ended := make(chan outcome, 1)
	go func() {
		script := login(o.password) + fmt.Sprintf(
			`i=0; while [ ! -e %s ]; do [ "$(timeout 5 redis-cli -h %s set move:$i $i </dev/null)" = OK ] && i=$((i+1)); done; echo "$i"`, flag, o.host())
		said, err := env.Execute(context.WithoutCancel(t.Context()), workNamespace, clientPod, strings.NewReader(script), "bash", "-s")
		ended <- outcome{said, err}
	}()
	return func() int {
		t.Helper()
		require.NoError(t, end(t.Context()))
		select {
		case o := <-ended:
			require.NoError(t, o.err)
			acknowledged, err := strconv.Atoi(strings.TrimSpace(o.said))
			require.NoError(t, err)
			return acknowledged
		case <-time.After(recoveryTime):
			t.Fatalf("waited %v for the client to stop", recoveryTime)
			return 0
		}
	}
}

// TestReleaseMovesInFromOtherCharts goes the way of docs/moving.md by replication, from a Redis with a password behind HAProxy and from a Redis
// without a password. The other rows of the table differ from these in their names.
func TestReleaseMovesInFromOtherCharts(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"DandyDeveloper", "the ancestor"} {
		t.Run(name, func(t *testing.T) {
			old := oldRedises[name]
			old.start(t)
			r := &release{name: "new", namespace: movingNamespace, servers: 2, sentinels: 1, readPassword: true}
			r.moveIn(t, old)
			r.uninstall(t)
		})
	}
}

// moveIn installs a release that follows the old Redis, and cuts over under a client that writes, by the documented commands.
func (r *release) moveIn(t *testing.T, old oldRedis) {
	t.Helper()
	commands := old.documented(t, "## As replicas of the old Redis")
	require.Len(t, commands, 4)
	address, _, _ := strings.Cut(old.address, ":")
	names := strings.NewReplacer("charts/redis-ha --namespace", "stable/redis-ha --namespace", "externalMaster.host=old-redis-master", "externalMaster.host="+address,
		"--set auth=true", "--set auth=true --set replicas.servers=2 --set replicas.sentinels=1 --set redis_image="+env.Image,
		"externalMaster.existingSecret=old-redis ", "externalMaster.existingSecret="+old.secret+" ", "externalMaster.key=redis-password", "externalMaster.key="+old.key)
	install := names.Replace(commands[0])
	if old.password == "" {
		install, _, _ = strings.Cut(install, "--set externalMaster.existingSecret=")
	}
	bash(t, "helm repo add stable "+env.charts)
	r.watcher = watch(r)
	r.dumpIfFailed(t)
	bash(t, install)
	r.installed = true
	r.password = r.secretPassword(t)
	took := eventually(t, installTime, "servers that follow the old Redis", func(context.Context) error {
		said, err := tryBash(t, commands[1], "")
		if err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
		return nil
	})
	t.Logf("nothing was in the way %.1f s after helm install", took.Seconds())
	slave := r.fullname() + "-slave-svc." + movingNamespace
	require.Equal(t, "value:7", strings.TrimSpace(r.cli(t, slave, redisPort, "get", "key:7")))
	v, err := r.look(t.Context())
	require.NoError(t, err)
	require.Empty(t, v.with("master"))
	require.Len(t, v.with("slave"), 2)

	written := old.writeUntilStopped(t)
	eventually(t, recoveryTime, "writes to the old Redis", func(context.Context) error {
		if said := strings.TrimSpace((&release{}).cliWith(t, old.password, old.host(), redisPort, "exists", "move:20")); said != "1" {
			return fmt.Errorf("it has fewer than 20: %s", said)
		}
		return nil
	})
	said := bash(t, commands[2])
	acknowledged := written() // while the old Redis still holds writes back
	require.Contains(t, said, "nothing was lost")
	require.Contains(t, said, "all servers follow it")
	eventually(t, recoveryTime, "a complete release after the cut-over", r.healthy)
	r.waitServed(t)
	master := r.masterService()
	missing := strings.TrimSpace(r.cli(t, master, redisPort, "eval",
		"local n = 0 for i = 0, ARGV[1] - 1 do n = n + 1 - redis.call('EXISTS', 'move:' .. i) end return n", "0", fmt.Sprint(acknowledged)))
	require.Equal(t, "0", missing, "acknowledged writes that the new master lacks, of %d", acknowledged)
	require.Equal(t, "value:7", strings.TrimSpace(r.cli(t, master, redisPort, "get", "key:7")))

	bash(t, strings.Replace(commands[3], "charts/redis-ha", "stable/redis-ha", 1))
	eventually(t, installTime, "a complete release without an external master", func(ctx context.Context) error {
		for _, pod := range r.component(t, "server") {
			for _, variable := range pod.Spec.Containers[0].Env {
				if variable.Name == "LAUNCHER_EXTERNAL_MASTER" {
					return fmt.Errorf("%s still has the variable", pod.Name)
				}
			}
		}
		return r.healthy(ctx)
	})
	require.Equal(t, "value:7", strings.TrimSpace(r.cli(t, master, redisPort, "get", "key:7")))
}
