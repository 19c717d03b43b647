package agent

import (
	"context"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/forward"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// lateEndpoints is how long after the change of the label connections may
	// still arrive: kube-proxy waits a second between two syncs, and the two
	// labels need one each.
	lateEndpoints = 2500 * time.Millisecond
	// endTime is how long the connections that were passed on may take to end one after the other. The launcher's loop stands still
	// for that long in a pod that leaves, and must turn again within stuckAfter.
	endTime = 20 * time.Second
	// passingTime is how long a pod that leaves takes late connections at most.
	passingTime = labelWait + lateEndpoints + endTime
)

// passing is the passing on of late connections.
type passing struct {
	target    netip.AddrPort
	forwarder *forward.Forwarder // nil: the port was taken
	stop      context.CancelFunc
	drop      context.CancelFunc // ends at once what is passed on
	done      chan struct{}      // the port is free
	ended     chan struct{}      // no connection is left
}

// end stops taking connections, and waits until the port is free. The connections that there are end one after the other.
func (p *passing) end() {
	p.stop()
	<-p.done
}

// over says whether nothing is passed on any more.
func (p *passing) over() bool { return closed(p.ended) }

// taking says whether connections are still taken, so that the port is not free.
func (p *passing) taking() bool { return !closed(p.done) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// finish ends the connections one after the other while late ones are still taken, for endTime, and then stops. What is left when ctx ends
// ends at once.
func (p *passing) finish(ctx context.Context) {
	defer context.AfterFunc(ctx, p.drop)()
	if p.forwarder != nil && p.taking() {
		ending, cancel := context.WithTimeout(ctx, endTime)
		defer cancel()
		defer context.AfterFunc(ending, p.stop)()
		p.forwarder.End(ending)
	}
	p.end()
	<-p.ended
}

// pass passes connections that arrive in the place of redis-server on to target, for at most limit. Afterwards they end one after the
// other.
func (s *Server) pass(ctx context.Context, target netip.AddrPort, limit time.Duration) *passing {
	ending, drop := context.WithCancel(ctx)
	accepting, stop := context.WithTimeout(ending, limit)
	p := &passing{target: target, stop: stop, drop: drop, done: make(chan struct{}), ended: make(chan struct{})}
	var err error
	if p.forwarder, err = forward.Listen(accepting, s.config.BindAddress, s.config.RedisPort, target.String(), s.inRelease); err != nil {
		s.log.Warn("late connections are refused instead of being passed on", "error", err)
		drop()
		close(p.done)
		close(p.ended)
		return p
	}
	go func() {
		defer close(p.ended)
		defer drop()
		if err := p.forwarder.Accept(accepting); err != nil {
			s.log.Warn("late connections are not passed on any more", "error", err)
		}
		stop()
		close(p.done)
		ending, cancel := context.WithTimeout(ending, endTime)
		defer cancel()
		p.forwarder.End(ending)
		s.log.Info("late connections passed on", "to", target.String(), "number", p.forwarder.Passed())
	}()
	return p
}

// inRelease says whether an address is that of a pod of the release.
func (s *Server) inRelease(ip netip.Addr) bool {
	in, _ := s.api.InRelease(ip)
	return in
}

// passLate passes the clients of a master that has just died on to its
// successor, before Redis comes back here as a replica that would refuse their
// writes. It says whether that is still going on.
func (s *Server) passLate(ctx context.Context, target netip.AddrPort) bool {
	if s.passing == nil && s.memory.DiedLately(time.Now()) {
		s.passing = s.pass(ctx, target, lateEndpoints)
	}
	s.memory.PassedOn()
	return s.passing != nil && s.passing.taking()
}

// keepPassing closes what is passed on when the decision, or Redis itself, follows another server than the target. It clears s.passing when
// nothing is passed on any more. While no master is known for a moment, connections are still passed on.
func (s *Server) keepPassing(l role.Local, d role.Decision) {
	if s.passing == nil {
		return
	}
	target := s.passing.target.Addr()
	elsewhere := d.Action == role.StartReplica && d.Target != target || d.Action == role.Claim || l.Answering && (l.Master || l.Follows != target)
	if elsewhere {
		s.passing.drop()
		s.passing.end()
	}
	if elsewhere || s.passing.over() {
		s.passing = nil
	}
}
