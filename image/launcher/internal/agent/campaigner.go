package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
)

// errNotElected says that this launcher cannot replace the master, and that a sentinel can.
var errNotElected = errors.New("this launcher was not elected to replace the master")

// campaigner is a launcher that asks the sentinels to elect it to replace a master; see docs/adr/0028.
type campaigner struct {
	ask    observe.Asker
	config config.Config
	api    *kube.Client
	links  *observe.Links
	log    *slog.Logger
	self   record.Member
}

func (s *Server) campaigner() campaigner {
	return campaigner{s.asker(), s.config, s.api, s.links, s.log, s.self}
}

// campaignID is the run ID with which this launcher asks for votes. No sentinel has it.
func campaignID() string {
	id := make([]byte, 20)
	_, _ = rand.Read(id) // it never fails; see crypto/rand
	return hex.EncodeToString(id)
}

// campaign asks the sentinels to elect this launcher, so that it replaces a master by its successor. It sets next.epoch to the epoch in
// which a majority of the configured sentinels has voted for this launcher, and notes which sentinels have. With errNotElected no
// majority has. See docs/adr/0028.
func (c campaigner) campaign(ctx context.Context, next *successor) error {
	ctx, cancel := context.WithTimeout(ctx, 4*observe.QuickAnswer)
	defer cancel()
	id := campaignID()
	campaign := role.NewCampaign(id, c.config.Sentinels, next.views())
	for ctx.Err() == nil {
		epoch, ok := campaign.Next()
		if !ok {
			break
		}
		next.epoch = epoch
		if campaign.Won(next.requestVotes(ctx, id, campaign.For)) {
			return nil
		}
	}
	return fmt.Errorf("%w: no majority of the sentinels voted for it in epochs up to %d", errNotElected, next.epoch)
}

// successor is a replica that becomes master, and the sentinels that elect this launcher for that.
type successor struct {
	of       netip.AddrPort // the master that it replaces
	addr     netip.AddrPort
	epoch    int64 // in which the launcher was elected; 0 where a sentinel has promoted it
	electors []elector
	// silent: the master may run; most sentinels find it down. frozen: its launcher does not answer either.
	silent, frozen bool
	// pausedAt is when the first write pause of the master began, or was about to.
	pausedAt time.Time
}

// elector is a sentinel, what it said before the votes, and whether it has voted for this launcher in the last round of the campaign.
type elector struct {
	observe.SentinelView
	voted bool
}

// successor gives the replica of a pod as the successor of a master. views are the fresh answers of the sentinels.
func (c campaigner) successor(of, by netip.Addr, views []observe.SentinelView) successor {
	next := successor{of: c.redisAt(of), addr: c.redisAt(by)}
	for _, v := range views {
		next.electors = append(next.electors, elector{SentinelView: v})
	}
	return next
}

// views gives what the sentinels said before the votes.
func (n *successor) views() (views []role.View) {
	for _, e := range n.electors {
		views = append(views, e.View)
	}
	return views
}

// requestVotes asks all sentinels that name the master for their votes in the epoch, at once. It notes which votes are for this launcher,
// and gives all.
func (n *successor) requestVotes(ctx context.Context, id string, forThis func(sentinel.Vote) bool) (votes []sentinel.Vote) {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	var mu sync.Mutex
	observe.Each(n.electors, func(e *elector) {
		e.voted = false
		if e.Reach != role.Answered || !e.HasMaster || e.Master != n.of.Addr() {
			return
		}
		vote, err := e.Node.RequestVote(ctx, n.of, n.epoch, id)
		if err != nil {
			return
		}
		e.voted = forThis(vote)
		mu.Lock()
		defer mu.Unlock()
		votes = append(votes, vote)
	})
	return votes
}

// redisAt gives the address of the Redis of a pod.
func (c campaigner) redisAt(ip netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(ip, uint16(c.config.RedisPort))
}

// podAt gives the pod with an address. The zero value means that no pod has it.
func (c campaigner) podAt(ip netip.Addr) kube.Pod {
	for _, pod := range c.api.Pods() {
		if pod.IP == ip {
			return pod
		}
	}
	return kube.Pod{}
}

// otherServers gives all servers but this pod. A sentinel may choose any of them: a server that was not
// in sync when the successors were found may be in sync a moment later.
func (c campaigner) otherServers() []netip.Addr {
	var others []netip.Addr
	for _, pod := range c.api.Pods() {
		if pod.Server && pod.IP.IsValid() && pod.IP != c.config.PodIP {
			others = append(others, pod.IP)
		}
	}
	return others
}

// stillElected asks the sentinels that have answered before once more. A majority must name the master still, in an epoch
// before that of the votes. With errFailoverRunning a sentinel has begun to replace the master, or has heard of a later
// epoch. It waits for a majority, and for that many answers if they come in time: a sentinel that replaces the master answers
// last. Sentinels begin by themselves only where a master is dead.
func (c campaigner) stillElected(ctx context.Context, next successor, wait int) error {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	mandate := role.Mandate{
		Master: next.of.Addr(), Epoch: next.epoch, Sentinels: c.config.Sentinels, Quorum: c.config.Quorum, DownAfter: c.config.DownAfter, Silent: next.silent,
	}
	type answer struct {
		role.Consent
		says string
	}
	answers, asked := make(chan answer, len(next.electors)), 0
	for _, e := range next.electors {
		if e.Reach != role.Answered {
			continue
		}
		asked++
		go func() {
			master, found, err := e.Node.Master(ctx, c.config.MasterName)
			says := fmt.Sprintf("sentinel %s names %v in epoch %d (finds it down: %t, replaces it: %t, error: %v)",
				e.Pod.Name, master.Addr, master.ConfigEpoch, master.SubjectiveDown, master.FailingOver, err)
			answers <- answer{mandate.Consent(e.View, e.voted, observe.ViewOf(master, found, err)), says}
		}()
	}
	var heard []role.Consent
	unclear := "too few have answered"
	for {
		var last answer
		if len(heard) < asked {
			last = <-answers
			heard = append(heard, last.Consent)
		}
		if last.Consent == role.Unclear && last.says != "" {
			unclear = last.says
		}
		switch mandate.Outcome(heard, asked, wait) {
		case role.Upheld:
			return nil
		case role.Superseded:
			return fmt.Errorf("%w: %s", errFailoverRunning, last.says)
		case role.Obsolete:
			return errAnswers
		case role.Unconfirmed:
			return fmt.Errorf("most sentinels did not confirm that they still name the master: %s", unclear)
		}
	}
}

// errUnanswered says that a replica was told to become master and has not answered: it may be master, or
// may become it when it goes on.
var errUnanswered = errors.New("the replica has not answered the order to become master")

// promote makes a replica master. The writes of its master must be paused. It repeats the order, and renews the
// pause, until the replica has answered, its process has ended, its label tells that it was promoted, or ctx ends.
// An order that was not answered may still be executed: the error is errUnanswered then.
func (c campaigner) promote(ctx context.Context, pause func(context.Context) error, next successor, labelled func(netip.Addr) bool) error {
	limit := role.PauseLimit(c.config.DownAfter)
	order := func(f func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, limit/4)
		defer cancel()
		return f(ctx)
	}
	replica := c.links.To(next.addr.Addr(), c.config.RedisPort)
	if ctx.Err() != nil {
		return fmt.Errorf("promote %v: the time for it is over: %w", next.addr, ctx.Err())
	}
	for unanswered := false; ; {
		err := order(replica.Promote)
		switch {
		case err == nil:
			c.dropReaders(ctx, replica)
			return nil
		case labelled(next.addr.Addr()):
			return nil
		case redisnode.ReachOf(err) == redisnode.Unknown:
			unanswered = true
		case redisnode.ReachOf(err) == redisnode.Refused || !unanswered:
			return fmt.Errorf("promote %v: %w", next.addr, err) // no process has this order, or it was refused
		}
		if err := order(pause); err != nil {
			return fmt.Errorf("%w: %v; and writes cannot be paused any longer: %w", errUnanswered, next.addr, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %v: %w", errUnanswered, next.addr, err)
		case <-time.After(pollEvery):
		}
	}
}

// dropReaders ends the connections of the clients of a replica that was promoted, as Sentinel does, so that
// they come back to a slave.
func (c campaigner) dropReaders(ctx context.Context, promoted *redisnode.Node) {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	if err := promoted.DropClients(ctx); err != nil {
		c.log.Debug("clients of the promoted replica could not be dropped; they stay with it", "error", err)
	}
}

// tellOthers tells the sentinels of the successor, and has the other replicas follow it. Whoever does
// not answer is told later: the sentinels by each other, the replicas by the sentinels.
func (c campaigner) tellOthers(ctx context.Context, next successor) {
	ctx, cancel := context.WithTimeout(ctx, 2*observe.QuickAnswer)
	defer cancel()
	var replicas sync.WaitGroup
	for _, ip := range append(c.otherServers(), c.config.PodIP) {
		if ip != next.addr.Addr() && ip != next.of.Addr() {
			replicas.Go(func() { c.redirect(ctx, ip, next) })
		}
	}
	if next.frozen {
		go c.demote(context.WithoutCancel(ctx), next) // its answer, if any, may take long
	}
	told := c.announce(ctx, next)
	replicas.Wait()
	c.log.Info("new master announced", "master", next.addr.String(), "epoch", next.epoch, "sentinels", told, "of", c.config.Sentinels)
}

// demote leaves the order to follow the successor in the socket of a master that stands still together with its launcher. The master obeys
// when it wakes up. The launcher that runs beside a silent master demotes it itself. The order must not go to such a master: if it dies
// now, its launcher passes the connection on to the successor, and the successor would follow itself.
func (c campaigner) demote(ctx context.Context, next successor) {
	ctx, cancel := context.WithTimeout(ctx, 2*observe.QuickAnswer)
	defer cancel()
	master := c.links.To(next.of.Addr(), c.config.RedisPort)
	if master.Follow(ctx, next.addr) == nil {
		_ = master.DropClients(ctx) // they come back to the successor
	}
}

// redirect has a replica of the master that was replaced follow its successor.
func (c campaigner) redirect(ctx context.Context, ip netip.Addr, next successor) {
	replica := c.links.To(ip, c.config.RedisPort)
	info, err := replica.Info(ctx)
	if err == nil && (info.Master || info.MasterAddr.Addr() != next.of.Addr()) {
		return // it is no replica of that master
	}
	if err == nil {
		err = replica.Follow(ctx, next.addr)
	}
	if err != nil {
		c.log.Debug("a replica could not be told of the new master; the sentinels tell it", "replica", ip.String(), "error", err)
	}
}

// announce tells every sentinel of the master that was elected, and gives the number of those
// that name it then. The others hear of it from these within two seconds.
func (c campaigner) announce(ctx context.Context, next successor) int {
	var told atomic.Int64
	observe.Each(next.electors, func(e *elector) {
		if e.Reach == role.Answered && c.announceTo(ctx, e.Node, next) {
			told.Add(1)
		}
	})
	return int(told.Load())
}

// announceTo tells a sentinel of the new master in the name of a sentinel that it knows.
func (c campaigner) announceTo(ctx context.Context, sentinel *redisnode.Node, next successor) (told bool) {
	known, err := sentinel.KnownSentinels(ctx, c.config.MasterName)
	i := slices.IndexFunc(known, func(k redisnode.KnownSentinel) bool { return k.Addr.IsValid() && k.ID != "" })
	if err != nil || i < 0 {
		return false
	}
	if err := sentinel.Announce(ctx, known[i], c.config.MasterName, next.addr, next.epoch); err != nil {
		return false
	}
	master, found, err := sentinel.Master(ctx, c.config.MasterName)
	return err == nil && found && master.Addr == next.addr
}
