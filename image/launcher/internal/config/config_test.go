package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// environment is a complete environment of a server with changes; a change
// without "=" takes the variable away.
func environment(changes ...string) []string {
	env := map[string]string{
		"REDIS_CHART_PREFIX": "redis-ha-redis-ha-", "POD_NAME": "server-0", "POD_NAMESPACE": "default", "POD_UID": "uid-0",
		"POD_IP": "10.0.0.1", "LAUNCHER_POD_SELECTOR": "app=redis-ha,release=redis-ha",
	}
	for _, change := range changes {
		name, value, set := strings.Cut(change, "=")
		if env[name] = value; !set {
			delete(env, name)
		}
	}
	var out []string
	for name, value := range env {
		out = append(out, name+"="+value)
	}
	return out
}

func accepted(t *testing.T, changes ...string) config.Config {
	t.Helper()
	c, err := config.FromEnviron(environment(changes...))
	require.NoError(t, err)
	return c
}

// refused gives the problems of an environment.
func refused(t *testing.T, changes ...string) []string {
	t.Helper()
	_, err := config.FromEnviron(environment(changes...))
	var problems *config.ProblemsError
	require.True(t, errors.As(err, &problems), "%v is not refused", changes)
	return problems.Problems
}

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	c := accepted(t)
	selector := c.PodSelector.String()
	c.PodSelector = nil
	require.Equal(t, "app=redis-ha,release=redis-ha", selector)
	require.Equal(t, config.Config{
		PasswordSource: config.PasswordSource{Grace: time.Hour}, Prefix: "redis-ha-redis-ha-", PodName: "server-0", Namespace: "default", PodUID: "uid-0", PodIP: netip.MustParseAddr("10.0.0.1"),
		Servers: 3, Sentinels: 3, Quorum: 2, MasterName: "mymaster", DownAfter: 3 * time.Second, FailoverTimeout: 8 * time.Second,
		MinReplicas: 1, MinReplicasMaxLag: 3 * time.Second, MaxReplicationLag: 64 << 20, MaxMemoryPercent: 75, Persistence: true, ShutdownBudget: 55 * time.Second, LogLevel: slog.LevelInfo,
		RedisPort: 6379, SentinelPort: 26379, HTTPPort: 8080, DataDir: "/redis-master-data", RunDir: "/run/redis-ha", RedisServer: "redis-server",
		Backup: config.Backup{Retention: 30 * 24 * time.Hour, WorkDir: "/run/redis-ha-backup"},
	}, c)
	require.Equal(t, "redis-ha-redis-ha-master", c.MasterLease())
	require.Equal(t, "redis-ha-redis-ha-sentinels", c.SentinelsLease())
	require.Equal(t, "redis-ha-redis-ha-backup", c.BackupLease())
	require.Equal(t, 2, c.Majority())
}

// Writes must wait before the master gives its replica up, and it does that for a sixth of the memory limit.
func TestReplicationLagStaysBelowTheBufferOfAReplica(t *testing.T) {
	const limit = "LAUNCHER_MEMORY_LIMIT_BYTES=125829120" // 120 MiB
	require.Equal(t, int64(12<<20), accepted(t, limit).MaxReplicationLag)
	require.Equal(t, int64(20<<20), accepted(t, limit).ReplicaBuffer())
	require.Equal(t, int64(64<<20), accepted(t, "LAUNCHER_MEMORY_LIMIT_BYTES=734003200").MaxReplicationLag)
	require.Equal(t, int64(12<<20), accepted(t, limit, "LAUNCHER_MAX_REPLICATION_LAG=12Mi").MaxReplicationLag)
	require.Equal(t, int64(0), accepted(t, limit, "LAUNCHER_MAX_REPLICATION_LAG=0").MaxReplicationLag)
	require.Equal(t, []string{"LAUNCHER_MAX_REPLICATION_LAG is 13631488 bytes: set at most 12582912, a tenth of the memory limit"},
		refused(t, limit, "LAUNCHER_MAX_REPLICATION_LAG=13Mi"))
	require.Equal(t, int64(1<<30), accepted(t, "LAUNCHER_MAX_REPLICATION_LAG=1Gi").MaxReplicationLag)
}

// The user may set what a master keeps for a replica. Writes wait before that is reached, too.
func TestReplicationLagStaysBelowTheUsersOwnBufferOfAReplica(t *testing.T) {
	for line, want := range map[string]int64{
		"client-output-buffer-limit replica 32mb 16mb 10":               8 << 20,
		"client-output-buffer-limit normal 0 0 0 slave 20mb 0 0":        10 << 20,
		"CLIENT-OUTPUT-BUFFER-LIMIT replica 0 4M 60":                    2e6,
		"client-output-buffer-limit replica 0 0 0":                      64 << 20,
		"client-output-buffer-limit pubsub 1mb 1mb 1":                   64 << 20,
		"client-output-buffer-limit replica 1gb 512mb 60 normal 1k 0 0": 64 << 20,
		`"client-output-buffer-limit" replica "2mb" 0 0`:                1 << 20,
		"client-output-buffer-limit replica 1000 0 0":                   500,
	} {
		file := filepath.Join(t.TempDir(), "redis.conf")
		require.NoError(t, os.WriteFile(file, []byte(line+"\n"), 0o600))
		require.Equal(t, want, accepted(t, "LAUNCHER_REDIS_CONFIG_FILE="+file).MaxReplicationLag, line)
	}
}

func TestMaxMemoryIsAShareOfTheLimitAndLeavesRoomForTheLauncher(t *testing.T) {
	for _, c := range []struct{ limit, percent, want int64 }{
		{700 << 20, 75, 525 << 20}, {700 << 20, 0, 0}, {0, 75, 0}, {1000, 0, 0},
		{256 << 20, 75, 192 << 20}, {200 << 20, 75, 136 << 20}, {128 << 20, 75, 64 << 20}, {64 << 20, 75, 16 << 20}, {128 << 20, 10, 13421772},
		{math.MaxInt64, 75, 6917529027641081855}, {1<<30 + 99, 75, 3<<28 + 74},
	} {
		got := config.Config{MemoryLimit: c.limit, MaxMemoryPercent: int(c.percent)}.MaxMemory()
		require.Equal(t, c.want, got, "%d percent of %d", c.percent, c.limit)
	}
}

// A directive counts as the user's in whatever spelling Redis takes it.
func TestDirectivesOfTheUserAreKnown(t *testing.T) {
	for line, want := range map[string]bool{
		"maxmemory 1mb": true, `"MaxMemory" 0`: true, "maxmemory-policy allkeys-lru": false, "timeout 0": false,
	} {
		require.Equal(t, want, config.Config{ExtraConfig: []string{"hz 10", line}}.UserSets("maxmemory"), line)
	}
	for line, want := range map[string]bool{
		"client-output-buffer-limit replica 1mb 0 0":              true,
		"client-output-buffer-limit normal 0 0 0 SLAVE 20mb 0 0":  true,
		"client-output-buffer-limit pubsub 1mb 1mb 1":             false,
		"client-output-buffer-limit normal 0 0 0 pubsub 32mb 8 9": false,
	} {
		require.Equal(t, want, config.Config{ExtraConfig: []string{line}}.UserSets("client-output-buffer-limit"), line)
	}
	require.False(t, config.Config{}.UserSets("maxmemory"))
}

func TestEveryVariableIsRead(t *testing.T) {
	c := accepted(t, "SENTINEL=true", "REDIS_SENTINEL_SERVICE_HOST=redis-sentinel", "REDIS_PASS=secret", "LAUNCHER_SERVERS=5",
		"LAUNCHER_SENTINELS=5", "LAUNCHER_QUORUM=4", "LAUNCHER_MASTER_NAME=other", "LAUNCHER_DOWN_AFTER_MILLISECONDS=1500",
		"LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS=9000", "LAUNCHER_MIN_REPLICAS_TO_WRITE=2", "LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS=7",
		"LAUNCHER_MAX_REPLICATION_LAG=32Mi", "LAUNCHER_MEMORY_LIMIT_BYTES=1073741824", "LAUNCHER_MAXMEMORY_PERCENT=60",
		"LAUNCHER_PERSISTENCE=false", "LAUNCHER_SHUTDOWN_BUDGET_SECONDS=25", "LAUNCHER_NOTIFY_WEBHOOK_URL=https://example.invalid/hook",
		"LAUNCHER_LOG_LEVEL=debug", "LAUNCHER_REDIS_PORT=7001", "LAUNCHER_SENTINEL_PORT=7002", "LAUNCHER_HTTP_PORT=7003",
		"LAUNCHER_BIND_ADDRESS=127.0.0.9", "LAUNCHER_DATA_DIR=/data", "LAUNCHER_RUN_DIR=/runs", "LAUNCHER_REDIS_SERVER=valkey-server",
		"LAUNCHER_KUBECONFIG=/kube", "LAUNCHER_BACKUP_ENABLED=true", "LAUNCHER_BACKUP_S3_ENDPOINT=http://s3:9000", "LAUNCHER_BACKUP_S3_BUCKET=b",
		"LAUNCHER_BACKUP_S3_PREFIX=p/q", "LAUNCHER_BACKUP_S3_REGION=r", "LAUNCHER_BACKUP_S3_ACCESS_KEY=a\n", "LAUNCHER_BACKUP_S3_SECRET_KEY=s",
		"LAUNCHER_BACKUP_RECIPIENTS=age1x", "LAUNCHER_BACKUP_IDENTITY=AGE-SECRET-KEY-1X", "LAUNCHER_BACKUP_RETENTION=12h", "LAUNCHER_BACKUP_WORK_DIR=/work")
	c.PodSelector = nil
	require.Equal(t, config.Config{
		Sentinel: true, Prefix: "redis-ha-redis-ha-", SentinelServiceHost: "redis-sentinel", Password: "secret",
		PasswordSource: config.PasswordSource{Grace: time.Hour},
		PodName:        "server-0", Namespace: "default", PodUID: "uid-0", PodIP: netip.MustParseAddr("10.0.0.1"),
		Servers: 5, Sentinels: 5, Quorum: 4, MasterName: "other", DownAfter: 1500 * time.Millisecond, FailoverTimeout: 9 * time.Second,
		MinReplicas: 2, MinReplicasMaxLag: 7 * time.Second, MaxReplicationLag: 32 << 20, MemoryLimit: 1 << 30, MaxMemoryPercent: 60, ShutdownBudget: 25 * time.Second,
		WebhookURL: "https://example.invalid/hook", LogLevel: slog.LevelDebug,
		RedisPort: 7001, SentinelPort: 7002, HTTPPort: 7003, BindAddress: "127.0.0.9", DataDir: "/data", RunDir: "/runs",
		RedisServer: "valkey-server", Kubeconfig: "/kube",
		Backup: config.Backup{
			Enabled: true, S3: config.S3{Endpoint: "http://s3:9000", Bucket: "b", Prefix: "p/q/", Region: "r", AccessKey: "a", SecretKey: "s"},
			Recipients: "age1x", Identity: "AGE-SECRET-KEY-1X", Retention: 12 * time.Hour, WorkDir: "/work",
		},
	}, c)
}

func TestVolumesAreKeptOnlyIfTheChartSaysSo(t *testing.T) {
	require.False(t, accepted(t).VolumesKept)
	require.False(t, accepted(t, "LAUNCHER_VOLUMES_KEPT=false").VolumesKept)
	require.True(t, accepted(t, "LAUNCHER_VOLUMES_KEPT=true").VolumesKept)
	require.Equal(t, []string{
		"LAUNCHER_VOLUMES_KEPT is true, and LAUNCHER_PERSISTENCE is false: without persistence nothing is kept; set one of them to the other value",
	}, refused(t, "LAUNCHER_VOLUMES_KEPT=true", "LAUNCHER_PERSISTENCE=false"))
}

func TestEachBadValueIsRefusedWithItsNameAndTheRemedy(t *testing.T) {
	for change, want := range map[string]string{
		"REDIS_CHART_PREFIX":                          `REDIS_CHART_PREFIX is missing: set it to the full name of the release and "-"`,
		"POD_NAME":                                    "POD_NAME is missing: set it to the pod's name (downward API metadata.name)",
		"POD_NAMESPACE":                               "POD_NAMESPACE is missing: set it to the pod's namespace (downward API metadata.namespace)",
		"POD_UID":                                     "POD_UID is missing: set it to the pod's UID (downward API metadata.uid)",
		"POD_IP":                                      "POD_IP is missing: set it to the pod's address (downward API status.podIP)",
		"LAUNCHER_POD_SELECTOR":                       "LAUNCHER_POD_SELECTOR is missing: set it to the labels all pods of the release have, as app=NAME,release=NAME",
		"SENTINEL=yes":                                `SENTINEL is "yes": set it to true or false`,
		"REDIS_CHART_PREFIX=redis-ha":                 `REDIS_CHART_PREFIX is "redis-ha": set it to the full name of the release (lower case letters, digits, "-") and "-"`,
		"REDIS_CHART_PREFIX=Redis-":                   `REDIS_CHART_PREFIX is "Redis-": set it to the full name of the release (lower case letters, digits, "-") and "-"`,
		"REDIS_PASS=a\nb":                             "REDIS_PASS has a control character: use printable characters only",
		"REDIS_PASS=":                                 "REDIS_PASS is set and empty: put a password into the Secret it comes from, or remove the variable",
		"REDIS_PASS=a\x7f":                            "REDIS_PASS has a control character: use printable characters only",
		"POD_IP=localhost":                            `POD_IP is "localhost": set it to an IP address`,
		"LAUNCHER_POD_SELECTOR=a=b=c":                 `LAUNCHER_POD_SELECTOR is "a=b=c": set it to a label selector such as app=redis-ha,release=redis-ha`,
		"LAUNCHER_POD_SELECTOR= ":                     `LAUNCHER_POD_SELECTOR is " ": set it to a label selector such as app=redis-ha,release=redis-ha`,
		"LAUNCHER_SERVERS=0":                          `LAUNCHER_SERVERS is "0": set it to a whole number from 1 to 50`,
		"LAUNCHER_SERVERS=51":                         `LAUNCHER_SERVERS is "51": set it to a whole number from 1 to 50`,
		"LAUNCHER_SENTINELS=many":                     `LAUNCHER_SENTINELS is "many": set it to a whole number from 1 to 15`,
		"LAUNCHER_SENTINELS=4":                        "LAUNCHER_SENTINELS is 4: an even number has no better majority; set 3 or 5",
		"LAUNCHER_QUORUM=1":                           "LAUNCHER_QUORUM is 1: with 3 sentinels set it from 2 (a majority) to 2",
		"LAUNCHER_QUORUM=3":                           "LAUNCHER_QUORUM is 3: with 3 sentinels set it from 2 (a majority) to 2",
		"LAUNCHER_MASTER_NAME=my master":              `LAUNCHER_MASTER_NAME is "my master": use 1 to 63 letters, digits, '.', '_' or '-'`,
		"LAUNCHER_DOWN_AFTER_MILLISECONDS=1499":       `LAUNCHER_DOWN_AFTER_MILLISECONDS is "1499": set it to a whole number from 1500 to 600000`,
		"LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS=2999": `LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS is "2999": set it to a whole number from 3000 to 3600000`,
		"LAUNCHER_MIN_REPLICAS_TO_WRITE=-1":           `LAUNCHER_MIN_REPLICAS_TO_WRITE is "-1": set it to a whole number from 0 to 49`,
		"LAUNCHER_MIN_REPLICAS_TO_WRITE=3":            "LAUNCHER_MIN_REPLICAS_TO_WRITE is 3: 3 server(s) have at most 2 replica(s)",
		"LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS=0":     `LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS is "0": set it to a whole number from 1 to 3600`,
		"LAUNCHER_MAX_REPLICATION_LAG=64 MB":          `LAUNCHER_MAX_REPLICATION_LAG is "64 MB": set it to a size such as 64Mi, or 0`,
		"LAUNCHER_MAX_REPLICATION_LAG=-1":             `LAUNCHER_MAX_REPLICATION_LAG is "-1": set it to a size such as 64Mi, or 0`,
		"LAUNCHER_MEMORY_LIMIT_BYTES=1Gi":             fmt.Sprintf(`LAUNCHER_MEMORY_LIMIT_BYTES is "1Gi": set it to a whole number from 0 to %d`, math.MaxInt),
		"LAUNCHER_MAXMEMORY_PERCENT=76":               `LAUNCHER_MAXMEMORY_PERCENT is "76": set it to a whole number from 0 to 75`,
		"LAUNCHER_MAXMEMORY_PERCENT=-1":               `LAUNCHER_MAXMEMORY_PERCENT is "-1": set it to a whole number from 0 to 75`,
		"LAUNCHER_MAXMEMORY_PERCENT=75%":              `LAUNCHER_MAXMEMORY_PERCENT is "75%": set it to a whole number from 0 to 75`,
		"LAUNCHER_PERSISTENCE=TRUE":                   `LAUNCHER_PERSISTENCE is "TRUE": set it to true or false`,
		"LAUNCHER_VOLUMES_KEPT=yes":                   `LAUNCHER_VOLUMES_KEPT is "yes": set it to true or false`,
		"LAUNCHER_SHUTDOWN_BUDGET_SECONDS=4":          `LAUNCHER_SHUTDOWN_BUDGET_SECONDS is "4": set it to a whole number from 5 to 3600`,
		"LAUNCHER_NOTIFY_WEBHOOK_URL=ftp://host/x":    "LAUNCHER_NOTIFY_WEBHOOK_URL is not an http or https URL",
		"LAUNCHER_NOTIFY_WEBHOOK_URL=https:///token":  "LAUNCHER_NOTIFY_WEBHOOK_URL is not an http or https URL",
		"LAUNCHER_LOG_LEVEL=loud":                     `LAUNCHER_LOG_LEVEL is "loud": set it to debug, info, warn or error`,
		"LAUNCHER_REDIS_PORT=65536":                   `LAUNCHER_REDIS_PORT is "65536": set it to a whole number from 1 to 65535`,
		"LAUNCHER_SENTINEL_PORT=x":                    `LAUNCHER_SENTINEL_PORT is "x": set it to a whole number from 1 to 65535`,
		"LAUNCHER_HTTP_PORT=6379":                     "LAUNCHER_HTTP_PORT is 6379, a port of Redis or Sentinel: set another one",
		"LAUNCHER_BIND_ADDRESS=eth0":                  `LAUNCHER_BIND_ADDRESS is "eth0": set it to an IP address or leave it out`,
		"LAUNCHER_SERVRES=3":                          "LAUNCHER_SERVRES is not a variable of the launcher: remove it or correct its name",
	} {
		t.Run(change, func(t *testing.T) { require.Equal(t, []string{want}, refused(t, change)) })
	}
}

func TestLegalNeighboursAreAccepted(t *testing.T) {
	require.Equal(t, 0, accepted(t, "LAUNCHER_SERVERS=1").MinReplicas, "one server has no replica to wait for")
	require.Equal(t, 1, accepted(t, "LAUNCHER_SENTINELS=1").Quorum)
	require.Equal(t, 4, accepted(t, "LAUNCHER_SENTINELS=5", "LAUNCHER_QUORUM=4").Quorum)
	require.Equal(t, 2, accepted(t, "LAUNCHER_MIN_REPLICAS_TO_WRITE=2").MinReplicas)
	require.Equal(t, netip.MustParseAddr("fd00::7"), accepted(t, "POD_IP=fd00::7").PodIP)
	require.False(t, accepted(t, "SENTINEL=false").Sentinel)
	require.Equal(t, 3, accepted(t, "LAUNCHER_SERVERS=").Servers, "an empty value is an absent one")
	for _, password := range []string{` `, `"`, `\`, `'`, `#`, `user default on nopass`, `pässwörd ✓`, strings.Repeat("x", 512)} {
		require.Equal(t, password, accepted(t, "REDIS_PASS="+password).Password)
	}
}

func TestAllProblemsAreListedAtOnce(t *testing.T) {
	problems := refused(t, "POD_NAME", "POD_IP=x", "LAUNCHER_SENTINELS=2", "LAUNCHER_TYPO=1", "LAUNCHER_LOG_LEVEL=x", "REDIS_PASS=\t",
		"LAUNCHER_REDIS_CONFIG_FILE=/no such file", "SENTINEL=true")
	require.Len(t, problems, 8)
	require.True(t, sort.StringsAreSorted(problems))
	err := &config.ProblemsError{Problems: problems}
	require.Contains(t, err.Error(), "the environment has 8 problem(s):\n  - ")
	require.Equal(t, 8, strings.Count(err.Error(), "\n"))
}

func TestSecretsAreNotRepeatedInProblems(t *testing.T) {
	problems := refused(t, "REDIS_PASS=hush\x01hush", "LAUNCHER_NOTIFY_WEBHOOK_URL=gopher://hush")
	require.Len(t, problems, 2)
	require.NotContains(t, strings.Join(problems, "\n"), "hush")
}

// directives writes a file of further redis.conf directives.
func directives(t *testing.T, content string) string {
	path := filepath.Join(t.TempDir(), "redis.conf")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return "LAUNCHER_REDIS_CONFIG_FILE=" + path
}

func TestFurtherDirectivesAreKeptInOrder(t *testing.T) {
	c := accepted(t, directives(t, "# a comment\n\nmaxmemory 100mb\r\n  maxmemory-policy allkeys-lru  \ntimeout 0"))
	require.Equal(t, []string{"maxmemory 100mb", "maxmemory-policy allkeys-lru", "timeout 0"}, c.ExtraConfig)
}

func TestDirectivesThatTheLauncherOwnsAreRefused(t *testing.T) {
	for _, directive := range []string{
		"bind 0.0.0.0", "bind-source-addr 10.0.0.1", "rdb-del-sync-files no", "port 1", "dir /tmp", "requirepass x", "masterauth x", "masteruser x", "user x on", "aclfile /x", "replicaof 1.2.3.4 1",
		"slaveof 1.2.3.4 1", "replica-priority 1", "slave-priority 1", "replica-announce-ip 1.2.3.4", "slave-announce-port 1",
		"replica-announced no", "save 60 1", "replica-read-only no", "slave-read-only no", "min-replicas-to-write 0", "min-slaves-max-lag 1", "appendonly no",
		"appendfilename x", "appenddirname x", "dbfilename x", "daemonize yes", "pidfile /x", "supervised no", "logfile x", "include /x",
		"loadmodule /x", "rename-command GET x", "protected-mode no", "unixsocket /x", "unixsocketperm 700", "cluster-enabled yes",
		"tls-port 1", "syslog-enabled yes", "sentinel monitor x", "PORT 1", `"port" 1`, "port\t1", "  port 1", "'port' 1",
	} {
		t.Run(directive, func(t *testing.T) {
			problems := refused(t, directives(t, "maxmemory 1mb\n"+directive))
			require.Len(t, problems, 1)
			require.Contains(t, problems[0], "which the launcher owns: remove it")
		})
	}
}

func TestFileOfDirectivesMustBeReadableAndOfAServer(t *testing.T) {
	require.Contains(t, refused(t, "LAUNCHER_REDIS_CONFIG_FILE=/no such file")[0], "LAUNCHER_REDIS_CONFIG_FILE cannot be read")
	require.Equal(t, []string{"LAUNCHER_REDIS_CONFIG_FILE is set on a sentinel: it configures servers only; remove it or SENTINEL"},
		refused(t, "SENTINEL=true", directives(t, "timeout 0")))
}

func TestDirectoriesMustBeWritable(t *testing.T) {
	base := t.TempDir()
	file := filepath.Join(base, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	c := config.Config{RunDir: filepath.Join(base, "run"), DataDir: filepath.Join(base, "data")}
	require.NoError(t, c.CheckDirectories())
	entries, err := os.ReadDir(c.DataDir)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing is left behind")

	c = config.Config{RunDir: filepath.Join(file, "run"), DataDir: filepath.Join(file, "data")}
	var problems *config.ProblemsError
	require.ErrorAs(t, c.CheckDirectories(), &problems)
	require.Len(t, problems.Problems, 2)
	require.Contains(t, problems.Problems[0], "LAUNCHER_RUN_DIR")
	require.Contains(t, problems.Problems[1], "LAUNCHER_DATA_DIR")
	c.Sentinel = true
	require.ErrorAs(t, c.CheckDirectories(), &problems)
	require.Len(t, problems.Problems, 1, "a sentinel has no data")
}
