package copydata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

// Run copies, and writes what it does. It returns nil only when the comparison in the end has found nothing.
func Run(ctx context.Context, o Options, out io.Writer) error {
	if err := o.prepare(); err != nil {
		return err
	}
	c := newCopier(o, out)
	defer c.source.close()
	defer c.target.close()
	if err := c.greet(ctx); err != nil {
		return err
	}
	var err error
	if c.follow {
		err = c.runFollowing(ctx)
	} else {
		err = c.runOnce(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w\nthe copy is not complete: run it again with --resume, which passes over what is equal", err)
	}
	if lost := c.lostTimes.Load(); lost > 0 {
		c.say("WARNING: %d fields of hashes expire at the source; the target does not know that, so they stay", lost)
	}
	c.say("equal: the target has what the source has; let the clients connect to %s", o.To.Address)
	return nil
}

func newCopier(o Options, out io.Writer) *copier {
	return &copier{
		Options: o, source: newServer("source", o.From), target: newServer("target", o.To), ledger: copyplan.NewLedger(ledgerLimit),
		follow: o.Follow, patience: patience, out: out,
		refused: map[string]bool{}, failures: map[copyplan.Key]error{}, groups: map[copyplan.Key]bool{},
	}
}

// greet looks whether the two servers can be copied.
func (c *copier) greet(ctx context.Context) error {
	from, err := c.source.info(ctx)
	if err != nil {
		return err
	}
	to, err := c.target.info(ctx)
	if err != nil {
		return err
	}
	c.say("copy %s at %s to %s at %s", from.Name(), c.source.endpoint.Address, to.Name(), c.target.endpoint.Address)
	var problems []error
	if from["run_id"] != "" && from["run_id"] == to["run_id"] {
		problems = append(problems, errors.New("the source and the target are the same server: give two"))
	}
	if from["cluster_enabled"] == "1" {
		problems = append(problems, errors.New("the source is a Redis Cluster, of which each node has a part of the keys: this chart has no shards"))
	}
	if to["role"] != "master" {
		problems = append(problems, fmt.Errorf("the target is a %s, which accepts no writes: give the address of the master Service", to["role"]))
	}
	if c.follow && from["role"] != "master" {
		problems = append(problems, fmt.Errorf("the source is a %s, which does not tell of a new copy from its master: give the address of the master, or leave out --follow", from["role"]))
	}
	switch {
	case !c.Resume:
		problems = append(problems, refuseData(to, c.target.endpoint.Address))
	case sum(from.Keys()) == 0 && sum(to.Keys()) > 0:
		problems = append(problems, fmt.Errorf(
			"the source has no keys, so that --resume would delete all %d keys of the target: look whether --from and --to are the wrong way round, or empty the target",
			sum(to.Keys())))
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	c.greeted = from["run_id"]
	return c.patiently(ctx, func() error {
		if err := c.source.learn(ctx); err != nil {
			return err
		}
		return c.target.learn(ctx)
	})
}

// runOnce copies a source that nobody writes to.
func (c *copier) runOnce(ctx context.Context) error {
	since, err := c.checkedRead(ctx, c.Resume)
	if err != nil {
		return err
	}
	if err := c.finish(ctx, since); err != nil {
		return err
	}
	return c.warnOfChanges(ctx, since)
}

// warnOfChanges warns if clients have changed a source that nobody follows.
func (c *copier) warnOfChanges(ctx context.Context, since facts) error {
	now, err := c.facts(ctx)
	if err == nil && since.changedSince(now) {
		c.say("WARNING: the source has changed during the copy, and only a sample has been compared: stop its clients and run the copy again with --resume, or use --follow")
	}
	return err
}

// finish copies what belongs to no key, and compares. The servers have to be the same ones in the end.
func (c *copier) finish(ctx context.Context, since facts) error {
	if err := c.patiently(ctx, func() error { return c.copyFunctions(ctx) }); err != nil {
		return err
	}
	if err := c.failure(); err != nil {
		return err
	}
	if err := c.verify(ctx); err != nil {
		return err
	}
	reason, err := c.missed(ctx, since)
	if err == nil && reason != "" {
		err = errors.New(reason)
	}
	return err
}

// runFollowing copies a source that clients write to until the cut-over.
func (c *copier) runFollowing(ctx context.Context) (err error) {
	w := newWatch(c)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialTimeout)
		defer cancel()
		w.putBack(ctx)
	}()
	if err := w.start(ctx); err != nil {
		return err
	}
	c.telling = w.stillTells
	ctx, cancel := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	defer func() {
		if reason := context.Cause(ctx); err != nil && reason != nil {
			err = reason
		}
		cancel(nil)
		beside.Wait()
	}()
	beside.Go(func() { cancelOn(cancel, w.run(ctx)) })
	for range workers {
		beside.Go(func() { cancelOn(cancel, c.copyChanges(ctx)) })
	}
	since, err := c.checkedRead(ctx, c.Resume)
	if err != nil {
		return err
	}
	if since, err = c.followSource(ctx, since); err != nil {
		return err
	}
	return c.moveClients(ctx, w, since)
}

func cancelOn(cancel context.CancelCauseFunc, err error) {
	if err != nil {
		cancel(err)
	}
}

// moveClients ends the following of the source, which accepts writes again if that fails.
func (c *copier) moveClients(ctx context.Context, w *watch, since facts) error {
	began := time.Now()
	release := func() {}
	if c.PauseSource > 0 {
		var err error
		if release, err = c.holdWrites(ctx); err != nil {
			return err
		}
	}
	if err := c.lastChanges(ctx, w, since); err != nil {
		release()
		return err
	}
	c.say("the cut-over took %.1f s", time.Since(began).Seconds())
	return nil
}

// lastChanges copies the last changes and compares. Nobody may have changed the source meanwhile.
func (c *copier) lastChanges(ctx context.Context, w *watch, since facts) error {
	since, err := c.cutOver(ctx, w, since)
	if err != nil {
		return err
	}
	before, _ := c.ledger.Changes()
	differences := c.finish(ctx, since)
	if err := w.barrier(ctx); err != nil {
		return errors.Join(differences, err)
	}
	if differences == nil && c.mustCompare() {
		return errors.New(c.takeComparing())
	}
	if after, _ := c.ledger.Changes(); after > before {
		return errors.Join(differences, fmt.Errorf(
			"the source has changed %d times while both sides were compared: stop its clients, or use --pause-source", after-before))
	}
	return differences
}
