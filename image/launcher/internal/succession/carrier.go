// Package succession replaces a master by a replica, as a leading sentinel does: it asks the sentinels for their votes, records which
// replica it promotes, promotes that replica, and announces the new master. Package role decides when, and judges the answers. See
// docs/adr/0028 and docs/adr/0029.
package succession

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

const (
	// PollEvery is the pause between two questions to a Redis while clients wait for the answer.
	PollEvery = 5 * time.Millisecond
	// FenceTime is how long the API may take to record that a master is dead. Without the record the label moves a second
	// later; to wait for longer for an API that does not answer would cost more.
	FenceTime = 700 * time.Millisecond
)

var (
	// ErrNotElected says that this launcher has not got the votes of a majority of the sentinels; see role.Electorate.
	ErrNotElected = errors.New("this launcher was not elected to replace the master")
	// ErrUnrecorded says that the API did not record that this launcher replaces the master of another pod.
	ErrUnrecorded = errors.New("the death of the master could not be recorded")
	// ErrFailoverRunning says that a sentinel is replacing the master, or has replaced it.
	ErrFailoverRunning = errors.New("a sentinel is replacing the master, or has replaced it")
	// ErrAnswers says that a master that was silent answers the sentinels, or has its label, again.
	ErrAnswers = errors.New("the master answers again")
	// ErrUnanswered says that a replica was told to become master and has not answered. The replica may be master, or may become
	// master when it goes on.
	ErrUnanswered = errors.New("the replica has not answered the order to become master")
)

// Carrier is the launcher of one pod, which carries out the replacement of a master.
type Carrier struct {
	ask    observe.Asker
	config config.Config
	api    *kube.Client
	links  *observe.Links
	log    *slog.Logger
	self   record.Member
}

// New gives the launcher of the pod self. It asks and commands the other processes over the links of ask.
func New(ask observe.Asker, api *kube.Client, self record.Member) Carrier {
	return Carrier{ask: ask, config: ask.Config, api: api, links: ask.Links, log: ask.Log, self: self}
}

// campaignID is the run ID with which this launcher asks for votes. No sentinel has it.
func campaignID() string {
	id := make([]byte, 20)
	_, _ = rand.Read(id) // it never fails; see crypto/rand
	return hex.EncodeToString(id)
}

// Successor is a replica that becomes master, and the sentinels that elect this launcher for that.
type Successor struct {
	Addr     netip.AddrPort // of its Redis
	Epoch    int64          // in which this launcher was elected, or acts without votes; 0 where a sentinel has promoted the replica
	unvoted  int64          // the epoch for a replacement without votes
	of       netip.AddrPort // the Redis of the master that it replaces
	electors []elector
	// silent: the master may run; most sentinels find it down. frozen: its launcher does not answer either. handsOver: the master hands over
	// without votes.
	silent, frozen, handsOver bool
}

// elector is a sentinel, what it said before the votes, and whether it has voted for this launcher in the last round of the campaign.
type elector struct {
	observe.SentinelView
	voted bool
}

// Successor gives the replica with the address by as the successor of the master with the address of. views are the answers of the
// sentinels, no older than a moment.
func (c Carrier) Successor(of, by netip.Addr, views []observe.SentinelView) Successor {
	next := Successor{of: c.redisAt(of), Addr: c.redisAt(by)}
	for _, v := range views {
		next.electors = append(next.electors, elector{SentinelView: v})
	}
	return next
}

// Campaign asks the sentinels to elect this launcher, so that it replaces a master by its successor. It sets next.Epoch to the epoch in
// which a majority of the sentinels has voted for this launcher, and notes which sentinels have. With ErrNotElected no
// majority has voted for this launcher in any of the epochs that role.Campaign names, or 0.6 s have passed.
func (c Carrier) Campaign(ctx context.Context, next *Successor) error {
	ctx, cancel := context.WithTimeout(ctx, 4*observe.QuickAnswer)
	defer cancel()
	id := campaignID()
	campaign := role.NewCampaign(id, c.config.Sentinels, next.views())
	for ctx.Err() == nil {
		epoch, ok := campaign.Next()
		if !ok {
			break
		}
		next.Epoch = epoch
		if campaign.Won(next.requestVotes(ctx, id, campaign.For)) {
			return nil
		}
	}
	next.unvoted = campaign.Unvoted()
	return fmt.Errorf("%w: no majority of the sentinels voted for it in epochs up to %d", ErrNotElected, next.Epoch)
}

// GoUnvoted has the launcher act without votes, after a campaign that has ended with ErrNotElected. handsOver says that the master hands over by
// itself; see role.Mandate. Without a majority of votes, those that the launcher has got keep no sentinel from being elected.
func (n *Successor) GoUnvoted(handsOver bool) {
	n.Epoch, n.handsOver = n.unvoted, handsOver
	for i := range n.electors {
		n.electors[i].voted = false
	}
}

// alive counts the sentinels that may be alive: their pods exist, and do not refuse connections.
func (n *Successor) alive() (count int) {
	for _, e := range n.electors {
		if e.Reach != role.Refused {
			count++
		}
	}
	return count
}

// views gives what the sentinels said before the votes.
func (n *Successor) views() (views []role.View) {
	for _, e := range n.electors {
		views = append(views, e.View)
	}
	return views
}

// answered counts the sentinels that answered before the votes.
func (n *Successor) answered() (count int) {
	for _, e := range n.electors {
		if e.Reach == role.Answered {
			count++
		}
	}
	return count
}

// requestVotes asks all sentinels that name the master for their votes in the epoch, at once. It notes which votes are for this launcher,
// and gives all.
func (n *Successor) requestVotes(ctx context.Context, id string, forThis func(sentinel.Vote) bool) (votes []sentinel.Vote) {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	var mu sync.Mutex
	observe.Each(n.electors, func(e *elector) {
		e.voted = false
		if e.Reach != role.Answered || !e.HasMaster || e.Master != n.of.Addr() {
			return
		}
		vote, err := e.Node.RequestVote(ctx, n.of, n.Epoch, id)
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
func (c Carrier) redisAt(ip netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(ip, uint16(c.config.RedisPort))
}

// Pod gives the pod with an address. The error says that no pod has it.
func (c Carrier) Pod(ip netip.Addr) (kube.Pod, error) {
	pod := c.podAt(ip)
	if pod.UID == "" {
		return kube.Pod{}, fmt.Errorf("the pod with the address %v is gone", ip)
	}
	return pod, nil
}

// podAt gives the pod with an address. The zero value means that no pod has it.
func (c Carrier) podAt(ip netip.Addr) kube.Pod {
	for _, pod := range c.api.Pods() {
		if pod.IP == ip {
			return pod
		}
	}
	return kube.Pod{}
}

// labelled says whether the pod with an address has the label master.
func (c Carrier) labelled(ip netip.Addr) bool { return c.podAt(ip).Role == role.Master }

// OtherServers gives the addresses of all servers but this pod. A sentinel may choose any of them: a server that was not
// in sync when the successors were found may be in sync a moment later.
func (c Carrier) OtherServers() []netip.Addr {
	var others []netip.Addr
	for _, pod := range c.api.Pods() {
		if pod.Server && pod.IP.IsValid() && pod.IP != c.config.PodIP {
			others = append(others, pod.IP)
		}
	}
	return others
}

// answer is what a sentinel says after the votes: as role judges it, and in words.
type answer struct {
	role.Consent
	says string
}

// StillElected asks the sentinels that answered before the votes once more; see role.Mandate.Asks. It returns nil if a majority still names the master, in an
// epoch before that of the votes. A majority must also find the master down if it is silent. StillElected waits until wait sentinels
// have answered, or 0.15 s have passed: a sentinel that replaces the master answers last. Sentinels begin by themselves only where a
// master is dead; otherwise wait may be 0.
//
// With ErrFailoverRunning a sentinel has begun to replace the master, or has heard of a later epoch. With ErrAnswers so many sentinels get
// answers from the silent master that no majority can find it down. With another error too few sentinels have confirmed.
func (c Carrier) StillElected(ctx context.Context, next Successor, wait int) error {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	mandate := role.NewMandate(next.of.Addr(), next.Epoch, next.views())
	mandate.Sentinels, mandate.Quorum, mandate.DownAfter, mandate.Silent = role.Electorate(c.config.Sentinels, next.views()), c.config.Quorum, c.config.DownAfter, next.silent
	if next.handsOver {
		mandate.Unvoted = next.alive()
	}
	answers, asked := c.askElectors(ctx, next, mandate)
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
			return fmt.Errorf("%w: %s", ErrFailoverRunning, last.says)
		case role.Obsolete:
			return ErrAnswers
		case role.Unconfirmed:
			return fmt.Errorf("most sentinels did not confirm that they still name the master: %s", unclear)
		}
	}
}

// askElectors asks the sentinels whose consent the mandate needs for the master, at once. It gives their answers as they come, and the
// number of sentinels that it has asked.
func (c Carrier) askElectors(ctx context.Context, next Successor, mandate role.Mandate) (<-chan answer, int) {
	answers, asked := make(chan answer, len(next.electors)), 0
	for _, e := range next.electors {
		if !mandate.Asks(e.View) {
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
	return answers, asked
}

// Promote makes the successor master. The writes of the present master must be paused, and pause must renew that. Promote repeats the
// order, and renews the pause, until the replica has answered, its process has ended, labelled says that its address has the label
// master, or ctx ends. The replica may still execute an order that it has not answered: the error is ErrUnanswered then.
func (c Carrier) Promote(ctx context.Context, pause func(context.Context) error, next Successor, labelled func(netip.Addr) bool) error {
	limit := role.PauseLimit(c.config.DownAfter)
	order := func(f func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, limit/4)
		defer cancel()
		return f(ctx)
	}
	replica := c.links.To(next.Addr.Addr(), c.config.RedisPort)
	if ctx.Err() != nil {
		return fmt.Errorf("promote %v: the time for it is over: %w", next.Addr, ctx.Err())
	}
	for unanswered := false; ; {
		err := order(replica.Promote)
		switch {
		case err == nil:
			c.dropReaders(ctx, replica)
			return nil
		case labelled(next.Addr.Addr()):
			return nil
		case redisnode.ReachOf(err) == redisnode.Unknown:
			unanswered = true
		case redisnode.ReachOf(err) == redisnode.Refused || !unanswered:
			return fmt.Errorf("promote %v: %w", next.Addr, err) // no process has this order, or it was refused
		}
		if err := order(pause); err != nil {
			return fmt.Errorf("%w: %v; and writes cannot be paused any longer: %w", ErrUnanswered, next.Addr, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %v: %w", ErrUnanswered, next.Addr, err)
		case <-time.After(PollEvery):
		}
	}
}

// dropReaders ends the connections of the clients of a replica that was promoted, as Sentinel does, so that
// they come back to a slave.
func (c Carrier) dropReaders(ctx context.Context, promoted *redisnode.Node) {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	if err := promoted.DropClients(ctx); err != nil {
		c.log.Debug("clients of the promoted replica could not be dropped; they stay with it", "error", err)
	}
}

// TellOthers tells the sentinels of the new master, and has the other replicas follow it, for 0.3 s at most, and forgetTime more for a single
// sentinel. If a sentinel does not answer, the other sentinels tell it later. If a replica does not answer, the sentinels tell it.
func (c Carrier) TellOthers(ctx context.Context, next Successor) {
	ctx, cancel := context.WithTimeout(ctx, 2*observe.QuickAnswer)
	defer cancel()
	var replicas sync.WaitGroup
	for _, ip := range append(c.OtherServers(), c.config.PodIP) {
		if ip != next.Addr.Addr() && ip != next.of.Addr() {
			replicas.Go(func() { c.redirect(ctx, ip, next) })
		}
	}
	if next.frozen {
		go c.demote(context.WithoutCancel(ctx), next) // its answer, if any, may take long
	}
	told := c.announce(ctx, next)
	replicas.Wait()
	c.log.Info("new master announced", "master", next.Addr.String(), "epoch", next.Epoch, "sentinels", told, "of", c.config.Sentinels)
}

// demote leaves the order to follow the successor in the socket of a master that stands still together with its launcher. The master obeys
// when it wakes up. The launcher that runs beside a silent master demotes it itself. The order must not go to such a master: if it dies
// now, its launcher passes the connection on to the successor, and the successor would follow itself.
func (c Carrier) demote(ctx context.Context, next Successor) {
	ctx, cancel := context.WithTimeout(ctx, 2*observe.QuickAnswer)
	defer cancel()
	master := c.links.To(next.of.Addr(), c.config.RedisPort)
	if master.Follow(ctx, next.Addr) == nil {
		_ = master.DropClients(ctx) // they come back to the successor
	}
}

// redirect has a replica of the master that was replaced follow its successor.
func (c Carrier) redirect(ctx context.Context, ip netip.Addr, next Successor) {
	replica := c.links.To(ip, c.config.RedisPort)
	info, err := replica.Info(ctx)
	if err == nil && (info.Master || info.MasterAddr.Addr() != next.of.Addr()) {
		return // it is no replica of that master
	}
	if err == nil {
		err = replica.Follow(ctx, next.Addr)
	}
	if err != nil {
		c.log.Debug("a replica could not be told of the new master; the sentinels tell it", "replica", ip.String(), "error", err)
	}
}

// announce tells every sentinel of the new master, and gives the number of sentinels that name it then. The other sentinels hear
// of it from these within two seconds.
func (c Carrier) announce(ctx context.Context, next Successor) int {
	var told atomic.Int64
	observe.Each(next.electors, func(e *elector) {
		if e.Reach == role.Answered && c.announceTo(ctx, e.Node, next) {
			told.Add(1)
		}
	})
	return int(told.Load())
}

// announceTo tells a sentinel of the new master in the name of another sentinel that it knows. A single sentinel knows no other, unless it
// remembers one from a release with more sentinels, which is good enough. It is told in
// the name of a sentinel at the address of this pod, which does not exist, and forgets that sentinel at once. See docs/adr/0034.
func (c Carrier) announceTo(ctx context.Context, sentinel *redisnode.Node, next Successor) (told bool) {
	known, err := sentinel.KnownSentinels(ctx, c.config.MasterName)
	if err != nil {
		return false
	}
	if len(known) == 0 && c.config.Sentinels == 1 && len(next.electors) <= 1 {
		known = []redisnode.KnownSentinel{{Addr: netip.AddrPortFrom(c.config.PodIP, uint16(c.config.SentinelPort)), ID: campaignID()}}
		defer c.forget(context.WithoutCancel(ctx), sentinel)
	}
	i := slices.IndexFunc(known, func(k redisnode.KnownSentinel) bool { return k.Addr.IsValid() && k.ID != "" })
	if i < 0 {
		return false
	}
	if err := sentinel.Announce(ctx, known[i], c.config.MasterName, next.Addr, next.Epoch); err != nil {
		return false
	}
	master, found, err := sentinel.Master(ctx, c.config.MasterName)
	return err == nil && found && master.Addr == next.Addr
}

const (
	// forgetTime is how long a single sentinel is told to forget the sentinel in whose name it was told of the new master.
	forgetTime = 2 * time.Second
	// forgetEvery is the pause between two such orders.
	forgetEvery = 50 * time.Millisecond
)

// forget has a single sentinel forget all other sentinels. Its launcher does the same later if the order does not come through.
func (c Carrier) forget(ctx context.Context, sentinel *redisnode.Node) {
	ctx, cancel := context.WithTimeout(ctx, forgetTime)
	defer cancel()
	for {
		err := sentinel.Reset(ctx, c.config.MasterName)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			c.log.Warn("the single sentinel still knows the sentinel in whose name it was told of the new master", "error", err)
			return
		case <-time.After(forgetEvery):
		}
	}
}
