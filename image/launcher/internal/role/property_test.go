package role

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// seed makes the cases of the property tests the same in every run: whoever changes something else
// is not to be stopped by a case that nobody has seen before. `make soak` plays new ones.
const seed = 97001

// times sets how many cases a property test has, and which, unless the command line or RAPID_CHECKS says so.
func times(t *testing.T, checks int) {
	for name, value := range map[string]int{"rapid.checks": checks, "rapid.seed": seed} {
		f := flag.Lookup(name)
		if before := f.Value.String(); before == f.DefValue && (name != "rapid.checks" || os.Getenv("RAPID_CHECKS") == "") {
			require.NoError(t, f.Value.Set(strconv.Itoa(value)))
			t.Cleanup(func() { _ = f.Value.Set(before) })
		}
	}
}

// many is for properties of one decision, which take microseconds.
const many = 3000

// always tries a property and makes sure that it was not tried on nothing:
// the property says whether a case was one it speaks of.
func always(t *testing.T, property func(t *rapid.T) (relevant bool)) {
	t.Helper()
	times(t, many)
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		if property(t) {
			cases++
		}
	})
	if cases == 0 {
		t.Error("no case was relevant")
	}
	t.Logf("%d relevant cases", cases)
}

// decided draws an observation and decides; the case is told when it fails.
func decided(t *rapid.T) (Observation, Decision) {
	o := anyObservation().Draw(t, "observation")
	d := Decide(o)
	t.Logf("decided: %v %v -> %v (desired label %d): %s", d.State, d.Action, d.Target, d.Label, d.Reason)
	return o, d
}

func TestLabelMasterIsWishedOnlyForAMasterWithARightToIt(t *testing.T) {
	always(t, func(t *rapid.T) bool {
		o, d := decided(t)
		if d.Label != MasterLabel {
			return false
		}
		agreed, ok := o.Agreed()
		named := ok && agreed == o.Self.IP
		successor := o.Fence != nil && o.Fence.UID == o.MasterUID && o.MasterUID != o.Self.UID && o.Fence.Age <= fencePatience
		recorded := o.MasterUID == o.Self.UID
		rival := o.peerAt(agreed)
		rivals := ok && !named && rival != nil && rival.Redis == Answered && rival.Master
		replacedIt := recorded && agreed == o.PreviousIP && o.Local.MasterFor <= promotionPatience
		switch {
		case !o.Local.Running || !o.Local.Answering || o.Local.Loading || !o.Local.Master:
			t.Fatal("its own Redis is not certainly a master")
		case named || successor || replacedIt:
		case !recorded:
			t.Fatal("neither the sentinels, nor a fence, nor the record speak for it")
		case rivals:
			t.Fatalf("the sentinels name %s, which is master", rival.Name)
		}
		return true
	})
}

func TestNoFailoverIsCalledOffButOneOfADeadServerOrOneThatSomebodyElseWasElectedOver(t *testing.T) {
	always(t, func(t *rapid.T) bool {
		o, d := decided(t)
		if d.Action != CallOff {
			return false
		}
		agreed, ok := o.Agreed()
		chosen := !o.Local.Running && slices.ContainsFunc(o.Views, func(v View) bool { return v.FailingOver && v.Chosen == o.Self.IP })
		own := !o.Local.Running && (d.Target == o.Self.IP || chosen)
		elected := o.Local.Master && o.Local.Claimed && o.MasterUID == o.Self.UID && d.Target != o.Self.IP
		if !ok || agreed != d.Target || !own && !elected {
			t.Fatalf("the failover of %v is called off", d.Target)
		}
		for _, p := range o.Peers {
			if p.IP == d.Target && (p.Redis == Unknown && !chosen || p.Redis == Answered && p.Master) {
				t.Fatalf("%s may be master", p.Name)
			}
		}
		return true
	})
}

func TestNothingIsFollowedButAVerifiedMasterOfAnotherPod(t *testing.T) {
	always(t, func(t *rapid.T) bool {
		o, d := decided(t)
		if d.Action != StartReplica && d.Action != Follow {
			if d.Target.IsValid() && d.Action != CallOff && d.Action != Nudge {
				t.Fatalf("%v has a target", d.Action)
			}
			return false
		}
		p := o.peerAt(d.Target)
		switch {
		case d.Target == o.Self.IP:
			t.Fatal("it follows itself")
		case p == nil || (p.Redis != Answered || !p.Master) && !givesWayForGood(o, d):
			t.Fatalf("%v has not said it is master", d.Target)
		}
		return true
	})
}

// givesWayForGood says whether a master that has certainly been replaced follows the server with
// the latest data, also where that server does not say that it is master.
func givesWayForGood(o Observation, d Decision) bool {
	agreed, ok := o.Agreed()
	p := o.latest(agreed)
	return ok && d.Action == Follow && o.Local.Master && (o.MasterUID != o.Self.UID && o.replacedForGood() || o.MasterUID == o.Self.UID && o.Standing.Disputed(o.Peers)) && p != nil && p.IP == d.Target
}

func TestNobodyClaimsMastershipBesideAMasterOrBetterData(t *testing.T) {
	always(t, func(t *rapid.T) bool {
		o, d := decided(t)
		if d.Action != Claim {
			return false
		}
		agreed, ok := o.Agreed()
		masters := o.masters()
		pastOnly := len(masters) == 1 && ok && agreed == o.Self.IP && o.surpassed(masters[0])
		// Several masters that nobody has a record of, or one of the past: the best data decide.
		if len(masters) > 0 && !pastOnly && !(o.onlyStrangers() && o.sentinelsKnowNothing()) {
			t.Fatalf("%s is master", masters[0].Name)
		}
		if !o.RecordKnown || !o.PodsKnown || o.Self.Terminating {
			t.Fatal("it cannot know, or will not stay")
		}
		own := candidate{Member: o.Self, Standing: o.Standing}
		for _, p := range o.Peers {
			if p.Status != nil && !p.Terminating && !o.givesWay(p) && !o.stoodFor(p) && !o.succeeded(p.History) && !p.unnoticed() && compare(candidate{Member: p.Member, Standing: p.Status.Standing}, own) > 0 {
				t.Fatalf("%s has told that it holds more", p.Name)
			}
		}
		return true
	})
}

func TestNoServerWithoutDataBecomesMasterWhileAnotherTellsOfData(t *testing.T) {
	always(t, func(t *rapid.T) bool {
		o, d := decided(t)
		if d.Action != Claim {
			return false
		}
		for _, p := range o.Peers {
			if o.Standing.Empty && !o.Local.Synced && !o.stoodFor(p) && p.Status != nil && !p.Terminating && !p.Status.Standing.Empty {
				t.Fatalf("%s holds data, this pod does not", p.Name)
			}
		}
		return true
	})
}

func TestNoServerThatCannotReadWhatItsDataAreBecomesMasterWhileAnotherKnows(t *testing.T) {
	always(t, func(t *rapid.T) bool {
		o, d := decided(t)
		if d.Action != Claim || !o.Standing.Unreadable {
			return false
		}
		for _, p := range o.Peers {
			if p.Status == nil || p.Terminating || o.stoodFor(p) || o.givesWay(p) {
				continue
			}
			if s := p.Status.Standing; !s.Empty && !s.Broken && !s.Unreadable {
				t.Fatalf("%s knows what its data are, this pod does not", p.Name)
			}
		}
		return true
	})
}

func TestUnreachableMasterIsNotReplacedBeforeThePatience(t *testing.T) {
	always(t, func(t *rapid.T) bool {
		o, d := decided(t)
		agreed, ok := o.Agreed()
		p := o.peerAt(agreed)
		if !ok || p == nil || p.Redis != Unknown {
			return false
		}
		if d.Action == Claim && o.searching() <= lostPatience {
			t.Fatalf("%s, which the sentinels name, merely did not answer for %v", p.Name, o.searching())
		}
		return true
	})
}

func TestFailoverIsCommandedOnlyForOnesOwnDeadRedis(t *testing.T) {
	always(t, func(t *rapid.T) bool {
		o, d := decided(t)
		if d.Action != FailOver {
			return false
		}
		if agreed, ok := o.Agreed(); !ok || agreed != o.Self.IP || o.Local.Running || len(o.liveReplicas()) == 0 {
			t.Fatal("a failover was commanded for another than this pod's own dead master")
		}
		return true
	})
}

func TestOrderOfCandidatesIsTotal(t *testing.T) {
	anyCandidate := rapid.Custom(func(t *rapid.T) candidate {
		pod := rapid.SampledFrom(letters).Draw(t, "pod")
		return candidate{Member: anyMember(pod).Draw(t, "member"), Standing: anyStanding().Draw(t, "standing")}
	})
	sign := func(n int) int { return max(-1, min(n, 1)) }
	times(t, many)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyCandidate.Draw(t, "a"), anyCandidate.Draw(t, "b"), anyCandidate.Draw(t, "c")
		if sign(compare(a, b)) != -sign(compare(b, a)) {
			t.Fatal("a and b are not compared the same way round")
		}
		if compare(a, b) == 0 && (a.Name != b.Name || !a.Created.Equal(b.Created)) {
			t.Fatal("two pods tie")
		}
		if compare(a, b) <= 0 && compare(b, c) <= 0 && compare(a, c) > 0 {
			t.Fatal("a ≤ b ≤ c, but a > c")
		}
	})
}

// electorate draws servers that see each other and no master, each with data of
// its own, stopped or as a replica that has lost its master.
func electorate(t *rapid.T) []Observation {
	pods := rapid.SampledFrom([][]string{letters[:1], letters[:2], letters[:3], letters[:5]}).Draw(t, "pods")
	initialised := rapid.Bool().Draw(t, "initialised")
	sentinelWords := rapid.SampledFrom([]string{"", "none none none", "refused none refused", "silent none none"}).Draw(t, "sentinels")
	var all []Observation
	for _, pod := range pods {
		o := observe(sentinels(sentinelWords), servers(len(pods)), holds(anyStanding().Draw(t, pod)))
		o.Self = anyMember(pod).Draw(t, "member")
		o.Initialised, o.MasterUID = initialised, uid("f")
		if rapid.Bool().Draw(t, pod+" runs") && !o.Standing.Empty {
			lostLink("f", time.Minute)(&o)
			o.Local.Offset = o.Standing.Offset
		}
		all = append(all, o)
	}
	for i := range all {
		for j, other := range all {
			if i == j {
				continue
			}
			p := Peer{Member: other.Self, Redis: Refused, Status: &Status{UID: other.Self.UID, Standing: other.Standing}}
			if other.Local.Running {
				p.Redis, p.Status.Synced, p.Offset = Answered, true, other.Local.Offset
			}
			all[i].Peers = append(all[i].Peers, p)
		}
	}
	return all
}

func TestExactlyOneOfTheServersThatSeeEachOtherClaimsMastership(t *testing.T) {
	times(t, many)
	rapid.Check(t, func(t *rapid.T) {
		all := electorate(t)
		var claimed []string
		best := slices.MaxFunc(all, func(a, b Observation) int {
			return compare(candidate{a.Self, a.Standing}, candidate{b.Self, b.Standing})
		})
		for _, o := range all {
			d := Decide(o)
			t.Logf("%s: %v, %s", o.Self.Name, d.Action, d.Reason)
			if d.Action == Claim {
				claimed = append(claimed, o.Self.Name)
			}
		}
		if fmt.Sprint(claimed) != fmt.Sprint([]string{best.Self.Name}) {
			t.Fatalf("claimed: %v; the most advanced data are at %s", claimed, best.Self.Name)
		}
	})
}

func TestReleaseThatAgreesIsLeftAlone(t *testing.T) {
	times(t, many)
	rapid.Check(t, func(t *rapid.T) {
		o := anyObservation().Draw(t, "observation")
		master := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "master")
		o.Local, o.Peers = Local{Running: true, Answering: true, Synced: true, Offset: 5}, nil
		for _, pod := range letters[1:4] {
			p := server(pod, isReplica)
			if pod == master {
				p = server(pod, isMaster)
			}
			o.Peers = append(o.Peers, p)
		}
		want := Decision{State: Serving, Label: SlaveLabel, Reason: "replica of 10.0.0.2"}
		if master == "a" {
			o.Local.Master, o.Local.MasterFor = true, anySpan().Draw(t, "master for")
			want = Decision{State: Serving, Label: MasterLabel, Reason: "the sentinels name this pod"}
		} else {
			o.Local.LinkUp, o.Local.Follows = true, address(master)
		}
		o.MasterDown, o.Sentinels = 0, 3
		o.Views = views(master + " " + master + " " + rapid.SampledFrom([]string{master, "none", "silent", "f"}).Draw(t, "third"))
		if got := unruled(Decide(o)); got != want {
			t.Fatalf("decided %+v", got)
		}
	})
}

func TestSentinelThatAgreesIsLeftAlone(t *testing.T) {
	times(t, many)
	rapid.Check(t, func(t *rapid.T) {
		own := rapid.SampledFrom([]string{"b", "c"}).Draw(t, "master")
		o := watch(own, own+" "+own, with("b", isReplica), with("c", isReplica), recordNames("b"), fileNames("c"))
		o.Turn, o.First = rapid.Bool().Draw(t, "turn"), rapid.Bool().Draw(t, "first")
		for i := range o.Servers {
			if o.Servers[i].IP == address(own) {
				isMaster(&o.Servers[i])
				hasLabel(&o.Servers[i])
			}
		}
		if d := DecideSentinel(o); d.Action != SentinelWait || len(d.Clear) > 0 || !d.Ready {
			t.Fatalf("decided %+v", d)
		}
	})
}
