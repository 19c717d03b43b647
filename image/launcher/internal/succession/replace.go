package succession

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
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// settleTime bounds the wait for the replicas of a dead master to have read what their kernels have received from
	// the master, and the end of the connection. They do within milliseconds.
	settleTime = 300 * time.Millisecond
	// downLag is by how much two sentinels may differ in finding a master down: two of their ping periods.
	downLag = 500 * time.Millisecond
	// noticeTime is how long a sentinel that finds a master down, as most do, has to find it objectively down: two of its ticks.
	noticeTime = 250 * time.Millisecond
	// downPoll is the pause between two questions to the sentinels whether they find the master down.
	downPoll = 20 * time.Millisecond
)

// Lost is a master whose Redis does not run, or that most sentinels find down.
type Lost struct {
	role.Lost
	// Remembered is the last record that this launcher has read or written. An empty Version means that there is no such record.
	Remembered record.Record
	// Recorded is called with the record that names the successor, as soon as the API has it.
	Recorded func(r record.Record)
	// Unvoted: this launcher may replace the master without the votes of the sentinels, if it does not get them and the record names the successor.
	Unvoted bool
	// PromotedSelf is called when this pod has been promoted. Its context ends with the time that this launcher has for the replacement.
	PromotedSelf func(ctx context.Context)

	fenced record.Record // the record that names the successor; an empty Version means that it does not
}

// own says whether the master is this pod, whose Redis has ended. Its launcher may replace it without the record: no other launcher replaces a
// dead master whose own launcher answers.
func (l *Lost) own(self record.Member) bool { return l.UID == self.UID }

// ReplaceLost replaces a lost master by the replica that holds most of its data. It does what a leading sentinel
// does, as in a hand-over; see docs/adr/0029. The death of the Redis in this pod need not be recorded. The sentinels then decide alone when
// the label moves.
//
// With ErrNotElected the sentinels have not elected this launcher. With ErrFailoverRunning a sentinel replaces the master. With record.ErrReplaced another
// launcher replaces the master, or the master has come back. With ErrAnswers a silent master answers again. With ErrUnanswered the replica may be master.
// With another error the attempt has failed in between, as where the replica has ended. After an error the record does not name a successor
// of a silent master any more, unless the replica may be master.
//
// The remembered record may be old. The write of the fence shows that, and ReplaceLost begins once more with the record of the API.
func (c Carrier) ReplaceLost(ctx context.Context, master Lost) error {
	if _, mine := master.Remembered.Withdraw(master.Lost.Lost, c.self); mine {
		master.fenced = master.Remembered // an earlier attempt could not take it back
	}
	err := c.replaceOnce(ctx, &master)
	if errors.Is(err, kube.ErrChanged) && master.Remembered.Version != "" {
		master.Remembered = record.Record{}
		err = c.replaceOnce(ctx, &master)
	}
	if err != nil && master.Silent && master.fenced.Version != "" && !errors.Is(err, ErrUnanswered) {
		c.log.Info("the sentinels are left to replace the silent master", "reason", err)
		return errors.Join(err, c.withdraw(ctx, master))
	}
	return err
}

// Ending gives how an attempt to replace a lost master has ended. err is the error of ReplaceLost.
func Ending(err error) role.Ending {
	switch {
	case err == nil:
		return role.Replaced
	case errors.Is(err, ErrUnanswered):
		return role.Unanswered
	case errors.Is(err, ErrFailoverRunning) || errors.Is(err, record.ErrReplaced) || errors.Is(err, ErrAnswers):
		return role.ReplacedByAnother
	case errors.Is(err, ErrNotElected):
		return role.NotElected
	default:
		return role.Failed
	}
}

func (c Carrier) replaceOnce(ctx context.Context, master *Lost) error {
	ip, err := master.Address()
	if err != nil {
		return fmt.Errorf("the address of the lost master: %w", err)
	}
	// The record comes first: what is found below holds only if nobody writes the record meanwhile.
	read, recorded, err := c.recordOf(ctx, master)
	if err != nil {
		return err
	}
	views := c.ask.QuickSentinels(ctx, c.api.Pods())
	if observe.FailingOver(views) {
		return ErrFailoverRunning
	}
	chosen, err := c.foremost(ctx, *master, ip)
	if err != nil {
		return err
	}
	// When the others take the fence over, this launcher must not promote anybody any more.
	began := time.Now()
	if recorded {
		if recorded, err = c.fenceLost(ctx, read, master, chosen.UID, began); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithDeadline(ctx, began.Add(record.CarrierTime))
	defer cancel()
	next := c.Successor(ip, chosen.IP, views)
	next.silent, next.frozen = master.Silent, master.Frozen
	if err := c.win(ctx, *master, chosen, recorded, &next); err != nil {
		return err
	}
	if err := c.Promote(ctx, nobodyWrites, next, c.labelled); err != nil {
		return err
	}
	var told sync.WaitGroup
	told.Go(func() { c.TellOthers(context.WithoutCancel(ctx), next) })
	if chosen.UID == c.self.UID {
		master.PromotedSelf(ctx)
	}
	told.Wait()
	return nil
}

// win has the sentinels elect this launcher, and makes sure that the chosen replica may replace the master now. recorded says that the record
// names the replica. Without votes the record alone keeps other launchers from replacing the master.
func (c Carrier) win(ctx context.Context, master Lost, chosen kube.Pod, recorded bool, next *Successor) error {
	switch err := c.Campaign(ctx, next); {
	case err == nil:
		c.log.Info("elected to replace the master", "master", master.Name, "by", chosen.Name, "epoch", next.Epoch, "reason", master.Reason)
	case errors.Is(err, ErrNotElected) && master.Unvoted && recorded && !master.Silent:
		next.GoUnvoted(false)
		c.log.Warn("replacing the master without the votes of the sentinels", "master", master.Name, "by", chosen.Name, "epoch", next.Epoch, "reason", err)
	default:
		return err
	}
	if err := c.awaitDown(ctx, *next); err != nil || !master.Silent {
		return err
	}
	return c.stillForemost(ctx, master, next.of.Addr(), chosen)
}

// nobodyWrites is the pause of a master that does not run.
func nobodyWrites(context.Context) error { return nil }

// awaitDown makes sure that most sentinels still name the master, in an epoch before that of the votes. A launcher is elected to
// replace a silent master shortly before they find it down, since a sentinel that has voted for nobody begins a failover of its own
// within a tenth of a second then. So awaitDown waits until a majority finds a silent master down.
func (c Carrier) awaitDown(ctx context.Context, next Successor) error {
	if !next.silent {
		return c.StillElected(ctx, next, next.answered())
	}
	waiting, cancel := context.WithTimeout(ctx, role.SilenceLead+downLag)
	defer cancel()
	for {
		err := c.StillElected(waiting, next, 0)
		if err == nil {
			c.awaitNotice(waiting, next)
			return c.StillElected(ctx, next, next.answered()) // a sentinel that replaces the master answers last
		}
		if errors.Is(err, ErrFailoverRunning) || errors.Is(err, ErrAnswers) {
			return err
		}
		select {
		case <-waiting.Done():
			return fmt.Errorf("%w, or the sentinels do not find it down: %w", ErrAnswers, err)
		case <-time.After(downPoll):
		}
	}
}

// awaitNotice waits until a sentinel finds the master objectively down, for noticeTime at most. The sentinel tells its users that the
// master is down then. A sentinel that knows the successor would not tell them any more.
func (c Carrier) awaitNotice(ctx context.Context, next Successor) {
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

// stillForemost makes sure that the chosen replica still holds most, and that a silent master has not got its label again.
func (c Carrier) stillForemost(ctx context.Context, master Lost, ip netip.Addr, chosen kube.Pod) error {
	now, err := c.foremost(ctx, master, ip)
	switch {
	case err != nil:
		return err
	case now.UID != chosen.UID:
		return fmt.Errorf("%s holds most of the data by now, and not %s", now.Name, chosen.Name)
	case c.labelled(ip):
		return ErrAnswers
	}
	return nil
}

// foremost asks the replicas of a lost master for their offsets until all have noticed its end, for settleTime at most. It gives the pod of
// the replica that holds most. With record.ErrReplaced a replica is master already. With role.ErrNoReplica no replica answers. With another
// error a replica that held more has become silent.
func (c Carrier) foremost(ctx context.Context, master Lost, ip netip.Addr) (kube.Pod, error) {
	offers := role.NewOffers(master.Replicas)
	for deadline := time.Now().Add(settleTime); ; time.Sleep(PollEvery) {
		before := slices.Clone(offers)
		c.askOffers(ctx, ip, offers)
		if offers.Settled(before, master.Silent) || time.Now().After(deadline) {
			break
		}
	}
	best, err := offers.Foremost()
	if err != nil {
		return kube.Pod{}, err
	}
	return c.Pod(best.IP)
}

// askOffers asks replicas of a master for their offsets, for no longer than one look of a failover.
func (c Carrier) askOffers(ctx context.Context, master netip.Addr, offers role.Offers) {
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

// recordOf gives the record of a lost master. It reads the record unless the remembered record allows the replacement: the write
// of the fence fails if somebody has written since. recorded is false if the master is this pod, and the API does not answer or the record
// names another pod and no successor of this one. With record.ErrReplaced somebody else replaces the master, or the master has come back. With ErrUnrecorded the
// API does not answer.
func (c Carrier) recordOf(ctx context.Context, master *Lost) (read record.Record, recorded bool, err error) {
	if known := master.Remembered; known.Version != "" && known.Replaceable(master.Lost.Lost, c.self, time.Now()) == nil {
		return known, true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, FenceTime)
	defer cancel()
	read, err = c.api.Record(ctx)
	if err != nil {
		return record.Record{}, false, c.unrecorded(master, err)
	}
	err = read.Replaceable(master.Lost.Lost, c.self, time.Now())
	if errors.Is(err, record.ErrNotRecorded) {
		return read, false, nil
	}
	return read, err == nil, err
}

// unrecorded gives nil if the launcher may replace a master that the API does not record as lost, and ErrUnrecorded otherwise.
func (c Carrier) unrecorded(master *Lost, err error) error {
	if !master.own(c.self) {
		return fmt.Errorf("%w: %w", ErrUnrecorded, err)
	}
	c.log.Warn("the death of the master could not be recorded; the sentinels decide alone when the label moves", "error", err)
	return nil
}

// fenceLost writes into the record that this pod replaces a lost master by a replica. chosen is the UID of the replica's pod. recorded is false
// if the API did not write the record, and the master is this pod. The error is kube.ErrChanged if somebody has written the record since it was
// read. With ErrUnrecorded the API did not write the record, and the master is another pod.
func (c Carrier) fenceLost(ctx context.Context, read record.Record, master *Lost, chosen string, at time.Time) (recorded bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, FenceTime)
	defer cancel()
	written, err := c.api.WriteRecord(ctx, read.FenceLost(master.Lost.Lost, c.self, chosen, at))
	switch {
	case errors.Is(err, kube.ErrChanged):
		return false, fmt.Errorf("record the death of the master: %w", err)
	case err != nil:
		return false, c.unrecorded(master, err)
	}
	master.fenced = written
	master.Recorded(written)
	return true, nil
}

// withdraw takes back the fence of a silent master that this launcher does not replace.
func (c Carrier) withdraw(ctx context.Context, master Lost) error {
	for {
		written, err := c.Rewrite(ctx, master.fenced, func(r record.Record) (record.Record, bool, error) {
			next, changed := r.Withdraw(master.Lost.Lost, c.self)
			return next, changed, nil
		})
		switch {
		case errors.Is(err, kube.ErrChanged):
			master.fenced = record.Record{}
			continue
		case err != nil:
			return fmt.Errorf("take back the fence of the silent master: %w", err)
		case written.Version != "":
			master.Recorded(written)
		}
		return nil
	}
}
