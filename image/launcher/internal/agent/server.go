// Package agent joins observation, decision and action: it is the loop of a server pod and the loop of a sentinel pod.
package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/certificate"
	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/labels"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/pace"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
	"github.com/redis-ha/redis-ha/image/launcher/internal/standingfile"
	"github.com/redis-ha/redis-ha/image/launcher/internal/volume"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
	"github.com/redis-ha/redis-ha/image/launcher/internal/writepause"
)

const (
	// stuckAfter is how long the loop may take for one turn before the same.
	stuckAfter = 30 * time.Second
	// lastStanding is how long the exit waits for the last standing to reach the disk. A
	// volume that has not answered for so long must not hold up the end of the pod.
	lastStanding = 5 * time.Second
)

// Server is the loop of a server pod.
type Server struct {
	config  config.Config // that this launcher was started with; see live
	api     *kube.Client
	web     *web.Server
	log     *slog.Logger
	metrics *Metrics
	links   *observe.Links
	labels  *labels.Labeller
	written atomic.Pointer[writtenRecord] // the record that was written beside the loop, for the next turn
	reading chan recordAnswer             // the answer to come of the API to the question for the record; nil: none is asked
	watch   *masterWatch
	// externalMaster is the master outside of the release, if one is set.
	externalMaster *externalMaster
	pacer          *pace.Pacer
	// paceLinks are the connections of the pacer.
	paceLinks *observe.Links
	alerts    chan struct{} // a failover has most likely begun: look often
	finished  chan func()   // what the loop does at the end of a task beside it
	self      record.Member

	follower   *settings.Follower // nil: the settings do not change
	directives liveDirectives

	sentinelTimes sentinelTimes

	certificates *certificate.Keeper // nil: nothing is encrypted
	certified    string              // folder with the certificate that Redis has
	uncertified  string              // why Redis has not taken its certificate; empty: it has

	passwords    *password.Keeper // nil: there is one password for good
	authorized   authorization    // what Redis has of them
	unauthorized string           // why Redis has not taken them; empty: it has

	guard        *writepause.Guard // pauses the writes of this master while somebody may be replacing it
	child        *process.Child
	restarts     role.Restarts
	standingFile *standingfile.File // the standing on disk; see disk
	volume       *volume.Volume     // the data volume, which this launcher has locked; nil without persistence

	watchdog *watchdog // it expects a turn of the loop every stuckAfter

	memory      role.Memory
	plan        role.Plan              // the last one
	turnAt      time.Time              // when the present turn began
	info        redisnode.Info         // the last answer of Redis
	full        bool                   // Redis refuses the launcher as a client
	views       []observe.SentinelView // the last answers of the sentinels
	priority    int                    // replica-priority as last set or told
	limit       int64                  // memory limit that Redis was started with or follows since; 0: that of config
	lacks       string                 // what this master does not have; see role.Lacks
	restoring   *restoring             // the fetching of a backup that is under way; nil: none is
	restoreAt   time.Time              // before then no other attempt is made
	restoreNote string                 // see role.Status.Restore
	// dumpRestored: without persistence, the next redis-server loads the dump, which is a restored backup that none has loaded yet.
	// restoredSettled: a redis-server has loaded what this pod has.
	dumpRestored, restoredSettled bool
	lastOrder                     kube.Restoration // the last order to load a backup that this launcher has taken
	replacing                     *replacing       // the loading of a backup that is to replace the data of the running release; nil: none is under way
	fatal                         error            // the launcher cannot go on, and the next one begins anew
	// replacingStep: a step of such a loading runs beside the loop, be it of one that was given up.
	replacingStep bool
	reads         *reads // see tuneReads; nil: Redis was not told anything yet
	// generation is a copy of role.Memory.Own for the goroutines beside the loop.
	generation    atomic.Int64
	held          atomic.Int64 // a copy of the generation of the data that this pod holds, for the same
	known         atomic.Int64 // a copy of the generation of the record as the loop last knew it, for the same
	demoting      bool         // Redis was told to follow another, and its clients have not been dropped yet
	passing       *passing     // late connections are being passed on
	wrongPassword atomic.Bool  // already logged
	stopping      bool         // TERM has come
	stopAt        time.Time    // when that was
	leavingReason string
}

// NewServer prepares the loop. The settings that follower has read replace those of c.
func NewServer(c config.Config, follower *settings.Follower, certificates *certificate.Keeper, passwords *password.Keeper, api *kube.Client, w *web.Server, m *Metrics, log *slog.Logger) *Server {
	s := &Server{
		config: c, follower: follower, certificates: certificates, passwords: passwords, api: api, web: w, log: log, metrics: m,
		links:  linksOf(c).Counted(m.countQuestions(c)),
		alerts: make(chan struct{}, 1), finished: make(chan func(), 1),
		self: record.Member{Name: c.PodName, UID: c.PodUID, IP: c.PodIP.String()},
	}
	s.watch = newMasterWatch(s.alerts)
	s.externalMaster = &externalMaster{config: c.External}
	s.pacer = s.newPacer()
	s.labels = labels.New(api, c, log, m.countLabelWrite)
	s.labels.DownAfter = s.downAfter
	s.guard = s.newGuard()
	s.labels.OnMaster = s.recordAfterLabel
	return s
}

// linksOf gives the connections of a launcher to all Redis and sentinels, its own included.
func linksOf(c config.Config) *observe.Links {
	return observe.NewLinks(c.Password).Encrypted(c.TLS.Links).OwnEncrypted(c.PodIP, c.TLS.Own).Trying(c.PasswordSource.Trying)
}

// newGuard prepares the pause of this master's writes while somebody may be replacing it.
func (s *Server) newGuard() *writepause.Guard {
	return writepause.New(writepause.Settings{
		Redis: netip.AddrPortFrom(s.config.PodIP, uint16(s.config.RedisPort)), Password: s.config.Password, Trying: s.config.PasswordSource.Trying, TLS: s.config.TLS.Own, DownAfter: s.downAfter, Lone: s.lone,
		Label: s.labels, Disowned: s.api.Disowned(), Gone: s.api.Gone, Log: s.log,
		AskAPI: func(ctx context.Context) error { _, err := s.api.Record(ctx); return err },
		Alert:  func() { alert(s.alerts) },
	})
}

// newPacer prepares the wait of this master's writes for its replicas. It has connections of its own: it gives servers little time to
// answer, and the loop, whose decisions depend on answers, gives a server less time that was just silent.
func (s *Server) newPacer() *pace.Pacer {
	s.paceLinks = linksOf(s.config).Counted(s.metrics.countQuestions(s.config))
	return pace.New(pace.Settings{
		Limits: s.limits(), Self: s.config.PodIP, Log: s.log,
		Load: func(ctx context.Context, ip netip.Addr) (redisnode.Info, error) {
			return s.paceLinks.To(ip, s.config.RedisPort).Load(ctx)
		},
		Pause: func(ctx context.Context, limit time.Duration) error {
			return s.guard.Tell(s.guard.Guarded(), func() error { return s.paceLinks.To(s.config.PodIP, s.config.RedisPort).PauseWrites(ctx, limit) })
		},
		Waited: func(d time.Duration) { s.metrics.waited.Add(d.Seconds()) },
	})
}

// Run works until stop is closed and the pod has handed over, or ctx ends.
func (s *Server) Run(ctx context.Context, stop <-chan struct{}) error {
	if err := s.openVolume(ctx, stop); err != nil {
		select {
		case <-stop:
			return nil
		default:
			return err
		}
	}
	if err := s.undoReplacing(); err != nil {
		return err
	}
	s.removeFetched()
	s.memory = role.NewMemory(s.loadStanding(), time.Now())
	defer func() { s.disk().WaitFor(lastStanding) }()
	go s.api.Run(ctx)
	background, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.labels.Run(background)
	go s.guard.Run(background)
	go s.pacer.Run(background)
	if s.config.Backup.Enabled {
		go s.tellBackups(background)
		go s.followOrders(background)
	}
	go s.externalMaster.run(background)
	go s.passwords.Run(background, s.askPasswords)
	go announceExpiry(background, s.certificates, s.api, s.config, s.log)
	s.watchdog = newWatchdog(s.web)
	defer s.watchdog.stop()

	ticker := time.NewTicker(s.memory.Pace(time.Now(), s.live().Servers))
	defer ticker.Stop()
	var childDone <-chan struct{}
	for {
		s.watchdog.turn()
		s.turn(ctx)
		if s.fatal != nil {
			s.stopRedis()
			return s.fatal
		}
		ticker.Reset(s.memory.Pace(time.Now(), s.live().Servers))
		if s.stopping && s.leave(ctx) {
			return nil
		}
		childDone = nil // the launcher may have ended Redis itself
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
			s.stopAt = time.Now()
			s.web.Leave()
			s.log.Info("TERM received: leaving", "budget", s.config.ShutdownBudget.String())
		case <-childDone:
			s.childEnded()
		case <-s.alerts:
			s.memory.Alert(time.Now())
		case then := <-s.finished:
			then()
			if s.stopping && s.leave(ctx) { // before the next turn, which may begin another attempt
				return nil
			}
		case <-s.api.Changed():
		case <-changed(s.follower):
		case <-s.certificates.Changed():
		case <-s.passwords.Changed():
		case <-ticker.C:
		}
	}
}

// turn is one round of observation, decision and action.
func (s *Server) turn(ctx context.Context) {
	s.turnAt = time.Now()
	before := s.memory.Decided
	s.plan = s.look(ctx)
	o, d := s.plan.Seen, s.plan.Decision
	if !o.Settled.IsValid() || o.Local.Follows != o.Settled { // an external master has no launcher
		s.watch.follow(ctx, o.Local, s.config.HTTPPort)
	}
	if now := s.memory.Decided; now != before {
		s.log.Info("decided", "state", now.State.String(), "action", now.Action.String(), "rule", now.Rule, "reason", now.Reason)
	}
	if o.Local.Answering {
		s.guard.Warm(ctx, s.child, s.memory.MasterSince)
		s.settleReplica(ctx, o)
		s.certify(ctx)
	}
	if o.Local.Answering || s.unseen() {
		s.authorize(ctx)
	}
	s.metrics.setState(d.State.String())
	s.watchRestore()
	s.watchReplacing(d, s.turnAt)
	s.publish(o)
	s.label(d)
	s.guard.Follow(s.plan)
	s.keepPassing(o.Local, d)
	if err := s.act(ctx, o, d); err != nil && ctx.Err() == nil {
		s.log.Warn("action failed; looking again", "action", d.Action.String(), "error", err)
	}
	s.publish(o)
	s.keepRecord(ctx, o, time.Now())
	s.keepStanding(o)
	if o.Local.Answering {
		s.tune(ctx, s.plan)
	}
}

// label passes the decision on to the labeller.
func (s *Server) label(d role.Decision) {
	switch d.Label {
	case role.MasterLabel:
		s.labels.Want(role.Master, s.info.RunID, s.turnAt)
	case role.SlaveLabel:
		s.labels.Want(role.Slave, s.info.RunID, s.turnAt)
	case role.ClearLabel:
		s.labels.Want("", "", s.turnAt)
	case role.HoldLabel:
		s.labels.Hold(s.turnAt)
	}
}

// keepRecord writes this pod into the record again if the write that followed its label failed, or another pod took the record from
// it.
func (s *Server) keepRecord(ctx context.Context, o role.Observation, now time.Time) {
	own, write := s.memory.Unrecorded(o)
	if !write || !s.labels.WantsMaster() || !s.labels.Done() || s.memory.Record.TakenOver(s.self, now) || !s.memory.Rewrites(now) {
		return
	}
	written, err := takeRecordAt(ctx, s.api, s.memory.Record, s.self, own, s.memory.Worth.Standing.Generation)
	if err != nil {
		s.memory.ReadAgain()
		s.log.Warn("the record of the master could not be written; trying again", "error", err)
		return
	}
	s.recordIs(written)
}

// recordIs takes a record that names this pod as the master.
func (s *Server) recordIs(r record.Record) {
	now := time.Now()
	s.memory.Wrote(now)
	s.memory.SetOwnRecord(r, now)
	s.generation.Store(r.Generation)
}

// act carries out the decision.
func (s *Server) act(ctx context.Context, o role.Observation, d role.Decision) error {
	node := s.local()
	if s.unseen() {
		return nil
	}
	switch d.Action {
	case role.Detach:
		s.detach()
	case role.LoadBackup:
		s.loadBackup()
	case role.StartReplica:
		target, external := s.masterAt(d.Target)
		if s.passLate(ctx, target) || s.remembered(ctx) {
			return nil
		}
		return s.start(target, external)
	case role.Claim:
		return s.claim(ctx, o)
	case role.Follow:
		s.demoting = s.demoting || o.Local.Master
		target, external := s.masterAt(d.Target)
		if err := s.setLink(ctx, external); err != nil {
			return err
		}
		if err := node.Follow(ctx, target); err != nil {
			return err
		}
		if !s.demoting {
			_ = node.Unpause(ctx)
		}
		return s.finishDemotion(ctx)
	case role.FailOver, role.Nudge, role.ReplaceDead, role.ReplaceSilent:
		s.replace(ctx, s.plan)
	case role.CallOff:
		s.callOff(ctx, d.Target)
	case role.Restore:
		s.restore(ctx)
	}
	return nil
}

// settleReplica finishes the demotion of a former master. Redis may have obeyed an earlier
// order although its answer was late.
func (s *Server) settleReplica(ctx context.Context, o role.Observation) {
	if o.Local.Master {
		return
	}
	s.lacks = ""
	if !o.External.On && !o.Local.LinkUp && o.Local.Follows != o.Settled {
		// A sentinel or another launcher may have moved this replica before its own launcher.
		if err := s.setLink(ctx, false); err != nil {
			s.log.Warn("cannot give Redis the password of the present master; trying again", "error", err)
		}
	}
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
	s.demoting, s.info.Master = false, false // the next look finds a replica, and no new demotion
	return nil
}

func (s *Server) local() *redisnode.Node { return s.links.To(s.config.PodIP, s.config.RedisPort) }
