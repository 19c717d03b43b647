package agent

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// resolveEvery is how often the name of the external master is resolved: a Service of Kubernetes keeps its address, other names move.
	resolveEvery = 10 * time.Second
	// resolveTime bounds one attempt.
	resolveTime = 5 * time.Second
)

// externalMaster knows the address of the external master.
type externalMaster struct {
	config config.External
	addr   atomic.Pointer[netip.Addr] // the last address; nil before the first
}

// run resolves the name until the context ends. A name that does not resolve any more keeps its address.
func (e *externalMaster) run(ctx context.Context) {
	for e.config.On() && ctx.Err() == nil {
		e.resolve(ctx)
		every := resolveEvery
		if e.addr.Load() == nil {
			every = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}

// resolve keeps an address that is still one of the name's: a name with several addresses gives them in any order.
func (e *externalMaster) resolve(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", e.config.Host)
	if err != nil || len(found) == 0 {
		return
	}
	known := e.addr.Load()
	for _, addr := range found {
		if known != nil && addr.Unmap() == *known {
			return
		}
	}
	first := found[0].Unmap()
	e.addr.Store(&first)
}

// external gives the external master as it is set.
func (s *Server) external() role.External {
	if !s.config.External.On() {
		return role.External{}
	}
	x := role.External{On: true}
	if addr := s.externalMaster.addr.Load(); addr != nil {
		x.Addr = *addr
	}
	return x
}

// masterAt gives the address of a master to follow, and whether it is the external one. A pod of the release may get the address of the external
// master when the latter is gone.
func (s *Server) masterAt(target netip.Addr) (master netip.AddrPort, external bool) {
	if x := s.plan.Seen.External; x.On && target == x.Addr {
		return netip.AddrPortFrom(target, uint16(s.config.External.Port)), true
	}
	return netip.AddrPortFrom(target, uint16(s.config.RedisPort)), false
}

// setLink gives Redis the password of the master that it is about to follow, where the release has known an external one.
func (s *Server) setLink(ctx context.Context, external bool) error {
	if !s.config.External.On() {
		return nil
	}
	var pairs []any
	for _, directive := range redisconf.Link(s.passwords.Apply(s.config), external) {
		pairs = append(pairs, directive.Name, directive.Value)
	}
	return s.local().SetAll(ctx, pairs...)
}

// promote makes the Redis of this pod master. After that it has no use for the password of an external master, and must not show that password
// to a server that succeeds it. Before that the external master must not see the password of the release.
func (s *Server) promote(ctx context.Context) error {
	if err := s.local().Promote(ctx); err != nil {
		return err
	}
	if err := s.setLink(ctx, false); err != nil {
		s.log.Warn("Redis keeps the password of the external master until it becomes a replica of another server", "error", err)
	}
	return nil
}
