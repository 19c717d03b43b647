package role

import (
	"net/netip"
	"strings"
	"time"
)

// The tests speak of pods by one letter: this pod is "a", the others are "b",
// "c", …. A pod's name, UID and address follow from its letter.

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func address(pod string) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, 0, pod[0] - 'a' + 1})
}

func uid(pod string) string { return "uid-" + pod }

// member is a running server pod; the letters give the order of creation, too.
func member(pod string) Member {
	return Member{
		Name: "server-" + pod, UID: uid(pod), IP: address(pod),
		Created: epoch.Add(time.Duration(pod[0]-'a') * time.Minute),
	}
}

// edit is one fact about an observation.
type edit func(*Observation)

// observe builds what pod a of three servers and three sentinels sees. Without
// edits its Redis does not run, no other pod exists and the record is empty.
func observe(edits ...edit) Observation {
	o := Observation{
		GenerationFor: time.Hour, Unnamed: time.Hour, Foremost: time.Hour,
		Self: member("a"), Standing: Standing{Empty: true},
		Servers: 3, Sentinels: 3, DownAfter: 3 * time.Second, Persistence: true, PodsKnown: true, RecordKnown: true,
	}
	for _, e := range edits {
		e(&o)
	}
	return o
}

// together joins facts that belong together.
func together(edits ...edit) edit {
	return func(o *Observation) {
		for _, e := range edits {
			e(o)
		}
	}
}

// The state of this pod's own Redis.

func runsAsMaster(since time.Duration) edit {
	return func(o *Observation) {
		o.Local = Local{Running: true, Answering: true, Master: true, Offset: 1000, MasterFor: since}
	}
}

func follows(master string) edit {
	return func(o *Observation) {
		o.Local = Local{Running: true, Answering: true, Follows: address(master), LinkUp: true, Synced: true, Offset: 1000}
	}
}

// lostLink is a replica whose link has been down for a while.
func lostLink(master string, down time.Duration) edit {
	return together(follows(master), func(o *Observation) { o.Local.LinkUp, o.Local.LinkDown, o.Masterless = false, down, down })
}

// linkedFor is a replica whose link has been up for a while.
func linkedFor(master string, up time.Duration) edit {
	return together(lostLink(master, 0), local(func(l *Local) { l.LinkUp, l.Linked = true, up }))
}

func local(change func(*Local)) edit { return func(o *Observation) { change(&o.Local) } }

// sentinels gives one view for each word: a letter names that pod as master,
// a letter and "!" finds it down, a letter and "*" is replacing it, a letter and
// "^" was elected to replace it and has promoted this pod, "none" knows no master, "refused" does not run, "silent" does not answer.
func sentinels(words string) edit {
	return func(o *Observation) { o.Views = views(words) }
}

// silent is a sentinel whose pings the master has not answered for a while.
func silent(sentinel int, span time.Duration) edit {
	return func(o *Observation) { o.Views[sentinel].Silent = span }
}

// choosing is a sentinel that makes a replica master in place of this pod.
func choosing(pod string) edit {
	return func(o *Observation) {
		o.Views = views("a a* a")
		if pod != "-" {
			o.Views[1].Chosen = address(pod)
		}
	}
}

func views(words string) []View {
	var out []View
	for _, word := range strings.Fields(words) {
		switch word {
		case "none":
			out = append(out, View{Reach: Answered})
		case "refused":
			out = append(out, View{Reach: Refused})
		case "silent":
			out = append(out, View{Reach: Unknown})
		default:
			v := View{
				Reach: Answered, HasMaster: true, Master: address(word),
				Down: strings.HasSuffix(word, "!"), FailingOver: strings.ContainsAny(word, "*^"),
			}
			if strings.HasSuffix(word, "^") {
				v.Promoting = address("a")
			}
			out = append(out, v)
		}
	}
	return out
}

// Other server pods.

func peer(pod string, changes ...func(*Peer)) edit {
	return func(o *Observation) { o.Peers = append(o.Peers, server(pod, changes...)) }
}

// server is a pod whose Redis answers as a replica without data or link.
func server(pod string, changes ...func(*Peer)) Peer {
	p := Peer{Member: member(pod), Redis: Answered, Status: &Status{UID: uid(pod)}}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func isMaster(p *Peer)      { p.Master = true }
func isReplica(p *Peer)     { p.LinkUp, p.Status.Synced, p.Offset = true, true, 1000 }
func isStopped(p *Peer)     { p.Redis = Refused }
func isFrozen(p *Peer)      { p.Redis = Unknown }
func isTerminating(p *Peer) { p.Terminating = true }

// isUnsynced is a replica that has no data, which a server is without changes.
func isUnsynced(p *Peer) { p.LinkUp, p.Status.Synced = false, false }

// neverRan is a pod that waits for a node, its volume or its image.
func neverRan(p *Peer) { p.NeverRan, p.Redis, p.Status, p.IP = true, Unknown, nil, netip.Addr{} }

// isReady is a pod that the API finds ready.
func isReady(p *Peer) { p.Ready = true }

// isGone is a pod of which nothing answers.
func isGone(p *Peer) { p.Redis, p.Status = Unknown, nil }

// isDead is a pod on whose address nothing listens.
func isDead(p *Peer) { p.Redis, p.Status = Refused, nil }

// nothingListens is a pod whose container has ended.
func nothingListens(p *Peer) { isDead(p); p.Launcher = Refused }

// isWriting is a replica in sync that writes its first append-only file.
func isWriting(p *Peer) { isReplica(p); p.Status.Copied = true }

// linkDown is a replica that holds data and has lost its master.
func linkDown(p *Peer) { isReplica(p); p.LinkUp = false }

func at(offset int64) func(*Peer) { return func(p *Peer) { p.Offset = offset } }

// history is a server whose Redis tells a replication history, which continues another.
func history(id, before string) func(*Peer) {
	return func(p *Peer) { p.History = History{ID: id, Before: before} }
}

func reports(s Standing) func(*Peer) { return func(p *Peer) { p.Status.Standing = s } }

func claims(p *Peer) { p.Status.Claimed = true }

// The record, standings and clocks.

func recorded(pod string) edit {
	return func(o *Observation) { o.Initialised, o.MasterUID = true, uid(pod) }
}

func fenced(pod string, age time.Duration) edit {
	return together(recorded(pod), func(o *Observation) { o.Fence = &Fence{UID: uid(pod), Successor: o.Self.UID, Age: age} })
}

// replaced is the master before the recorded one.
func replaced(pod string) edit { return func(o *Observation) { o.PreviousIP = address(pod) } }

func podsUnknown(o *Observation) { o.PodsKnown = false }

func recordUnknown(o *Observation) {
	o.RecordKnown, o.MasterUID, o.Initialised, o.Fence = false, "", false, nil
}

// generation is the number of the recorded master.
func generation(n int64) edit { return func(o *Observation) { o.Generation = n } }

// broken are data that Redis cannot load.
func broken(s Standing) Standing { s.Broken = true; return s }

func unreadable(s Standing) Standing { s.Unreadable = true; return s }

func holds(s Standing) edit { return func(o *Observation) { o.Standing = s } }

func waiting(d time.Duration) edit { return func(o *Observation) { o.Waiting = d } }

func generationFor(d time.Duration) edit { return func(o *Observation) { o.GenerationFor = d } }

// labelled is the label that the API has for this pod.
func labelled(role string) edit { return func(o *Observation) { o.Self.Label = role } }

func servers(n int) edit { return func(o *Observation) { o.Servers = n } }

// inMemory is a release without persistence.
func inMemory(o *Observation) { o.Persistence = false }

func volumesKept(o *Observation) { o.VolumesKept = true }

var nothing = Standing{Empty: true}

// wasMaster and wasReplica are data of a generation up to an offset.
func wasMaster(generation, offset int64) Standing {
	return Standing{Generation: generation, Master: true, Offset: offset}
}

func wasReplica(generation, offset int64) Standing {
	return Standing{Generation: generation, Offset: offset}
}
