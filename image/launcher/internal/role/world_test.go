package role

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// A world is a release in fast motion: server and sentinel pods, the network
// between them, the API's pods and record. Everybody in it decides with Memory.Step
// and DecideSentinel; what the launchers do around the decisions follows
// package agent, what Redis and Sentinel do follows their sources.
type world struct {
	t   interface{ Logf(string, ...any) }
	now time.Duration

	servers   []*simServer   // pods that exist
	sentinels []*simSentinel // pods that exist
	record    record.Record
	writes    int // of the record
	apiDown   bool
	campaigns int  // how many launchers have begun to replace a dead master
	noVotes   bool // the sentinels do not vote for launchers

	accepted []*write // by anybody

	persistence bool
	kept        bool // the volumes outlive their pods
	created     int  // pods ever created
	ids         int  // run_ids and replication IDs ever made

	copyTakes    time.Duration // a full copy
	rewriteTakes time.Duration // the first rewrite of the append-only file after it

	doubt    string        // which two masters accept writes under the label, "" for none
	doubtAge time.Duration // since when
	broken   string        // what must not happen and has
}

// step is the time between two looks of everybody.
const step = 500 * time.Millisecond

const (
	simServers      = 3
	simSentinels    = 3
	simDownAfter    = 3 * time.Second
	simMaxLag       = 3 * time.Second
	simMinReplicas  = 1
	failoverTimeout = 8 * time.Second
	// linkTimeout is repl-timeout: how long a replica believes in a link to a
	// master that has vanished without closing it.
	linkTimeout = 60 * time.Second
	// nodeGrace is how long the API believes in pods of a node that is silent.
	nodeGrace = 40 * time.Second
)

// pod is what servers and sentinels have in common.
type pod struct {
	Member
	isolated bool          // from all other pods and the API
	apiCut   bool          // from the API
	upAt     time.Duration // the launcher runs from then on
	thawAt   time.Duration // the container is frozen until then
	probedAt time.Duration // the kubelet told the API of it last
	// reachedAt is when the pod's launcher could last tell others of it.
	reachedAt time.Duration
	// readsAt is when the pod was last up and could read from the API.
	readsAt time.Duration
}

func (p *pod) up(w *world) bool { return w.now >= p.upAt && w.now >= p.thawAt }

// reaches says whether packets pass between two pods.
func reaches(a, b *pod) bool { return a == b || !a.isolated && !b.isolated }

// probe is what the API learns from the kubelet, and without it after nodeGrace.
func (s *simServer) probe(w *world) {
	if !w.apiDown && !s.isolated {
		s.Ready, s.probedAt = s.up(w) && s.alive(w) && !s.memory.Held.Copied, w.now
	}
	if s.up(w) && s.turns > 0 && !s.isolated {
		s.reachedAt = w.now
	}
	if s.up(w) && w.apiServes(&s.pod) {
		s.readsAt = w.now
	}
	if w.now-s.probedAt > nodeGrace {
		s.Ready = false
	}
}

func (w *world) apiServes(p *pod) bool { return !w.apiDown && !p.isolated && !p.apiCut }

func newWorld(t interface{ Logf(string, ...any) }, persistence bool) *world {
	w := &world{t: t, persistence: persistence}
	for range simServers {
		w.createServer(0)
	}
	for range simSentinels {
		w.createSentinel(0)
	}
	return w
}

func (w *world) newPod(kind string, after time.Duration) pod {
	w.created++
	name := fmt.Sprintf("%s-%02d", kind, w.created)
	p := pod{
		Member: Member{
			Name: name, UID: name, IP: netip.AddrFrom4([4]byte{10, 1, byte(w.created / 256), byte(w.created)}),
			Created: epoch.Add(w.now + after),
		},
		upAt: w.now + after,
	}
	if w.persistence {
		p.Volume = "volume of " + name
	}
	return p
}

func (w *world) createServer(after time.Duration) {
	s := &simServer{pod: w.newPod("server", after), acks: map[*simServer]time.Duration{}}
	s.boot(w)
	w.servers = append(w.servers, s)
}

func (w *world) createSentinel(after time.Duration) {
	w.sentinels = append(w.sentinels, &simSentinel{pod: w.newPod("sentinel", after)})
}

func (w *world) serverAt(ip netip.Addr) *simServer {
	for _, s := range w.servers {
		if s.IP == ip {
			return s
		}
	}
	return nil
}

// advance lets time pass. The launchers of the pods in order take their turns
// in that order; the others are slow and take every fourth.
func (w *world) advance(d time.Duration, order []int, slow map[int]bool) {
	for end := w.now + d; w.now < end; {
		w.now += step
		// A replica has a write milliseconds after its master has acknowledged it: within the step.
		for _, s := range w.servers {
			s.serve(w)
		}
		for _, s := range w.servers {
			s.replicate(w)
			s.probe(w)
		}
		w.confirm()
		for _, s := range w.sentinels {
			s.run(w)
		}
		turn := int(w.now / step)
		for _, i := range order {
			if slow[i] && turn%4 != 0 {
				continue
			}
			if i < len(w.servers) {
				w.servers[i].turn(w)
			}
			if j := i - simServers; j >= 0 && j < len(w.sentinels) {
				w.sentinels[j].turn(w)
			}
		}
		w.look()
	}
}

func (w *world) logf(format string, arguments ...any) {
	w.t.Logf("%6.1fs "+format, append([]any{w.now.Seconds()}, arguments...)...)
}

// fail notes the first thing that must not happen.
func (w *world) fail(format string, arguments ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, arguments...)
		w.logf("BROKEN: %s", w.broken)
	}
}

// labelled gives the servers that the master Service selects.
func (w *world) labelled() []*simServer {
	var out []*simServer
	for _, s := range w.servers {
		if s.Label == Master {
			out = append(out, s)
		}
	}
	return out
}

// look checks what must hold at every moment.
func (w *world) look() {
	var accepting []string
	for _, s := range w.labelled() {
		if s.accepts(w) {
			accepting = append(accepting, s.Name)
		}
	}
	doubt := ""
	if len(accepting) > 1 {
		doubt = fmt.Sprint(accepting)
	}
	if doubt == "" {
		w.doubtAge = w.now
	} else if doubt != w.doubt {
		w.logf("both labelled master, both accept writes: %v", accepting)
	}
	w.doubt = doubt
}
