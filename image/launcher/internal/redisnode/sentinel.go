package redisnode

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
)

// MasterView is what one sentinel believes of the master.
type MasterView struct {
	Addr           netip.AddrPort // the successor, as soon as this sentinel has seen it promoted
	ConfigEpoch    int64
	SubjectiveDown bool          // this sentinel finds it down
	ObjectiveDown  bool          // a quorum finds it down
	DownFor        time.Duration // how long this sentinel has found it down
	// Silent is how long it has not answered a ping, as Sentinel counts it: down-after of that is what finds it down.
	Silent      time.Duration
	FailingOver bool // this sentinel leads a failover
	// Unelected: it has only begun that failover, and waits for the votes of the others.
	Unelected bool
	// Switched says that the failover that it leads is over, but for replicas that have
	// not been told yet: Addr is the successor.
	Switched bool
	// Chosen is the replica that this sentinel, which leads a failover, makes master
	// and has not seen as one yet; it goes on trying until the failover timeout.
	Chosen netip.Addr
	// Promoting is the replica that this sentinel, which a majority has elected
	// because the master is down, has told to become master and has not seen as one yet.
	Promoting netip.Addr
	// Known is how many other sentinels it knows, whether they live or not.
	Known int
	Settings
}

// Settings are the settings of a sentinel that may change while it runs.
type Settings struct {
	Quorum                     int
	DownAfter, FailoverTimeout time.Duration
}

// KnownSentinel is another sentinel in a sentinel's memory.
type KnownSentinel struct {
	Addr netip.AddrPort
	ID   string
	Down bool
}

// Master asks a sentinel for its view of the master. found is false when the
// sentinel does not know a master of that name.
func (n *Node) Master(ctx context.Context, name string) (view MasterView, found bool, err error) {
	reply, err := n.Do(ctx, "SENTINEL", "MASTER", name)
	if err != nil {
		if strings.Contains(err.Error(), "No such master") {
			return MasterView{}, false, nil
		}
		return MasterView{}, false, err
	}
	fields := stringMap(reply)
	flags := "," + fields["flags"] + ","
	view.Addr = addrPort(fields["ip"], fields["port"])
	view.ConfigEpoch, _ = strconv.ParseInt(fields["config-epoch"], 10, 64)
	view.Known, _ = strconv.Atoi(fields["num-other-sentinels"])
	view.Quorum, _ = strconv.Atoi(fields["quorum"])
	view.DownAfter, view.FailoverTimeout = milliseconds(fields["down-after-milliseconds"]), milliseconds(fields["failover-timeout"])
	view.SubjectiveDown = strings.Contains(flags, ",s_down,")
	view.ObjectiveDown = strings.Contains(flags, ",o_down,")
	view.DownFor = milliseconds(fields["s-down-time"])
	view.Silent = milliseconds(fields["last-ping-sent"]) // 0 when it has been answered
	if view.Silent == 0 && strings.Contains(flags, ",disconnected,") {
		view.Silent = milliseconds(fields["last-ok-ping-reply"])
	}
	view.FailingOver = strings.Contains(flags, ",failover_in_progress,")
	if view.FailingOver {
		view.Unelected = fields["failover-state"] == "wait_start" && !strings.Contains(flags, ",force_failover,")
		view = n.duringFailover(ctx, name, view, !strings.Contains(flags, ",force_failover,"))
	}
	return view, true, nil
}

// milliseconds reads a duration; 0 where there is none.
func milliseconds(text string) time.Duration {
	n, _ := strconv.Atoi(text)
	return time.Duration(n) * time.Millisecond
}

// duringFailover asks for the address that this sentinel tells its clients. A
// sentinel that leads a failover keeps the old master in SENTINEL MASTER until every
// replica follows the new master, which may take 10 s if a replica is gone.
// elected says that it was voted for and not commanded.
func (n *Node) duringFailover(ctx context.Context, name string, view MasterView, elected bool) MasterView {
	reply, err := n.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
	told := asList(reply)
	if err != nil || len(told) != 2 {
		return view
	}
	if addr := addrPort(fmt.Sprint(told[0]), fmt.Sprint(told[1])); addr != view.Addr {
		view.Addr, view.SubjectiveDown, view.ObjectiveDown, view.DownFor, view.Silent, view.Switched = addr, false, false, 0, 0, true
		return view
	}
	replicas, err := n.KnownReplicas(ctx, name)
	if err != nil {
		return view
	}
	for _, r := range replicas {
		if r.Promoted {
			view.Chosen = r.Addr.Addr()
		}
	}
	if elected && view.ObjectiveDown {
		view.Promoting = view.Chosen
	}
	return view
}

// KnownReplicas lists the replicas a sentinel remembers.
func (n *Node) KnownReplicas(ctx context.Context, name string) ([]sentinel.KnownReplica, error) {
	reply, err := n.Do(ctx, "SENTINEL", "REPLICAS", name)
	if err != nil {
		return nil, err
	}
	var out []sentinel.KnownReplica
	for _, entry := range asList(reply) {
		f := stringMap(entry)
		priority, _ := strconv.Atoi(f["slave-priority"])
		offset, _ := strconv.ParseInt(f["slave-repl-offset"], 10, 64)
		flags := "," + f["flags"] + ","
		age := func(key string) time.Duration {
			milliseconds, _ := strconv.ParseInt(f[key], 10, 64)
			return time.Duration(milliseconds) * time.Millisecond
		}
		out = append(out, sentinel.KnownReplica{
			Addr: addrPort(f["ip"], f["port"]), RunID: f["runid"], Offset: offset, Down: strings.Contains(flags, ",s_down,"),
			Disconnected: strings.Contains(flags, ",disconnected,"),
			Promoted:     strings.Contains(flags, ",promoted,"), Priority: priority,
			Master: f["role-reported"] == "master", Follows: addrPort(f["master-host"], f["master-port"]).Addr(),
			InfoAge: age("info-refresh"), PongAge: age("last-ok-ping-reply"),
		})
	}
	return out, nil
}

// ID asks a sentinel for its run ID.
func (n *Node) ID(ctx context.Context) (string, error) {
	reply, err := n.Do(ctx, "SENTINEL", "MYID")
	if err != nil {
		return "", err
	}
	return fmt.Sprint(reply), nil
}

// KnownSentinels lists the other sentinels a sentinel remembers.
func (n *Node) KnownSentinels(ctx context.Context, name string) ([]KnownSentinel, error) {
	reply, err := n.Do(ctx, "SENTINEL", "SENTINELS", name)
	if err != nil {
		return nil, err
	}
	var out []KnownSentinel
	for _, entry := range asList(reply) {
		f := stringMap(entry)
		out = append(out, KnownSentinel{
			Addr: addrPort(f["ip"], f["port"]), ID: f["runid"], Down: strings.Contains(","+f["flags"]+",", ",s_down,"),
		})
	}
	return out, nil
}

// Tilted says whether a sentinel is in TILT: it answers then, but does not act
// for 30 s, and would carry out a FAILOVER command that late.
func (n *Node) Tilted(ctx context.Context) (bool, error) {
	reply, err := n.Do(ctx, "INFO", "sentinel")
	if err != nil {
		return false, err
	}
	text, _ := reply.(string)
	return strings.Contains(text, "sentinel_tilt:1"), nil
}

// ErrFailoverRunning is the error of a sentinel that is replacing the master already.
var ErrFailoverRunning = errors.New("the sentinel is replacing the master already")

// FailOver tells one sentinel to replace the master now. Only one sentinel may
// be told at a time: two would use the same epoch. The error is ErrFailoverRunning
// if the sentinel leads a failover already.
func (n *Node) FailOver(ctx context.Context, name string) error {
	_, err := n.Do(ctx, "SENTINEL", "FAILOVER", name)
	if redis.HasErrorPrefix(err, "INPROG") {
		return fmt.Errorf("%w: %w", ErrFailoverRunning, err)
	}
	return err
}

// RequestVote asks a sentinel to vote for candidate, a run ID, to replace this master in
// this epoch (IS-MASTER-DOWN-BY-ADDR with a run ID, which is how sentinels ask each other). A
// sentinel votes once for each epoch, and for no epoch before the latest that it knows. It does so also
// while the master is up. Whoever voted for another starts no failover of its own accord for twice
// failover-timeout.
func (n *Node) RequestVote(ctx context.Context, master netip.AddrPort, epoch int64, candidate string) (sentinel.Vote, error) {
	reply, err := n.Do(ctx, "SENTINEL", "IS-MASTER-DOWN-BY-ADDR", master.Addr().String(), master.Port(), epoch, candidate)
	if err != nil {
		return sentinel.Vote{}, err
	}
	fields := asList(reply)
	if len(fields) != 3 {
		return sentinel.Vote{}, fmt.Errorf("the sentinel's answer to a request for its vote has %d parts instead of 3: %v", len(fields), reply)
	}
	voted, err := strconv.ParseInt(fmt.Sprint(fields[2]), 10, 64)
	if err != nil {
		return sentinel.Vote{}, fmt.Errorf("the epoch of the sentinel's vote: %w", err)
	}
	return sentinel.Vote{Leader: fmt.Sprint(fields[1]), Epoch: voted}, nil
}

// Announce tells a sentinel of a master that was elected in an epoch, in the name of another sentinel
// that it knows: Sentinel takes a hello from a sentinel that it does not know for a new sentinel.
// If the epoch is later than the epoch that it knows of its master, it names the new master from then on.
func (n *Node) Announce(ctx context.Context, as KnownSentinel, name string, master netip.AddrPort, epoch int64) error {
	hello := fmt.Sprintf("%s,%d,%s,%d,%s,%s,%d,%d", as.Addr.Addr(), as.Addr.Port(), as.ID, epoch, name, master.Addr(), master.Port(), epoch)
	_, err := n.Do(ctx, "PUBLISH", "__sentinel__:hello", hello)
	return err
}

// SetSentinel has a sentinel work with these settings from now on.
func (n *Node) SetSentinel(ctx context.Context, name string, s Settings) error {
	_, err := n.Do(ctx, "SENTINEL", "SET", name, "quorum", s.Quorum, "down-after-milliseconds", s.DownAfter.Milliseconds(), "failover-timeout", s.FailoverTimeout.Milliseconds())
	return err
}

// Reset has a sentinel forget all other sentinels and all replicas. It hears of the replicas from the master within sentinel.InfoPeriod.
func (n *Node) Reset(ctx context.Context, name string) error {
	_, err := n.Do(ctx, "SENTINEL", "RESET", name)
	return err
}

// refreshOften are the times, in milliseconds, at which a sentinel works.
//
// It asks every server for its state once a second instead of every 10 s, which
// shortens what follows a promotion by about a second. It pings four times a
// second instead of once, since down-after counts from the first ping that is
// not answered. An election without a winner ends after 1.5 s instead of 8: until
// then no failover can be commanded. A replica that is gone holds up the end of a
// failover for 2 s instead of 10. A sentinel that has stood still votes and acts
// again after 5 s (TILT) instead of 30: by then it has an answer to twenty pings.
var refreshOften = []any{
	"info-period", sentinel.InfoPeriod.Milliseconds(), "ping-period", sentinel.PingPeriod.Milliseconds(), "election-timeout", 1500, "slave-reconf-timeout", 2000, "tilt-period", 5000,
}

// RefreshOften makes a sentinel work at shorter intervals than its own. They
// last as long as its process.
func (n *Node) RefreshOften(ctx context.Context) error {
	_, err := n.Do(ctx, append([]any{"SENTINEL", "DEBUG"}, refreshOften...)...)
	return err
}

// Notice is one message a sentinel published: +sdown, +switch-master, ….
type Notice struct{ Channel, Payload string }

// Watch delivers a sentinel's messages until ctx ends or the connection breaks. It opens a connection of its own. Where the sentinel refuses the
// password, the next call tries another one.
func (n *Node) Watch(ctx context.Context, deliver func(Notice), channels ...string) error {
	password := n.next()
	subscription := n.current().Subscribe(ctx, channels...)
	defer subscription.Close()
	// A read in progress does not end with its context.
	defer context.AfterFunc(ctx, func() { _ = subscription.Close() })()
	for {
		message, err := subscription.ReceiveTimeout(ctx, time.Minute)
		if ctx.Err() != nil {
			return fmt.Errorf("subscribe at %s: %w", n.addr, ctx.Err())
		}
		if err != nil {
			if strings.Contains(err.Error(), "i/o timeout") {
				if err := subscription.Ping(ctx); err == nil {
					continue
				}
			}
			if RefusesPassword(err) {
				n.another(password, map[string]bool{})
			}
			return fmt.Errorf("subscribe at %s: %w", n.addr, err)
		}
		if m, ok := message.(*redis.Message); ok {
			deliver(Notice{Channel: m.Channel, Payload: m.Payload})
		}
	}
}

func asList(reply any) []any {
	list, _ := reply.([]any)
	return list
}

// stringMap reads a flat list of keys and values.
func stringMap(reply any) map[string]string {
	out := map[string]string{}
	if m, ok := reply.(map[any]any); ok {
		for key, value := range m {
			out[fmt.Sprint(key)] = fmt.Sprint(value)
		}
		return out
	}
	list := asList(reply)
	for i := 0; i+1 < len(list); i += 2 {
		out[fmt.Sprint(list[i])] = fmt.Sprint(list[i+1])
	}
	return out
}
