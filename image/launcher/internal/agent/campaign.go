package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// campaignTries is how many epochs a launcher asks for votes in. It does not know the latest epoch
// of the sentinels, which an election without a result raises as well. So it skips more epochs each time.
const campaignTries = 5

// errNotElected: this launcher cannot be the one who replaces its master, and a sentinel can.
var errNotElected = errors.New("this launcher was not elected to replace its master")

// candidateID is the run ID with which this launcher asks for votes. No sentinel has it.
func candidateID() string {
	id := make([]byte, 20)
	_, _ = rand.Read(id) // it never fails; see crypto/rand
	return hex.EncodeToString(id)
}

// campaign asks the sentinels to elect this launcher as the one who replaces this master, and gives
// the epoch in which a majority of the configured sentinels has voted for it. See docs/adr/0028.
func (s *Server) campaign(ctx context.Context, views []sentinelView) (epoch int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*failoverAsk)
	defer cancel()
	for _, v := range views {
		epoch = max(epoch, v.ConfigEpoch)
	}
	master, candidate := netip.AddrPortFrom(s.config.PodIP, uint16(s.config.RedisPort)), candidateID()
	for try := range campaignTries {
		epoch += 1 << try
		votes, latest := requestVotes(ctx, views, master, epoch, candidate)
		if votes > s.config.Sentinels/2 {
			return epoch, nil
		}
		if ctx.Err() != nil {
			break
		}
		epoch = max(epoch, latest)
	}
	return 0, fmt.Errorf("%w: no majority of the sentinels voted for it in epochs up to %d", errNotElected, epoch)
}

// requestVotes asks all sentinels for their votes at once. It counts the votes for the candidate, and
// gives the latest epoch in which a sentinel has voted.
func requestVotes(ctx context.Context, views []sentinelView, master netip.AddrPort, epoch int64, candidate string) (votes int, latest int64) {
	ctx, cancel := context.WithTimeout(ctx, failoverAsk)
	defer cancel()
	var mu sync.Mutex
	each(views, func(v *sentinelView) {
		if v.Reach != role.Answered || !v.HasMaster || v.Master != master.Addr() {
			return
		}
		vote, err := v.node.RequestVote(ctx, master, epoch, candidate)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		latest = max(latest, vote.Epoch)
		if vote.Leader == candidate && vote.Epoch == epoch {
			votes++
		}
	})
	return votes, latest
}

// successor is a replica that becomes master, and what tells the sentinels so.
type successor struct {
	addr  netip.AddrPort
	epoch int64 // in which the launcher was elected; 0 where a sentinel has promoted it
	views []sentinelView
}

// promoteElected promotes the first candidate. It writes the hand-over and the candidate into the record, asks the
// sentinels to elect this launcher, pauses writes, waits until the candidate has everything, and promotes it. After an
// error writes may still be paused. After errUnanswered the candidate may be master.
func (s *Server) promoteElected(ctx context.Context, node *redisnode.Node, candidates []netip.Addr) (successor, error) {
	if s.config.Sentinels < 2 {
		return successor{}, fmt.Errorf("%w: a single sentinel knows no other in whose name it could be told", errNotElected)
	}
	chosen := s.podAt(candidates[0])
	if chosen.UID == "" {
		return successor{}, fmt.Errorf("%w: the pod with the address %v is gone", errNotElected, candidates[0])
	}
	views := askSentinels(ctx, s.config, s.links, s.api.Pods())
	if failingOver(views) {
		return successor{}, errFailoverRunning
	}
	if err := s.fenceFor(ctx, chosen.UID, s.namedBy(views)); err != nil {
		return successor{}, err
	}
	epoch, err := s.campaign(ctx, views)
	if err != nil {
		return successor{}, err
	}
	s.log.Info("elected to hand over", "epoch", epoch, "to", chosen.Name)
	next := successor{addr: netip.AddrPortFrom(chosen.IP, uint16(s.config.RedisPort)), epoch: epoch, views: views}
	s.hold.guard(nil)
	if err := s.pauseAt(ctx, node, next); err != nil {
		return successor{}, err
	}
	return next, s.promote(ctx, node, next, s.labelled)
}

// namedBy says whether a majority of the sentinels names this pod.
func (s *Server) namedBy(views []sentinelView) bool {
	named := 0
	for _, v := range views {
		if v.Reach == role.Answered && v.HasMaster && v.Master == s.config.PodIP {
			named++
		}
	}
	return named > s.config.Sentinels/2
}

// pauseTries is how often writes are paused anew because the pause may have ended before the replica had
// everything, as on a machine without CPU time.
const pauseTries = 3

// pauseAt pauses writes at an offset that the replica has reached, and makes sure that the sentinels have
// not replaced this master. When it returns nil, the rest of the pause is the whole limit.
func (s *Server) pauseAt(ctx context.Context, node *redisnode.Node, next successor) error {
	limit := role.PauseLimit(s.config.DownAfter)
	for range pauseTries {
		paused := time.Now()
		if err := node.PauseWrites(ctx, limit); err != nil {
			return fmt.Errorf("pause writes: %w", err)
		}
		if err := s.awaitCaughtUp(ctx, limit/2, node, next.addr); err != nil {
			return err
		}
		// A vote does not keep a sentinel from a failover that somebody orders.
		if err := s.stillElected(ctx, next); err != nil {
			return err
		}
		if err := node.PauseWrites(ctx, limit); err != nil {
			return fmt.Errorf("renew the pause: %w", err)
		}
		if time.Since(paused) < limit {
			return nil // no write was executed in between
		}
	}
	return fmt.Errorf("the pause of %v ended %d times before the replica %v had everything", limit, pauseTries, next.addr)
}

// podAt gives the pod with an address. The zero value means that no pod has it.
func (s *Server) podAt(ip netip.Addr) kube.Pod {
	for _, pod := range s.api.Pods() {
		if pod.IP == ip {
			return pod
		}
	}
	return kube.Pod{}
}

// awaitCaughtUp waits until a replica has everything that this master, whose writes are paused, has.
func (s *Server) awaitCaughtUp(ctx context.Context, limit time.Duration, node *redisnode.Node, addr netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	info, err := node.Info(ctx)
	if err != nil {
		return fmt.Errorf("read the offset to reach: %w", err)
	}
	for offset := info.Offset; ; {
		info, err := s.links.to(addr.Addr(), s.config.RedisPort).Info(ctx)
		if err == nil && info.LinkUp && info.MasterAddr.Addr() == s.config.PodIP && info.Offset >= offset {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the replica %v did not catch up within half of the pause", addr)
		case <-time.After(pollEvery):
		}
	}
}

// stillElected asks the sentinels once more. A majority must name this master still, in an epoch before that
// of the votes. With errFailoverRunning a sentinel has begun to replace this master, or has heard of a later
// epoch. A majority is enough: the answers of the other sentinels are not waited for.
func (s *Server) stillElected(ctx context.Context, next successor) error {
	ctx, cancel := context.WithTimeout(ctx, failoverAsk)
	defer cancel()
	answers := make(chan error, len(next.views))
	for i := range next.views {
		go func() { answers <- s.leftAlone(ctx, &next.views[i], next.epoch) }()
	}
	named := 0
	var last error
	for range next.views {
		switch err := <-answers; {
		case errors.Is(err, errFailoverRunning):
			return err
		case err != nil:
			last = err
		default:
			named++
		}
		if named > s.config.Sentinels/2 {
			return nil
		}
	}
	return fmt.Errorf("most sentinels did not confirm that this pod is still the master: %w", last)
}

// leftAlone says with nil that a sentinel names this master and does not replace it.
func (s *Server) leftAlone(ctx context.Context, v *sentinelView, epoch int64) error {
	master, found, err := v.node.Master(ctx, s.config.MasterName)
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("sentinel %s names no master", v.pod.Name)
	case master.FailingOver || master.Addr.Addr() != s.config.PodIP || master.ConfigEpoch >= epoch:
		return fmt.Errorf("%w: sentinel %s names %v in epoch %d", errFailoverRunning, v.pod.Name, master.Addr, master.ConfigEpoch)
	}
	return nil
}

// errUnanswered says that a replica was told to become master and has not answered: it may be master, or
// may become it when it goes on.
var errUnanswered = errors.New("the replica has not answered the order to become master")

// promote makes a replica master. Writes must be paused. It repeats the order, and renews the pause, until the
// replica has answered, its process has ended, its label tells that it was promoted, or promotionWait is over. An
// order that was not answered may still be executed: the error is errUnanswered then.
func (s *Server) promote(ctx context.Context, node *redisnode.Node, next successor, labelled func(netip.Addr) bool) error {
	limit := role.PauseLimit(s.config.DownAfter)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), promotionWait)
	defer cancel()
	order := func(f func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, limit/4)
		defer cancel()
		return f(ctx)
	}
	replica := s.links.to(next.addr.Addr(), s.config.RedisPort)
	for unanswered := false; ; {
		err := order(replica.Promote)
		switch {
		case err == nil:
			s.dropReaders(ctx, replica)
			return nil
		case labelled(next.addr.Addr()):
			return nil
		case redisnode.ReachOf(err) == redisnode.Unknown:
			unanswered = true
		case redisnode.ReachOf(err) == redisnode.Refused || !unanswered:
			return fmt.Errorf("promote %v: %w", next.addr, err) // no process has this order, or it was refused
		}
		if err := order(func(ctx context.Context) error { return node.PauseWrites(ctx, limit) }); err != nil {
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
func (s *Server) dropReaders(ctx context.Context, promoted *redisnode.Node) {
	ctx, cancel := context.WithTimeout(ctx, failoverAsk)
	defer cancel()
	if err := promoted.DropClients(ctx); err != nil {
		s.log.Debug("clients of the promoted replica could not be dropped; they stay with it", "error", err)
	}
}

// tellOthers tells the sentinels of the successor, and has the other replicas follow it. Whoever does
// not answer is told later: the sentinels by each other, the replicas by the sentinels.
func (s *Server) tellOthers(ctx context.Context, next successor) {
	ctx, cancel := context.WithTimeout(ctx, 2*failoverAsk)
	defer cancel()
	var replicas sync.WaitGroup
	for _, ip := range s.otherServers() {
		if ip != next.addr.Addr() {
			replicas.Go(func() { s.redirect(ctx, ip, next.addr) })
		}
	}
	told := s.announce(ctx, next)
	replicas.Wait()
	s.log.Info("new master announced", "master", next.addr.String(), "epoch", next.epoch, "sentinels", told, "of", s.config.Sentinels)
}

// redirect has a replica of this master follow its successor.
func (s *Server) redirect(ctx context.Context, ip netip.Addr, master netip.AddrPort) {
	replica := s.links.to(ip, s.config.RedisPort)
	info, err := replica.Info(ctx)
	if err == nil && (info.Master || info.MasterAddr.Addr() != s.config.PodIP) {
		return // it is no replica of this master
	}
	if err == nil {
		err = replica.Follow(ctx, master)
	}
	if err != nil {
		s.log.Debug("a replica could not be told of the new master; the sentinels tell it", "replica", ip.String(), "error", err)
	}
}

// announce tells every sentinel of the master that was elected, and gives the number of those
// that name it then. The others hear of it from these within two seconds.
func (s *Server) announce(ctx context.Context, next successor) int {
	var told atomic.Int64
	each(next.views, func(v *sentinelView) {
		if v.Reach == role.Answered && s.announceTo(ctx, v, next) {
			told.Add(1)
		}
	})
	return int(told.Load())
}

// announceTo tells a sentinel of the new master in the name of a sentinel that it knows.
func (s *Server) announceTo(ctx context.Context, v *sentinelView, next successor) (told bool) {
	known, err := v.node.KnownSentinels(ctx, s.config.MasterName)
	i := slices.IndexFunc(known, func(k redisnode.KnownSentinel) bool { return k.Addr.IsValid() && k.ID != "" })
	if err != nil || i < 0 {
		return false
	}
	if err := v.node.Announce(ctx, known[i], s.config.MasterName, next.addr, next.epoch); err != nil {
		return false
	}
	master, found, err := v.node.Master(ctx, s.config.MasterName)
	return err == nil && found && master.Addr == next.addr
}
