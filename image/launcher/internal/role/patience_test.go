package role

import (
	"testing"

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

// A launcher does not know which servers came before its pod while it stood still or could not ask.
func TestPatienceWithMissingServersBeginsAnewAfterABlindSpell(t *testing.T) {
	cutOff := []View{{Reach: Unknown}}
	for name, blind := range map[string]func(l *looker){
		"it stood still":  func(l *looker) { l.at = l.at.Add(stoodStill) },
		"it was cut off":  func(l *looker) { l.answers.Views = cutOff },
		"it knew no pods": func(l *looker) { l.facts.PodsKnown = false },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLooker(t, there)
			l.others(server("c", nothingListens))
			for range electionPatience / pace {
				l.look()
			}
			require.GreaterOrEqual(t, l.memory.foremost.span(l.at), electionPatience-pace)
			blind(l)
			l.look()
			require.Zero(t, l.memory.foremost.span(l.at))
		})
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
