package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// settleTime bounds the wait for the replicas of a dead master to have read what their kernels have received of
	// it, and the end of the connection. They do within milliseconds.
	settleTime = 300 * time.Millisecond
	// downLag is by how much two sentinels may differ in finding a master down: two of their ping periods.
	downLag = 500 * time.Millisecond
	// noticeTime is how long a sentinel that finds a master down, as most do, has to find it objectively down: two of its ticks.
	noticeTime = 250 * time.Millisecond
	// downPoll is the pause between two questions whether they find it down.
	downPoll = 20 * time.Millisecond
)

// errUnrecorded says that the API did not record the death of a master. A sentinel can promote.
var errUnrecorded = fmt.Errorf("%w: record the death of the master", errNotElected)

// lost is a master whose Redis does not run, or that most sentinels find down.
type lost struct {
	record.Lost
	replicas []role.Replica // the replicas that may replace it
	// frozen: the launcher of a silent master does not answer either. It cannot demote the master when that wakes up.
	frozen bool
	// remembered is the last record that this launcher has read or written. An empty Version means that there is no such record.
	remembered record.Record
	recorded   func(r record.Record) // is told the record that has the fence
	// promotedSelf is called when this pod has been promoted.
	promotedSelf func(ctx context.Context)
}

// replaceLost replaces a lost master by the replica that holds most of its data. It does what a leading sentinel
// does, as in a hand-over; see docs/adr/0029. With errNotElected a sentinel can do it.
//
// The remembered record may be old. The write of the fence shows that, and replaceLost begins once more with the record of the API.
func (c campaigner) replaceLost(ctx context.Context, master lost) error {
	err := c.replaceOnce(ctx, master)
	if errors.Is(err, kube.ErrChanged) && master.remembered.Version != "" {
		master.remembered = record.Record{}
		err = c.replaceOnce(ctx, master)
	}
	return err
}

func (c campaigner) replaceOnce(ctx context.Context, master lost) error {
	if c.config.Sentinels < 2 {
		return fmt.Errorf("%w: a single sentinel knows no other in whose name it could be told", errNotElected)
	}
	ip, err := netip.ParseAddr(master.IP)
	if err != nil {
		return fmt.Errorf("%w: the address of the lost master: %w", errNotElected, err)
	}
	// The record comes first: what is found below holds only if nobody writes the record meanwhile.
	read, err := c.recordOf(ctx, master)
	if err != nil {
		return err
	}
	views := c.ask.QuickSentinels(ctx, c.api.Pods())
	if observe.FailingOver(views) {
		return errFailoverRunning
	}
	chosen, err := c.foremost(ctx, master, ip)
	if err != nil {
		return err
	}
	// When the others take the fence over, this launcher must not promote anybody any more.
	fencedAt := time.Now()
	if err := c.fenceLost(ctx, read, master, chosen.UID, fencedAt); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, fencedAt.Add(record.CarrierTime))
	defer cancel()
	next := c.successor(ip, chosen.IP, views)
	next.silent, next.frozen = master.Silent, master.frozen
	if err := c.campaign(ctx, &next); err != nil {
		return err
	}
	c.log.Info("elected to replace the master", "master", master.Name, "by", chosen.Name, "epoch", next.epoch, "reason", master.Reason)
	if err := c.awaitDown(ctx, next); err != nil {
		return err
	}
	labelled := func(ip netip.Addr) bool { return c.podAt(ip).Role == role.Master }
	if master.Silent {
		if err := c.stillForemost(ctx, master, ip, chosen); err != nil {
			return err
		}
	}
	if err := c.promote(ctx, nobodyWrites, next, labelled); err != nil {
		return err
	}
	var told sync.WaitGroup
	told.Go(func() { c.tellOthers(context.WithoutCancel(ctx), next) })
	if chosen.UID == c.self.UID {
		master.promotedSelf(ctx)
	}
	told.Wait()
	return nil
}

// nobodyWrites is the pause of a master that does not run.
func nobodyWrites(context.Context) error { return nil }

// answered counts the sentinels that answered before the votes.
func (n *successor) answered() (count int) {
	for _, e := range n.electors {
		if e.Reach == role.Answered {
			count++
		}
	}
	return count
}

// errAnswers says that a master that was silent answers the sentinels, or has its label, again.
var errAnswers = errors.New("the master answers again")

// awaitDown makes sure that most sentinels still name the master, in an epoch before that of the votes. A launcher is elected to
// replace a silent master shortly before they find it down: a sentinel that has voted for nobody begins a failover of its own
// within a tenth of a second. So awaitDown waits until a majority finds a silent master down.
func (c campaigner) awaitDown(ctx context.Context, next successor) error {
	if !next.silent {
		return c.stillElected(ctx, next, next.answered())
	}
	waiting, cancel := context.WithTimeout(ctx, role.SilenceLead+downLag)
	defer cancel()
	for {
		err := c.stillElected(waiting, next, 0)
		if err == nil {
			c.awaitNotice(waiting, next)
			return c.stillElected(ctx, next, next.answered()) // a sentinel that replaces the master answers last
		}
		if errors.Is(err, errFailoverRunning) || errors.Is(err, errAnswers) {
			return err
		}
		select {
		case <-waiting.Done():
			return fmt.Errorf("%w, or the sentinels do not find it down: %w", errAnswers, err)
		case <-time.After(downPoll):
		}
	}
}

// awaitNotice waits until a sentinel finds the master objectively down, for noticeTime at most. The sentinel tells its users then, and does
// not do so any more when it knows the successor.
func (c campaigner) awaitNotice(ctx context.Context, next successor) {
	ctx, cancel := context.WithTimeout(ctx, noticeTime)
	defer cancel()
	noticed := make(chan struct{}, 1)
	for {
		for _, e := range next.electors {
			if e.Reach != role.Answered {
				continue // the sentinel beside a lost master would be waited for
			}
			go func() {
				if master, found, err := e.Node.Master(ctx, c.config.MasterName); err == nil && found && master.ObjectiveDown {
					select {
					case noticed <- struct{}{}:
					default:
					}
				}
			}()
		}
		select {
		case <-noticed:
			return
		case <-ctx.Done():
			return
		case <-time.After(downPoll):
		}
	}
}

// stillForemost makes sure that a silent master has not got its label again, and that the chosen replica still holds most.
func (c campaigner) stillForemost(ctx context.Context, master lost, ip netip.Addr, chosen kube.Pod) error {
	now, err := c.foremost(ctx, master, ip)
	switch {
	case err != nil:
		return err
	case now.UID != chosen.UID:
		return fmt.Errorf("%s holds most of the data by now, and not %s", now.Name, chosen.Name)
	case c.podAt(ip).Role == role.Master:
		return errAnswers
	}
	return nil
}

// foremost asks the replicas of a lost master for their offsets until all have noticed its end, and gives the pod of
// the replica that holds most. With errReplaced one of them is master already. With errNotElected none answers. With another error a
// replica that held more has become silent.
func (c campaigner) foremost(ctx context.Context, master lost, ip netip.Addr) (kube.Pod, error) {
	offers := role.NewOffers(master.replicas)
	for deadline := time.Now().Add(settleTime); ; time.Sleep(pollEvery) {
		before := slices.Clone(offers)
		c.askOffers(ctx, ip, offers)
		if offers.Settled(before, master.Silent) || time.Now().After(deadline) {
			break
		}
	}
	best, err := offers.Foremost()
	if errors.Is(err, role.ErrNoReplica) {
		err = fmt.Errorf("%w: %w", errNotElected, err)
	}
	if err != nil {
		return kube.Pod{}, err
	}
	pod := c.podAt(best.IP)
	if pod.UID == "" {
		return kube.Pod{}, fmt.Errorf("%w: the pod with the address %v is gone", errNotElected, best.IP)
	}
	return pod, nil
}

// askOffers asks replicas of a master for their offsets, for no longer than one look of a failover.
func (c campaigner) askOffers(ctx context.Context, master netip.Addr, offers role.Offers) {
	ctx, cancel := context.WithTimeout(ctx, observe.QuickAnswer)
	defer cancel()
	observe.Each(offers, func(o *role.Offer) {
		if !o.Open() {
			return
		}
		info, err := c.links.To(o.IP, c.config.RedisPort).Info(ctx)
		o.Take(observe.ReachOf(err), observe.LookOf(info), info.MasterAddr.Addr(), master)
	})
}

// recordOf gives the record of a lost master. It reads the record unless the remembered one allows the replacement: the write
// of the fence fails if somebody has written since. With errReplaced somebody else replaces the master, or the master has come
// back. With errNotElected a sentinel can do it.
func (c campaigner) recordOf(ctx context.Context, master lost) (record.Record, error) {
	if known := master.remembered; known.Version != "" && known.Replaceable(master.Lost, c.self, time.Now()) == nil {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fenceTime)
	defer cancel()
	read, err := c.api.Record(ctx)
	if err != nil {
		return record.Record{}, fmt.Errorf("%w: %w", errUnrecorded, err)
	}
	err = read.Replaceable(master.Lost, c.self, time.Now())
	if errors.Is(err, record.ErrNotRecorded) {
		err = fmt.Errorf("%w: %w", errNotElected, err)
	}
	return read, err
}

// fenceLost writes into the record that this pod replaces a lost master by the chosen replica, whose UID it is given. It
// returns kube.ErrChanged if somebody has written the record since it was read. errNotElected says that the API did not
// write the record, and that a sentinel can promote.
func (c campaigner) fenceLost(ctx context.Context, read record.Record, master lost, chosen string, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, fenceTime)
	defer cancel()
	written, err := c.api.WriteRecord(ctx, read.FenceLost(master.Lost, c.self, chosen, at))
	switch {
	case errors.Is(err, kube.ErrChanged):
		return fmt.Errorf("record the death of the master: %w", err)
	case err != nil:
		return fmt.Errorf("%w: %w", errUnrecorded, err)
	}
	master.recorded(written)
	return nil
}

// pausing gives what pauses the writes of a node.
func (s *Server) pausing(node *redisnode.Node) func(context.Context) error {
	limit := role.PauseLimit(s.config.DownAfter)
	return func(ctx context.Context) error { return node.PauseWrites(ctx, limit) }
}
