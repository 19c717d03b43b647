package loopback

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

// guarded is a guard of two servers that nobody runs: the first is labelled
// master and answers as one, the second answers as its replica. One write was
// confirmed long ago, and the look has found it at neither.
func guarded(t *testing.T) (d *dataGuard, master, replica *serverData) {
	t.Helper()
	c := newCluster(t, options{})
	first, second := c.addServer(), c.addServer()
	if err := c.api.UpdatePod(first.name, func(o *corev1.Pod) { o.Labels[fakeapi.RoleLabel] = "master" }); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Minute)
	master = &serverData{pod: first, runID: "m", answers: true, answered: time.Now(), absent: []int{0}, state: look{role: "master", keys: 1}}
	replica = &serverData{pod: second, runID: "r", answers: true, answered: time.Now(), absent: []int{0},
		state: look{role: "slave", master: first.ip, linkUp: true, keys: 1}}
	d = &dataGuard{cluster: c, writes: []guardedWrite{{key: key(0), at: long}}, servers: []*serverData{master, replica}}
	return d, master, replica
}

func TestGuardOfTheDataTellsLostWritesFromThoseThatNobodyKept(t *testing.T) {
	t.Parallel()
	long := time.Now().Add(-time.Minute)
	for name, test := range map[string]struct {
		change func(d *dataGuard, master, replica *serverData)
		want   string // part of the violation; "": there is none
	}{
		"nobody has it": {change: func(*dataGuard, *serverData, *serverData) {}},
		"a replica that answers has it": {want: "missing at the labelled master", change: func(_ *dataGuard, _, replica *serverData) {
			replica.absent, replica.memory = nil, []time.Time{long}
		}},
		"the only process that had it is dead": {change: func(_ *dataGuard, _, replica *serverData) {
			replica.absent, replica.memory, replica.answers = nil, []time.Time{long}, false
		}},
		"files of a dead server have it": {want: "missing at the labelled master", change: func(_ *dataGuard, _, replica *serverData) {
			replica.absent, replica.files, replica.answers = nil, []bool{true}, false
		}},
		"the files that had it are wiped": {change: func(d *dataGuard, _, replica *serverData) {
			replica.absent, replica.files, replica.answers = nil, []bool{true}, false
			d.wiped(replica.pod)
		}},
		"the pod was ready without them": {want: "promised by", change: func(_ *dataGuard, _, replica *serverData) {
			replica.absent, replica.files, replica.answers, replica.promisedBy = nil, []bool{true}, false, "r"
		}},
		"it was confirmed a moment ago": {change: func(d *dataGuard, _, replica *serverData) {
			replica.absent, replica.memory = nil, []time.Time{long}
			d.writes[0].at = time.Now()
		}},
		"the labelled master does not answer as a master": {change: func(_ *dataGuard, master, replica *serverData) {
			replica.absent, replica.memory = nil, []time.Time{long}
			master.state.role = "slave"
		}},
		"a replica has lost it": {want: "missing at a process that had them", change: func(_ *dataGuard, master, replica *serverData) {
			master.absent, replica.memory = nil, []time.Time{long}
		}},
		"an empty master has wiped a replica": {want: "which has none", change: func(d *dataGuard, master, replica *serverData) {
			master.state.keys, replica.state.keys, replica.keysSince = 0, 0, long
		}},
		"the keys of the master were deleted": {change: func(d *dataGuard, master, replica *serverData) {
			master.state.keys, replica.state.keys, replica.keysSince, master.keysSince = 0, 0, long, long
		}},
		"it was taken alone by a server that died and is back": {want: "died after", change: func(d *dataGuard, _, replica *serverData) {
			diedAlone(d, replica, long, aloneFor, backWithin)
		}},
		"it was taken alone by a server that was away for long": {change: func(d *dataGuard, _, replica *serverData) {
			diedAlone(d, replica, long, aloneFor, backWithin+time.Second)
		}},
		"it was taken by a server that had just lost its replicas": {change: func(d *dataGuard, _, replica *serverData) {
			diedAlone(d, replica, long, aloneFor-time.Second, backWithin)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, master, replica := guarded(t)
			test.change(d, master, replica)
			got := d.violation()
			if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
				t.Errorf("the guard says %q, want %q", got, test.want)
			}
		})
	}
}

// diedAlone makes the write one that a server took as a master without a replica
// in sync. It was alone for a while when it died, and is back after another.
func diedAlone(d *dataGuard, s *serverData, since time.Time, alone, down time.Duration) {
	d.writes[0].alone = &takenAlone{by: s, runID: s.runID, since: since}
	s.files, s.answered = []bool{true}, since.Add(alone)
	s.startedAnew("the next", s.answered.Add(down))
}
