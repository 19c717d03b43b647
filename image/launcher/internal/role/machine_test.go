package role

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	_ "github.com/redis-ha/redis-ha/tests/seed"
)

// settleTime is how long a release may take to settle when everything works
// again: the longest patience, the failovers after it, and a turn to clean up.
const settleTime = 240 * time.Second

// pass lets a drawn time pass, with the launchers in a drawn order.
func (w *world) pass(t *rapid.T) {
	seconds := rapid.SampledFrom([]int{0, 1, 2, 4, 8, 16, 32, 64}).Draw(t, "seconds")
	pods := []int{0, 1, 2, 3, 4, 5}
	order := rapid.Permutation(pods).Draw(t, "order")
	slow := map[int]bool{}
	for _, i := range rapid.SliceOfNDistinct(rapid.SampledFrom(pods), 0, 2, rapid.ID).Draw(t, "slow") {
		slow[i] = true
	}
	w.advance(time.Duration(seconds)*time.Second, order, slow)
}

func (w *world) anyServer(t *rapid.T) *simServer {
	return rapid.SampledFrom(w.servers).Draw(t, "server")
}

// faults are what can happen to a release.
func (w *world) faults() map[string]func(*rapid.T) {
	downtime := func(t *rapid.T) time.Duration {
		return time.Duration(rapid.SampledFrom([]int{1, 3, 10, 40}).Draw(t, "down for")) * time.Second
	}
	return map[string]func(*rapid.T){
		"time passes": w.pass,
		"redis dies": func(t *rapid.T) {
			if s := w.anyServer(t); s.redis.running {
				s.kill(w)
			}
		},
		"container restarts": func(t *rapid.T) { w.restart(w.anyServer(t), downtime(t)) },
		"pod is replaced": func(t *rapid.T) {
			w.replace(rapid.IntRange(0, simServers-1).Draw(t, "server"), downtime(t))
		},
		"pod comes back with its volume": func(t *rapid.T) {
			w.comeBack(w.anyServer(t), rapid.Bool().Draw(t, "in order"), downtime(t))
		},
		"container is frozen": func(t *rapid.T) {
			s := w.anyServer(t)
			s.thawAt = w.now + downtime(t)
			w.logf("%s is frozen until %v", s.Name, s.thawAt)
		},
		"redis is frozen": func(t *rapid.T) {
			s := w.anyServer(t)
			s.redis.frozen = w.now + downtime(t)
			w.logf("redis of %s is frozen until %v", s.Name, s.redis.frozen)
		},
		"sentinels vote for no launcher": func(*rapid.T) {
			w.noVotes = !w.noVotes
			w.logf("the sentinels vote for no launcher: %v", w.noVotes)
		},
		"data grow": func(t *rapid.T) {
			w.copyTakes = rapid.SampledFrom([]time.Duration{0, 2 * time.Second, 10 * time.Second, time.Minute}).Draw(t, "a copy takes")
			w.rewriteTakes = rapid.SampledFrom([]time.Duration{0, 5 * time.Second, time.Minute, time.Hour}).Draw(t, "its rewrite takes")
			w.logf("a full copy takes %v, and its way to the disk %v", w.copyTakes, w.rewriteTakes)
		},
		"a client writes a lot": func(t *rapid.T) {
			if s := w.anyServer(t); s.accepts(w) {
				s.accept(w, 1000)
				w.logf("a client writes a lot to %s", s.Name)
			}
		},
		"replica needs all data": func(t *rapid.T) {
			s := w.anyServer(t)
			s.hungryUntil = w.now + rapid.SampledFrom([]time.Duration{5 * time.Second, 20 * time.Second, time.Minute, time.Hour}).Draw(t, "which takes")
			w.logf("%s cannot synchronise until %v", s.Name, s.hungryUntil)
		},
		"data on disk are damaged": func(t *rapid.T) {
			if s := w.anyServer(t); w.persistence && !slices.ContainsFunc(w.servers, func(s *simServer) bool { return s.corrupt }) {
				s.corrupt = true
				w.deprive(s, data{})
				w.logf("what is on the disk of %s is damaged", s.Name)
			}
		},
		"node is cut off": func(t *rapid.T) {
			s := w.anyServer(t)
			s.isolated = !s.isolated
			if !s.isolated {
				s.joinedAt = w.now
			}
			w.logf("%s is cut off: %v", s.Name, s.isolated)
		},
		"pod is cut off from the API": func(t *rapid.T) {
			s := w.anyServer(t)
			s.apiCut = !s.apiCut
			w.logf("%s is cut off from the API: %v", s.Name, s.apiCut)
		},
		"API is down": func(t *rapid.T) {
			w.apiDown = !w.apiDown
			w.logf("the API is down: %v", w.apiDown)
		},
		"sentinel restarts": func(t *rapid.T) {
			s := rapid.SampledFrom(w.sentinels).Draw(t, "sentinel")
			w.logf("%s restarts", s.Name)
			s.stop()
			s.upAt = w.now + downtime(t)
		},
		"sentinel is replaced": func(t *rapid.T) {
			w.replaceSentinel(rapid.IntRange(0, simSentinels-1).Draw(t, "sentinel"), downtime(t))
		},
		"sentinel is cut off": func(t *rapid.T) {
			s := rapid.SampledFrom(w.sentinels).Draw(t, "sentinel")
			s.isolated = !s.isolated
			w.logf("%s is cut off: %v", s.Name, s.isolated)
		},
		"all containers restart": func(t *rapid.T) {
			for _, s := range w.servers {
				w.restart(s, downtime(t))
			}
			for _, s := range w.sentinels {
				s.stop()
				s.upAt = w.now + downtime(t)
			}
		},
		"all sentinels are replaced": func(t *rapid.T) {
			w.forgetPromotions()
			for i := range w.sentinels {
				w.replaceSentinel(i, downtime(t))
			}
		},
	}
}

func (w *world) restart(s *simServer, down time.Duration) {
	w.logf("container of %s restarts", s.Name)
	s.kill(w)
	s.upAt = w.now + down
	s.boot(w)
}

// replace deletes a pod; without the API none is, nor is another created.
func (w *world) replace(i int, down time.Duration) {
	if w.apiDown {
		return
	}
	w.logf("%s is replaced", w.servers[i].Name)
	for _, s := range w.servers {
		if !reaches(&s.pod, &w.servers[i].pod) {
			s.redis.unheard = w.servers[i].IP
		}
	}
	w.servers[i].kill(w)
	w.deprive(w.servers[i], data{})
	w.createServer(down)
	last := len(w.servers) - 1
	w.servers[i], w.servers = w.servers[last], w.servers[:last]
	w.logf("by %s", w.servers[i].Name)
}

// comeBack deletes a pod, in order or by force. Its volume stays, and the next pod has it.
func (w *world) comeBack(s *simServer, inOrder bool, down time.Duration) {
	if w.apiDown || s.isolated || !w.kept {
		return // no other pod gets the volume
	}
	w.logf("%s is deleted", s.Name)
	if inOrder {
		s.save(w)
	}
	s.kill(w)
	volume := s.Volume
	s.pod = w.newPod("server", down)
	s.Volume = volume
	s.boot(w)
	w.logf("%s has its volume", s.Name)
}

func (w *world) replaceSentinel(i int, down time.Duration) {
	if w.apiDown {
		return
	}
	w.logf("%s is replaced", w.sentinels[i].Name)
	w.sentinels[i].running = false
	w.createSentinel(down)
	last := len(w.sentinels) - 1
	w.sentinels[i], w.sentinels = w.sentinels[last], w.sentinels[:last]
}

// heal makes everything work again.
func (w *world) heal() {
	w.logf("everything works again")
	w.apiDown, w.noVotes, w.rewriteTakes = false, false, min(w.rewriteTakes, time.Minute)
	for _, s := range w.servers {
		s.redis.rewriteEnds = min(s.redis.rewriteEnds, w.now+w.rewriteTakes)
		s.redis.copyEnds = min(s.redis.copyEnds, w.now+w.copyTakes)
		s.corrupt, s.hungryUntil = false, 0
		if s.isolated {
			s.joinedAt = w.now
		}
		s.isolated, s.apiCut, s.redis.frozen = false, false, 0
		s.thawAt = min(s.thawAt, w.now)
	}
	for _, s := range w.sentinels {
		s.isolated, s.apiCut = false, false
	}
}

// problem says what keeps the release from being settled; empty: nothing.
func (w *world) problem() string {
	masters := w.labelled()
	if len(masters) != 1 {
		return "not exactly one server is labelled master"
	}
	m := masters[0]
	if !m.redis.master || !m.accepts(w) || w.record.Master.UID != m.UID {
		return m.Name + " is labelled master, but is none, accepts no writes or is not recorded"
	}
	for _, s := range w.servers {
		if s != m && (s.Label != Slave || !s.redis.linkUp || s.redis.follows != m.IP) {
			return s.Name + " is no labelled replica of the master in sync"
		}
	}
	for _, s := range w.sentinels {
		if !s.running || s.master != m.IP || s.down {
			return s.Name + " does not run or does not find the master up"
		}
	}
	return ""
}

// anyData says whether a server that exists has data.
func (w *world) anyData() bool {
	for _, s := range w.servers {
		if s.redis.running && s.redis.data.writes > 0 || s.disk.writes > 0 {
			return true
		}
	}
	return false
}

// keepTime is how long after the last fault an accepted write may still be lost.
const keepTime = 2 * time.Second

var everybody = []int{0, 1, 2, 3, 4, 5}

// lives is how many lives of a release are played; about 20 ms each.
const lives = 3000

func TestReleaseKeepsOneMasterAndItsDataThroughAnyFaults(t *testing.T) {
	times(t, lives)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.Bool().Draw(t, "persistence"))
		w.kept = w.persistence && rapid.Bool().Draw(t, "volumes are kept")
		w.pass(t)
		actions := w.faults()
		for name, action := range actions {
			actions[name] = func(t *rapid.T) { action(t); w.pass(t) }
		}
		actions[""] = func(t *rapid.T) {
			if w.broken != "" {
				t.Fatal(w.broken)
			}
			if w.now-w.doubtAge > 0 {
				t.Fatalf("labelled master and accepting writes for %v: %s", w.now-w.doubtAge, w.doubt)
			}
		}
		t.Repeat(actions)
		hadData := w.anyData()
		w.heal()
		healed := w.now
		w.advance(settleTime, everybody, nil)
		if w.kept && w.problem() != "" { // the volume that is waited for is lost
			w.advance(volumePatience, everybody, nil)
		}
		if problem := w.problem(); problem != "" {
			t.Fatal(problem)
		}
		if hadData && w.labelled()[0].redis.data.writes == 0 {
			t.Fatal("the data are gone")
		}
		if lost, latest := w.lost(healed+keepTime, w.labelled()[0].redis.data); lost > 0 {
			t.Fatalf("%d writes are lost, the last of them accepted %v after everything worked again", lost, latest-healed)
		}
		if unkept := w.unkept(w.labelled()[0].redis.data); len(unkept) > 0 {
			t.Fatalf("%d writes are lost that a replica had confirmed, the first of %v; %s has not been deprived of it", len(unkept), unkept[0].at, unkept[0].keepers[0].Name)
		}
	})
}
