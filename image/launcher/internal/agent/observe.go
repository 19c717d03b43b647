package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// observed is what the loop of a server remembers between its turns.
type observed struct {
	since time.Time  // looking for a role since then
	worth role.Worth // what the data of this server are worth
	told  role.Told  // what the master of this replica told at askedAt

	info          redisnode.Info
	answeredAt    time.Time // last answer of the own Redis
	full          bool      // it takes no more clients, nor the launcher
	loaded        bool      // this process has loaded its data
	held          role.Held // what this process holds of the present history, in memory and in its files
	served        bool      // this process has been a master, or a replica in sync
	masterAt      time.Time // role master since; zero: not master
	byRecord      bool      // this process has been made master by a claim
	confirmed     bool      // a majority of the sentinels has named this pod since it is master
	recorded      bool      // the record has named this pod since it is master
	servedHistory string    // ID of the history of the Redis that runs, or ran last, as master; empty if it was a replica
	astrayAt      time.Time // following another than the agreed master since
	linkedAt      time.Time
	linkDownAt    time.Time
	// masterlessAt is since when no other server has answered as master.
	masterlessAt time.Time
	alertAt      time.Time // the launcher of the master has ended or begun to leave, or writes of this master are held back
	downAt       time.Time // the sentinels find the master down since
	refusedAt    time.Time // nothing listens in the pod of the sentinels' master since
	stopAt       time.Time // TERM has come

	views   []sentinelView
	viewsAt time.Time
	peers   []role.Peer // as of this turn; nil if nothing is to be judged by them
	woken   bool        // this launcher had stood still before this turn
	calm    bool        // the other servers were not asked in this turn

	askedAt time.Time // when the master was last asked about its data

	record   record.Record
	recordOK bool
	recordAt time.Time // last attempt to read it

	generation   int64     // of the record when it was last read
	generationAt time.Time // first read with that generation
}

func (m *observed) setRecord(r record.Record) {
	m.record, m.recordOK, m.recordAt = r, true, time.Now()
	if m.generationAt.IsZero() || r.Generation != m.generation {
		m.generation, m.generationAt = r.Generation, time.Now()
	}
}

func (m *observed) processStarted() {
	m.loaded, m.held, m.served, m.byRecord, m.confirmed, m.recorded = false, role.Held{}, false, false, false, false
	m.masterAt, m.linkedAt, m.linkDownAt, m.astrayAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	m.answeredAt = time.Now()
}

func (m *observed) processEnded() {
	m.processStarted()
	m.info = redisnode.Info{}
	m.since = time.Now()
	m.recordAt, m.viewsAt = time.Time{}, time.Time{}
}

// since gives the time since a moment, 0 for a moment that has not been.
func since(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return time.Since(t)
}

// mark sets *t to now when on begins, and to zero when it is off.
func mark(t *time.Time, on bool) {
	switch {
	case !on:
		*t = time.Time{}
	case t.IsZero():
		*t = time.Now()
	}
}

// observe asks whom there is to ask. While everybody agrees that is the own
// Redis, and once a second the sentinels; otherwise it is everybody.
func (s *Server) observe(ctx context.Context) role.Observation {
	m := &s.observed
	wasInSync := m.held.InSync
	local := s.observeLocal(ctx)
	pods := s.api.Pods()
	// What the sentinels have said before another took the label off is not good
	// enough to take it back.
	calm := !m.woken && s.decided.State == role.Serving && s.decided.Action == role.Wait && local.Answering && !s.stopping &&
		(local.Master == (s.decided.Label == role.MasterLabel)) && (!local.Master || s.labelled(s.config.PodIP)) &&
		(local.Master || wasInSync) && (!local.Master || m.recordOK && m.record.Names(s.self, s.generation.Load()))
	calm = s.ask(ctx, pods, local, calm)
	m.calm = calm
	m.held = m.held.Beside(local, m.worth.Standing, m.worth.Of, m.peers)
	local.Synced = local.Answering && m.held.InSync
	every := recordEvery
	if calm {
		every = recordCalm
		if !local.Master && local.Follows.String() != m.record.Master.IP {
			every = calmTick // the new master is about to be recorded, and the standing on disk waits for that
		}
	}
	if taken := s.taken.Swap(nil); taken != nil && taken.Generation >= m.record.Generation {
		m.setRecord(*taken)
		if local.Master && taken.Master == s.self {
			s.generation.Store(taken.Generation)
		}
	}
	if time.Since(m.recordAt) >= every && s.api.Synced() {
		read, err := s.readRecord(ctx)
		if err != nil && !calm {
			s.log.Debug("the record of the master cannot be read", "error", err)
		}
		switch {
		case err == nil:
			m.setRecord(read)
		case errors.Is(err, errRecordLate):
			m.record, m.recordOK, m.recordAt = record.Record{}, false, time.Now()
		default:
			m.record, m.recordOK, m.recordAt = record.Record{}, false, time.Now().Add(calmTick)
		}
	}
	s.askMaster(ctx, local)
	o := s.observation(local, pods)
	mark(&m.masterlessAt, !calm && o.PodsKnown && !o.MasterInView() && !o.CutOff())
	o.Masterless = since(m.masterlessAt)
	if !local.Running && (!o.PodsKnown || o.MasterInView()) {
		// Patience counts from when there was something to be patient about.
		m.since, o.Waiting = time.Now(), 0
	}
	s.observeAgreement(&o)
	s.forget(pods)
	return o
}

// ask asks the sentinels, when calm once in calmTick, and the other servers
// unless it stays calm. These are asked in the turn that judges them, or not at
// all: what was true of a peer a second ago may be the opposite of what is true
// now. And beside the sentinels: one that is gone takes all the time there is.
func (s *Server) ask(ctx context.Context, pods []kube.Pod, local role.Local, calm bool) (stillCalm bool) {
	m := &s.observed
	asking, cancel := s.askTime(ctx, calm)
	defer cancel()
	m.peers = nil
	var asked sync.WaitGroup
	if !calm {
		asked.Go(func() { m.peers = s.askPeers(asking, pods) })
	}
	fresh := !calm || time.Since(m.viewsAt) >= calmTick
	if fresh {
		asked := time.Now()
		m.views, m.viewsAt = askSentinels(asking, s.config, s.links, pods), time.Now()
		s.contact.sentinels(asked, s.views().CutOff())
		for _, v := range m.views {
			s.notePassword(v.err)
		}
	}
	asked.Wait()
	disputed := calm && !s.undisputed(local)
	if disputed || calm && fresh && s.masterFoundDown(local) {
		// The other servers may include the master, which does not answer any more.
		asking, cancel := context.WithTimeout(ctx, failoverAsk)
		defer cancel()
		m.peers = s.askPeers(asking, pods)
	}
	return calm && !disputed
}

// masterFoundDown says whether a sentinel finds the master of this replica down. The replica
// must know then whether it is in sync.
func (s *Server) masterFoundDown(local role.Local) bool {
	return !local.Master && slices.ContainsFunc(s.observed.views, func(v sentinelView) bool {
		return v.Down && v.HasMaster && v.Master == local.Follows
	})
}

// askTime bounds the questions of one look while a failover is under way, or may
// be: a promotion in a calm moment, after the loss of a node, is not to wait for
// the sentinel that was there. The others are quick then, or are what has failed;
// who is merely slow counts as silent for that long, which no decision of those
// seconds is made from.
func (s *Server) askTime(ctx context.Context, calm bool) (context.Context, context.CancelFunc) {
	if calm || s.tick() == failoverTick {
		return context.WithTimeout(ctx, failoverAsk)
	}
	return ctx, func() {}
}

// undisputed says whether a majority of the sentinels names this master, or the
// master that this replica follows.
func (s *Server) undisputed(local role.Local) bool {
	agreed, ok := s.views().Agreed()
	if local.Master {
		return ok && agreed == s.config.PodIP
	}
	return ok && agreed == local.Follows && local.LinkUp
}

// views is what the sentinels have answered, and nothing else.
func (s *Server) views() role.Observation {
	o := role.Observation{Sentinels: s.config.Sentinels}
	for _, v := range s.observed.views {
		o.Views = append(o.Views, v.View)
	}
	return o
}

// observation joins what is remembered into the input of the decision.
func (s *Server) observation(local role.Local, pods []kube.Pod) role.Observation {
	m := &s.observed
	o := role.Observation{
		Self:  role.Member{Name: s.config.PodName, UID: s.config.PodUID, IP: s.config.PodIP, Terminating: s.stopping},
		Local: local, Standing: m.worth.Standing,
		Servers: s.config.Servers, Sentinels: s.config.Sentinels, DownAfter: s.config.DownAfter, Persistence: s.config.Persistence,
		Peers: m.peers, RecordKnown: m.recordOK, Initialised: m.record.Initialised, Generation: m.record.Generation, MasterUID: m.record.Master.UID,
		PodsKnown: s.api.Synced(), Waiting: time.Since(m.since), GenerationFor: since(m.generationAt),
	}
	o.PreviousIP, _ = netip.ParseAddr(m.record.Previous.IP)
	for _, v := range m.views {
		o.Views = append(o.Views, v.View)
	}
	for _, pod := range pods {
		if pod.UID == s.config.PodUID {
			o.Self.Created, o.Self.Label = pod.Created, pod.Role
		}
	}
	if f := m.record.Fence; f != nil {
		o.Fence = &role.Fence{UID: f.UID, Age: max(0, time.Since(f.At)), By: f.By, Successor: f.Successor}
	}
	return o
}

// observeAgreement keeps the clocks of what depends on the sentinels' view.
func (s *Server) observeAgreement(o *role.Observation) {
	m := &s.observed
	agreed, ok := o.Agreed()
	down, _ := o.MasterIsDown()
	if o.Local.Answering { // a Redis that stands still stays what it was
		m.confirmed = o.Local.Master && (m.confirmed || ok && agreed == o.Self.IP)
		m.recorded = o.Local.Master && (m.recorded || m.record.Master.UID == s.self.UID)
	}
	o.Local.Confirmed, o.Local.Recorded = m.confirmed, m.recorded
	epoch, named := o.NamedIn()
	o.Local.NamedAnew = named && epoch > m.worth.NamedIn
	mark(&m.astrayAt, ok && o.Local.Running && !o.Local.Master && agreed != o.Local.Follows)
	mark(&m.downAt, down)
	refused := slices.ContainsFunc(o.Peers, func(p role.Peer) bool {
		return ok && p.IP == agreed && p.Redis == role.Refused && p.Launcher == role.Refused
	})
	mark(&m.refusedAt, refused)
	o.Local.Astray, o.MasterDown, o.MasterRefused = since(m.astrayAt), since(m.downAt), since(m.refusedAt)
}

// observeLocal asks the own Redis.
func (s *Server) observeLocal(ctx context.Context) role.Local {
	m := &s.observed
	if s.child == nil {
		return role.Local{}
	}
	info, err := s.local().Info(ctx)
	full := errors.Is(err, redisnode.ErrFull)
	if full != m.full {
		m.full = full
		s.noteFull(full)
	}
	if full {
		m.answeredAt = time.Now() // a refusal is an answer, and a process that gives one is alive
		return role.Local{Running: true, Full: true, Loading: m.info.Loading}
	}
	if err != nil {
		if since(m.answeredAt) > 5*time.Second {
			s.log.Debug("redis-server does not answer", "error", err)
		}
		return role.Local{Running: true, Loading: m.info.Loading, Silent: since(m.answeredAt)}
	}
	if info.MasterAddr != m.info.MasterAddr || info.Master != m.info.Master {
		m.recordAt = time.Time{} // another master: the record is about to change, too
	}
	if m.info.Master && !info.Master {
		s.generation.Store(0)
		m.worth.NamedIn = 0
	}
	m.info, m.answeredAt, m.servedHistory = info, time.Now(), ""
	if info.Master {
		m.servedHistory = info.ReplID
	}
	s.pacer.Look(info)
	linked := !info.Master && info.LinkUp
	m.loaded = m.loaded || !info.Loading
	m.held = m.held.After(s.lookOf(info))
	m.served = m.served || m.held.InSync || info.Master && !info.Loading
	mark(&m.masterAt, info.Master)
	m.byRecord = m.byRecord && info.Master
	mark(&m.linkedAt, linked)
	mark(&m.linkDownAt, !info.Master && !info.LinkUp)
	local := role.Local{
		Running: true, Answering: true, Loading: info.Loading, Master: info.Master, Claimed: m.byRecord, Follows: info.MasterAddr.Addr(),
		LinkUp: linked, Synced: m.held.InSync, Copied: m.held.Copied, Offset: info.Offset, History: historyOf(info),
		MasterFor: since(m.masterAt), Linked: since(m.linkedAt), LinkDown: since(m.linkDownAt), Unlinked: info.LinkDown,
	}
	for _, r := range info.Replicas {
		if r.Acknowledges(s.config.MinReplicasMaxLag) {
			local.Online++
		}
	}
	return local
}

// noteFull logs that Redis refuses the launcher as a client, and the end of that.
func (s *Server) noteFull(full bool) {
	if full {
		s.log.Error("redis-server refuses the launcher as a client; role and labels stay as they are", "error", redisnode.ErrFull)
	} else {
		s.log.Info("redis-server takes the launcher as a client again")
	}
}

// askPeers asks the other servers, at once: their Redis and their launchers.
func (s *Server) askPeers(ctx context.Context, pods []kube.Pod) []role.Peer {
	var peers []role.Peer
	for _, pod := range pods {
		if pod.Server && pod.UID != s.config.PodUID {
			peers = append(peers, role.Peer{Member: role.Member{
				Name: pod.Name, UID: pod.UID, IP: pod.IP, Created: pod.Created, Terminating: pod.Terminating, Ready: pod.Ready, Label: pod.Role,
				NeverRan: pod.NeverRan(),
			}})
		}
	}
	each(peers, func(p *role.Peer) {
		if !p.IP.IsValid() {
			return
		}
		statusKnown := make(chan struct{})
		go func() {
			defer close(statusKnown)
			var status role.Status
			err := web.FetchStatus(ctx, p.IP.String(), s.config.HTTPPort, &status)
			switch {
			case err == nil && status.UID == p.UID:
				p.Status, p.Launcher = &status, role.Answered
			case errors.Is(err, web.ErrNotServing):
				p.Launcher = role.Answered
			case errors.Is(err, syscall.ECONNREFUSED):
				p.Launcher = role.Refused
			}
		}()
		info, err := s.links.to(p.IP, s.config.RedisPort).Info(ctx)
		<-statusKnown
		p.Redis = reach(err)
		s.notePassword(err)
		if p.Status != nil && p.Status.Passing {
			p.Redis = role.Refused
			return
		}
		if err == nil {
			p.Master, p.LinkUp, p.Offset = info.Master && !info.Loading, !info.Master && info.LinkUp, info.Offset
			p.Unlinked, p.History = info.LinkDown, historyOf(info)
		}
	})
	return peers
}

// historyOf names the replication history of a server.
func historyOf(info redisnode.Info) role.History {
	return role.History{ID: info.ReplID, Before: info.ReplID2, BeforeUpTo: info.SecondOffset}
}

// lookOf is what the answer of the own Redis tells of its data. Without persistence
// there are no files that could lag behind memory.
func (s *Server) lookOf(info redisnode.Info) role.Look {
	return role.Look{
		Master: info.Master, Loading: info.Loading, LinkUp: info.LinkUp, Lost: !info.Master && !info.LinkUp && info.LinkDown >= 0,
		Syncing: info.Syncing, History: historyOf(info),
		Offset: info.Offset, BacklogFrom: info.BacklogFrom,
		Rewriting: s.config.Persistence && info.Rewriting, Failed: s.config.Persistence && info.RewriteFailed, Unwritten: s.config.Persistence && !info.AppendOnly,
	}
}

// notePassword logs once that another pod has another password.
func (s *Server) notePassword(err error) {
	if errors.Is(err, redisnode.ErrPassword) && s.wrongPassword.CompareAndSwap(false, true) {
		s.log.Error("passwords differ", "error", err)
	}
}

// forget drops the connections to addresses that no pod of the release has.
func (s *Server) forget(pods []kube.Pod) {
	ips := map[netip.Addr]bool{s.config.PodIP: true}
	for _, pod := range pods {
		ips[pod.IP] = true
	}
	s.links.keep(ips)
	s.paceLinks.keep(ips)
}

// askService asks the sentinel Service for the master. It serves only where the
// pod list is not to be had for long; what it names must say it is master.
func (s *Server) askService(ctx context.Context) (netip.Addr, bool) {
	if s.config.SentinelServiceHost == "" || time.Since(s.observed.since) < 10*time.Second {
		return netip.Addr{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.config.SentinelServiceHost)
	if err != nil {
		return netip.Addr{}, false
	}
	for _, ip := range ips {
		view, found, err := s.links.to(ip.Unmap(), s.config.SentinelPort).Master(ctx, s.config.MasterName)
		if err != nil || !found || view.Addr.Addr() == s.config.PodIP {
			continue
		}
		info, err := s.links.to(view.Addr.Addr(), s.config.RedisPort).Info(ctx)
		if err == nil && info.Master {
			return view.Addr.Addr(), true
		}
	}
	return netip.Addr{}, false
}
