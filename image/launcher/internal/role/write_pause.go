package role

import "time"

// forcedEnd is how long a pod that was deleted by force may live: the kubelet kills its containers two seconds after it has noticed the
// deletion, and may notice it late on a busy node.
const forcedEnd = 30 * time.Second

// Threats are reasons for which what a master accepts now may be lost. It pauses writes while there is one.
type Threats struct {
	// Gone: this pod is not a pod of the release any more. The sentinels may promote another server while Redis still runs here.
	Gone bool
	// Isolated: the sentinels may be replacing the master without its knowledge; see Contact.
	Isolated bool
	// Replaced: the last look found Redis silent, or found that another server is being made master.
	Replaced bool
	// Unanswered: a replica has not answered the order to become master, and may still execute it. The record names it as the successor.
	Unanswered bool
	// Unlabelled: another pod has taken the label master off this pod.
	Unlabelled bool
}

// Any says whether there is a threat.
func (t Threats) Any() bool { return t != Threats{} }

// Cause tells the user why writes are paused.
func (t Threats) Cause() string {
	switch {
	case t.Gone:
		return "this pod is not a pod of the release any more"
	case t.Isolated:
		return "neither the sentinels nor the API answer, and the sentinels may be replacing it"
	case t.Replaced:
		return "it did not answer, or another is being made master"
	case t.Unanswered:
		return "a replica has not answered the order to become master"
	default:
		return "another pod has taken the label master off this one"
	}
}

// longest is how long writes are paused for at most.
func (t Threats) longest(downAfter time.Duration) time.Duration {
	switch {
	case t.Gone:
		return forcedEnd
	case t.Isolated:
		return replacedWithin(downAfter)
	default:
		return downAfter // the sentinels need no longer to find a master down
	}
}

// PauseFacts are what a look at a master with paused writes has found.
type PauseFacts struct {
	Now time.Time
	// Answered and Master are what the Redis has told.
	Answered, Master bool
	Threats          Threats
	// Serves: the loop has looked since, and has decided that this pod is the master.
	Serves bool
	// Succeeded: the last look of the loop found that a former replica is master, and nobody could be asked about it.
	Succeeded bool
}

// PauseStep is what to do next with the writes of a master.
type PauseStep int

const (
	// KeepPause leaves things as they are until the next look.
	KeepPause PauseStep = iota
	// OrderPause pauses writes for PauseLimit from now on.
	OrderPause
	// LeavePause ends the watch. The pause, if any, ends by itself or with the process.
	LeavePause
	// EndPause lets writes go on.
	EndPause
	// OutlastPause lets writes go on: nobody has replaced the master, though there was enough time for it.
	OutlastPause
)

// WritePause pauses the writes of one Redis process again and again while there is a threat. It ends when the loop has looked again and
// finds that the pod is the master, when Redis is no master any more, and after the longest time that the threat can last.
type WritePause struct {
	// DownAfter is how long a master may be silent before the sentinels find it down.
	DownAfter time.Duration
	// Began is when the threat was found. While Redis stands still, the time does not count.
	Began time.Time
	// OrderedAt is when writes were last paused; zero: they are not, as far as is known.
	OrderedAt time.Time
}

// Step says what to do after a look, and why if the watch ends. The caller notes an order that Redis has obeyed in OrderedAt.
func (p WritePause) Step(f PauseFacts) (next WritePause, step PauseStep, why string) {
	longest := f.Threats.longest(p.DownAfter)
	switch {
	case !f.Answered && f.Threats.Gone:
		p.OrderedAt = time.Time{} // the kubelet is about to kill it
		return p, KeepPause, ""
	case !f.Answered && f.Threats.Replaced:
		p.Began, p.OrderedAt = f.Now, time.Time{} // it counts from when it wakes up
		return p, KeepPause, ""
	case !f.Answered:
		return p, LeavePause, "Redis did not answer"
	case !f.Master:
		return p, LeavePause, "it was no master any more"
	case f.Serves && !f.Threats.Any():
		return p, EndPause, "it had looked again and was the master"
	case f.Now.Sub(p.Began) > longest && !f.Succeeded:
		return p, OutlastPause, "nobody had replaced it for " + longest.String()
	case f.Now.Sub(p.OrderedAt) > PauseLimit(p.DownAfter)/2:
		return p, OrderPause, ""
	}
	return p, KeepPause, ""
}
