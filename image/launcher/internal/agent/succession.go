package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// settleTime bounds the wait for the replicas of a dead master to have read what their kernels have received of
	// it, and the end of the connection. They do within milliseconds.
	settleTime = 300 * time.Millisecond
	// replicaTries is how many looks a replica may miss before it is left out.
	replicaTries = 2
)

// errUnrecorded says that the API did not record the death of a master. A sentinel can promote.
var errUnrecorded = fmt.Errorf("%w: record the death of the master", errNotElected)

// dead is a master whose Redis does not run.
type dead struct {
	record.Dead
	replicas []role.Replica        // those that may replace it
	recorded func(r record.Record) // is told the record that has the fence
}

// replaceDead replaces a dead master by the replica that holds most of its data. It does what a leading sentinel
// does, as in a hand-over; see docs/adr/0029. With errNotElected a sentinel can do it.
func (c campaigner) replaceDead(ctx context.Context, master dead) error {
	if c.config.Sentinels < 2 {
		return fmt.Errorf("%w: a single sentinel knows no other in whose name it could be told", errNotElected)
	}
	ip, err := netip.ParseAddr(master.IP)
	if err != nil {
		return fmt.Errorf("%w: the address of the dead master: %w", errNotElected, err)
	}
	// The record is read first: what is found below holds only if nobody writes the record meanwhile.
	read, err := c.recordOf(ctx, master)
	if err != nil {
		return err
	}
	views := c.askSentinels(ctx)
	if failingOver(views) {
		return errFailoverRunning
	}
	chosen, err := c.foremost(ctx, ip, master.replicas)
	if err != nil {
		return err
	}
	// When the others take the fence over, this launcher must not promote anybody any more.
	fencedAt := time.Now()
	if err := c.fenceDead(ctx, read, master, chosen.UID, fencedAt); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, fencedAt.Add(record.CarrierTime))
	defer cancel()
	next := successor{of: c.redisAt(ip), addr: c.redisAt(chosen.IP), views: views}
	if next.epoch, err = c.campaign(ctx, views, next.of); err != nil {
		return err
	}
	c.log.Info("elected to replace the dead master", "master", master.Name, "by", chosen.Name, "epoch", next.epoch, "reason", master.Reason)
	if err := c.stillElected(ctx, next, answered(views)); err != nil {
		return err
	}
	labelled := func(ip netip.Addr) bool { return c.podAt(ip).Role == role.Master }
	if err := c.promote(ctx, nobodyWrites, next, labelled); err != nil {
		return err
	}
	c.tellOthers(context.WithoutCancel(ctx), next)
	return nil
}

// nobodyWrites is the pause of a master that does not run.
func nobodyWrites(context.Context) error { return nil }

// answered counts the sentinels that have answered.
func answered(views []sentinelView) (n int) {
	for _, v := range views {
		if v.Reach == role.Answered {
			n++
		}
	}
	return n
}

// askSentinels asks the sentinels for no longer than one look of a failover.
func (c campaigner) askSentinels(ctx context.Context) []sentinelView {
	ctx, cancel := context.WithTimeout(ctx, failoverAsk)
	defer cancel()
	return askSentinels(ctx, c.config, c.links, c.api.Pods())
}

// offer is what a replica of a dead master holds.
type offer struct {
	offset int64
	linked bool // it has not noticed the end of its master yet
	missed int  // looks without an answer, in a row
	out    bool // it does not hold any more what was found before
	master bool
}

// foremost asks the replicas of a dead master for their offsets until all have noticed its end, and gives the pod of
// the replica that holds most. The first one wins a tie. With errReplaced one of them is master already. With
// errNotElected none answers. With another error a replica that held more has become silent.
func (c campaigner) foremost(ctx context.Context, master netip.Addr, replicas []role.Replica) (kube.Pod, error) {
	offers := make([]offer, len(replicas))
	for deadline := time.Now().Add(settleTime); ; time.Sleep(pollEvery) {
		before := slices.Clone(offers)
		c.look(ctx, master, replicas, offers)
		if settled(before, offers) || time.Now().After(deadline) {
			break
		}
	}
	best := -1
	for i, o := range offers {
		if o.master {
			return kube.Pod{}, fmt.Errorf("%w: the replica %v is master", errReplaced, replicas[i].IP)
		}
		if !o.out && o.missed == 0 && (best < 0 || o.offset > offers[best].offset) {
			best = i
		}
	}
	if best < 0 {
		return kube.Pod{}, fmt.Errorf("%w: no replica of the dead master answers", errNotElected)
	}
	for i, o := range offers {
		if o.missed > 0 && !o.out && max(replicas[i].Offset, o.offset) > offers[best].offset {
			return kube.Pod{}, fmt.Errorf("the replica %v, which held most, does not answer", replicas[i].IP)
		}
	}
	pod := c.podAt(replicas[best].IP)
	if pod.UID == "" {
		return kube.Pod{}, fmt.Errorf("%w: the pod with the address %v is gone", errNotElected, replicas[best].IP)
	}
	return pod, nil
}

// settled says whether two looks at the replicas have found the same, and no more is to come.
func settled(before, now []offer) bool {
	for i, o := range now {
		changes := o.linked || o.missed > 0 && o.missed < replicaTries || o.offset != before[i].offset
		if !o.out && changes {
			return false
		}
	}
	return true
}

// look asks replicas of a master for their offsets, for no longer than one look of a failover.
func (c campaigner) look(ctx context.Context, master netip.Addr, replicas []role.Replica, offers []offer) {
	ctx, cancel := context.WithTimeout(ctx, failoverAsk)
	defer cancel()
	indices := make([]int, len(replicas))
	for i := range indices {
		indices[i] = i
	}
	each(indices, func(i *int) {
		was, o := replicas[*i], &offers[*i]
		if o.missed >= replicaTries || o.out {
			return
		}
		info, err := c.links.to(was.IP, c.config.RedisPort).Info(ctx)
		switch {
		case redisnode.ReachOf(err) == redisnode.Refused:
			o.out = true
		case err != nil:
			o.missed++
		case info.Master || info.Loading || historyOf(info) != was.History || info.Offset < was.Offset:
			o.out, o.master = true, info.Master && !info.Loading
		default:
			o.offset, o.linked, o.missed = info.Offset, info.LinkUp && info.MasterAddr.Addr() == master, 0
		}
	})
}

// recordOf reads the record of a dead master. With errReplaced somebody else replaces it, or the master has come back. With
// errNotElected a sentinel can do it.
func (c campaigner) recordOf(ctx context.Context, master dead) (record.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, fenceTime)
	defer cancel()
	read, err := c.api.Record(ctx)
	if err != nil {
		return record.Record{}, fmt.Errorf("%w: %w", errUnrecorded, err)
	}
	err = read.Replaceable(master.Dead, c.self, time.Now())
	if errors.Is(err, record.ErrNotRecorded) {
		err = fmt.Errorf("%w: %w", errNotElected, err)
	}
	return read, err
}

// fenceDead writes into the record that this pod replaces a dead master by the chosen replica, whose UID it is given. It
// returns kube.ErrChanged if somebody has written the record since it was read. errNotElected says that the API did not
// write the record, and that a sentinel can promote.
func (c campaigner) fenceDead(ctx context.Context, read record.Record, master dead, chosen string, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, fenceTime)
	defer cancel()
	written, err := c.api.WriteRecord(ctx, read.FenceDead(master.Dead, c.self, chosen, at))
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
