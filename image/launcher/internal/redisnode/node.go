// Package redisnode asks and commands one Redis server or one Sentinel.
//
// Every call has a short deadline of its own: a node that does not answer is
// "unknown". A node that refuses connections is "refused", which says more.
package redisnode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/redis-ha/redis-ha/image/launcher/internal/patience"
)

// The client library's own log says again what the returned errors say.
func init() { logging.Disable() }

// Deadlines of one call. A pod on the same network answers within
// milliseconds; the values leave room for a busy node and stay well below
// Sentinel's shortest sensible down-after (1 s).
const (
	dialTimeout = 300 * time.Millisecond
	callTimeout = 700 * time.Millisecond
)

// poolSize is the most connections that a Node has at a time.
const poolSize = 4

// Reach says how far a call got.
type Reach int

const (
	// Unknown: no answer in time. The node may be alive.
	Unknown Reach = iota
	// Refused: the pod's network answered that nobody listens. The process is not running.
	Refused
	// Answered: the node answered, be it with an error.
	Answered
)

func (r Reach) String() string { return [...]string{"unknown", "refused", "answered"}[r] }

// ReachOf tells from a call's error how far it got.
func ReachOf(err error) Reach {
	switch {
	case err == nil:
		return Answered
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, ErrFull):
		return Answered
	}
	var reply redis.Error
	if errors.As(err, &reply) {
		return Answered
	}
	return Unknown
}

// Said gives what a node has answered with an error, without what this package adds to it.
func Said(err error) string {
	var reply redis.Error
	if errors.As(err, &reply) {
		return reply.Error()
	}
	return err.Error()
}

// ErrPassword says that a node did not accept this pod's password, or has none.
var ErrPassword = errors.New("the password of this pod (LAUNCHER_PASSWORD_FILE, REDIS_PASS) is not the node's; give all pods the same Secret")

// ErrFull says that a node takes no more clients.
var ErrFull = errors.New("the server has as many clients as maxclients allows; raise maxclients or close connections")

// Node is a connection to one Redis server or Sentinel.
type Node struct {
	addr      netip.AddrPort
	socket    string // path of a socket of the same pod, in the place of addr; empty: there is none
	password  string
	passwords func() []string // see Trying; nil: there is only password
	tls       *tls.Config     // nil: the connection is plain
	asked     func()          // called for each command that is sent; nil: nobody counts

	mu       sync.Mutex
	client   *redis.Client
	patience patience.Patience
	accepted string // new connections begin with this password where there are several
}

// Counted has each command counted that is sent from now on, and gives the node itself. It must not be called beside Do.
func (n *Node) Counted(asked func()) *Node {
	n.asked = asked
	return n
}

// current is the client in use.
func (n *Node) current() *redis.Client {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.client
}

// renew replaces a client that could not connect. After some failures go-redis
// answers with the last error for up to a second without trying, which would
// make a process that has just come up look dead, and the other way round.
func (n *Node) renew(used *redis.Client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.client == used {
		n.client = n.connect()
		_ = used.Close()
	}
}

// Addr is the node's address.
func (n *Node) Addr() netip.AddrPort { return n.addr }

// Close drops the connections.
func (n *Node) Close() { _ = n.current().Close() }

// Do sends one command. A node that has just been silent gets less time.
func (n *Node) Do(ctx context.Context, args ...any) (any, error) {
	limited, cancel := context.WithTimeout(ctx, n.patience.Limit(callTimeout))
	defer cancel()
	began, client, password := time.Now(), n.current(), n.next()
	if n.asked != nil {
		n.asked()
	}
	reply, err := client.Do(limited, args...).Result()
	for range poolSize {
		if !errors.Is(err, errClosed) {
			break
		}
		reply, err = client.Do(limited, args...).Result()
	}
	if ended(err) && asks(args) {
		// Sentinel ends all connections of a server that it re-points: that says
		// nothing about the server.
		reply, err = client.Do(limited, args...).Result()
	}
	for tried := map[string]bool{}; RefusesPassword(err) && n.another(password, tried); {
		if redis.HasErrorPrefix(err, "NOAUTH") {
			n.renew(client) // its open connections have sent no password
			client = n.current()
		}
		password = n.next()
		reply, err = client.Do(limited, args...).Result()
	}
	if ctx.Err() == nil || time.Since(began) >= patience.Short {
		n.patience.Note(ReachOf(err) == Unknown)
	}
	if err != nil {
		var network *net.OpError
		if errors.As(err, &network) && network.Op == "dial" {
			n.renew(client)
		}
		return nil, n.explain(args[0], err)
	}
	return reply, nil
}

// ended says whether the other side ended the connection.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// asks says whether a command only asks, so that it can be sent twice.
func asks(args []any) bool {
	return args[0] == "INFO" || args[0] == "SENTINEL" && len(args) > 1 && args[1] != "FAILOVER"
}

// explain names the node and what the user can do about a refused password.
func (n *Node) explain(command any, err error) error {
	if RefusesPassword(err) {
		return fmt.Errorf("%v at %s: %w: %w", command, n.addr, ErrPassword, err)
	}
	if n.socket != "" {
		return fmt.Errorf("%v at %s: %w", command, n.socket, err)
	}
	return fmt.Errorf("%v at %s: %w", command, n.addr, err)
}

// RefusesPassword says whether a node did not accept a password, or asks for one.
func RefusesPassword(err error) bool {
	return redis.HasErrorPrefix(err, "WRONGPASS") || redis.HasErrorPrefix(err, "NOAUTH") ||
		err != nil && strings.Contains(err.Error(), "without any password configured")
}

// Replica is one replica as its master sees it.
type Replica struct {
	IP     netip.Addr
	Online bool
	Offset int64
	Lag    time.Duration
}

// Acknowledges says whether a replica carries its master's stream out, and has said so within a time. Redis calls a replica
// online before its first acknowledgement, and sends it nothing until then.
func (r Replica) Acknowledges(within time.Duration) bool {
	return r.Online && r.Offset > 0 && r.Lag <= within
}

// Info is the state of a server.
type Info struct {
	RunID      string
	Master     bool
	Loading    bool
	MasterAddr netip.AddrPort // of a replica: its master
	LinkUp     bool           // of a replica: connected and in sync
	Syncing    bool           // of a replica: a full synchronisation is going on
	LinkDown   time.Duration  // of a replica: how long the link has been down; -1: never up
	Offset     int64          // replication offset: data up to here is held
	Replicas   []Replica      // of a master
	Priority   int            // of a replica: replica-priority
	Version    string

	ReplID       string // the ID of its replication history
	ReplID2      string // the ID of the history that this one continues
	SecondOffset int64  // the first offset that the history before does not share
	BacklogFrom  int64  // the first offset of the replication backlog; 0 for none
	// Rewriting: a rewrite of the append-only file runs or is scheduled. RewriteFailed: the last one failed.
	Rewriting, RewriteFailed bool
	// AppendOnly: Redis writes its append-only file, or is about to rewrite it. It stops that when it begins to load a copy.
	AppendOnly bool
	// LastSave is how long it took this process to write all its data last, to a file or to replicas, in whole seconds; negative: it has not.
	LastSave   time.Duration
	UsedMemory int64 // bytes; only Load asks for it and for the next two
	MaxMemory  int64 // of maxmemory, in bytes; 0: there is no limit
	NoEviction bool  // Redis removes no key to make room: it refuses writes above MaxMemory
}

// Info asks a server for its state.
func (n *Node) Info(ctx context.Context) (Info, error) {
	return n.info(ctx, "server", "replication", "persistence")
}

// Keys counts the keys of all databases of a server.
func (n *Node) Keys(ctx context.Context) (keys int64, err error) {
	reply, err := n.Do(ctx, "INFO", "keyspace")
	if err != nil {
		return 0, err
	}
	text, _ := reply.(string)
	for _, line := range strings.Split(text, "\n") {
		if _, told, found := strings.Cut(line, ":keys="); found {
			count, _, _ := strings.Cut(told, ",")
			number, _ := strconv.ParseInt(count, 10, 64)
			keys += number
		}
	}
	return keys, nil
}

// Load asks a server how far it has come in the replication stream, and for its memory.
func (n *Node) Load(ctx context.Context) (Info, error) {
	return n.info(ctx, "replication", "memory")
}

func (n *Node) info(ctx context.Context, sections ...any) (Info, error) {
	reply, err := n.Do(ctx, append([]any{"INFO"}, sections...)...)
	if err != nil {
		return Info{}, err
	}
	text, _ := reply.(string)
	return ParseInfo(text), nil
}

// ParseInfo reads the text of INFO; what is not there stays zero.
func ParseInfo(text string) Info {
	fields := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r"), ":"); ok {
			fields[key] = value
		}
	}
	number := func(key string) int64 {
		n, _ := strconv.ParseInt(fields[key], 10, 64)
		return n
	}
	info := Info{
		RunID:   fields["run_id"],
		Master:  fields["role"] == "master",
		Loading: fields["loading"] == "1",
		Version: fields["redis_version"],

		ReplID: fields["master_replid"], ReplID2: fields["master_replid2"], SecondOffset: number("second_repl_offset"),
		BacklogFrom:   number("repl_backlog_first_byte_offset"),
		Rewriting:     fields["aof_rewrite_in_progress"] == "1" || fields["aof_rewrite_scheduled"] == "1",
		RewriteFailed: fields["aof_last_bgrewrite_status"] == "err",
		AppendOnly:    fields["aof_enabled"] == "1",
		LastSave:      time.Duration(max(number("aof_last_rewrite_time_sec"), number("rdb_last_bgsave_time_sec"))) * time.Second,
		UsedMemory:    number("used_memory"),
		MaxMemory:     number("maxmemory"),
		NoEviction:    fields["maxmemory_policy"] == "noeviction",
	}
	if valkey := fields["valkey_version"]; valkey != "" {
		info.Version = valkey
	}
	if info.Master {
		info.Offset = number("master_repl_offset")
		for i := 0; ; i++ {
			entry, ok := fields[fmt.Sprintf("slave%d", i)]
			if !ok {
				return info
			}
			info.Replicas = append(info.Replicas, parseReplica(entry))
		}
	}
	info.MasterAddr = addrPort(fields["master_host"], fields["master_port"])
	info.LinkUp = fields["master_link_status"] == "up"
	info.Syncing = fields["master_sync_in_progress"] == "1"
	info.LinkDown = time.Duration(number("master_link_down_since_seconds")) * time.Second
	info.Offset = number("slave_repl_offset")
	info.Priority = int(number("slave_priority"))
	return info
}

// parseReplica reads ip=…,port=…,state=…,offset=…,lag=… .
func parseReplica(entry string) Replica {
	var r Replica
	for _, pair := range strings.Split(entry, ",") {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "ip":
			r.IP, _ = netip.ParseAddr(value)
		case "state":
			r.Online = value == "online"
		case "offset":
			r.Offset, _ = strconv.ParseInt(value, 10, 64)
		case "lag":
			seconds, _ := strconv.Atoi(value)
			r.Lag = time.Duration(seconds) * time.Second
		}
	}
	return r
}

func addrPort(host, port string) netip.AddrPort {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}
	}
	p, _ := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(ip.Unmap(), uint16(p))
}

// Follow makes the server a replica of addr.
func (n *Node) Follow(ctx context.Context, addr netip.AddrPort) error {
	_, err := n.Do(ctx, "REPLICAOF", addr.Addr().String(), addr.Port())
	return err
}

// Promote makes the server a master.
func (n *Node) Promote(ctx context.Context) error {
	_, err := n.Do(ctx, "REPLICAOF", "NO", "ONE")
	return err
}

// Shutdown makes a sentinel end. The connection ends with it, so there is no answer.
func (n *Node) Shutdown(ctx context.Context) {
	_, _ = n.Do(ctx, "SHUTDOWN", "NOSAVE", "NOW")
}

// SaveAndShutdown makes a server write all its data into its RDB file and end. Redis answers only if it does not end. A large file takes
// longer than one call may, so a call without an answer says nothing.
func (n *Node) SaveAndShutdown(ctx context.Context) {
	_, _ = n.Do(ctx, "SHUTDOWN", "SAVE")
}

// Set changes a configuration parameter at run time.
func (n *Node) Set(ctx context.Context, parameter string, value any) error {
	_, err := n.Do(ctx, "CONFIG", "SET", parameter, value)
	return err
}

// SetAll changes several configuration parameters at run time, given as names and values by turns: all of them, or none if there is an
// error.
func (n *Node) SetAll(ctx context.Context, pairs ...any) error {
	_, err := n.Do(ctx, append([]any{"CONFIG", "SET"}, pairs...)...)
	return err
}

// PauseWrites holds back writes of clients for at most limit.
func (n *Node) PauseWrites(ctx context.Context, limit time.Duration) error {
	_, err := n.Do(ctx, "CLIENT", "PAUSE", limit.Milliseconds(), "WRITE")
	return err
}

// Unpause ends PauseWrites.
func (n *Node) Unpause(ctx context.Context) error {
	_, err := n.Do(ctx, "CLIENT", "UNPAUSE")
	return err
}

// DropClients closes the connections of ordinary and of subscribed clients, so
// that they connect again and reach the present master.
func (n *Node) DropClients(ctx context.Context) error {
	_, err := n.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	if err == nil {
		_, err = n.Do(ctx, "CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
	}
	return err
}
