package role

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// better is a replica that lives and holds more than the server that looks.
func better(p *Peer) { linkDown(p); p.Status.Standing = wasReplica(4, 9) }

// outdone is a server whose patience is used up while a better replica lives. The recorded master has ended.
func outdone(t *testing.T) *looker {
	l := newLooker(t, there)
	l.others(server("c", better))
	for range 2 * lostPatience / pace {
		require.Equal(t, Wait, l.look().Action)
	}
	require.Greater(t, l.look().Seen.Waiting, lostPatience)
	return l
}

// others has the recorded master, which has ended, and another server answer from now on.
func (l *looker) others(p Peer) { l.answers.Peers = []Peer{server("b", nothingListens), p} }

func TestBetterServerIsWaitedForFromTheMomentAtWhichItGoesMissing(t *testing.T) {
	l := outdone(t)
	l.others(server("c", nothingListens))
	for range electionPatience / pace {
		plan := l.look()
		require.Equal(t, "named-master-lost/lost-master-not-back/standings-missing", plan.Rule)
	}
	require.Equal(t, Claim, l.look().Action, "the wait has an end")
}

func TestBetterServerThatComesBackInTimeIsElected(t *testing.T) {
	l := outdone(t)
	l.others(server("c", nothingListens))
	l.at = l.at.Add(stoodStill - pace)
	l.look()
	l.others(server("c", isStopped, reports(wasReplica(4, 9))))
	for range 2 * electionPatience / pace {
		require.Equal(t, "named-master-lost/lost-master-not-back/most-advanced-data-elsewhere", l.look().Rule)
	}
}

// A server that tells of no better data is no reason to wait longer for the others.
func TestWorseServerDoesNotProlongThePatience(t *testing.T) {
	l := newLooker(t, there)
	for range lostPatience / pace {
		l.others(server("c", isStopped, reports(nothing)))
		require.Equal(t, Wait, l.look().Action)
	}
	l.others(server("c", nothingListens))
	l.look()
	require.Equal(t, Claim, l.look().Action)
}

func TestReplicaWaitsForABetterReplicaThatGoesMissing(t *testing.T) {
	l := newLooker(t, there).replica()
	l.facts.Own.LinkUp, l.answers.Views = false, []View{{Reach: Answered}}
	l.others(server("c", better))
	for range 2 * lostPatience / pace {
		require.Equal(t, Wait, l.look().Action)
	}
	l.others(server("c", nothingListens))
	require.Equal(t, "replica-elects/standings-missing", l.look().Rule)
}

// A launcher does not see which servers come before its pod while it stands still, or cannot ask.
func TestPatienceStandsStillInAShortBlindSpellAndBeginsAnewAfterALongOne(t *testing.T) {
	stands := func(l *looker, d time.Duration) { l.at = l.at.Add(d) }
	blindLooks := func(blind, sees func(l *looker)) func(*looker, time.Duration) {
		return func(l *looker, d time.Duration) {
			blind(l)
			for end := l.at.Add(d - pace); l.at.Before(end); {
				l.look()
			}
			sees(l)
		}
	}
	for name, spell := range map[string]func(l *looker, d time.Duration){
		"it stands still": stands,
		"it is cut off": blindLooks(
			func(l *looker) { l.answers.Views = []View{{Reach: Unknown}} }, func(l *looker) { l.answers.Views = []View{{Reach: Answered}} }),
		"it knows no pods": blindLooks(
			func(l *looker) { l.facts.PodsKnown = false }, func(l *looker) { l.facts.PodsKnown = true }),
	} {
		for blind, want := range map[time.Duration]time.Duration{
			2 * time.Second:      7 * time.Second,
			stoodStill + pace:    5 * time.Second,
			blindSpell - pace:    5 * time.Second,
			blindSpell + 2*pace:  0,
			2 * electionPatience: 0,
		} {
			t.Run(fmt.Sprintf("%s for %v", name, blind), func(t *testing.T) {
				l := newLooker(t, there)
				l.answers.Views = []View{{Reach: Answered}}
				l.others(server("c", nothingListens))
				for l.look(); l.memory.foremost.span(l.at) < 5*time.Second; {
					l.look()
				}
				spell(l, blind)
				l.look()
				require.InDelta(t, want.Seconds(), l.memory.foremost.span(l.at).Seconds(), 2*pace.Seconds())
			})
		}
	}
}

// The fenced master has given mastership away, whatever it holds.
func TestFencedMasterIsNotForemostWhileAReplicaLives(t *testing.T) {
	fencedMaster := together(fenced("a", 0), holds(wasMaster(4, 9)))
	foremost := func(edits ...edit) bool {
		return electionOf(observe(append(edits, fencedMaster)...), "").foremost()
	}
	require.False(t, foremost(peer("b", linkDown, reports(wasReplica(4, 1)))))
	require.True(t, foremost(peer("b", isStopped, reports(wasReplica(4, 1)))))
}
