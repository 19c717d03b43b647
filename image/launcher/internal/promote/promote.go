// Package promote ends the time in which a release follows an external master: one of its servers becomes the first master of the
// release, with everything that the external master has accepted.
package promote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// catchUpTime is how long the servers may need for what the external master has written last.
	catchUpTime = 20 * time.Second
	// successionTime is how long the chosen server may need to become master and to be labelled: its launcher looks once a second.
	successionTime = 20 * time.Second
	// callOffTime is how long the API may need to take the order back.
	callOffTime = 10 * time.Second
	// followTime is how long the other servers may need to follow it.
	followTime = 30 * time.Second
	// pollEvery is the time between two looks.
	pollEvery = 100 * time.Millisecond
	// holdReserve is the part of the pause that is left when the order ends: the launcher of the successor may be as late as its clock, and one
	// write of the record.
	holdReserve = record.Skew + 3*time.Second
	// shortestPause leaves some seconds for the data, and some for the order.
	shortestPause = 15 * time.Second
	// lagLimit is by how many bytes a server may be behind before that is an obstacle: writes would wait for it.
	lagLimit = 16 << 20
)

// Options say how to promote.
type Options struct {
	// DryRun only says what is in the way.
	DryRun bool
	// Pause is how long the external master holds writes back; 0 leaves that to the operator, who has stopped the clients.
	Pause time.Duration
}

// Run promotes a server, and writes what it does. It returns an error where something is in the way, and then leaves everything as it was.
func Run(ctx context.Context, c config.Config, api *kube.Client, o Options, out io.Writer) error {
	if !c.External.On() {
		return errors.New("this pod knows no external master: install the release with externalMaster.enabled=true")
	}
	if o.Pause != 0 && o.Pause < shortestPause {
		return fmt.Errorf("--pause-source is %v: give at least %v, or 0 if you have stopped the clients of the external master", o.Pause, shortestPause)
	}
	external, err := connect(c.External)
	if err != nil {
		return err
	}
	defer external.Close()
	p := &promotion{config: c, api: api, options: o, out: out, source: external}
	if err := p.check(ctx); err != nil {
		return err
	}
	if o.DryRun {
		p.say("nothing is in the way; nothing was changed")
		return nil
	}
	return p.carryOut(ctx)
}

// promotion is one attempt.
type promotion struct {
	config  config.Config
	api     *kube.Client
	options Options
	out     io.Writer
	source  *source
	process string // ID of the process of the external master that was checked
}

func (p *promotion) say(format string, arguments ...any) {
	fmt.Fprintf(p.out, format+"\n", arguments...)
}

// server is one server of the release.
type server struct {
	pod  kube.Pod
	info redisnode.Info
	err  error
}

// servers asks all servers of the release.
func (p *promotion) servers(ctx context.Context) ([]server, error) {
	pods, err := p.api.LivePods(ctx)
	if err != nil {
		return nil, err
	}
	var found []server
	for _, pod := range pods {
		if !pod.Server || pod.Terminating || !pod.IP.IsValid() {
			continue
		}
		node := redisnode.New(netip.AddrPortFrom(pod.IP, uint16(p.config.RedisPort)), p.config.Password).Encrypted(p.config.TLS.Links).Trying(p.config.PasswordSource.Trying)
		info, err := node.Info(ctx)
		node.Close()
		found = append(found, server{pod, info, err})
	}
	return found, nil
}

// sentinels counts the pods of sentinels.
func (p *promotion) sentinels(ctx context.Context) (number int, err error) {
	pods, err := p.api.LivePods(ctx)
	for _, pod := range pods {
		if pod.Sentinel && !pod.Terminating && pod.IP.IsValid() {
			number++
		}
	}
	return number, err
}

// check lists what is in the way.
func (p *promotion) check(ctx context.Context) error {
	read, err := p.api.Record(ctx)
	if err != nil {
		return err
	}
	if read.Initialised {
		return fmt.Errorf("the release has a master of its own already, %s: set externalMaster.enabled=false", read.Master.Name)
	}
	var problems []string
	problem := func(format string, arguments ...any) { problems = append(problems, fmt.Sprintf(format, arguments...)) }
	external, err := p.source.state(ctx)
	if err != nil {
		problem("%v", err)
	} else {
		problems = append(problems, external.obstacles(p.source.address, p.source.sentinels(ctx))...)
	}
	if err == nil && p.options.Pause > 0 {
		if err := p.source.mayPause(ctx); err != nil {
			problem("%v; stop the clients and use --pause-source 0", err)
		}
	}
	servers, err := p.servers(ctx)
	if err != nil {
		return err
	}
	if len(servers) < p.config.Servers {
		problem("%d of %d servers have an address", len(servers), p.config.Servers)
	}
	for _, s := range servers {
		if what := obstacle(s, external); what != "" {
			problem("%s %s", s.pod.Name, what)
		}
	}
	sentinels, err := p.sentinels(ctx)
	if err != nil {
		return err
	}
	if sentinels < p.config.Majority() {
		problem("%d of %d sentinels have an address; it takes %d to replace a master", sentinels, p.config.Sentinels, p.config.Majority())
	}
	if len(problems) > 0 {
		return fmt.Errorf("%d thing(s) in the way:\n  - %s", len(problems), strings.Join(problems, "\n  - "))
	}
	p.process = external.process
	p.say("%d servers follow %s, which is at offset %d", len(servers), p.source.address, external.offset)
	return nil
}

// carryOut has writes wait, and one server succeed.
func (p *promotion) carryOut(ctx context.Context) (err error) {
	began := time.Now()
	ordered := false // the order may be in force, and the cut-over may have happened
	defer func() {
		if err == nil || p.options.Pause == 0 {
			return
		}
		if ordered {
			p.say("%s holds writes back until %s: what it accepts after that may be lost", p.source.address, p.pauseEnd(began))
			return
		}
		if err := p.source.unpause(context.WithoutCancel(ctx)); err != nil {
			p.say("%s accepts writes again at %s at the latest: %v", p.source.address, p.pauseEnd(began), err)
			return
		}
		p.say("%s accepts writes again", p.source.address)
	}()
	if p.options.Pause > 0 {
		if err := p.source.pause(ctx, p.options.Pause); err != nil {
			return err // an answer that is late may mean that writes wait
		}
	}
	final, err := p.source.state(ctx)
	if err != nil {
		return err
	}
	if err := p.unchanged(final); err != nil {
		return err
	}
	chosen, err := p.catchUp(ctx, final)
	if err != nil {
		return err
	}
	if p.options.Pause > 0 && time.Since(began) > p.options.Pause/2 {
		return fmt.Errorf("the servers needed %v, and writes wait for %v only: give --pause-source more time", time.Since(began).Round(time.Millisecond), p.options.Pause)
	}
	until := time.Now().Add(p.orderTime(time.Since(began)))
	err = p.order(ctx, chosen, until)
	if err == nil {
		err = p.awaitMaster(ctx, chosen, time.Until(until)+record.Skew)
	}
	if err != nil {
		back := p.callOff(context.WithoutCancel(ctx))
		ordered = back != nil
		return errors.Join(err, back)
	}
	p.report(ctx, chosen, final, began)
	return nil
}

// unchanged says with nil that the external master is the process that was checked, and still a master. Otherwise writes wait at another Redis
// than the one that has accepted them.
func (p *promotion) unchanged(final state) error {
	switch {
	case !final.master:
		return fmt.Errorf("%s has become a replica: its clients may write elsewhere; begin again", p.source.address)
	case final.process != p.process:
		return fmt.Errorf("another Redis answers at %s than before: begin again", p.source.address)
	}
	return nil
}

// orderTime is how long the order is in force, if the pause began so long ago: writes wait until it has ended.
func (p *promotion) orderTime(paused time.Duration) time.Duration {
	if p.options.Pause == 0 {
		return successionTime
	}
	return min(successionTime, p.options.Pause-paused-holdReserve)
}

// pauseEnd is when the external master accepts writes again.
func (p *promotion) pauseEnd(began time.Time) string {
	return began.Add(p.options.Pause).UTC().Format("15:04:05")
}

// catchUp waits until a server, and if possible all of them, have everything.
func (p *promotion) catchUp(ctx context.Context, final state) (server, error) {
	var last string
	var best server
	err := p.await(ctx, catchUpTime, func(ctx context.Context) (bool, error) {
		servers, err := p.servers(ctx)
		if err != nil {
			return false, nil // the API may answer the next time
		}
		behind := 0
		servers = slices.DeleteFunc(servers, func(s server) bool {
			missing := obstacle(s, final) != "" || s.info.Offset < final.offset
			if missing {
				behind++
			}
			return missing
		})
		last = fmt.Sprintf("%d servers have everything, %d do not", len(servers), behind)
		if len(servers) == 0 {
			return false, nil
		}
		best = slices.MinFunc(servers, func(a, b server) int {
			return cmp.Or(-cmp.Compare(a.info.Offset, b.info.Offset), a.pod.Created.Compare(b.pod.Created), cmp.Compare(a.pod.Name, b.pod.Name))
		})
		return behind == 0, nil
	})
	if err != nil {
		return server{}, fmt.Errorf("wait for the servers to have what %s has, up to offset %d: %s: %w", p.source.address, final.offset, last, err)
	}
	return best, nil
}

// order writes the successor into the record. Its own launcher makes it master, until a moment. Where it gives an error, the order may have been
// written nevertheless.
func (p *promotion) order(ctx context.Context, chosen server, until time.Time) error {
	read, err := p.api.Record(ctx)
	if err != nil {
		return err
	}
	next, err := read.Succeed(record.Member{Name: chosen.pod.Name, UID: chosen.pod.UID, IP: chosen.pod.IP.String()}, until)
	if err != nil {
		return err
	}
	_, err = p.api.WriteRecord(ctx, next)
	return err
}

// callOff takes the order back, and gives nil when it is certainly not in force any more. It fails if the successor has become master meanwhile.
func (p *promotion) callOff(ctx context.Context) error {
	var last error
	err := p.await(ctx, callOffTime, func(ctx context.Context) (bool, error) {
		var read, next record.Record
		if read, last = p.api.Record(ctx); last != nil {
			return false, nil // the API may answer the next time
		}
		if read.Initialised {
			return false, fmt.Errorf("%s is recorded as the master: the cut-over has happened, look at launcher status", read.Master.Name)
		}
		next, changed := read.CallOffSuccession()
		if changed {
			_, last = p.api.WriteRecord(ctx, next)
		}
		return last == nil, nil
	})
	if err != nil && last != nil {
		return fmt.Errorf("take the order back: %w; look at launcher status before you write to the external master", last)
	}
	return err
}

// awaitMaster waits until the chosen server is master, recorded and labelled.
func (p *promotion) awaitMaster(ctx context.Context, chosen server, limit time.Duration) error {
	last := "nothing was seen"
	err := p.await(ctx, limit, func(ctx context.Context) (bool, error) {
		servers, err := p.servers(ctx)
		if err != nil {
			last = err.Error()
			return false, nil
		}
		for _, s := range servers {
			if s.pod.UID == chosen.pod.UID {
				last = fmt.Sprintf("master: %t, label: %q", s.err == nil && s.info.Master, s.pod.Role)
				return s.err == nil && s.info.Master && s.pod.Role == role.Master, nil
			}
		}
		return false, fmt.Errorf("%s is gone", chosen.pod.Name)
	})
	if err != nil {
		return fmt.Errorf("wait for %s to become master: %s: %w", chosen.pod.Name, last, err)
	}
	return nil
}

// report says what has happened, and waits for the other servers.
func (p *promotion) report(ctx context.Context, chosen server, final state, began time.Time) {
	waited := time.Since(began)
	p.say("%s is the master of the release", chosen.pod.Name)
	if p.options.Pause > 0 {
		p.say("writes waited %.2f s; nothing was lost: writes ended at offset %d, and the new master went on from %d", waited.Seconds(), final.offset, chosen.info.Offset)
		p.say("%s holds writes back until %s: let the clients connect to the master Service now", p.source.address, p.pauseEnd(began))
	} else if now, err := p.source.state(ctx); err == nil && now.offset > chosen.info.Offset {
		p.say("%s has gone on by %d bytes, of writes or of its own: clients of it must be stopped before", p.source.address, now.offset-chosen.info.Offset)
	}
	err := p.await(ctx, followTime, func(ctx context.Context) (bool, error) {
		servers, err := p.servers(ctx)
		for _, s := range servers {
			if s.pod.UID != chosen.pod.UID && (s.err != nil || !s.info.LinkUp || s.info.MasterAddr.Addr() != chosen.pod.IP) {
				return false, nil
			}
		}
		return err == nil, nil
	})
	if err != nil {
		p.say("not all servers follow it yet: look at launcher status")
	} else {
		p.say("all servers follow it")
	}
	p.say("set externalMaster.enabled=false with the next helm upgrade")
}

// await looks until it is done, or its time is over.
func (p *promotion) await(ctx context.Context, limit time.Duration, look func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("waited %v", limit))
	defer cancel()
	for {
		if done, err := look(ctx); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollEvery):
		}
	}
}
