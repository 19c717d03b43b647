package succession

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakerelease"
)

const bound = 10 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// carrier gives a launcher that does not use the API.
func carrier(c config.Config) Carrier {
	return New(observe.Asker{Config: c, Links: observe.NewLinks(""), Log: quiet}, nil, record.Member{})
}

// launcher gives the launcher of a pod of a release. Its Redis servers have the given port; 0 means the default port.
func launcher(t *testing.T, server *fakeapi.Server, pod string, redisPort int) Carrier {
	t.Helper()
	c := fakerelease.Config(t, server, pod)
	api := fakerelease.Connect(t, server, c)
	if redisPort != 0 {
		c.RedisPort = redisPort
	}
	return New(observe.Asker{Config: c, Links: observe.NewLinks(""), Log: quiet}, api, record.Member{Name: c.PodName, UID: c.PodUID, IP: c.PodIP.String()})
}

// voter is a sentinel that votes as Sentinel does: once for each epoch, and for no epoch before the
// latest that it knows.
type voter struct {
	mu      sync.Mutex
	current int64
	leader  string
	voted   int64
}

func (v *voter) answer(command string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var ip, candidate string
	var port, epoch int64
	_, _ = fmt.Sscanf(command, "SENTINEL IS-MASTER-DOWN-BY-ADDR %s %d %d %s", &ip, &port, &epoch, &candidate)
	v.current = max(v.current, epoch)
	if v.voted < epoch && v.current <= epoch {
		v.voted, v.leader = epoch, candidate
	}
	leader := v.leader
	if leader == "" {
		leader = "*"
	}
	return fmt.Sprintf("*3\r\n:0\r\n$%d\r\n%s\r\n:%d\r\n", len(leader), leader, v.voted)
}

// electorate gives a successor of 10.0.0.1, and the sentinels, which know these epochs. A negative epoch stands for a sentinel that does
// not answer.
func electorate(t *testing.T, current ...int64) (next Successor, voters []*voter) {
	next.of = netip.MustParseAddrPort("10.0.0.1:6379")
	for i, epoch := range current {
		v := &voter{current: epoch}
		s := fakeredis.Start(t, map[string]string{})
		s.AnswerBy("SENTINEL IS-MASTER-DOWN-BY-ADDR", v.answer)
		e := electorAt(s, "10.0.0.1")
		e.Pod.Name = fmt.Sprintf("sentinel-%d", i)
		if epoch < 0 {
			e.Reach = role.Unknown
		}
		next.electors, voters = append(next.electors, e), append(voters, v)
	}
	return next, voters
}

// electorAt is a sentinel that named a master before the votes.
func electorAt(s *fakeredis.Server, master string) elector {
	view := role.View{Reach: role.Answered, HasMaster: true, Master: netip.MustParseAddr(master), ConfigEpoch: 1}
	return elector{SentinelView: observe.SentinelView{Node: observe.NewLinks("").To(s.Addr.Addr(), int(s.Addr.Port())), View: view}}
}

func TestLauncherIsElectedByAMajorityOfTheConfiguredSentinels(t *testing.T) {
	for name, c := range map[string]struct {
		epochs  []int64
		elected bool
	}{
		"all vote":            {[]int64{0, 0, 0}, true},
		"one does not answer": {[]int64{0, -1, 0}, true},
		"two do not answer":   {[]int64{0, -1, -1}, false},
		"they know later epochs than they have named": {[]int64{7, 9, 3}, true},
		"one knows a much later epoch":                {[]int64{0, 0, 1000}, true},
		"most know a much later epoch":                {[]int64{1000, 0, 1000}, false},
	} {
		t.Run(name, func(t *testing.T) {
			next, voters := electorate(t, c.epochs...)
			err := carrier(config.Config{Sentinels: 3}).Campaign(t.Context(), &next)
			if !c.elected {
				require.ErrorIs(t, err, ErrNotElected)
				return
			}
			require.NoError(t, err)
			votes := 0
			for _, v := range voters {
				if v.voted == next.Epoch && len(v.leader) == 40 {
					votes++
				}
			}
			require.GreaterOrEqual(t, votes, 2, "in one epoch")
		})
	}
}

func TestSentinelsThatNameAnotherMasterAreNotAskedForTheirVotes(t *testing.T) {
	next, voters := electorate(t, 0, 0, 0)
	next.electors[0].Master, next.electors[1].HasMaster = netip.MustParseAddr("10.0.0.2"), false
	c := carrier(config.Config{Sentinels: 3})
	require.ErrorIs(t, c.Campaign(t.Context(), &next), ErrNotElected)
	require.Zero(t, voters[0].voted)
	require.Zero(t, voters[1].voted)
}

func TestNewMasterIsAnnouncedToEverySentinelInTheNameOfAnother(t *testing.T) {
	sentinel := func(peers, names string) *fakeredis.Server {
		return fakeredis.Start(t, map[string]string{"SENTINEL SENTINELS": peers, "PUBLISH": ":1\r\n", "SENTINEL MASTER": fakeredis.Master(names, "master")})
	}
	peer := "*1\r\n" + fakeredis.List("ip", "10.0.0.5", "port", "26379", "runid", "ef")
	knows, ignores, alone := sentinel(peer, "10.0.0.2"), sentinel(peer, "10.0.0.1"), sentinel("*0\r\n", "10.0.0.1")
	next := Successor{Addr: netip.MustParseAddrPort("10.0.0.2:6379"), Epoch: 9}
	for _, v := range []*fakeredis.Server{knows, ignores, alone} {
		next.electors = append(next.electors, electorAt(v, "10.0.0.1"))
	}
	c := carrier(config.Config{MasterName: "mymaster"})
	require.Equal(t, 1, c.announce(t.Context(), next), "one names it then")
	const hello = "PUBLISH __sentinel__:hello 10.0.0.5,26379,ef,9,mymaster,10.0.0.2,6379,9"
	require.Contains(t, knows.Heard(), hello)
	require.Contains(t, ignores.Heard(), hello)
	require.False(t, strings.Contains(strings.Join(alone.Heard(), "\n"), "PUBLISH"), "it would take the sender for a new sentinel")
}

// promotionTime is the time that these tests give a promotion.
const promotionTime = 5 * time.Second

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), promotionTime)
	t.Cleanup(cancel)
	return ctx
}

// Whether a replica that did not answer has obeyed decides whether writes may go on here.
func TestPromotionIsOrderedWithWritesPausedUntilItIsAnswered(t *testing.T) {
	master := fakeredis.Start(t, map[string]string{"CLIENT PAUSE": "+OK\r\n"})
	replica := fakeredis.Start(t, map[string]string{"CLIENT KILL": ":0\r\n"})
	orders := 0
	replica.AnswerBy("REPLICAOF", func(string) string {
		if orders++; orders < 3 {
			return "" // nothing comes
		}
		return "+OK\r\n"
	})
	c := carrier(config.Config{RedisPort: int(replica.Addr.Port()), DownAfter: 3 * time.Second})
	node := c.links.To(master.Addr.Addr(), int(master.Addr.Port()))
	pause := func(ctx context.Context) error { return node.PauseWrites(ctx, role.PauseLimit(c.config.DownAfter)) }
	nobody := func(netip.Addr) bool { return false }
	require.NoError(t, c.Promote(within(t), pause, Successor{Addr: replica.Addr}, nobody))
	require.Equal(t, 3, orders)
	require.Equal(t, 2, strings.Count(strings.Join(master.Heard(), "\n"), "CLIENT PAUSE 1500 WRITE"), "the pause is renewed before each further order")
	require.Contains(t, replica.Heard(), "CLIENT KILL TYPE normal SKIPME yes", "its readers come back to a slave")

	replica.AnswerBy("REPLICAOF", func(string) string { return "" })
	require.NoError(t, c.Promote(within(t), pause, Successor{Addr: replica.Addr}, func(netip.Addr) bool { return true }), "it has the label")
	began := time.Now()
	require.ErrorIs(t, c.Promote(within(t), pause, Successor{Addr: replica.Addr}, nobody), ErrUnanswered)
	require.Less(t, time.Since(began), 2*promotionTime)

	replica.AnswerBy("REPLICAOF", func(string) string { return "-NOPERM it may not\r\n" })
	began = time.Now()
	err := c.Promote(within(t), pause, Successor{Addr: replica.Addr}, nobody)
	require.ErrorContains(t, err, "NOPERM")
	require.NotErrorIs(t, err, ErrUnanswered)
	require.Less(t, time.Since(began), promotionTime/2, "it has refused")

	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := gone.Addr().(*net.TCPAddr)
	require.NoError(t, gone.Close())
	c.config.RedisPort = address.Port
	began = time.Now()
	err = c.Promote(within(t), pause, Successor{Addr: netip.MustParseAddrPort(address.String())}, nobody)
	require.NotErrorIs(t, err, ErrUnanswered)
	require.ErrorContains(t, err, "promote")
	require.Less(t, time.Since(began), promotionTime/2, "a process that has ended is no master")
}

// A sentinel may have missed an earlier failover and name a former master. The launcher replaces the present master all
// the same. It gives up when a sentinel has changed the master that it names since the votes.
func TestLauncherIsStillElectedWhileAMajorityNamesTheMaster(t *testing.T) {
	c := carrier(config.Config{MasterName: "mymaster", Sentinels: 3})
	of := netip.MustParseAddrPort("10.0.0.1:6379")
	names := func(before, now string) elector {
		return electorAt(fakeredis.Start(t, map[string]string{"SENTINEL MASTER": fakeredis.Master(now, "master")}), before)
	}
	next := Successor{of: of, Epoch: 9, electors: []elector{names("10.0.0.1", "10.0.0.1"), names("10.0.0.9", "10.0.0.9"), names("10.0.0.1", "10.0.0.1")}}
	require.NoError(t, c.StillElected(t.Context(), next, 3))
	next.electors[1] = names("10.0.0.1", "10.0.0.9")
	require.ErrorIs(t, c.StillElected(t.Context(), next, 3), ErrFailoverRunning)
	next.electors[0], next.electors[1] = names("10.0.0.9", "10.0.0.9"), names("10.0.0.9", "10.0.0.9")
	err := c.StillElected(t.Context(), next, 3)
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrFailoverRunning, "a minority names the master")
}

// A launcher is elected to replace a silent master before the sentinels find it down, and promotes nobody before a majority does.
func TestSilentMasterIsReplacedWhenAMajorityFindsItDown(t *testing.T) {
	c := carrier(config.Config{MasterName: "mymaster", Sentinels: 3, DownAfter: 3 * time.Second})
	next := Successor{of: netip.MustParseAddrPort("10.0.0.1:6379"), Epoch: 9, silent: true}
	says := func(flags, silent string) string {
		return fakeredis.Master("10.0.0.1", flags, "last-ping-sent", silent)
	}
	var speakers []*fakeredis.Server
	for range 3 {
		v := fakeredis.Start(t, map[string]string{"SENTINEL MASTER": says("master", "2600")})
		speakers = append(speakers, v)
		next.electors = append(next.electors, electorAt(v, "10.0.0.1"))
	}
	still := func() error { return c.StillElected(t.Context(), next, 0) }
	err := still()
	require.ErrorContains(t, err, "finds it down: false")
	require.NotErrorIs(t, err, ErrAnswers)
	speakers[0].Answer("SENTINEL MASTER", says("master,s_down", "3100"))
	require.Error(t, still(), "one of three")
	speakers[1].Answer("SENTINEL MASTER", says("master,s_down", "3100"))
	require.NoError(t, still())
	speakers[2].Answer("SENTINEL MASTER", says("master", "0"))
	require.NoError(t, still(), "one of three gets answers")
	speakers[1].Answer("SENTINEL MASTER", says("master", "100"))
	require.ErrorIs(t, still(), ErrAnswers, "most of them get answers")
	speakers[1].Answer("SENTINEL MASTER", says("master,s_down,failover_in_progress", "3100"))
	require.ErrorIs(t, still(), ErrFailoverRunning)
	waits := fakeredis.Master("10.0.0.1", "master,s_down,failover_in_progress", "last-ping-sent", "3100", "failover-state", "wait_start")
	speakers[1].Answer("SENTINEL MASTER", waits)
	require.ErrorIs(t, still(), ErrFailoverRunning, "it may be elected by votes of an earlier epoch")
	next.electors[1].voted = true
	require.NoError(t, still(), "it has begun, and has voted for this launcher in a later epoch")
	next.electors[1].voted = false
	speakers[1].Answer("SENTINEL MASTER", fakeredis.Master("10.0.0.2", "master", "last-ping-sent", "0"))
	require.ErrorIs(t, still(), ErrFailoverRunning, "it has replaced it")
	speakers[1].Answer("SENTINEL MASTER", says("master,s_down", "3100"))
	c.config.Quorum = 3
	require.Error(t, still(), "the quorum is larger than the majority")
}

// A single sentinel knows no other. It is told in the name of a sentinel that does not exist, and forgets that one.
func TestSingleSentinelIsToldOfTheNewMasterAndForgetsInWhoseName(t *testing.T) {
	sentinel := fakeredis.Start(t, map[string]string{"SENTINEL SENTINELS": "*0\r\n", "PUBLISH": ":1\r\n", "SENTINEL MASTER": fakeredis.Master("10.0.0.2", "master")})
	resets := 0
	sentinel.AnswerBy("SENTINEL RESET", func(string) string {
		if resets++; resets == 1 {
			return "-BUSY not now\r\n"
		}
		return ":1\r\n"
	})
	c := Carrier{config: config.Config{MasterName: "mymaster", Sentinels: 1, PodIP: netip.MustParseAddr("10.0.0.1"), SentinelPort: 26379}, log: quiet}
	node := redisnode.New(sentinel.Addr, "")
	t.Cleanup(node.Close)
	require.True(t, c.announceTo(t.Context(), node, Successor{Addr: netip.MustParseAddrPort("10.0.0.2:6379"), Epoch: 9}))
	heard := strings.Join(sentinel.Heard(), "\n")
	require.Regexp(t, "PUBLISH __sentinel__:hello 10.0.0.1,26379,[0-9a-f]{40},9,mymaster,10.0.0.2,6379,9", heard)
	require.Equal(t, 2, strings.Count(heard, "SENTINEL RESET mymaster"), "the order is repeated until it comes through")
}

// A launcher that has not read yet that there are more sentinels must not have each of them forget all others.
func TestSentinelThatKnowsOthersIsNeverReset(t *testing.T) {
	other := "*6\r\n$2\r\nip\r\n$8\r\n10.0.0.9\r\n$4\r\nport\r\n$5\r\n26379\r\n$5\r\nrunid\r\n$5\r\nother\r\n"
	for known, electors := range map[string]int{"*1\r\n" + other: 1, "*0\r\n": 3} {
		sentinel := fakeredis.Start(t, map[string]string{"SENTINEL SENTINELS": known, "PUBLISH": ":1\r\n", "SENTINEL MASTER": fakeredis.Master("10.0.0.2", "master"), "SENTINEL RESET": ":1\r\n"})
		c := Carrier{config: config.Config{MasterName: "mymaster", Sentinels: 1, PodIP: netip.MustParseAddr("10.0.0.1"), SentinelPort: 26379}, log: quiet}
		node := redisnode.New(sentinel.Addr, "")
		t.Cleanup(node.Close)
		c.announceTo(t.Context(), node, Successor{Addr: netip.MustParseAddrPort("10.0.0.2:6379"), Epoch: 9, electors: make([]elector, electors)})
		require.NotContains(t, strings.Join(sentinel.Heard(), "\n"), "SENTINEL RESET", "%d electors", electors)
	}
}

func TestAttemptsEndAsTheirErrorsSay(t *testing.T) {
	for want, errs := range map[role.Ending][]error{
		role.Replaced:          {nil},
		role.ReplacedByAnother: {ErrFailoverRunning, record.ErrReplaced, ErrAnswers},
		role.NotElected:        {ErrNotElected},
		role.Unanswered:        {ErrUnanswered, fmt.Errorf("%w, after %w", ErrUnanswered, ErrNotElected)},
		role.Failed:            {kube.ErrChanged, ErrUnrecorded, role.ErrNoReplica, errors.New("anything else")},
	} {
		for _, err := range errs {
			require.Equal(t, want, Ending(err), "%v", err)
		}
	}
}

// The votes of a campaign that was lost keep no sentinel from being elected. A sentinel that has ended cannot be replacing the master.
func TestHandOverWithoutVotesNeedsTheConsentOfTheSentinelsThatMayBeAlive(t *testing.T) {
	names := func(flags string) *fakeredis.Server {
		return fakeredis.Start(t, map[string]string{"SENTINEL MASTER": fakeredis.Master("10.0.0.1", flags, "failover-state", "wait_start")})
	}
	consents := func() elector { return electorAt(names("master"), "10.0.0.1") }
	begins := func() elector {
		e := electorAt(names("master,failover_in_progress"), "10.0.0.1")
		e.voted = true
		return e
	}
	not := func(reach role.Reach) elector {
		return elector{SentinelView: observe.SentinelView{View: role.View{Reach: reach}}}
	}
	for name, c := range map[string]struct {
		electors []elector
		want     error
		upheld   bool
	}{
		"all consent":                            {[]elector{consents(), consents(), consents()}, nil, true},
		"a sentinel does not answer":             {[]elector{consents(), consents(), not(role.Unknown)}, nil, true},
		"two do not answer":                      {[]elector{consents(), not(role.Unknown), not(role.Unknown)}, nil, false},
		"two have ended":                         {[]elector{consents(), not(role.Refused), not(role.Refused)}, nil, true},
		"a sentinel votes and begins a failover": {[]elector{consents(), consents(), begins()}, ErrFailoverRunning, false},
	} {
		t.Run(name, func(t *testing.T) {
			next := Successor{of: netip.MustParseAddrPort("10.0.0.1:6379"), unvoted: 40, electors: c.electors}
			next.GoUnvoted(true)
			err := carrier(config.Config{MasterName: "mymaster", Sentinels: 3, Quorum: 2, DownAfter: 3 * time.Second}).StillElected(t.Context(), next, 0)
			require.Equal(t, c.upheld, err == nil, "%v", err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
		})
	}
}

// Without votes the record is the only lock. Where it does not name the successor, nobody is promoted.
func TestDeadMasterIsReplacedWithoutVotesOnlyWhereTheRecordNamesTheSuccessor(t *testing.T) {
	c := carrier(config.Config{MasterName: "mymaster", Sentinels: 3, Quorum: 2, DownAfter: 3 * time.Second})
	for name, l := range map[string]struct {
		lost     Lost
		recorded bool
		elected  bool
	}{
		"the record names the successor": {Lost{Unvoted: true}, true, true},
		"the record does not name it":    {Lost{Unvoted: true}, false, false},
		"the first attempt":              {Lost{}, true, false},
		"a silent master":                {Lost{Unvoted: true, Lost: role.Lost{Lost: record.Lost{Silent: true}}}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			next := Successor{of: netip.MustParseAddrPort("10.0.0.1:6379"), silent: l.lost.Silent}
			for range 3 {
				refuses := fakeredis.Start(t, map[string]string{"SENTINEL MASTER": fakeredis.Master("10.0.0.1", "master"), "SENTINEL IS-MASTER-DOWN-BY-ADDR": "-NOPERM it may not\r\n"})
				next.electors = append(next.electors, electorAt(refuses, "10.0.0.1"))
			}
			err := c.win(t.Context(), l.lost, kube.Pod{Name: "server-b"}, l.recorded, &next)
			if l.elected {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrNotElected)
			}
		})
	}
}
