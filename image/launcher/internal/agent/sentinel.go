package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/certificate"
	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/identity"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/labels"
	"github.com/redis-ha/redis-ha/image/launcher/internal/notify"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

const (
	// sentinelTick and sentinelQuickTick are how often a sentinel's launcher
	// looks, in quiet times and while something is wrong.
	sentinelTick      = time.Second
	sentinelQuickTick = 250 * time.Millisecond
	// turnLength is the length of one sentinel's turn to clean up. Clocks may
	// differ by less than that between nodes.
	turnLength = 10 * time.Second
)

// SentinelStatus is what a sentinel's launcher tells of itself.
type SentinelStatus struct {
	UID          string `json:"uid"`
	ID           string `json:"id"`
	CurrentEpoch int64  `json:"currentEpoch"`
	Reason       string `json:"reason"`
	Rule         string `json:"rule"` // the ID of the rule that decided

	Settings    settings.State     `json:"settings"`
	Certificate *certificate.State `json:"certificate,omitempty"` // nil: nothing is encrypted
	Password    *password.Told     `json:"password,omitempty"`    // nil: there is one for good
}

// Sentinel is the loop of a sentinel pod.
type Sentinel struct {
	config  config.Config
	api     *kube.Client
	web     *web.Server
	log     *slog.Logger
	metrics *Metrics
	links   *observe.Links
	labels  *labels.Labeller
	teller  *notify.Teller
	self    record.Member

	child    *process.Child
	restarts role.Restarts
	identity *identity.Taker
	slot     int
	slots    kube.Slots
	id       string // empty until a slot is held

	follower  *settings.Follower // nil: the settings do not change
	unsettled string             // why the sentinel has not taken its settings; empty: it has
	joining   time.Time          // since when it has waited to join the other sentinels

	certificates *certificate.Keeper // nil: nothing is encrypted
	certified    string              // folder with the certificate that the sentinel has

	passwords    *password.Keeper // nil: there is one password for good
	authorized   authorization    // what the sentinel has of them
	unauthorized string           // why the sentinel has not taken them; empty: it has

	memory role.SentinelMemory
	views  []observe.SentinelView // the last answers of the sentinels
	reason string                 // the last reason that was logged
}

// NewSentinel prepares the loop. The settings that follower has read replace those of c.
func NewSentinel(c config.Config, follower *settings.Follower, certificates *certificate.Keeper, passwords *password.Keeper, api *kube.Client, w *web.Server, m *Metrics, log *slog.Logger) *Sentinel {
	s := &Sentinel{
		config: c, follower: follower, certificates: certificates, passwords: passwords, api: api, web: w, log: log, metrics: m,
		links:  linksOf(c).Counted(m.countQuestions(c)),
		labels: labels.New(api, c, log, m.countLabelWrite),
		self:   record.Member{Name: c.PodName, UID: c.PodUID, IP: c.PodIP.String()},
	}
	s.identity = identity.New(api, s.self, func() int { return s.live().Sentinels }, s.answers, log)
	s.labels.DownAfter = func() time.Duration { return s.live().DownAfter }
	s.teller = notify.New(c, api, log, s.configEpoch)
	return s
}

// configEpoch asks the own sentinel for the epoch of the master that it names.
func (s *Sentinel) configEpoch(ctx context.Context) (int64, error) {
	master, found, err := s.links.To(s.config.PodIP, s.config.SentinelPort).Master(ctx, s.config.MasterName)
	if err == nil && !found {
		err = errors.New("the sentinel knows no master")
	}
	return master.ConfigEpoch, err
}

// Run works until stop is closed or ctx ends.
func (s *Sentinel) Run(ctx context.Context, stop <-chan struct{}) error {
	background, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.api.Run(background)
	go s.labels.Run(background)
	go s.listen(background)
	go s.watchSilence(background)
	go s.passwords.Run(background, s.askPasswords)
	go announceExpiry(background, s.certificates, s.api, s.config, s.log)
	watchdog := newWatchdog(s.web)
	defer watchdog.stop()
	for {
		watchdog.turn()
		if err := s.turn(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("not done yet; looking again", "error", err)
		}
		var childDone <-chan struct{}
		if s.child != nil {
			childDone = s.child.Done()
		}
		select {
		case <-ctx.Done():
			s.stopSentinel()
			return ctx.Err()
		case <-stop:
			s.log.Info("TERM received: leaving")
			s.stopSentinel()
			if err := s.identity.Release(ctx); err != nil {
				s.log.Warn("the sentinel's identity could not be given back; it becomes free when this pod is gone", "error", err)
			}
			return nil
		case <-childDone:
			s.log.Warn("the sentinel has ended", "error", s.child.Err())
			s.child = nil
			process.ReapOrphans()
			s.restarts = s.restarts.After(false, time.Now())
		case <-s.api.Changed():
		case <-changed(s.follower):
		case <-s.certificates.Changed():
		case <-s.passwords.Changed():
		case <-time.After(s.pause()):
		}
	}
}

// pause is the time to the next look.
func (s *Sentinel) pause() time.Duration {
	if s.memory.Hurry(s.child != nil, time.Now()) {
		return sentinelQuickTick
	}
	return sentinelTick
}

// turn is one round of observation, decision and action.
func (s *Sentinel) turn(ctx context.Context) error {
	if !s.api.Synced() {
		s.report(role.SentinelDecision{Reason: "waiting for the API to list the pods of the release"})
		return nil
	}
	if s.outlived() {
		s.retire(ctx)
		return nil
	}
	if s.id == "" {
		slot, slots, err := s.identity.Take(ctx)
		if err != nil {
			s.report(role.SentinelDecision{Reason: err.Error()})
			return nil
		}
		s.slot, s.slots, s.id = slot, slots, identity.ID(slots.Cluster, slot)
		s.log.Info("sentinel identity taken", "slot", slot, "id", s.id)
	}
	o, d := s.look(ctx)
	s.applySettings(ctx)
	s.authorize(ctx)
	s.report(d)
	for _, member := range d.Clear {
		s.clearLabel(ctx, member)
	}
	switch d.Action {
	case role.SentinelStart:
		return s.start(ctx, d, o)
	case role.SentinelSeed:
		s.stopSentinel()
		return s.start(ctx, d, o)
	}
	return nil
}

// answers says whether the sentinel of a pod, or its launcher, answers.
func (s *Sentinel) answers(ctx context.Context, pod kube.Pod) bool {
	if !pod.IP.IsValid() {
		return false
	}
	launcher := make(chan bool, 1)
	go func() {
		var status SentinelStatus
		err := web.FetchStatus(ctx, pod.IP.String(), s.config.HTTPPort, &status)
		launcher <- err == nil || errors.Is(err, web.ErrNotServing)
	}()
	_, _, err := s.links.To(pod.IP, s.config.SentinelPort).Master(ctx, s.config.MasterName)
	return <-launcher || redisnode.ReachOf(err) == redisnode.Answered
}

// outlived says whether this pod should have ended by now. Another pod may have its
// identity then: it has been cut off, and nobody has told it to leave.
func (s *Sentinel) outlived() bool {
	for _, pod := range s.api.Pods() {
		if pod.UID == s.self.UID {
			return pod.Overdue(time.Now())
		}
	}
	return false
}

// retire ends the sentinel of a pod that should have ended, and gives its identity back
// if nobody has taken it.
func (s *Sentinel) retire(ctx context.Context) {
	s.stopSentinel()
	s.report(role.SentinelDecision{Reason: "this pod is terminating, and its grace period is over: another pod may have its identity"})
	if s.id == "" {
		return
	}
	if err := s.identity.Release(ctx); err != nil {
		s.log.Warn("the sentinel's identity could not be given back; trying again", "error", err)
		return
	}
	s.id = ""
}

// report publishes a decision: log, status, probes and label.
func (s *Sentinel) report(d role.SentinelDecision) {
	if d.Reason != s.reason {
		s.log.Info("decided", "rule", d.Rule, "reason", d.Reason)
	}
	s.reason = d.Reason
	seed, _ := s.readFile()
	s.web.SetStatus(SentinelStatus{UID: s.self.UID, ID: s.id, CurrentEpoch: seed.CurrentEpoch, Reason: d.Reason, Rule: d.Rule, Settings: s.settingsState(), Certificate: s.certificates.State(),
		Password: toldOf(s.passwords, s.unauthorized)})
	health := web.Health{Ready: s.notReady(d)}
	s.web.SetHealth(health)
	if health.Ready == "" {
		s.labels.Want(role.Sentinel, s.id, time.Now())
	}
}

// notReady says why this pod is not ready; empty: it is.
func (s *Sentinel) notReady(d role.SentinelDecision) string {
	if !d.Ready {
		return d.Reason
	}
	return s.passwords.Alone()
}

func (s *Sentinel) clearLabel(ctx context.Context, member role.Member) {
	err := s.api.ClearMasterLabel(ctx, kube.Pod{Name: member.Name, UID: member.UID})
	s.log.Info("took the label master off a pod that a majority of the sentinels has replaced", "pod", member.Name, "error", err)
}

// start writes sentinel.conf and starts the sentinel.
func (s *Sentinel) start(ctx context.Context, d role.SentinelDecision, o role.SentinelObservation) error {
	if !s.restarts.Due(time.Now()) {
		return nil
	}
	if waits := s.passwords.Waits(); waits != "" {
		s.log.Debug("the sentinel does not start yet", "reason", waits)
		return nil
	}
	seed := s.seed(ctx, d, o)
	c := s.live()
	c.TLS.Folder = s.certificates.Folder()
	if err := os.WriteFile(s.file(), []byte(redisconf.Sentinel(c, seed)), 0o600); err != nil {
		return err
	}
	child, err := process.Start(s.config.RedisServer, s.file(), "--sentinel")
	if err != nil {
		return err
	}
	s.child, s.restarts.Started, s.certified, s.authorized = child, time.Now(), c.TLS.Folder, authorizationOf(c)
	s.log.Info("sentinel started", "pid", child.PID(), "master", d.Master.String(), "epoch", seed.CurrentEpoch,
		"replicas", len(seed.Replicas), "sentinels", len(seed.Sentinels), "reason", d.Reason)
	return nil
}

func (s *Sentinel) file() string { return filepath.Join(s.config.RunDir, "sentinel.conf") }

// readFile reads what the sentinel has written into its file.
func (s *Sentinel) readFile() (redisconf.SentinelSeed, bool) {
	content, err := os.ReadFile(s.file())
	if err != nil {
		return redisconf.SentinelSeed{}, false
	}
	return redisconf.ParseSentinel(string(content))
}

// seed gathers what is true now: the epochs nobody may go below, the replicas
// and the sentinels that exist.
func (s *Sentinel) seed(ctx context.Context, d role.SentinelDecision, o role.SentinelObservation) redisconf.SentinelSeed {
	old, _ := s.readFile()
	seed := redisconf.SentinelSeed{
		ID: s.id, Master: netip.AddrPortFrom(d.Master, uint16(s.config.RedisPort)),
		CurrentEpoch: old.CurrentEpoch,
	}
	if old.Master.Addr() == d.Master {
		seed.ConfigEpoch = old.ConfigEpoch
	}
	if slots, err := s.api.Slots(ctx); err == nil {
		s.slots = slots
	}
	for _, v := range s.views {
		if v.HasMaster && v.Master == d.Master {
			seed.ConfigEpoch = max(seed.ConfigEpoch, v.ConfigEpoch)
		}
		seed.CurrentEpoch = max(seed.CurrentEpoch, v.ConfigEpoch)
		if v.Pod.UID == s.self.UID {
			continue
		}
		var status SentinelStatus
		if web.FetchStatus(ctx, v.Pod.IP.String(), s.config.HTTPPort, &status) == nil {
			seed.CurrentEpoch = max(seed.CurrentEpoch, status.CurrentEpoch)
		}
		for slot, holder := range s.slots.Holders {
			if holder.UID == v.Pod.UID {
				seed.Sentinels = append(seed.Sentinels, redisconf.KnownSentinel{
					Addr: netip.AddrPortFrom(v.Pod.IP, uint16(s.config.SentinelPort)), ID: identity.ID(s.slots.Cluster, slot),
				})
			}
		}
	}
	if d.NewEpoch {
		seed.CurrentEpoch++
		seed.ConfigEpoch = seed.CurrentEpoch
	}
	for _, pod := range s.api.Pods() {
		if pod.Server && pod.IP.IsValid() && pod.IP != d.Master && !pod.Terminating && !o.NoReplica(pod.IP) {
			seed.Replicas = append(seed.Replicas, netip.AddrPortFrom(pod.IP, uint16(s.config.RedisPort)))
		}
	}
	return seed
}

func (s *Sentinel) stopSentinel() {
	if s.child != nil {
		s.child.Stop(syscall.SIGTERM, 3*time.Second)
		s.child = nil
	}
}

// listen passes the sentinel's messages on and acts on one of them, for as long
// as it runs, and makes it ask the servers often.
func (s *Sentinel) listen(ctx context.Context) {
	node := redisnode.New(netip.AddrPortFrom(s.config.PodIP, uint16(s.config.SentinelPort)), s.config.Password).Encrypted(s.config.TLS.Own).Trying(s.config.PasswordSource.Trying)
	defer node.Close()
	for ctx.Err() == nil {
		if err := node.RefreshOften(ctx); err == nil {
			err = node.Watch(ctx, func(n redisnode.Notice) {
				s.metrics.notices.WithLabelValues(n.Channel).Inc()
				s.log.Info("sentinel", "channel", n.Channel, "message", n.Payload)
				if findsMasterDown(n) {
					go s.unlabelLost(ctx)
				}
				go s.teller.Tell(ctx, n)
			}, notify.Channels...)
			s.log.Debug("the sentinel's messages ended", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(sentinelQuickTick):
		}
	}
}
