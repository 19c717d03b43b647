package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/pace"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

const (
	// quickTick is how often the own Redis is asked: a promotion is seen within it.
	quickTick = 200 * time.Millisecond
	// failoverTick is how often it is asked for failoverTime from the moment that a
	// replica has lost its master or that one's launcher, the sentinels have found
	// the master down, a master has died or lost its label, or a replica was promoted.
	failoverTick = 25 * time.Millisecond
	failoverTime = 3 * time.Second
	// failoverAsk is how long all answers of one such look are waited for.
	failoverAsk = 150 * time.Millisecond
	// calmTick is how often the sentinels are asked while everybody agrees.
	calmTick = time.Second
	// recordEvery is how often the record is read while the role is not settled.
	recordEvery = 100 * time.Millisecond
	// If the last turn began longer ago than stoodStill, the launcher assumes that it, or its node, stood
	// still, and that what it knew may be wrong. A turn takes a second or two when nobody answers.
	stoodStill = 3 * time.Second
	// recordCalm is how often it is read otherwise.
	recordCalm = 15 * time.Second
	// hungAfter is how long Redis may not answer before the kubelet restarts the container.
	hungAfter = 60 * time.Second
	// stuckAfter is how long the loop may take for one turn before the same.
	stuckAfter = 30 * time.Second
	// masterSilent is how long the Redis of a pod labelled master may not answer
	// before the pod is not ready; a failover is over by then.
	masterSilent = 10 * time.Second
	// lastStanding is how long the exit waits for the last standing to reach the disk. A
	// volume that has not answered for so long must not hold up the end of the pod.
	lastStanding = 5 * time.Second
	// replicaGone is how long a replica without its master stays in the slave Service.
	replicaGone = 10 * time.Second
)

// Server is the loop of a server pod.
type Server struct {
	config  config.Config
	api     *kube.Client
	web     *web.Server
	log     *slog.Logger
	metrics *Metrics
	links   *links
	labels  *labeller
	taken   atomic.Pointer[kube.Record] // the record that was written after the label, for the next turn
	reading chan recordAnswer           // the answer to come of the API to the question for the record; nil: none is asked
	watch   *masterWatch
	pacer   *pace.Pacer
	// paceLinks are the connections of the pacer.
	paceLinks *links
	alerts    chan struct{} // a failover has most likely begun: look often
	contact   contact       // with those who would tell this master of its replacement
	self      kube.Member

	hold         *hold
	child        *process.Child
	startedAt    time.Time
	heldAt       time.Time // since when a replica is not started; see remembered
	restarts     role.Restarts
	handed       role.Standing // the standing that was last handed over to be written
	standingAt   time.Time     // when that was
	standingFile *standingFile // the standing on disk; see disk

	observed     observed
	turnAt       time.Time // when the present turn began
	claimed      bool
	decided      role.Decision
	failedAt     time.Time // when a failover was last commanded
	failedOnce   bool      // the last attempt to replace a dead master has failed
	unansweredAt time.Time // when a replica last did not answer the order to replace a dead master
	applied      int       // min-replicas-to-write as last set; -1: unknown
	priority     int       // replica-priority as last set or told
	lacks        string    // what this master does not have; see role.Lacks
	// generation is that in which this pod has been recorded since its Redis became master; 0 for none.
	generation    atomic.Int64
	demoting      bool        // Redis was told to follow another, and its clients have not been dropped yet
	freshAt       time.Time   // when the API was last asked who is master
	freshOK       bool        // and whether it answered with this pod
	diedAsMaster  time.Time   // when Redis ended as master and its late connections have not been passed on
	passing       *passing    // late connections are being passed on
	wrongPassword atomic.Bool // already logged
	stopping      bool        // TERM has come
	recordedAt    time.Time   // last attempt to write the record again
	handOverAt    time.Time   // last attempt
	leavingReason string
}

// NewServer prepares the loop.
func NewServer(c config.Config, api *kube.Client, w *web.Server, m *Metrics, log *slog.Logger) *Server {
	s := &Server{
		config: c, api: api, web: w, log: log, metrics: m,
		links:   newLinks(c.Password),
		alerts:  make(chan struct{}, 1),
		hold:    newHold(c),
		self:    kube.Member{Name: c.PodName, UID: c.PodUID, IP: c.PodIP.String()},
		applied: -1,
	}
	s.watch = newMasterWatch(s.alerts)
	s.pacer = s.newPacer()
	s.labels = newLabeller(api, c, log, m.countLabelWrite)
	s.labels.onMaster = func(ctx context.Context) {
		record, err := takeRecord(ctx, api, s.self, s.generation.Load, s.labels.wantsMaster, log)
		if err != nil {
			log.Warn("the record of the master could not be written", "error", err)
			return
		}
		s.taken.Store(&record)
	}
	return s
}

// newPacer prepares the wait of this master's writes for its replicas. It has connections of its own: it gives servers little time to
// answer, and the loop, whose decisions depend on answers, gives a server less time that was just silent.
func (s *Server) newPacer() *pace.Pacer {
	s.paceLinks = newLinks(s.config.Password)
	return pace.New(pace.Settings{
		Limit: s.config.MaxReplicationLag, Longest: role.PauseLimit(s.config.DownAfter) / 2, Silence: s.config.MinReplicasMaxLag, Self: s.config.PodIP, Log: s.log,
		Load: func(ctx context.Context, ip netip.Addr) (redisnode.Info, error) {
			return s.paceLinks.to(ip, s.config.RedisPort).Load(ctx)
		},
		Pause: func(ctx context.Context, limit time.Duration) error {
			return s.hold.tell(s.hold.present(), func() error { return s.paceLinks.to(s.config.PodIP, s.config.RedisPort).PauseWrites(ctx, limit) })
		},
		Waited: func(d time.Duration) { s.metrics.waited.Add(d.Seconds()) },
	})
}

// Run works until stop is closed and the pod has handed over, or ctx ends.
func (s *Server) Run(ctx context.Context, stop <-chan struct{}) error {
	s.observed.since = time.Now()
	s.observed.worth.Standing = s.loadStanding()
	s.observed.worth.Filed = s.observed.worth.Standing
	defer func() { s.disk().waitFor(lastStanding) }()
	go s.api.Run(ctx)
	background, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.labels.run(background)
	go s.guardWrites(background)
	go s.pacer.Run(background)
	watchdog := newWatchdog(s.web)
	defer watchdog.stop()

	ticker := time.NewTicker(quickTick)
	defer ticker.Stop()
	var childDone <-chan struct{}
	for {
		watchdog.turn()
		s.turn(ctx)
		ticker.Reset(s.tick())
		if s.stopping && s.leave(ctx) {
			return nil
		}
		if s.child != nil {
			childDone = s.child.Done()
		}
		select {
		case <-ctx.Done():
			s.stopRedis()
			return ctx.Err()
		case <-stop:
			stop = nil
			s.stopping = true
			s.observed.stopAt = time.Now()
			s.web.Leave()
			s.log.Info("TERM received: leaving", "budget", s.config.ShutdownBudget.String())
		case <-childDone:
			s.childEnded()
			childDone = nil
		case <-s.alerts:
			s.observed.alertAt = time.Now()
		case <-s.api.Changed():
		case <-ticker.C:
		}
	}
}

// tick is the time to the next look.
func (s *Server) tick() time.Duration {
	for _, began := range []time.Time{s.observed.alertAt, s.observed.downAt, s.observed.linkDownAt, s.observed.masterAt, s.diedAsMaster} {
		if !began.IsZero() && time.Since(began) < failoverTime {
			return failoverTick
		}
	}
	return quickTick
}

// turn is one round of observation, decision and action.
func (s *Server) turn(ctx context.Context) {
	if s.observed.woken = !s.turnAt.IsZero() && time.Since(s.turnAt) > stoodStill; s.observed.woken {
		s.observed.recordAt = time.Time{}
	}
	s.turnAt = time.Now()
	observation := s.observe(ctx)
	s.watch.follow(ctx, observation.Local, s.config.HTTPPort)
	decision := s.decide(ctx, observation)
	if decision != s.decided {
		s.log.Info("decided", "state", decision.State.String(), "action", decision.Action.String(), "rule", decision.Rule, "reason", decision.Reason)
	}
	if observation.Local.Answering {
		s.hold.warm(ctx, s.child, s.observed.masterAt)
		s.settleReplica(ctx, observation.Local)
	}
	s.decided = decision
	s.metrics.setState(decision.State.String())
	s.publish(observation)
	s.label(observation, decision)
	s.hold.follow(decision, s.silentMaster(observation.Local))
	s.keepPassing(observation.Local, decision)
	if err := s.act(ctx, observation, decision); err != nil && ctx.Err() == nil {
		s.log.Warn("action failed; looking again", "action", decision.Action.String(), "error", err)
	}
	s.publish(observation)
	s.keepRecord(ctx)
	s.keepStanding(observation)
	if observation.Local.Answering {
		s.tune(ctx, observation)
	}
}

// decide adds to the pure decision what needs the API to have been read once.
func (s *Server) decide(ctx context.Context, o role.Observation) role.Decision {
	if !s.api.Synced() && !o.Local.Running {
		if target, ok := s.askService(ctx); ok {
			return role.Decision{State: role.Starting, Action: role.StartReplica, Target: target,
				Reason: "the API does not answer; the sentinel Service names the master"}
		}
		return role.Decision{State: role.Booting, Reason: "waiting for the API to list the pods of the release"}
	}
	if s.stopping && !o.Local.Running {
		return role.DecideLeft(o, !s.diedAsMaster.IsZero())
	}
	return role.Decide(o)
}

// label passes the decision on to the labeller.
func (s *Server) label(o role.Observation, d role.Decision) {
	switch d.Label {
	case role.MasterLabel:
		s.labels.want(role.Master, s.observed.info.RunID, s.turnAt)
	case role.SlaveLabel:
		s.labels.want(role.Slave, s.observed.info.RunID, s.turnAt)
	case role.ClearLabel:
		s.labels.want("", "", s.turnAt)
	case role.HoldLabel:
		s.labels.hold()
	}
}

// keepRecord writes this pod into the record again if the write that followed
// its label failed, or another pod took the record from it. A turn that has not asked
// that pod cannot know whether it has replaced this one.
func (s *Server) keepRecord(ctx context.Context) {
	r, own := s.observed.record, s.generation.Load()
	if (role.Standing{Generation: r.Generation}).Disputed(s.observed.peers) {
		own = 0
	}
	if s.decided.Label != role.MasterLabel || s.stopping || !s.labels.wantsMaster() || s.observed.calm || !s.observed.recordOK || !s.labels.done() ||
		recorded(r, s.self, own) || time.Since(s.recordedAt) < calmTick {
		return
	}
	s.recordedAt = time.Now()
	record, err := takeRecordAt(ctx, s.api, r, s.self, own)
	if err != nil {
		s.observed.recordAt = time.Time{}
		s.log.Warn("the record of the master could not be written; trying again", "error", err)
		return
	}
	s.observed.setRecord(record)
	s.generation.Store(record.Generation)
}

// act carries out the decision.
func (s *Server) act(ctx context.Context, o role.Observation, d role.Decision) error {
	node := s.local()
	switch d.Action {
	case role.StartReplica:
		target := netip.AddrPortFrom(d.Target, uint16(s.config.RedisPort))
		if s.passLate(ctx, target) || s.remembered(ctx) {
			return nil
		}
		return s.start(target)
	case role.Claim:
		return s.claim(ctx, o)
	case role.Follow:
		s.demoting = s.demoting || o.Local.Master
		if err := node.Follow(ctx, netip.AddrPortFrom(d.Target, uint16(s.config.RedisPort))); err != nil {
			return err
		}
		if !s.demoting {
			_ = node.Unpause(ctx)
		}
		return s.finishDemotion(ctx)
	case role.FailOver, role.Nudge, role.ReplaceDead:
		return s.failOver(ctx, o, d)
	case role.CallOff:
		s.callOff(ctx, d.Target)
	}
	return nil
}

// settleReplica finishes the demotion of a former master. Redis may have obeyed an earlier
// order although its answer was late.
func (s *Server) settleReplica(ctx context.Context, local role.Local) {
	if local.Master {
		return
	}
	s.lacks = ""
	if err := s.finishDemotion(ctx); err != nil {
		s.log.Warn("cannot drop the clients of the former master; trying again", "error", err)
	}
}

// finishDemotion ends the write pause of a former master and its clients' connections,
// so that they connect again and reach the present master.
func (s *Server) finishDemotion(ctx context.Context) error {
	if !s.demoting {
		return nil
	}
	if err := s.local().Unpause(ctx); err != nil {
		return err
	}
	if err := s.local().DropClients(ctx); err != nil {
		return err
	}
	s.demoting = false
	return nil
}

// claim writes this pod into the record as the master and makes it so.
func (s *Server) claim(ctx context.Context, o role.Observation) error {
	if !o.Local.Running && s.paused() {
		return nil // what is claimed now could not be served yet
	}
	if err := s.checkPods(ctx); err != nil {
		return err
	}
	record := s.observed.record
	lacks := role.Lacks(o, record.Master.Name)
	s.claimed = true
	s.publish(o)
	again := recorded(record, s.self, s.generation.Load())
	record, err := s.claimOnce(ctx, record)
	if err != nil {
		s.claimed = false
		s.observed.recordAt = time.Time{}
		if errors.Is(err, kube.ErrChanged) {
			return nil
		}
		return err
	}
	s.observed.setRecord(record)
	if !again {
		s.lacks = lacks
		s.log.Info("this pod starts as the master", "generation", record.Generation)
		if lacks != "" {
			s.log.Error("acknowledged writes may be lost", "reason", lacks)
		}
	}
	switch {
	case !o.Local.Running:
		err = s.start(netip.AddrPort{})
	case !o.Local.Master:
		err = s.local().Promote(ctx)
	}
	s.observed.byRecord, s.claimed = err == nil, err == nil
	return err
}

// claimOnce makes this pod the master of a new generation, unless the last attempt has done
// so and Redis could not be started or promoted after it.
func (s *Server) claimOnce(ctx context.Context, record kube.Record) (kube.Record, error) {
	if recorded(record, s.self, s.generation.Load()) {
		return record, nil
	}
	record, err := claimRecord(ctx, s.api, record, s.self)
	if err == nil {
		s.generation.Store(record.Generation)
	}
	return record, err
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

func (s *Server) local() *redisnode.Node { return s.links.to(s.config.PodIP, s.config.RedisPort) }
