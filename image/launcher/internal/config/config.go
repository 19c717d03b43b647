// Package config turns the environment of a pod into one checked value.
//
// The environment is the launcher's only input; nothing else in the launcher
// reads it. The variables are:
//
//	SENTINEL                              "true" makes this pod a sentinel; absent: a server
//	REDIS_CHART_PREFIX                    prefix of the release's object names, "<fullname>-"
//	REDIS_SENTINEL_SERVICE_HOST           name of the sentinel Service (server; asked when the pod list is not to be had)
//	REDIS_PASS                            password of Redis and Sentinel; absent: no authentication; without effect beside LAUNCHER_PASSWORD_FILE
//	LAUNCHER_PASSWORD_FILE                file with the password, which is followed while it changes; absent: REDIS_PASS
//	LAUNCHER_AUTH                         "false": Redis and Sentinel ask for no password, whatever that file has (true with a file)
//	LAUNCHER_PASSWORD_GRACE_SECONDS       how long an earlier password works beside that of the file, once all pods use that of the file (3600)
//	POD_NAME, POD_NAMESPACE, POD_UID      identity of this pod, from the downward API
//	POD_IP                                address other pods reach this pod at
//	LAUNCHER_POD_SELECTOR                 label selector of all pods of the release
//	LAUNCHER_SERVERS                      configured number of servers, 1 to 50
//	LAUNCHER_SENTINELS                    configured number of sentinels, odd, 1 to 15
//	LAUNCHER_QUORUM                       sentinels that must agree that the master is down: a majority, and not all of several
//	LAUNCHER_MASTER_NAME                  name Sentinel knows the master by (mymaster)
//	LAUNCHER_DOWN_AFTER_MILLISECONDS      silence after which Sentinel calls an instance down (3000)
//	LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS  Sentinel's failover-timeout (8000)
//	LAUNCHER_MIN_REPLICAS_TO_WRITE        replicas a master must have to accept writes, once it has had one (1; 0 with one server)
//	LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS silence after which a replica no longer counts (3)
//	LAUNCHER_MAX_REPLICATION_LAG          how far the foremost replica may be behind before writes wait, as "64Mi"; "0": they never wait
//	                                      (64Mi, or a tenth of the memory limit where that is less)
//	LAUNCHER_MEMORY_LIMIT_BYTES           memory limit of the container, by which buffers and maxmemory are sized; absent: fixed sizes, no maxmemory
//	LAUNCHER_MAXMEMORY_PERCENT            share of the memory limit that becomes maxmemory, 0 to 75; 0: the launcher sets no maxmemory (75)
//	LAUNCHER_PERSISTENCE                  "true": append-only file in the data directory; "false": memory only
//	LAUNCHER_VOLUMES_KEPT                 "true": the data directories of the servers outlive their pods, as with a StatefulSet (false)
//	LAUNCHER_SHUTDOWN_BUDGET_SECONDS      time from TERM to exit; below terminationGracePeriodSeconds (55)
//	LAUNCHER_REDIS_CONFIG_FILE            file of further redis.conf directives; absent: none
//	LAUNCHER_SETTINGS_FILE                file of variables that may change while the launcher runs; absent: none
//	LAUNCHER_NOTIFY_WEBHOOK_URL           URL that Sentinel events are posted to; absent: none
//	LAUNCHER_BACKUP_ENABLED               "true": the release makes backups, and the master tells the age of the last one (false)
//	LAUNCHER_BACKUP_DIR                   directory of the backups (only for launcher backup, as all that follow on backups)
//	LAUNCHER_BACKUP_S3_ENDPOINT           URL of the S3 server that keeps the backups, in the place of a directory
//	LAUNCHER_BACKUP_S3_BUCKET, LAUNCHER_BACKUP_S3_PREFIX, LAUNCHER_BACKUP_S3_REGION   bucket, what its object names begin with (nothing), region (asked)
//	LAUNCHER_BACKUP_S3_ACCESS_KEY, LAUNCHER_BACKUP_S3_SECRET_KEY   who may use the bucket
//	LAUNCHER_BACKUP_RECIPIENTS            public keys of age that backups are encrypted for, one a line; absent: they are not encrypted
//	LAUNCHER_BACKUP_IDENTITY              private keys of age, one a line, with which encrypted backups are read
//	LAUNCHER_BACKUP_RETENTION             age from which on a backup is deleted, as 30d or 12h (30d)
//	LAUNCHER_BACKUP_WORK_DIR              directory for a copy of the data (/run/redis-ha-backup)
//	LAUNCHER_RESTORE_FROM                 backup that a release without data begins with, or "latest"; absent: it begins empty (servers only)
//	LAUNCHER_EXTERNAL_MASTER              host:port of a Redis elsewhere that the servers follow until the release has a master of its own; absent: none
//	LAUNCHER_EXTERNAL_MASTER_PASS         password of that Redis; absent: none
//	LAUNCHER_EXTERNAL_MASTER_TLS          "true": encrypted (false)
//	LAUNCHER_EXTERNAL_MASTER_CA_FILE      authorities that its certificate is checked by, in PEM; absent: those of the system
//	LAUNCHER_TLS_CERT_FILE, LAUNCHER_TLS_KEY_FILE, LAUNCHER_TLS_CA_FILE   certificate and key of this pod, and authorities; absent: no encryption
//	LAUNCHER_TLS_AUTH_CLIENTS             "true": Redis and Sentinel demand certificates of clients (true)
//	LAUNCHER_LOG_LEVEL                    debug, info, warn or error (info)
//	LAUNCHER_REDIS_PORT, LAUNCHER_SENTINEL_PORT, LAUNCHER_HTTP_PORT   6379, 26379, 8080
//	LAUNCHER_BIND_ADDRESS                 only address to listen on, and to ask from; absent: all
//	LAUNCHER_DATA_DIR, LAUNCHER_RUN_DIR   /redis-master-data, /run/redis-ha
//	LAUNCHER_REDIS_SERVER                 server program, also started with --sentinel (redis-server)
//	LAUNCHER_KUBECONFIG                   kubeconfig file; absent: the pod's service account
//
// Any other variable that starts with LAUNCHER_ is an error, so that a typing
// mistake never silently means a default. The settings file replaces some of
// them; see settings.go.
package config

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
)

// Config is the checked environment of one pod.
type Config struct {
	Sentinel            bool
	Prefix              string // object names of the release start with it; ends in "-"
	SentinelServiceHost string
	Password            string // of REDIS_PASS, or that in the file as it was when the launcher started
	PasswordSource      PasswordSource
	Passwords           *Passwords // nil: Password is the only one

	PodName, Namespace, PodUID string
	PodIP                      netip.Addr
	PodSelector                labels.Selector

	Servers, Sentinels, Quorum int
	MasterName                 string
	DownAfter                  time.Duration
	FailoverTimeout            time.Duration
	MinReplicas                int
	MinReplicasMaxLag          time.Duration
	MaxReplicationLag          int64 // bytes that the foremost replica may be behind before writes wait; 0: any
	MemoryLimit                int64 // bytes; 0: not known
	MaxMemoryPercent           int   // share of MemoryLimit that becomes maxmemory; 0: none
	Persistence                bool
	VolumesKept                bool // the volumes of the servers outlive their pods: a pod that has not run yet may have data
	ShutdownBudget             time.Duration
	ExtraConfigFile            string
	ExtraConfig                []string // directives read from ExtraConfigFile, one a line
	SettingsFile               string
	SettingsVersion            string // names the content of SettingsFile; empty without one
	WebhookURL                 string
	Backup                     Backup
	External                   External
	TLS                        TLS
	LogLevel                   slog.Level

	RedisPort, SentinelPort, HTTPPort int
	BindAddress                       string
	DataDir, RunDir                   string
	RedisServer                       string
	Kubeconfig                        string
}

// MasterLease is the name of the Lease that holds the record of the master.
func (c Config) MasterLease() string { return c.Prefix + "master" }

// SentinelsLease is the name of the Lease that holds the sentinels' slots.
func (c Config) SentinelsLease() string { return c.Prefix + "sentinels" }

// defaultReplicationLag is how far the foremost replica may be behind, in bytes, before writes wait. Replicas on one network
// with their master are some megabytes behind under load. A replica carries 64 MiB out in about a second.
const defaultReplicationLag = 64 << 20

// ReplicaBuffer is how much of the stream, in bytes, a master keeps for a replica that is behind before it gives the replica
// up: a sixth of its memory limit, since maxmemory may take three quarters and leaves out this buffer. 0 means that Redis decides.
func (c Config) ReplicaBuffer() int64 { return c.MemoryLimit / 6 }

// mostMemoryPercent is the largest share of the memory limit for maxmemory. The quarter that it leaves is for what Redis does not count:
// pages that change while a copy is made, buffers of replicas, fragmentation, and the launcher. The chart refuses more, too
// (redis-ha.problems.maxmemory).
const mostMemoryPercent = 75

// leastRoom is what MaxMemory leaves of a limit, in bytes. The launcher needs 25 MiB of it (docs/benchmarks.md), and an empty Redis 8 MiB.
const leastRoom = 64 << 20

// MaxMemory is the size of Redis' data, in bytes, from which on Redis refuses writes or evicts: MaxMemoryPercent of the memory limit. Of a
// small limit it leaves 64 MiB instead, or three quarters where the limit is below 85 MiB. 0 means that the launcher sets none.
func (c Config) MaxMemory() int64 {
	percent := int64(c.MaxMemoryPercent)
	share := c.MemoryLimit/100*percent + c.MemoryLimit%100*percent/100
	return min(share, max(c.MemoryLimit-leastRoom, c.MemoryLimit/4))
}

// LargestReplicationLag gives a lag, in bytes, or a tenth of the memory limit if that is less. Part of ReplicaBuffer stays free
// then, so writes wait before the master gives a replica up.
func (c Config) LargestReplicationLag(lag int64) int64 {
	if c.MemoryLimit == 0 {
		return lag
	}
	return min(lag, (c.MemoryLimit+9)/10)
}

// Majority is the smallest number of configured sentinels that is more than half.
func (c Config) Majority() int { return c.Sentinels/2 + 1 }

// ProblemsError lists everything that is wrong with an environment.
type ProblemsError struct{ Problems []string }

// Error gives one line for each problem.
func (e *ProblemsError) Error() string {
	return fmt.Sprintf("the environment has %d problem(s):\n  - %s", len(e.Problems), strings.Join(e.Problems, "\n  - "))
}

var (
	masterNamePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)
	prefixPattern     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?-$`)
)

// knownVariables are all variables with the launcher's own prefix.
var knownVariables = map[string]bool{}

func init() {
	for _, name := range []string{
		"POD_SELECTOR", "SERVERS", "SENTINELS", "QUORUM", "MASTER_NAME", "DOWN_AFTER_MILLISECONDS",
		"FAILOVER_TIMEOUT_MILLISECONDS", "MIN_REPLICAS_TO_WRITE", "MIN_REPLICAS_MAX_LAG_SECONDS", "MAX_REPLICATION_LAG", "MEMORY_LIMIT_BYTES",
		"MAXMEMORY_PERCENT", "PERSISTENCE", "VOLUMES_KEPT", "SHUTDOWN_BUDGET_SECONDS", "REDIS_CONFIG_FILE", "SETTINGS_FILE", "NOTIFY_WEBHOOK_URL", "LOG_LEVEL",
		"PASSWORD_FILE", "AUTH", "PASSWORD_GRACE_SECONDS",
		"EXTERNAL_MASTER", "EXTERNAL_MASTER_PASS", "EXTERNAL_MASTER_TLS", "EXTERNAL_MASTER_CA_FILE",
		"TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE", "TLS_AUTH_CLIENTS",
		"REDIS_PORT",
		"BACKUP_ENABLED", "BACKUP_DIR", "BACKUP_S3_ENDPOINT", "BACKUP_S3_BUCKET", "BACKUP_S3_PREFIX", "BACKUP_S3_REGION", "BACKUP_S3_ACCESS_KEY",
		"BACKUP_S3_SECRET_KEY", "BACKUP_RECIPIENTS", "BACKUP_IDENTITY", "BACKUP_RETENTION", "BACKUP_WORK_DIR", "RESTORE_FROM",
		"SENTINEL_PORT", "HTTP_PORT", "BIND_ADDRESS", "DATA_DIR", "RUN_DIR", "REDIS_SERVER", "KUBECONFIG",
	} {
		knownVariables["LAUNCHER_"+name] = true
	}
}

// reader collects problems while values are taken from an environment.
type reader struct {
	env      map[string]string
	problems []string
}

// newReader reads an environment in the form of os.Environ.
func newReader(environ []string) *reader {
	r := &reader{env: map[string]string{}}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		r.env[name] = value
		if strings.HasPrefix(name, "LAUNCHER_") && !knownVariables[name] {
			r.problem("%s is not a variable of the launcher: remove it or correct its name", name)
		}
	}
	return r
}

// failure is a *ProblemsError with all problems, or nil.
func (r *reader) failure() error {
	if len(r.problems) == 0 {
		return nil
	}
	sort.Strings(r.problems)
	return &ProblemsError{Problems: r.problems}
}

func (r *reader) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

func (r *reader) required(name, why string) string {
	value := r.env[name]
	if value == "" {
		r.problem("%s is missing: set it to %s", name, why)
	}
	return value
}

func (r *reader) text(name, fallback string) string {
	if value := r.env[name]; value != "" {
		return value
	}
	return fallback
}

func (r *reader) number(name string, fallback, low, high int) int {
	value, ok := r.env[name]
	if !ok || value == "" {
		return fallback
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		r.problem("%s is %q: set it to a whole number from %d to %d", name, value, low, high)
		return fallback
	}
	return n
}

// size reads a quantity of Kubernetes, in bytes.
func (r *reader) size(name string, fallback int64) int64 {
	value := r.env[name]
	if value == "" {
		return fallback
	}
	quantity, err := resource.ParseQuantity(value)
	if err != nil || quantity.Sign() < 0 {
		r.problem("%s is %q: set it to a size such as 64Mi, or 0", name, value)
		return fallback
	}
	return quantity.Value()
}

func (r *reader) boolean(name string, fallback bool) bool {
	switch value := r.env[name]; value {
	case "":
		return fallback
	case "true":
		return true
	case "false":
		return false
	default:
		r.problem("%s is %q: set it to true or false", name, value)
		return fallback
	}
}

// ShortestDownAfter leaves room for the write pause of a hand-over, which must
// end a second before the sentinels would find the paused master down.
const ShortestDownAfter = 1500 * time.Millisecond

// FromEnviron reads the environment, given in the form of os.Environ. The
// error is a *ProblemsError that lists every problem at once.
func FromEnviron(environ []string) (Config, error) {
	r := newReader(environ)
	settings := r.readSettings()
	c := Config{
		Sentinel:            r.boolean("SENTINEL", false),
		Prefix:              r.required("REDIS_CHART_PREFIX", `the full name of the release and "-"`),
		SentinelServiceHost: r.env["REDIS_SENTINEL_SERVICE_HOST"],
		Password:            r.env["REDIS_PASS"],
		PodName:             r.required("POD_NAME", "the pod's name (downward API metadata.name)"),
		Namespace:           r.required("POD_NAMESPACE", "the pod's namespace (downward API metadata.namespace)"),
		PodUID:              r.required("POD_UID", "the pod's UID (downward API metadata.uid)"),
		MasterName:          r.text("LAUNCHER_MASTER_NAME", "mymaster"),
		Servers:             r.number("LAUNCHER_SERVERS", 3, 1, 50),
		Sentinels:           r.number("LAUNCHER_SENTINELS", 3, 1, 15),
		DownAfter:           time.Duration(r.number("LAUNCHER_DOWN_AFTER_MILLISECONDS", 3000, int(ShortestDownAfter.Milliseconds()), 600000)) * time.Millisecond,
		FailoverTimeout:     time.Duration(r.number("LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS", 8000, 3000, 3600000)) * time.Millisecond,
		MinReplicasMaxLag:   time.Duration(r.number("LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS", 3, 1, 3600)) * time.Second,
		Persistence:         r.boolean("LAUNCHER_PERSISTENCE", true),
		VolumesKept:         r.boolean("LAUNCHER_VOLUMES_KEPT", false),
		ShutdownBudget:      time.Duration(r.number("LAUNCHER_SHUTDOWN_BUDGET_SECONDS", 55, 5, 3600)) * time.Second,
		ExtraConfigFile:     r.env["LAUNCHER_REDIS_CONFIG_FILE"],
		SettingsFile:        r.env["LAUNCHER_SETTINGS_FILE"],
		SettingsVersion:     versionOf(settings),
		WebhookURL:          r.env["LAUNCHER_NOTIFY_WEBHOOK_URL"],
		RedisPort:           r.number("LAUNCHER_REDIS_PORT", 6379, 1, 65535),
		SentinelPort:        r.number("LAUNCHER_SENTINEL_PORT", 26379, 1, 65535),
		HTTPPort:            r.number("LAUNCHER_HTTP_PORT", 8080, 1, 65535),
		BindAddress:         r.env["LAUNCHER_BIND_ADDRESS"],
		DataDir:             r.text("LAUNCHER_DATA_DIR", "/redis-master-data"),
		RunDir:              r.text("LAUNCHER_RUN_DIR", "/run/redis-ha"),
		RedisServer:         r.text("LAUNCHER_REDIS_SERVER", "redis-server"),
		Kubeconfig:          r.env["LAUNCHER_KUBECONFIG"],
		Backup:              r.backup(),
	}
	c.Quorum = r.number("LAUNCHER_QUORUM", c.Majority(), 1, 15)
	fallbackMin := 1
	if c.Servers == 1 {
		fallbackMin = 0
	}
	c.MinReplicas = r.number("LAUNCHER_MIN_REPLICAS_TO_WRITE", fallbackMin, 0, 49)
	c.MemoryLimit = int64(r.number("LAUNCHER_MEMORY_LIMIT_BYTES", 0, 0, math.MaxInt))
	c.MaxMemoryPercent = r.number("LAUNCHER_MAXMEMORY_PERCENT", mostMemoryPercent, 0, mostMemoryPercent)
	c.MaxReplicationLag = r.size("LAUNCHER_MAX_REPLICATION_LAG", c.LargestReplicationLag(defaultReplicationLag))
	c.External = r.external(c)
	c.TLS = r.tls()
	c.PasswordSource = r.passwordSource()
	r.checkValues(&c)
	r.readExtraConfig(&c)
	if limit := replicaLimit(c.ExtraConfig); limit > 0 {
		c.MaxReplicationLag = min(c.MaxReplicationLag, limit/2)
	}
	if err := r.failure(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// checkValues fills in the values that need parsing and refuses contradictions.
func (r *reader) checkValues(c *Config) {
	if ip := r.required("POD_IP", "the pod's address (downward API status.podIP)"); ip != "" {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			r.problem("POD_IP is %q: set it to an IP address", ip)
		}
		c.PodIP = addr
	}
	if selector := r.required("LAUNCHER_POD_SELECTOR", "the labels all pods of the release have, as app=NAME,release=NAME"); selector != "" {
		parsed, err := labels.Parse(selector)
		if err != nil || parsed.Empty() {
			r.problem("LAUNCHER_POD_SELECTOR is %q: set it to a label selector such as app=redis-ha,release=redis-ha", selector)
		}
		c.PodSelector = parsed
	}
	if c.Prefix != "" && !prefixPattern.MatchString(c.Prefix) {
		r.problem(`REDIS_CHART_PREFIX is %q: set it to the full name of the release (lower case letters, digits, "-") and "-"`, c.Prefix)
	}
	if !masterNamePattern.MatchString(c.MasterName) {
		r.problem("LAUNCHER_MASTER_NAME is %q: use 1 to 63 letters, digits, '.', '_' or '-'", c.MasterName)
	}
	if c.Sentinels%2 == 0 {
		r.problem("LAUNCHER_SENTINELS is %d: an even number has no better majority; set %d or %d", c.Sentinels, c.Sentinels-1, c.Sentinels+1)
	}
	// All of several would mean no failover while one of them restarts.
	if most := max(c.Majority(), c.Sentinels-1); c.Quorum > most || c.Quorum < c.Majority() {
		r.problem("LAUNCHER_QUORUM is %d: with %d sentinels set it from %d (a majority) to %d", c.Quorum, c.Sentinels, c.Majority(), most)
	}
	if c.MinReplicas >= c.Servers {
		r.problem("LAUNCHER_MIN_REPLICAS_TO_WRITE is %d: %d server(s) have at most %d replica(s)", c.MinReplicas, c.Servers, c.Servers-1)
	}
	if most := c.LargestReplicationLag(math.MaxInt64); c.MaxReplicationLag > most {
		r.problem("LAUNCHER_MAX_REPLICATION_LAG is %d bytes: set at most %d, a tenth of the memory limit", c.MaxReplicationLag, most)
	}
	if c.VolumesKept && !c.Persistence {
		r.problem("LAUNCHER_VOLUMES_KEPT is true, and LAUNCHER_PERSISTENCE is false: without persistence nothing is kept; set one of them to the other value")
	}
	r.checkPassword(c)
	if c.WebhookURL != "" {
		if u, err := url.Parse(c.WebhookURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			r.problem("LAUNCHER_NOTIFY_WEBHOOK_URL is not an http or https URL")
		}
	}
	if err := c.LogLevel.UnmarshalText([]byte(r.text("LAUNCHER_LOG_LEVEL", "info"))); err != nil {
		r.problem("LAUNCHER_LOG_LEVEL is %q: set it to debug, info, warn or error", r.env["LAUNCHER_LOG_LEVEL"])
	}
	if c.BindAddress != "" {
		if _, err := netip.ParseAddr(c.BindAddress); err != nil {
			r.problem("LAUNCHER_BIND_ADDRESS is %q: set it to an IP address or leave it out", c.BindAddress)
		}
	}
	if c.RedisPort == c.HTTPPort || c.SentinelPort == c.HTTPPort {
		r.problem("LAUNCHER_HTTP_PORT is %d, a port of Redis or Sentinel: set another one", c.HTTPPort)
	}
	if c.Sentinel && r.env["LAUNCHER_REDIS_CONFIG_FILE"] != "" {
		r.problem("LAUNCHER_REDIS_CONFIG_FILE is set on a sentinel: it configures servers only; remove it or SENTINEL")
	}
}
