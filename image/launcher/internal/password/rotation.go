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
	Sum  string `json:"sum,omitempty"`  // SHA-256, in hexadecimal digits
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
	// Old are the passwords that work beside Wanted.
	Old []old `json:"old,omitempty"`
	// Read is when Wanted was read, and Since is from when on Used is Wanted.
	Read  time.Time `json:"read"`
	Since time.Time `json:"since"`
	// Until is when the old ones end at the latest. Zero: Since and the grace period tell. Another pod has told it to a pod that started later.
	Until time.Time `json:"until,omitzero"`
	// New says that this pod has not learned yet which passwords the others accept.
	New bool `json:"new,omitempty"`
	// Alone says that a New pod may start nevertheless: nobody has answered in time, or nobody accepts its password. It goes on asking.
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
	// Unaware: it asks for no password, and its launcher knows of none.
	Unaware bool
	// Accepts is what its default user accepts, and Until what its launcher tells of the end of that. Only a new pod asks.
	Accepts []old
	Until   time.Time
}

// begun is the state of a pod that has just started.
func begun(wanted string, now time.Time) State {
	return State{Wanted: wanted, Used: wanted, Read: now, Since: now, New: true}
}

// past gives the state with times that have been. A clock that was ahead, and has been set since, would prolong every step.
func (s State) past(now time.Time) State {
	for _, at := range []*time.Time{&s.Read, &s.Since} {
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
	s.Wanted, s.Read, s.Until = wanted, now, time.Time{}
	if s.Used == wanted {
		s.Since = now
	}
	return s
}

// asks says whether the next step depends on what the others accept.
func (s State) asks(grace time.Duration, now time.Time) bool {
	return s.New || s.Used != s.Wanted || len(s.Old) > 0 && !now.Before(s.ends(grace))
}

// ends is when the old passwords end.
func (s State) ends(grace time.Duration) time.Time {
	end := s.Since.Add(grace)
	if !s.Until.IsZero() && s.Until.Before(end) {
		return s.Until
	}
	return end
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

// learned has a new pod accept what the others accept, once all that answer accept what the new pod has. A pod that nobody has told anything in
// time starts all the same, and learns later: clients and the others may need an earlier password.
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
	switch accepting := slices.ContainsFunc(nodes, func(n Node) bool { return n.Answered && n.Wanted }); {
	case accepting:
	case refusing != "":
		s.Alone = true
		return s, "this pod has started, and nobody accepts the password that is in its Secret: " + refusing
	case silent != "":
		s.Alone = true
		return s, "this pod has started, and nobody has said which passwords the others accept: " + silent
	}
	s.New, s.Alone = false, false
	if s.Used == s.Wanted {
		s.Since = now
	}
	for _, n := range nodes {
		for _, o := range n.Accepts {
			if o.Sum != sum(s.Wanted) && !slices.ContainsFunc(s.Old, func(known old) bool { return known.Sum == o.Sum }) {
				s.Old = append(s.Old, o)
			}
		}
		if n.Until.After(s.Until) {
			s.Until = n.Until
		}
	}
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
	s.Used, s.Since = s.Wanted, now
	return s, ""
}

// dropped has the old passwords end after the grace period, unless a pod cannot do without. Redis or Sentinel of this pod must have taken the
// new one: the launcher forgets the old ones, and could not reach a process that knows nothing else.
func (s State) dropped(nodes []Node, grace time.Duration, now time.Time) (State, string) {
	if now.Before(s.ends(grace)) {
		return s, ""
	}
	if refusing := pods(nodes, func(n Node) bool { return n.Answered && (!n.Wanted || n.Unaware) }); refusing != "" {
		return s, "the earlier password stays until these pods have read the new one: " + refusing
	}
	if own := pods(nodes, func(n Node) bool { return n.Own && !n.Answered && !n.Down }); own != "" {
		return s, "the earlier password stays until this pod answers: " + own
	}
	s.Old, s.Until = nil, time.Time{}
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

// accepted gives the rules of ACL SETUSER by which the default user gets its passwords.
func (s State) accepted() []string {
	if s.Wanted == "" || slices.Contains(s.Old, old{}) {
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
	t := &Told{Asked: s.Wanted != "" && !slices.Contains(s.Old, old{}), Aware: s.Wanted != "", Earlier: len(s.Old), InUse: s.Used == s.Wanted}
	if len(s.Old) > 0 && t.InUse {
		t.Until = s.ends(grace)
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
	// Earlier is how many passwords, no password counted as one, work beside the one in the Secret.
	Earlier int `json:"earlier"`
	// InUse says that replicas, sentinels and the launcher use the password in the Secret.
	InUse bool `json:"inUse"`
	// Until is when the earlier ones end, if nothing is in the way; zero before the new one is in use, and where there are none.
	Until time.Time `json:"until,omitzero"`
	// Pending is what is in the way, each in a sentence.
	Pending []string `json:"pending,omitempty"`
}

func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly + " MST") }

// String never shows a password: a log line may hold a State.
func (s State) String() string {
	return fmt.Sprintf("in use: %t, earlier passwords: %d, new pod: %t", s.Used == s.Wanted, len(s.Old), s.New)
}
