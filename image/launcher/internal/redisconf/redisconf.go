// Package redisconf writes redis.conf and sentinel.conf from typed settings.
// It is pure: the same settings give the same text.
package redisconf

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/redis-ha/redis-ha/image/launcher/internal/certificate"
	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

// BootPriority is the replica-priority that a server starts with. Sentinel never
// promotes a replica of priority 0. A replica that has not synchronised yet
// holds nothing worth promoting.
const BootPriority = 0

// Priority is the replica-priority of a replica that has synchronised (Redis' default).
const Priority = 100

// Backlog is how much of its stream a server keeps, in bytes, so that a replica that was away comes back without a full
// copy: a sixteenth of the memory limit, or 16 MiB if the limit is not known. Redis counts it as part of maxmemory.
func Backlog(c config.Config) int64 {
	if c.MemoryLimit == 0 {
		return 16 << 20
	}
	return c.MemoryLimit / 16
}

// Directive is one directive of redis.conf.
type Directive struct{ Name, Value string }

// Sized gives the directives that follow from the memory limit, whatever the user sets.
func Sized(c config.Config) []Directive {
	sized := []Directive{{"repl-backlog-size", strconv.FormatInt(Backlog(c), 10)}}
	if limit := c.ReplicaBuffer(); limit > 0 {
		sized = append(sized, Directive{"client-output-buffer-limit", fmt.Sprintf("replica %d 0 0", limit)})
	}
	if most := c.MaxMemory(); most > 0 {
		sized = append(sized, Directive{"maxmemory", strconv.FormatInt(most, 10)})
	}
	return sized
}

// Resized gives the directives that a Redis needs that was started with the memory limit of c, for another limit in bytes. Those that the
// user sets stay as they are.
func Resized(c config.Config, limit int64) []Directive {
	started := Sized(c)
	c.MemoryLimit = limit
	return slices.DeleteFunc(Sized(c), func(d Directive) bool { return slices.Contains(started, d) || c.UserSets(d.Name) })
}

const (
	// waiting is how many new connections the kernel keeps until Redis accepts them. After a failover all clients come at once, and
	// those that find no room try again a second later. It is the kernel's own limit (net.core.somaxconn, 4096 since Linux 5.4).
	waiting = 4096
	// maxClients leaves room for 10,000 clients beside replicas, sentinels and launchers. Redis' default is 10,000 for all of them.
	maxClients = 11000
)

// lines collects directives.
type lines struct{ strings.Builder }

func (l *lines) add(directive string, arguments ...any) {
	l.WriteString(directive)
	for _, argument := range arguments {
		fmt.Fprintf(l, " %v", argument)
	}
	l.WriteByte('\n')
}

// listen gives the port to listen on.
func (l *lines) listen(c config.Config, port int) {
	if !c.TLS.On() {
		l.add("port", port)
		return
	}
	l.add("port", 0)
	l.add("tls-port", port)
	for _, d := range Certificate(c) {
		l.add(d.Name, quote(d.Value))
	}
	l.add("tls-auth-clients", yesNo(c.TLS.AuthClients))
}

// Certificate gives the directives that name the files of the certificate. Redis reads the files when it starts, and when it is given
// the directives.
func Certificate(c config.Config) []Directive {
	return []Directive{
		{"tls-cert-file", filepath.Join(c.TLS.Folder, certificate.CertFile)},
		{"tls-key-file", filepath.Join(c.TLS.Folder, certificate.KeyFile)},
		{"tls-ca-cert-file", filepath.Join(c.TLS.Folder, certificate.CAFile)},
	}
}

// quote writes a string so that Redis' configuration parser reads it back.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c > 0x7e:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// bind gives the bind directive's arguments; IPv6 is optional ("-").
func bind(c config.Config) string {
	if c.BindAddress != "" {
		return c.BindAddress
	}
	return "* -::*"
}

// parallelSyncs is how many replicas Sentinel re-points to a new master at a
// time: all of them. It counts those that are gone, too, until it finds them
// down, and a replica that waits for its turn leaves the new master alone.
const parallelSyncs = 100

// Link gives the directives of the link to a master: external says that it is not one of the release.
func Link(c config.Config, external bool) []Directive {
	password, user, encrypted := c.LinkPassword(), redisnode.UserFor(c.LinkPassword()), c.TLS.On()
	if external {
		password, user, encrypted = c.External.Password, "", c.External.TLS
	}
	link := []Directive{{"masterauth", password}}
	if c.Passwords != nil {
		link = append(link, Directive{"masteruser", user})
	}
	if c.External.TLS || c.TLS.On() {
		link = append(link, Directive{"tls-replication", yesNo(encrypted)})
	}
	return link
}

// password gives what clients are asked for. While a password changes the default user has several, or may be without one.
func (l *lines) password(c config.Config) {
	if c.Password != "" {
		l.add("requirepass", quote(c.Password))
	}
	if c.Passwords != nil && len(c.Passwords.Accepted) != 2 && (c.Password != "" || len(c.Passwords.Accepted) > 2) {
		l.add("user default on", strings.Join(c.Passwords.Accepted, " "), "~* &* +@all")
	}
}

// certificate and its key are files in the folder for what runs. A Redis that encrypts needs them, even if only its links to masters are
// encrypted; see WriteCertificate.
const (
	certificateFile = "link.crt"
	keyFile         = "link.key"
)

// Server gives redis.conf. master is the server to follow; an invalid address
// makes a master.
func Server(c config.Config, master netip.AddrPort) string { return server(c, master, false) }

// ExternalReplica gives redis.conf of a replica of an external master.
func ExternalReplica(c config.Config, master netip.AddrPort) string { return server(c, master, true) }

func server(c config.Config, master netip.AddrPort, external bool) string {
	var l lines
	// Of a directive that is repeated Redis takes the last: defaults that the
	// user may change come before the user's directives, the others after.
	for _, d := range Defaults(c) {
		l.add(d.Name, d.Value)
	}
	for _, directive := range c.ExtraConfig {
		l.add(directive)
	}
	l.add("bind", bind(c))
	l.listen(c, c.RedisPort)
	l.add("protected-mode", "no")
	l.add("daemonize", "no")
	l.add("logfile", `""`)
	l.add("dir", quote(c.DataDir))
	l.add("save", `""`)
	l.add("appendonly", yesNo(c.Persistence))
	if c.Persistence {
		l.add("appendfilename", "appendonly.aof")
		l.add("appenddirname", "appendonlydir")
	} else {
		// The copy that a replica has received, of whatever age, must not come back as data.
		l.add("rdb-del-sync-files", "yes")
	}
	l.add("replica-announce-ip", c.PodIP)
	l.add("replica-announce-port", c.RedisPort)
	l.add("replica-priority", BootPriority)
	l.add("min-replicas-to-write", 0)
	l.add("min-replicas-max-lag", int(c.MinReplicasMaxLag.Seconds()))
	l.password(c)
	if c.External.TLS {
		l.add("tls-cert-file", quote(filepath.Join(c.RunDir, certificateFile)))
		l.add("tls-key-file", quote(filepath.Join(c.RunDir, keyFile)))
		l.add("tls-ca-cert-file", quote(c.External.Trusted()))
	}
	for _, link := range Link(c, external) {
		if link.Name == "masteruser" && link.Value == "" {
			continue
		}
		if link.Name != "masterauth" {
			l.add(link.Name, link.Value)
		} else if link.Value != "" {
			l.add(link.Name, quote(link.Value))
		}
	}
	if master.IsValid() {
		l.add("replicaof", master.Addr(), master.Port())
	}
	return l.String()
}

// FromSavedCopy changes redis.conf of a replica, so that the replica loads its RDB file and not its append-only file. The RDB file names the place
// in the replication stream from which the replica goes on. Redis writes no append-only file until it is told to.
func FromSavedCopy(replica string) string {
	return replica + "appendonly no\n" // the last one counts
}

// Unseen is redis.conf of a master that listens at a socket of its pod only. Neither clients nor sentinels see it before it is told to listen at
// its port.
func Unseen(c config.Config, socket string) string {
	return Server(c, netip.AddrPort{}) + c.TLS.Port() + " 0\nunixsocket " + quote(socket) + "\nunixsocketperm 700\n" // the last port counts
}

// RefusingStaleReads changes redis.conf of a replica, so that the replica answers no reads before it is in sync with its master.
func RefusingStaleReads(replica string) string {
	return replica + "replica-serve-stale-data no\n" // the last one counts
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// KnownSentinel is another sentinel to start with.
type KnownSentinel struct {
	Addr netip.AddrPort
	ID   string
}

// SentinelSeed is what a sentinel starts with, so that it can act at once and
// neither forgets a peer nor votes twice in an epoch.
type SentinelSeed struct {
	ID           string // 40 hexadecimal digits, stable for a slot
	Master       netip.AddrPort
	ConfigEpoch  int64
	CurrentEpoch int64
	Replicas     []netip.AddrPort
	Sentinels    []KnownSentinel
}

// Sentinel gives sentinel.conf.
func Sentinel(c config.Config, seed SentinelSeed) string {
	var l lines
	name := c.MasterName
	l.add("bind", bind(c))
	if c.BindAddress != "" {
		l.add("bind-source-addr", c.BindAddress) // its peers must see which pod it is
	}
	l.listen(c, c.SentinelPort)
	if c.TLS.On() {
		l.add("tls-replication", "yes") // the links to servers and to other sentinels
	}
	l.add("protected-mode", "no")
	l.add("daemonize", "no")
	l.add("logfile", `""`)
	l.add("dir", quote(c.RunDir))
	l.add("sentinel myid", seed.ID)
	l.add("sentinel announce-ip", c.PodIP)
	l.add("sentinel announce-port", c.SentinelPort)
	l.add("sentinel deny-scripts-reconfig", "yes")
	l.add("sentinel resolve-hostnames", "no")
	l.password(c)
	link := c.LinkPassword()
	user := redisnode.UserFor(link)
	if link != "" {
		l.add("sentinel sentinel-pass", quote(link))
		if c.Passwords != nil {
			l.add("sentinel sentinel-user", user)
		}
	}
	l.add("sentinel monitor", name, seed.Master.Addr(), seed.Master.Port(), c.Quorum)
	l.add("sentinel down-after-milliseconds", name, c.DownAfter.Milliseconds())
	l.add("sentinel failover-timeout", name, c.FailoverTimeout.Milliseconds())
	l.add("sentinel parallel-syncs", name, parallelSyncs)
	if link != "" {
		l.add("sentinel auth-pass", name, quote(link))
		if c.Passwords != nil {
			l.add("sentinel auth-user", name, user)
		}
	}
	l.add("sentinel config-epoch", name, seed.ConfigEpoch)
	l.add("sentinel leader-epoch", name, seed.CurrentEpoch)
	for _, replica := range seed.Replicas {
		l.add("sentinel known-replica", name, replica.Addr(), replica.Port())
	}
	for _, sentinel := range seed.Sentinels {
		l.add("sentinel known-sentinel", name, sentinel.Addr.Addr(), sentinel.Addr.Port(), sentinel.ID)
	}
	l.add("sentinel current-epoch", seed.CurrentEpoch)
	return l.String()
}

// ParseSentinel reads back what a sentinel has written into its file: the
// master it follows and the epochs it must not go below.
func ParseSentinel(text string) (SentinelSeed, bool) {
	var seed SentinelSeed
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "sentinel" {
			continue
		}
		switch {
		case f[1] == "monitor" && len(f) >= 5:
			seed.Master = parseAddr(f[3], f[4])
		case f[1] == "config-epoch" && len(f) >= 4:
			seed.ConfigEpoch, _ = strconv.ParseInt(f[3], 10, 64)
		case f[1] == "current-epoch":
			seed.CurrentEpoch, _ = strconv.ParseInt(f[2], 10, 64)
		case f[1] == "myid":
			seed.ID = f[2]
		case (f[1] == "known-replica" || f[1] == "known-slave") && len(f) >= 5:
			seed.Replicas = append(seed.Replicas, parseAddr(f[3], f[4]))
		case f[1] == "known-sentinel" && len(f) >= 6:
			seed.Sentinels = append(seed.Sentinels, KnownSentinel{Addr: parseAddr(f[3], f[4]), ID: f[5]})
		}
	}
	return seed, seed.Master.IsValid()
}

func parseAddr(host, port string) netip.AddrPort {
	ip, err := netip.ParseAddr(strings.Trim(host, `"`))
	if err != nil {
		return netip.AddrPort{}
	}
	p, _ := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(ip, uint16(p))
}
