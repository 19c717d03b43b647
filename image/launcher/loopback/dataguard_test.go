package loopback

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// lookEvery is the pause between two looks of the guard at all servers.
	lookEvery = 100 * time.Millisecond
	// lookBack is how many older writes a look asks for, beside all of the last fileDelay.
	lookBack = 200
	// masterWithin is how long the check at the end waits for a labelled master that answers.
	masterWithin = 10 * time.Second
)

// dataGuard watches the data of all servers for the whole test. It fails the
// test in these cases:
//
//  1. The only pod labelled master answers as a master, and lacks a write that is
//     owed and half a second old. Each look asks for the writes of the last two
//     seconds and for some older ones. It asks for all of them when a server has
//     started, has changed its role or its master, or its link has gone or come,
//     and at the end of the test.
//  2. A process lacks a write that the same process had before, and the write is owed.
//  3. A replica that had keys is in sync with a master without any keys, which has
//     had none since it started. The keys of the replica count when this process
//     had them, or when they had reached the files of its pod.
//
// A write is confirmed when "WAIT 1" of the writer, sent after it over the same
// connection, counted a replica, and when fill has waited for all replicas. A
// confirmed write is owed while one of these copies of it survives:
//
//   - A process that has it still runs and answers. The process has it when it was
//     the master at the confirmation, when that master reported that the process had
//     acknowledged the offset, or when a look found it there.
//   - The files of a pod hold it, whether the pod runs or not. They hold what the
//     process had two seconds before a look that found its append-only file written
//     and no rewrite of it going on or failed. A pod that has been ready for a second
//     promises the same although the first rewrite after a full copy has not ended:
//     other pods are deleted because this pod is ready.
//
// A write that a master took while it had no replica in sync is owed only in one
// case: its files hold it, it had been without a replica for aloneFor when its
// process died, and its next process answers within backWithin. A master that is
// silent for longer may be replaced, and its writes may be lost.
//
// The harness says where it destroys data: it calls wiped for a pod that is
// deleted, whose volume is emptied or whose files are damaged. What dies with a
// process needs no word. A test that deletes all data, or whose fault loses
// confirmed writes by design, calls forget and says why.
//
// A violation counts when two looks in a row see it. The guard reports one and ends.
type dataGuard struct {
	cluster *cluster

	mu        sync.Mutex
	writes    []guardedWrite
	forgotten int // how often forget was called
	servers   []*serverData
}

// watch starts the guard. It ends with the test, before the cluster is closed.
func (d *dataGuard) watch() {
	done, ended := make(chan struct{}), make(chan struct{})
	d.cluster.t.Cleanup(func() {
		close(done)
		<-ended
		d.checkAtEnd()
		for _, s := range d.servers {
			s.hangUp()
		}
	})
	go func() {
		defer close(ended)
		for {
			if text := d.twice(false); text != "" {
				d.report(text)
				return
			}
			select {
			case <-time.After(lookEvery):
			case <-done:
				return
			}
		}
	}()
}

// confirm adds writes that a replica has, and notes who has them.
func (d *dataGuard) confirm(keys []string, by *confirmation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, key := range keys {
		d.writes = append(d.writes, guardedWrite{key: key, at: now})
		write := len(d.writes) - 1
		for _, s := range d.servers {
			if s.runID != "" && s.runID == by.runID {
				s.knows(write, now)
			}
			for _, address := range by.replicas {
				if s.answers && s.pod.ip == address {
					s.knows(write, now)
				}
			}
		}
	}
}

// takenAlone adds writes that a master has acknowledged without a replica in sync.
func (d *dataGuard) takenAlone(keys []string, runID string, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, s := range d.servers {
		if s.runID != runID {
			continue
		}
		for _, key := range keys {
			d.writes = append(d.writes, guardedWrite{key: key, at: now, alone: &takenAlone{by: s, runID: runID, since: since}})
			s.knows(len(d.writes)-1, now)
		}
	}
}

// wiped tells that the files of a pod are gone or damaged. Its process has ended.
func (d *dataGuard) wiped(p *pod) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.servers {
		if s.pod == p {
			s.lose()
			s.answers = false
			s.wiped++
		}
	}
}

// forget says why no write so far is owed any longer.
func (d *dataGuard) forget(reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cluster.t.Logf("%d writes are no longer owed: %s", len(d.writes), reason)
	d.writes = nil
	d.forgotten++
	for _, s := range d.servers {
		s.lose()
	}
}

// twice looks at all servers and gives the violation that a second look sees as well.
func (d *dataGuard) twice(all bool) string {
	if d.lookAround(all); d.violation() == "" {
		return ""
	}
	d.lookAround(true)
	return d.violation()
}

// lookAround asks every server at the same time.
func (d *dataGuard) lookAround(all bool) {
	d.mu.Lock()
	known := map[*pod]bool{}
	for _, s := range d.servers {
		known[s.pod] = true
	}
	for _, p := range d.cluster.all() {
		if !p.sentinel && !known[p] {
			d.servers = append(d.servers, &serverData{pod: p})
		}
	}
	servers := append([]*serverData(nil), d.servers...)
	d.mu.Unlock()
	var group sync.WaitGroup
	for _, s := range servers {
		group.Go(func() {
			if !s.pod.isRunning() {
				s.hangUp()
				d.silent(s)
				return
			}
			if again := d.look(s, all); again {
				d.look(s, true)
			}
		})
	}
	group.Wait()
}

// look asks one server. It is true when the server was not asked for every write
// since its data may have been replaced.
func (d *dataGuard) look(s *serverData, all bool) bool {
	timeout := lookTimeout
	if all {
		timeout = searchTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	d.mu.Lock()
	asked := d.toAsk(s, all)
	keys := make([]string, len(asked))
	for i, write := range asked {
		keys[i] = d.writes[write].key
	}
	forgotten, wiped, earlier := d.forgotten, s.wiped, s.state
	d.mu.Unlock()

	if s.client == nil {
		s.client = redis.NewClient(guardOptions(d.cluster.clientOptions(s.pod.address())))
	}
	begin := time.Now()
	l, present, err := lookAt(ctx, s.client, s.pod, keys)
	if err != nil {
		s.hangUp()
		d.silent(s)
		return false
	}
	ready := l.persistent && !l.complete && isReady(ctx, s.pod)

	d.mu.Lock()
	defer d.mu.Unlock()
	if forgotten != d.forgotten || wiped != s.wiped {
		s.answers, s.absent = false, nil
		return false
	}
	if s.runID != l.runID {
		s.startedAnew(l.runID, begin)
	}
	promised := s.promises(begin, ready)
	s.found(begin, l, asked, present, l.persistent && l.flushed && (l.complete || promised))
	s.searched = all || s.searched && l.sameSource(earlier)
	return !s.searched
}

func (d *dataGuard) silent(s *serverData) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.answers, s.absent = false, nil
}

// hangUp ends the connection of the guard: go-redis answers from a remembered
// error for a second once a few dials have failed.
func (s *serverData) hangUp() {
	if s.client != nil {
		_ = s.client.Close()
		s.client = nil
	}
}

func guardOptions(o *redis.Options) *redis.Options {
	o.PoolSize, o.DialTimeout = 1, lookTimeout
	return o
}

// toAsk returns the numbers of the writes to ask a server for.
func (d *dataGuard) toAsk(s *serverData, all bool) []int {
	recent := len(d.writes)
	for recent > 0 && time.Since(d.writes[recent-1].at) < fileDelay {
		recent--
	}
	begin := max(0, recent-1)
	if all {
		begin = 0
	}
	var result []int
	for i := range min(lookBack, begin) {
		result = append(result, (s.window+i)%begin)
	}
	s.window += len(result)
	for write := begin; write < len(d.writes); write++ {
		result = append(result, write)
	}
	return result
}

// report fails the test and adds the history of the labels.
func (d *dataGuard) report(text string) {
	for _, change := range d.cluster.api.RoleChanges() {
		text += "\n   " + change.String()
	}
	d.cluster.t.Error(text)
}

// checkAtEnd reads all confirmed writes from the labelled master, if there is
// one that answers in time.
func (d *dataGuard) checkAtEnd() {
	d.mu.Lock()
	n := len(d.writes)
	d.mu.Unlock()
	if n == 0 || d.cluster.t.Failed() {
		return
	}
	for begin := time.Now(); ; time.Sleep(lookEvery) {
		d.lookAround(true)
		d.mu.Lock()
		master := d.master()
		d.mu.Unlock()
		if master != nil {
			break
		}
		if time.Since(begin) > masterWithin {
			d.cluster.t.Logf("%d guarded writes are not read back: no labelled master answers within %v", n, masterWithin)
			return
		}
	}
	if text := d.twice(true); text != "" {
		d.report(text)
	}
}
