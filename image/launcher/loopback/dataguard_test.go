package loopback

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// lookEvery is the pause between two looks of the guard at all servers.
	lookEvery = 100 * time.Millisecond
	// graceOfMaster is the age from which on a confirmed write must be at the labelled master.
	graceOfMaster = 500 * time.Millisecond
	// lookBack is how many older writes a look asks for, beside all of the last fileDelay.
	lookBack = 200
	// aloneFor is how long a master must have had no replica in sync so that what it took is owed
	// although nobody confirmed it: no sentinel may still take a replica of it for a fresh one.
	aloneFor = 5 * time.Second
	// backWithin is how soon it must be back: nobody needs to be elected in its place until then.
	backWithin = 5 * time.Second
	// masterWithin is how long the check at the end waits for a labelled master that answers.
	masterWithin = 10 * time.Second
)

// dataGuard watches the data of all servers for the whole test. It fails the
// test in these cases:
//
//  1. The only pod labelled master answers as a master, and lacks a write that
//     was confirmed half a second ago or earlier and is owed. The guard asks for
//     the writes of the last two seconds and for some older ones in each look,
//     and for all of them when a server has started, has changed its role or its
//     master, or its link has gone or come. It asks for all at the end of the test.
//  2. A process lacks a confirmed write that the same process had before.
//     The same holds for a write that a master took alone.
//  3. A replica that had keys is in sync with a master without any, which has had
//     none since it started.
//
// A write is confirmed when `WAIT 1` of the writer, sent after it over the same
// connection, counted a replica, and when fill has waited for all replicas. A
// confirmed write is owed while one of these copies of it survives:
//
//   - A process that has it still runs and answers. It has it when the master
//     reported that it acknowledged the offset at the confirmation, when it was
//     the master then, or when a look found it there.
//   - The files of a pod hold it, whether the pod runs or not. They hold what the
//     process had two seconds ago when its append-only file was written and no rewrite
//     was going on or had failed at the last look. A pod that has been ready for
//     a second promises the same even if the first rewrite after a full copy has
//     not ended: pods with complete files are deleted because it is ready.
//
// The harness says where it destroys data: wiped is called for a pod that is
// deleted, whose volume is emptied or whose files are damaged. What died in
// memory needs no word, as its process does not answer. A test that flushes the
// data, or whose fault loses confirmed writes by design, calls forget.
//
// A violation counts when two looks in a row see it. The guard reports one and ends.
type dataGuard struct {
	cluster *cluster

	mu        sync.Mutex
	writes    []guardedWrite
	forgotten int // how often forget was called
	servers   []*serverData
}

// guardedWrite is a write that was confirmed, or one that a master took alone.
type guardedWrite struct {
	key   string
	at    time.Time
	alone *takenAlone // nil: it was confirmed
}

// takenAlone says which process took a write while it had no replica in sync, and since when it had none.
type takenAlone struct {
	by    *serverData
	runID string
	since time.Time
}

// guardData starts the guard. It ends with the test, before the cluster is closed.
func guardData(c *cluster) *dataGuard {
	d := &dataGuard{cluster: c}
	done, ended := make(chan struct{}), make(chan struct{})
	c.t.Cleanup(func() {
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
	return d
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

// forget makes all writes that were confirmed so far owed no longer, and tells why.
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

// look asks one server. It is true when its data may have been replaced since
// the look before and it was not asked for every write.
func (d *dataGuard) look(s *serverData, all bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
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
		s.client = redis.NewClient(guardOptions(s.pod.address(), d.cluster.password))
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
	return !all && !l.sameSource(earlier)
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

func guardOptions(address, password string) *redis.Options {
	o := clientOptions(address, password)
	o.PoolSize, o.DialTimeout, o.ReadTimeout, o.WriteTimeout = 1, lookTimeout, lookTimeout, lookTimeout
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

// violation says which of the cases above the last look has seen, or "".
func (d *dataGuard) violation() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range []string{d.masterLacksWrites(), d.processLostWrites(), d.wipedByAnEmptyMaster()} {
		if text != "" {
			var state strings.Builder
			for _, s := range d.servers {
				fmt.Fprintln(&state, "  ", s)
			}
			return text + "\n" + state.String()
		}
	}
	return ""
}

// master returns what is known of the only pod labelled master, if it answers as one.
func (d *dataGuard) master() *serverData {
	p, err := d.cluster.masterPod()
	if err != nil {
		return nil
	}
	for _, s := range d.servers {
		if s.pod == p && s.answers && s.state.role == "master" {
			return s
		}
	}
	return nil
}

func (d *dataGuard) masterLacksWrites() string {
	master := d.master()
	if master == nil {
		return ""
	}
	var missing []int
	for _, write := range master.absent {
		if time.Since(d.writes[write].at) >= graceOfMaster && d.survives(write) != "" {
			missing = append(missing, write)
		}
	}
	return d.tell("the labelled master "+master.pod.name, missing)
}

func (d *dataGuard) processLostWrites() string {
	for _, s := range d.servers {
		var missing []int
		for _, write := range s.absent {
			if s.answers && s.hasInMemory(write) && d.survives(write) != "" {
				missing = append(missing, write)
			}
		}
		if text := d.tell("a process that had them, "+s.state.role+" "+s.pod.name, missing); text != "" {
			return text
		}
	}
	return ""
}

func (d *dataGuard) wipedByAnEmptyMaster() string {
	for _, replica := range d.servers {
		hadKeys := replica.keysInFiles || !replica.keysSince.IsZero()
		if !replica.answers || replica.state.role != "slave" || !replica.state.linkUp || replica.state.keys > 0 || !hadKeys {
			continue
		}
		for _, master := range d.servers {
			if master.answers && master.pod.ip == replica.state.master && master.state.role == "master" && master.state.keys == 0 && master.keysSince.IsZero() {
				return fmt.Sprintf("%s had keys and is in sync with %s, which has none", replica.pod.name, master.pod.name)
			}
		}
	}
	return ""
}

// survives says where a write that is owed still is, or "".
func (d *dataGuard) survives(write int) string {
	if alone := d.writes[write].alone; alone != nil {
		return alone.survives(write)
	}
	for _, s := range d.servers {
		if where := s.where(write); where != "" {
			return where
		}
	}
	return ""
}

// survives says where a write is that a master took alone, or "" where it is not owed.
func (a *takenAlone) survives(write int) string {
	s := a.by
	if !s.answers || s.previous != a.runID || s.down > backWithin || s.died.Sub(a.since) < aloneFor || !s.hasInFiles(write) {
		return ""
	}
	return fmt.Sprintf("in the files of %s, which was a master without a replica in sync since %s, died after %s and was back within %v",
		s.pod.name, a.since.Format("15:04:05.000"), s.died.Format("15:04:05.000"), s.down)
}

// tell describes writes that somebody lacks, or gives "" for none.
func (d *dataGuard) tell(who string, missing []int) string {
	if len(missing) == 0 {
		return ""
	}
	describe := func(write int) string {
		return fmt.Sprintf("%s, guarded since %s, %s", d.writes[write].key, d.writes[write].at.Format("15:04:05.000"), d.survives(write))
	}
	return fmt.Sprintf("%d of %d guarded writes are missing at %s, seen at %s\nthe first: %s\nthe last: %s", len(missing), len(d.writes), who,
		time.Now().Format("15:04:05.000"), describe(missing[0]), describe(missing[len(missing)-1]))
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
