package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// claim writes this pod into the record as the master and makes it so.
func (s *Server) claim(ctx context.Context, o role.Observation) error {
	if !o.Local.Running && (!s.restarts.Due(time.Now()) || s.passwords.Waits() != "") {
		return nil // what is claimed now could not be served yet
	}
	if err := s.checkPods(ctx); err != nil {
		return err
	}
	lacks := role.Lacks(o, s.memory.Record.Master.Name)
	s.memory.Claimed = true
	s.publish(o)
	again := s.memory.Record.Names(s.self, s.memory.Own)
	if err := s.claimOnce(ctx); err != nil {
		s.memory.Claimed = false
		s.memory.ReadAgain()
		if errors.Is(err, kube.ErrChanged) {
			return nil
		}
		return err
	}
	if !again {
		s.lacks = lacks
		s.log.Info("this pod starts as the master", "generation", s.memory.Own)
		if lacks != "" {
			s.log.Error("acknowledged writes may be lost", "reason", lacks)
		}
	}
	var err error
	switch {
	case !o.Local.Running:
		err = s.start(netip.AddrPort{}, false)
	case !o.Local.Master:
		err = s.promote(ctx)
	}
	s.memory.MadeMaster(err == nil)
	return err
}

// claimOnce makes this pod the master of a new generation, unless the last attempt has done
// so and Redis could not be started or promoted after it.
func (s *Server) claimOnce(ctx context.Context) error {
	if s.memory.Record.Names(s.self, s.memory.Own) {
		return nil
	}
	claim := s.memory.Record.Claim(s.self).Holding(s.memory.Worth.Standing.Generation)
	if !s.memory.Record.Initialised {
		claim.Restored = s.restoredBackup()
	}
	written, err := s.api.WriteRecord(ctx, claim)
	if err == nil {
		s.recordIs(written)
	}
	return err
}

// checkPods makes sure that the decision to claim mastership was made with all
// pods in view; the pod list that is watched may lag.
func (s *Server) checkPods(ctx context.Context) error {
	live, err := s.api.LivePods(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, pod := range s.api.Pods() {
		seen[pod.UID] = pod.IP.IsValid()
	}
	for _, pod := range live {
		if pod.IP.IsValid() && !seen[pod.UID] {
			return fmt.Errorf("pod %s has appeared meanwhile", pod.Name)
		}
	}
	return nil
}
