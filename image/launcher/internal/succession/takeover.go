package succession

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// StaleReads is the directive by which a replica without a link to its master answers reads from the data that it has, or refuses them.
const StaleReads = "replica-serve-stale-data"

// Takeover is the replacement of a master that serves, by a Redis in the own pod that has other data.
type Takeover struct {
	Master record.Member // that is to be replaced
	Backup string        // the name of the backup that the Redis in this pod has loaded
	// Until is when the word of launcher restore ends. TakeOver does not write the record later.
	Until time.Time
	// Keep has the data of the backup count on the volume of this pod, which the record names. It is called before anybody hears of it.
	Keep func(record.Record) error
	// Show has Redis listen at its port. It is called when the servers that answer do not serve their old data any more.
	Show func(context.Context) error
}

// TakeOver makes the own pod the master. Unlike a hand-over it waits for no offset: the data of the master are replaced. The sentinels elect the
// launcher of this pod, and writes wait at the master meanwhile. The write of the record is the change. TakeOver takes everything back after an
// error before that write. committed says that this pod is master with the data of the backup. Otherwise the release goes on with its old data.
// That may also happen after the write, if this launcher stood still and another pod has written the record meanwhile.
func (c Carrier) TakeOver(ctx context.Context, t Takeover) (written record.Record, committed bool, err error) {
	began := time.Now()
	bound, cancel := context.WithDeadline(ctx, t.Until)
	defer cancel()
	read, err := c.api.Record(bound)
	if err != nil {
		return read, false, err
	}
	if read.Master.UID != t.Master.UID {
		return read, false, fmt.Errorf("%w: the record names %s, and not %s", record.ErrReplaced, read.Master.Name, t.Master.Name)
	}
	ip, err := netip.ParseAddr(read.Master.IP)
	if err != nil {
		return read, false, fmt.Errorf("the address of the master: %w", err)
	}
	lost := Lost{Lost: role.Lost{Lost: record.Lost{Member: read.Master, Silent: true, Generation: read.Generation, Reason: "backup " + t.Backup + " replaces its data"}}}
	if err := read.Replaceable(lost.Lost.Lost, c.self, began); err != nil {
		return read, false, err
	}
	views := c.ask.QuickSentinels(ctx, c.api.Pods())
	if observe.FailingOver(views) {
		return read, false, ErrFailoverRunning
	}
	if lost.fenced, err = c.api.WriteRecord(bound, read.FenceLost(lost.Lost.Lost, c.self, c.self.UID, began)); err != nil {
		return read, false, fmt.Errorf("record that this pod replaces the master: %w", err)
	}
	lost.Recorded = func(record.Record) {}
	next := c.Successor(ip, c.config.PodIP, views)
	limited, cancel := context.WithDeadline(bound, began.Add(record.CarrierTime))
	defer cancel()
	written, err = c.displace(limited, t, lost.fenced, &next)
	if err != nil {
		unpaused := c.links.To(ip, c.config.RedisPort).Unpause(ctx)
		return written, false, errors.Join(err, c.withdraw(ctx, lost), unpaused)
	}
	return c.serve(ctx, t, next, written)
}

// serve has this pod, which the record names, serve the data of the backup.
func (c Carrier) serve(ctx context.Context, t Takeover, next Successor, written record.Record) (_ record.Record, committed bool, err error) {
	if err := t.Keep(written); err != nil {
		return written, false, err
	}
	if time.Since(written.RestoredAt) > record.CarrierTime/2 { // as on a slow disk
		if written, err = c.confirm(ctx, written); err != nil {
			return written, false, err
		}
	}
	moved := c.moveOthers(ctx, next, written.RestoredAt.Add(record.CarrierTime))
	err = t.Show(ctx)
	if !moved { // the former master may have written the record again
		confirmed, err := c.confirm(ctx, written)
		if err != nil {
			return written, false, err
		}
		written = confirmed
	}
	c.dropOldClients(ctx, next)
	return written, true, err
}

// confirm makes sure that nobody has written the record since it named this pod, and has the former master wait anew; see record.Record.TakenOver.
func (c Carrier) confirm(ctx context.Context, written record.Record) (record.Record, error) {
	next := written
	next.RestoredAt = time.Now()
	confirmed, err := c.api.WriteRecord(ctx, next)
	if err != nil {
		return written, fmt.Errorf("confirm in the record that this pod has replaced the master: %w", err)
	}
	return confirmed, nil
}

// displace has the sentinels elect this launcher, pauses the writes of the master, and writes this pod into the record.
func (c Carrier) displace(ctx context.Context, t Takeover, fenced record.Record, next *Successor) (record.Record, error) {
	if err := c.Campaign(ctx, next); err != nil {
		return fenced, err
	}
	c.log.Info("elected to replace the data of the release", "master", t.Master.Name, "backup", t.Backup, "epoch", next.Epoch)
	if err := c.links.To(next.of.Addr(), c.config.RedisPort).PauseWrites(ctx, role.PauseLimit(c.config.DownAfter)); err != nil {
		return fenced, fmt.Errorf("pause the writes of the master: %w", err)
	}
	if err := c.StillElected(ctx, *next, 0); err != nil {
		return fenced, err
	}
	return c.api.WriteRecord(ctx, fenced.Restore(c.self, t.Backup, time.Now()))
}

// moveOthers has the other servers follow this pod, whose Redis does not listen yet. They refuse reads until they have the new data, so that
// nobody reads old data after new ones. A server that does not answer finds the new master by the record or by the sentinels. moveOthers sends
// nothing after the end: the former master may write the record again then. moved says whether that master has obeyed.
func (c Carrier) moveOthers(ctx context.Context, next Successor, end time.Time) (moved bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*observe.QuickAnswer)
	defer cancel()
	ctx, cancel = context.WithDeadline(ctx, end)
	defer cancel()
	var obeyed atomic.Bool
	others := c.OtherServers()
	observe.Each(others, func(ip *netip.Addr) {
		node := c.links.To(*ip, c.config.RedisPort)
		err := node.Set(ctx, StaleReads, "no")
		if err == nil {
			err = node.Follow(ctx, next.Addr)
		}
		if err != nil {
			c.log.Warn("a server does not follow the new master yet; it will by the record or by the sentinels", "server", ip.String(), "error", err)
		} else if *ip == next.of.Addr() {
			obeyed.Store(true)
		}
	})
	return obeyed.Load()
}

// dropOldClients ends the connections of the clients of the former master, and tells the sentinels of this pod. The clients come back to this pod.
func (c Carrier) dropOldClients(ctx context.Context, next Successor) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*observe.QuickAnswer)
	defer cancel()
	var dropped sync.WaitGroup
	dropped.Go(func() {
		if err := c.links.To(next.of.Addr(), c.config.RedisPort).DropClients(ctx); err != nil {
			c.log.Debug("clients of the former master could not be dropped; its launcher does that", "error", err)
		}
	})
	defer dropped.Wait()
	told := c.announce(ctx, next)
	c.log.Info("new master announced", "master", next.Addr.String(), "epoch", next.Epoch, "sentinels", told, "of", c.config.Sentinels)
}
