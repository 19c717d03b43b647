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
	// followTime is how long the other servers may need to follow it.
	followTime = 30 * time.Second
	// pollEvery is the time between two looks.
	pollEvery = 100 * time.Millisecond
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
	p := &promotion{config: c, api: api, options: o, out: out, source: connect(c.External)}
	defer p.source.Close()
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
		node := redisnode.New(netip.AddrPortFrom(pod.IP, uint16(p.config.RedisPort)), p.config.Password)
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
	switch {
	case err != nil:
		problem("%v", err)
	case !external.master:
		problem("%s is a replica itself: set externalMaster.host to its master, or promote it first", p.source.address)
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
	p.say("%d servers follow %s, which is at offset %d", len(servers), p.source.address, external.offset)
	return nil
}

// obstacle says what is wrong with a server; empty if nothing is.
func obstacle(s server, external state) string {
	switch {
	case s.err != nil:
		return fmt.Sprintf("does not answer: %v", s.err)
	case s.info.Loading:
		return "loads its data"
	case s.info.Master:
		return "is master"
	case !s.info.LinkUp:
		return "has no link to the external master: look at the log of its Redis"
	case external.history != "" && s.info.ReplID != external.history:
		return "has another history than the external master: it is connected to another server"
	case external.offset-s.info.Offset > lagLimit:
		return fmt.Sprintf("is %d MiB behind", (external.offset-s.info.Offset)>>20)
	}
	return ""
}

// carryOut has writes wait, and one server succeed.
func (p *promotion) carryOut(ctx context.Context) (err error) {
	if p.options.Pause > 0 {
		if err := p.source.pause(ctx, p.options.Pause); err != nil {
			return err
		}
	}
	began := time.Now()
	defer func() {
		if err != nil && p.options.Pause > 0 {
			p.source.unpause(context.WithoutCancel(ctx))
			p.say("%s accepts writes again", p.source.address)
		}
	}()
	final, err := p.source.state(ctx)
	if err != nil {
		return err
	}
	chosen, err := p.catchUp(ctx, final)
	if err != nil {
		return err
	}
	if p.options.Pause > 0 && time.Since(began) > p.options.Pause/2 {
		return fmt.Errorf("the servers needed %v, and writes wait for %v only: give --pause-source more time", time.Since(began).Round(time.Millisecond), p.options.Pause)
	}
	if err := p.order(ctx, chosen); err != nil {
		return err
	}
	if err := p.awaitMaster(ctx, chosen); err != nil {
		return errors.Join(err, p.callOff(context.WithoutCancel(ctx)))
	}
	p.report(ctx, chosen, final, began)
	return nil
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

// order writes the successor into the record. Its own launcher makes it master.
func (p *promotion) order(ctx context.Context, chosen server) error {
	read, err := p.api.Record(ctx)
	if err != nil {
		return err
	}
	next, err := read.Succeed(record.Member{Name: chosen.pod.Name, UID: chosen.pod.UID, IP: chosen.pod.IP.String()})
	if err != nil {
		return err
	}
	_, err = p.api.WriteRecord(ctx, next)
	return err
}

// callOff takes the order back. It fails if the successor has become master meanwhile.
func (p *promotion) callOff(ctx context.Context) error {
	read, err := p.api.Record(ctx)
	if err == nil {
		next, changed := read.CallOffSuccession()
		if !changed {
			return fmt.Errorf("%s has become master meanwhile: the cut-over has happened, look at launcher status", read.Master.Name)
		}
		_, err = p.api.WriteRecord(ctx, next)
	}
	if err != nil {
		return fmt.Errorf("take the order back: %w; look at launcher status before you write to the external master", err)
	}
	return nil
}

// awaitMaster waits until the chosen server is master, recorded and labelled.
func (p *promotion) awaitMaster(ctx context.Context, chosen server) error {
	last := "nothing was seen"
	err := p.await(ctx, successionTime, func(ctx context.Context) (bool, error) {
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
		p.say("%s holds writes back until %s: let the clients connect to the master Service now", p.source.address, began.Add(p.options.Pause).UTC().Format("15:04:05"))
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
