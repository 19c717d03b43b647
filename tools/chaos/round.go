package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/tools/internal/probe"
	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

const (
	// settled is how long a release must have been healthy before a round.
	settled = 2 * time.Second
	// recovery bounds the time to a healthy release; the kubelet waits up to five
	// minutes before it restarts a container that has died often.
	recovery = 6 * time.Minute
	// agreement bounds the time until all sentinels name the master after that.
	agreement = 30 * time.Second
	// freezeTime is how long a process stands still, a network is cut or a node is lost.
	freezeTime = 8 * time.Second
)

// chaos is the release and who looks at it.
type chaos struct {
	client             *probe.Client
	watcher            *probe.Watcher
	address            string
	namespace, release string
	// serverCount and podCount are how many a complete release has.
	serverCount, podCount int
	// silenced are the servers, by name, that faults of this round keep from answering for a while.
	silenced map[string]bool
	// heals are the faults that are still to be taken back.
	heals sync.WaitGroup
}

// outcome is what a round did.
type outcome struct {
	Steps            []step        `json:"steps"`
	At               time.Time     `json:"at"`
	Struck           time.Time     `json:"struck"` // when all faults had been ordered
	Acknowledged     int           `json:"acknowledged"`
	Lost             int           `json:"lost"`
	WaitAcknowledged int           `json:"waitAcknowledged"`
	WaitLost         int           `json:"waitLost"`
	Gap              time.Duration `json:"gap"`
	Recovery         time.Duration `json:"recovery"`
	History          []probe.Entry `json:"history"`
}

func (o *outcome) add(other outcome) {
	o.Acknowledged += other.Acknowledged
	o.Lost += other.Lost
	o.WaitAcknowledged += other.WaitAcknowledged
	o.WaitLost += other.WaitLost
	o.Gap = max(o.Gap, other.Gap)
}

// round makes the faults of a round happen while two clients write, waits for
// recovery, and compares what was found with what is promised.
func (c *chaos) round(ctx context.Context, steps []step) (outcome, error) {
	found := outcome{Steps: steps, At: time.Now()}
	if err := c.watcher.AwaitHealthy(ctx, c.serverCount, c.podCount, settled, recovery); err != nil {
		return found, fmt.Errorf("before the round: %w", err)
	}
	plain, err := c.client.Write(ctx, c.address, 0, 2*time.Millisecond, 2*recovery)
	if err != nil {
		return found, err
	}
	defer plain.Abandon()
	waiting, err := c.client.Write(ctx, c.address, 1, 2*time.Millisecond, 2*recovery)
	if err != nil {
		return found, err
	}
	defer waiting.Abandon()
	if err := errors.Join(plain.Advance(ctx, 200, time.Minute), waiting.Advance(ctx, 200, time.Minute)); err != nil {
		return found, fmt.Errorf("before the faults: %w", err)
	}
	found.At, c.silenced = time.Now(), map[string]bool{}
	for _, s := range steps {
		time.Sleep(s.Pause)
		if err := c.do(ctx, s); err != nil {
			return found, fmt.Errorf("%v: %w", s, err)
		}
	}
	c.heals.Wait()
	found.Struck = time.Now()
	if err := c.watcher.AwaitHealthy(ctx, c.serverCount, c.podCount, settled, recovery); err != nil {
		return found, err
	}
	found.Recovery = time.Since(found.Struck) - settled
	if err := c.awaitAgreement(ctx); err != nil {
		return found, err
	}
	if err := errors.Join(plain.Advance(ctx, 100, time.Minute), waiting.Advance(ctx, 100, time.Minute)); err != nil {
		return found, fmt.Errorf("after recovery: %w", err)
	}
	return found, c.judge(&found, plain, waiting)
}

// judge enters what the clients found and says what was promised and not kept.
func (c *chaos) judge(found *outcome, plain, waiting *probe.Writer) error {
	first, err := plain.Finish()
	if err != nil {
		return err
	}
	second, err := waiting.Finish()
	if err != nil {
		return err
	}
	found.Acknowledged, found.Lost = first.Acknowledged, first.Lost
	found.WaitAcknowledged, found.WaitLost = second.Acknowledged, second.Lost
	found.Gap = time.Duration(first.LongestGapMilliseconds) * time.Millisecond
	found.History = c.watcher.History(found.At)
	var problems []error
	if blind := c.watcher.Blind(found.At); blind > 0 {
		fmt.Printf("           nothing was heard of the servers for %.0f s: this round is judged by its clients alone\n", blind.Seconds())
	} else {
		problems = c.judgeServers(found, second)
	}
	for _, r := range []writer.Report{first, second} {
		if problem := lateLoss(r, lastEffect(found.Steps, found.Struck)); problem != nil {
			problems = append(problems, problem)
		}
	}
	allowed, bounded := promise(found.Steps)
	if bounded && found.Lost > allowed {
		problems = append(problems, fmt.Errorf("%d acknowledged writes are lost, the promise is %d", found.Lost, allowed))
	}
	if bounded && found.WaitLost > 0 {
		problems = append(problems, fmt.Errorf("%d writes that a replica had are lost", found.WaitLost))
	}
	return errors.Join(problems...)
}

// judgeServers says what the servers did that was promised not to happen.
func (c *chaos) judgeServers(found *outcome, confirmed writer.Report) (problems []error) {
	history := c.watcher.History(time.Time{})
	for _, problem := range slices.Concat(twoMasters(history, found.At, time.Now()), wiped(history, found.At)) {
		problems = append(problems, errors.New(problem))
	}
	struck := struckServers(history, found.At, c.release+"-redis-ha-server-", c.serverCount, c.silenced)
	return append(problems, confirmedLoss(confirmed, found.Steps, struck))
}

// explain prints what was seen of the servers in a round that found a problem.
func (c *chaos) explain(since time.Time) {
	for _, e := range c.watcher.History(since.Add(-time.Minute)) {
		fmt.Printf("%s %+v\n", e.At.Format("15:04:05.000"), e)
	}
}

// awaitAgreement waits until all sentinels name the master, as launcher status
// tells it.
func (c *chaos) awaitAgreement(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, agreement)
	defer cancel()
	_, sentinels := c.watcher.Pods()
	want := fmt.Sprintf("%d of %d answer", len(sentinels), len(sentinels))
	said := ""
	for {
		master, err := c.watcher.Master()
		if err == nil && len(sentinels) > 0 {
			said, err = c.client.Execute(ctx, sentinels[0].Namespace, sentinels[0].Name, nil, "launcher", "status")
			if err == nil && strings.Contains(said, want) && strings.Contains(said, fmt.Sprintf("%d name %s", len(sentinels), master.Status.PodIP)) {
				return nil
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waited %s for all sentinels to name the master:\n%s", agreement, said)
		}
		time.Sleep(500 * time.Millisecond)
	}
}
