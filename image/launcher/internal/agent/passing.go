package agent

import (
	"context"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/forward"
)

const (
	// lateEndpoints is how long after the change of the label connections may
	// still arrive: kube-proxy waits a second between two syncs, and the two
	// labels need one each.
	lateEndpoints = 2500 * time.Millisecond
	// endTime is how long the connections that were passed on may take to end one after the other. The launcher's loop stands still
	// for that long in a pod that leaves, and must turn again within stuckAfter.
	endTime = 20 * time.Second
	// diedLately is how long after the death of a master its clients may still
	// come to it.
	diedLately = 10 * time.Second
)

// passing is the passing on of late connections.
type passing struct {
	target netip.AddrPort
	cancel context.CancelFunc
	done   chan struct{} // the port is free
	ended  chan struct{} // no connection is left
	drop   context.CancelFunc
}

// end stops taking connections, and waits until the port is free.
func (p *passing) end() {
	p.cancel()
	<-p.done
}

// pass passes connections that arrive in the place of redis-server on to target, for at most limit. Afterwards they end one after the
// other.
func (s *Server) pass(ctx context.Context, target netip.AddrPort, limit time.Duration) *passing {
	ending, drop := context.WithCancel(ctx)
	ctx, cancel := context.WithTimeout(ending, limit)
	p := &passing{target: target, cancel: cancel, done: make(chan struct{}), ended: make(chan struct{}), drop: drop}
	forwarder, err := forward.Listen(ctx, s.config.BindAddress, s.config.RedisPort, target.String(), s.inRelease)
	if err != nil {
		s.log.Warn("late connections are refused instead of being passed on", "error", err)
		close(p.done)
		close(p.ended)
		return p
	}
	go func() {
		defer close(p.ended)
		defer drop()
		if err := forwarder.Accept(ctx); err != nil {
			s.log.Warn("late connections are not passed on any more", "error", err)
		}
		cancel()
		close(p.done)
		ending, cancel := context.WithTimeout(ending, endTime)
		defer cancel()
		forwarder.End(ending)
		s.log.Info("late connections passed on", "to", target.String(), "number", forwarder.Passed())
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
	if s.passing == nil && !s.diedAsMaster.IsZero() && time.Since(s.diedAsMaster) < diedLately {
		s.passing = s.pass(ctx, target, lateEndpoints)
	}
	s.diedAsMaster = time.Time{}
	if s.passing == nil {
		return false
	}
	select {
	case <-s.passing.done:
		s.passing = nil
		return false
	default:
		return true
	}
}
