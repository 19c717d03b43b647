package password

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
)

// silence is how long a new pod waits for the first answer of the others, which may be starting as well.
const silence = 10 * time.Second

// old is a password that Redis and Sentinel accept beside the one in the Secret. The zero value means that they ask for none.
type old struct {
	Text string `json:"text,omitempty"` // empty where only its sum is known: this pod has started since it was the one in the Secret
	Sum  string `json:"sum,omitempty"`  // SHA-256, in hexadecimal digits; empty: no password
	// Since is from when on a later password has been in use; zero: none has.
	Since time.Time `json:"since,omitzero"`
	// Until is when it ends at the latest. Zero: Since and the grace period tell. Another pod has told it to a pod that started later.
	Until time.Time `json:"until,omitzero"`
}

// ends is when an old password ends.
func (o old) ends(grace time.Duration) time.Time {
	end := o.Since.Add(grace)
	if !o.Until.IsZero() && o.Until.Before(end) {
		return o.Until
	}
	return end
}

// sum gives the sum of a password as Redis tells it; empty for no password.
func sum(password string) string {
	if password == "" {
		return ""
	}
	s := sha256.Sum256([]byte(password))
	return hex.EncodeToString(s[:])
}

// State is how far one launcher has come. The pods of a release read a changed Secret one after the other. So everybody accepts the new
// password first, then everybody uses it, and then the old one goes.
type State struct {
	// Wanted is what the Secret holds, and Used is what replicas, sentinels and this launcher use among themselves. Empty: none.
	Wanted string `json:"wanted,omitempty"`
	Used   string `json:"used,omitempty"`
	// Old are the passwords that work beside Wanted. Each has a grace period of its own: where passwords change more often than that, none works
	// for good.
	Old []old `json:"old,omitempty"`
	// Read is when Wanted was read.
	Read time.Time `json:"read"`
	// New says that this pod has not learned yet which passwords the others accept.
	New bool `json:"new,omitempty"`
	// Alone says that a New pod has started nevertheless: nobody has answered in time, or others refuse its password. It goes on asking.
	Alone bool `json:"alone,omitempty"`
}

// Node is what Redis or Sentinel of a pod of the release accepts, the own one included.
type Node struct {
	Pod      string
	Answered bool
	// Own is the pod that asks, and Leaving a pod that ends.
	Own, Leaving bool
	// Down: nothing listens there.
	Down bool
	// Wanted and Used say which passwords it accepts.
	Wanted, Used bool
	// Unaware: the node accepts everybody, and its launcher knows no password.
	Unaware bool
	// Accepts is what its default user accepts, with the ends that its launcher tells. Only a new pod asks.
	Accepts []old
}

// begun is the state of a pod that has just started.
func begun(wanted string, now time.Time) State {
	return State{Wanted: wanted, Used: wanted, Read: now, New: true}
}

// past gives the state with times that have been. A clock that was ahead, and has been set since, would prolong every step.
func (s State) past(now time.Time) State {
	times := []*time.Time{&s.Read}
	s.Old = slices.Clone(s.Old)
	for i := range s.Old {
		times = append(times, &s.Old[i].Since)
	}
	for _, at := range times {
		if at.After(now) {
			*at = now
		}
	}
	return s
}

// taken gives the state after the Secret has changed.
func (s State) taken(wanted string, now time.Time) State {
	if wanted == s.Wanted {
		return s
	}
	all := append(slices.Clone(s.Old), old{Text: s.Wanted, Sum: sum(s.Wanted)})
	s.Old = nil
	for _, o := range all {
		if o.Sum != sum(wanted) {
			s.Old = append(s.Old, o)
		}
	}
	s.Wanted, s.Read = wanted, now
	return s.counting(now)
}

// counting has the grace period of the old passwords begin, unless one of them is still in use.
func (s State) counting(now time.Time) State {
	if s.Used != s.Wanted {
		return s
	}
	s.Old = slices.Clone(s.Old)
	for i := range s.Old {
		if s.Old[i].Since.IsZero() {
			s.Old[i].Since = now
		}
	}
	return s
}

// asks says whether the next step depends on what the others accept.
func (s State) asks(grace time.Duration, now time.Time) bool {
	return s.New || s.Used != s.Wanted || len(s.due(grace, now)) > 0
}

// due gives the old passwords whose grace period is over.
func (s State) due(grace time.Duration, now time.Time) (due []old) {
	for _, o := range s.Old {
		if !o.Since.IsZero() && !now.Before(o.ends(grace)) {
			due = append(due, o)
		}
	}
	return due
}

// step gives the next state, and why it stays as it is; empty: nothing waits. The nodes are asked only if asks says so.
func (s State) step(nodes []Node, grace time.Duration, now time.Time) (State, string) {
	switch {
	case s.New:
		return s.learned(nodes, now)
	case s.Used != s.Wanted:
		return s.used(nodes, now)
	case len(s.Old) > 0:
		return s.dropped(nodes, grace, now)
	}
	return s, ""
}

// learned has a new pod accept what the others accept, once all that answer accept what the new pod has. Where that takes too long, the pod
// starts all the same, and goes on learning: clients and the others may need an earlier password.
func (s State) learned(nodes []Node, now time.Time) (State, string) {
	refusing := pods(nodes, func(n Node) bool { return n.Answered && !n.Wanted })
	if refusing != "" && now.Before(s.Read.Add(settings.SettleTime)) {
		return s, "a new pod waits until the others have read the password that is in its Secret: " + refusing
	}
	answered := slices.ContainsFunc(nodes, func(n Node) bool { return n.Answered })
	silent := pods(nodes, func(n Node) bool { return !n.Answered && !n.Down })
	if !answered && silent != "" && now.Before(s.Read.Add(silence)) {
		return s, "a new pod waits for an answer of the others: " + silent
	}
	s.Old = slices.Clone(s.Old)
	for _, n := range nodes {
		for _, o := range n.Accepts {
			i := slices.IndexFunc(s.Old, func(known old) bool { return known.Sum == o.Sum })
			switch {
			case o.Sum == sum(s.Wanted):
			case i < 0:
				s.Old = append(s.Old, o)
			case o.Until.After(s.Old[i].Until):
				s.Old[i].Until = o.Until
			}
		}
	}
	s = s.counting(now)
	switch {
	case refusing != "":
		s.Alone = true
		return s, "this pod has started, and others refuse the password that is in its Secret: " + refusing
	case !answered && silent != "":
		s.Alone = true
		return s, "this pod has started, and nobody has said which passwords the others accept: " + silent
	}
	s.New, s.Alone = false, false
	return s, ""
}

// unheard says whether a new pod has waited long enough for a list of the others: where the API is away, Redis starts without having asked.
func (s State) unheard(now time.Time) bool { return s.New && !now.Before(s.Read.Add(silence)) }

// used has the new password used as soon as all accept it. Where more nodes refuse the old one than the new one, the others have gone ahead.
// A single pod that has started with the new one alone is not the others.
func (s State) used(nodes []Node, now time.Time) (State, string) {
	refuses := func(n Node) bool { return n.Answered && !n.Wanted }
	ahead := count(nodes, func(n Node) bool { return n.Answered && n.Wanted && !n.Used }) > count(nodes, refuses)
	refusing := pods(nodes, refuses)
	silent := pods(nodes, func(n Node) bool { return !n.Answered && !n.Leaving })
	switch {
	case ahead:
	case refusing != "":
		return s, "not all pods have read the new password: " + refusing
	case silent != "" && now.Before(s.Read.Add(settings.SettleTime)):
		return s, "pods that do not answer have until " + clock(s.Read.Add(settings.SettleTime)) + " to read the new password: " + silent
	}
	s.Used = s.Wanted
	return s.counting(now), ""
}

// dropped has an old password end after its grace period, unless a pod cannot do without. Redis or Sentinel of this pod must have taken the
// new one: the launcher forgets the old one, and could not reach a process that knows nothing else.
func (s State) dropped(nodes []Node, grace time.Duration, now time.Time) (State, string) {
	due := s.due(grace, now)
	if len(due) == 0 {
		return s, ""
	}
	if refusing := pods(nodes, func(n Node) bool { return n.Answered && (!n.Wanted || n.Unaware) }); refusing != "" {
		return s, "the earlier password stays until these pods have read the new one: " + refusing
	}
	if own := pods(nodes, func(n Node) bool { return n.Own && !n.Answered && !n.Down }); own != "" {
		return s, "the earlier password stays until this pod answers: " + own
	}
	s.Old = slices.DeleteFunc(slices.Clone(s.Old), func(o old) bool { return slices.Contains(due, o) })
	return s, ""
}

func count(nodes []Node, which func(Node) bool) (number int) {
	for _, n := range nodes {
		if which(n) {
			number++
		}
	}
	return number
}

// pods lists the pods of some nodes.
func pods(nodes []Node, which func(Node) bool) string {
	var names []string
	for _, n := range nodes {
		if which(n) {
			names = append(names, n.Pod)
		}
	}
	return strings.Join(names, ", ")
}

// withoutBefore says whether no password is one of the old ones.
func (s State) withoutBefore() bool {
	return slices.ContainsFunc(s.Old, func(o old) bool { return o.Sum == "" })
}

// accepted gives the rules of ACL SETUSER by which the default user gets its passwords.
func (s State) accepted() []string {
	if s.Wanted == "" || s.withoutBefore() {
		return []string{"nopass"}
	}
	rules := []string{"resetpass", "#" + sum(s.Wanted)}
	for _, o := range s.Old {
		rules = append(rules, "#"+o.Sum)
	}
	return rules
}

// candidates are the passwords that another node may accept, the likeliest first. Empty stands for none.
func (s State) candidates() []string {
	all := []string{s.Used, s.Wanted}
	for _, o := range s.Old {
		if o.Text != "" || o.Sum == "" {
			all = append(all, o.Text)
		}
	}
	var distinct []string
	for _, password := range all {
		if !slices.Contains(distinct, password) {
			distinct = append(distinct, password)
		}
	}
	return distinct
}

// tells gives what other pods and people may know of it: no password, and no sum of one.
func (s State) tells(grace time.Duration, waits string) *Told {
	t := &Told{Asked: s.Wanted != "" && !s.withoutBefore(), Aware: s.Wanted != "", Earlier: len(s.Old), InUse: s.Used == s.Wanted}
	for _, o := range s.Old {
		end := time.Time{}
		if !o.Since.IsZero() {
			end = o.ends(grace)
		}
		t.Ends = append(t.Ends, end)
		if end.After(t.Until) {
			t.Until = end
		}
	}
	if waits != "" {
		t.Pending = append(t.Pending, waits)
	}
	return t
}

// Told is what a launcher tells of its passwords.
type Told struct {
	// Asked says that Redis and Sentinel refuse clients without a password, and Aware that the launcher knows a password.
	Asked bool `json:"asked"`
	Aware bool `json:"aware"`
	// Earlier is how many passwords work beside the password in the Secret. No password counts as a password.
	Earlier int `json:"earlier"`
	// InUse says that replicas, sentinels and the launcher use the password in the Secret.
	InUse bool `json:"inUse"`
	// Until is when the last earlier password ends, unless a pod delays its end. It is zero until the pods use the new password, and without an earlier password.
	Until time.Time `json:"until,omitzero"`
	// Ends are when each earlier password ends, in the order in which Redis lists them. They are zero until the pods use the new password.
	Ends []time.Time `json:"ends,omitempty"`
	// Pending is what is in the way, each in a sentence.
	Pending []string `json:"pending,omitempty"`
}

func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly + " MST") }

// String never shows a password: a log line may hold a State.
func (s State) String() string {
	return fmt.Sprintf("in use: %t, earlier passwords: %d, new pod: %t", s.Used == s.Wanted, len(s.Old), s.New)
}
