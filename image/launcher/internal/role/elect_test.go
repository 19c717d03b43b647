package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestElectionPrefersTheMostAdvancedData(t *testing.T) {
	full := wasReplica(2, 100)
	at := func(pod string, s Standing) candidate { return candidate{Member: member(pod), Standing: s} }
	named := func(pod, name string) candidate {
		c := at(pod, full)
		c.Created, c.Name = epoch, name
		return c
	}
	for name, c := range map[string]struct{ better, worse candidate }{
		"any data before none":                          {at("b", wasReplica(0, 0)), at("a", nothing)},
		"any data before data that cannot be loaded":    {at("b", wasReplica(1, 1)), at("a", broken(wasMaster(2, 9)))},
		"data that cannot be loaded before none":        {at("b", broken(wasReplica(0, 0))), at("a", nothing)},
		"known data before what cannot be read":         {at("b", wasReplica(0, 0)), at("a", unreadable(wasMaster(2, 9)))},
		"what cannot be read before broken data":        {at("b", unreadable(wasReplica(0, 0))), at("a", broken(wasMaster(2, 9)))},
		"what cannot be read before none":               {at("b", unreadable(wasReplica(0, 0))), at("a", nothing)},
		"a later generation before a higher offset":     {at("b", wasReplica(3, 1)), at("a", wasMaster(2, 900))},
		"a later epoch of a generation before a master": {at("b", Standing{Generation: 2, Epoch: 1, Offset: 1}), at("a", wasMaster(2, 900))},
		"the master of a generation before replicas":    {at("b", wasMaster(2, 1)), at("a", wasReplica(2, 900))},
		"the higher offset":                             {at("b", wasReplica(2, 101)), at("a", full)},
		"the older pod on a tie":                        {at("a", full), at("b", full)},
		"the older of two pods without data":            {at("a", nothing), at("b", Standing{Empty: true, Generation: 9, Offset: 9})},
		"the lower name of two pods of one age":         {named("b", "x-1"), named("a", "x-2")},
	} {
		t.Run(name, func(t *testing.T) {
			require.Positive(t, compare(c.better, c.worse))
			require.Negative(t, compare(c.worse, c.better))
			require.Zero(t, compare(c.better, c.better))
		})
	}
}

// A release begins with a backup once: before its first master, and if nobody has data.
func TestBackupIsRestoredBeforeTheFirstMasterOnly(t *testing.T) {
	restores := func(o *Observation) { o.RestoreFrom = "latest" }
	running := func(o *Observation) { o.Local.Running, o.Local.Answering, o.Local.Master = true, true, true }
	fetching := discovering("nobody knows a master; this pod fetches the backup latest before it becomes master")
	fetching.Action = Restore
	check(t, []claim{
		{"a new release", observe(wholeRelease, restores), fetching},
		{"not before every server has told what data it holds", observe(restores, func(o *Observation) { o.Foremost, o.Waiting = 0, 0 }),
			discovering("nobody knows a master; waiting up to 15s for 2 more server(s) to tell what data they hold")},
		{"not by another server than the one that would be elected", observe(restores, peer("b", isStopped, reports(nothing), func(p *Peer) { p.Created = epoch.Add(-time.Hour) }), peer("c", isStopped, reports(nothing))),
			discovering("nobody knows a master; server-b holds the most advanced data")},
		{"not over data of this pod", observe(wholeRelease, restores, holds(wasReplica(0, 0))), claiming("nobody knows a master")},
		{"not over data of another server", observe(restores, peer("b", isStopped, reports(wasReplica(0, 0))), peer("c", isStopped, reports(nothing))),
			discovering("nobody knows a master; server-b holds the most advanced data")},
		{"not where a master has served before", observe(wholeRelease, restores, recorded("a")), claiming("nobody knows a master")},
		{"not without a backup in the values", observe(wholeRelease), claiming("nobody knows a master")},
	})
	require.NotEqual(t, Restore, elect(observe(wholeRelease, restores, running), "nobody knows a master").Action, "a Redis that runs has begun already")
}

func TestServerIsElectedOnlyWithEveryDoubtRuledOut(t *testing.T) {
	why := "nobody knows a master; "
	data := holds(wasReplica(2, 100))
	doubt := func(reason string) Decision { return discovering(why + reason) }
	check(t, []claim{
		{"not while the record cannot be read", observe(wholeRelease, recordUnknown),
			doubt("the pods or the record of the master cannot be read")},
		{"not while it is terminating", observe(wholeRelease, func(o *Observation) { o.Self.Terminating = true }),
			doubt("this pod is terminating")},
		{"not while another one has been chosen",
			observe(data, recorded("b"), peer("b", isStopped, claims, reports(nothing)), peer("c", isStopped, reports(nothing))),
			doubt("server-b has been chosen and is starting")},
		{"but where the chosen one is not recorded any more",
			observe(data, recorded("c"), peer("b", isStopped, claims, reports(nothing)), peer("c", isStopped, reports(nothing))),
			claiming("nobody knows a master")},
		{"not while the recorded master is ready and merely not to be reached",
			observe(data, recorded("b"), peer("b", isGone, isReady), peer("c", isStopped, reports(nothing)), waiting(time.Hour)),
			doubt("the recorded master server-b cannot be reached from here, but the API finds it ready")},
		{"not while a recorded master that it does not reach may have claimed mastership a moment ago",
			observe(data, recorded("b"), peer("b", isGone), peer("c", isStopped, reports(nothing)), waiting(time.Hour), generationFor(claimPatience-1)),
			doubt("the recorded master server-b cannot be reached from here, and may have claimed mastership a moment ago")},
		{"but where it claimed it longer ago",
			observe(data, recorded("b"), peer("b", isGone), peer("c", isStopped, reports(nothing)), waiting(time.Hour), generationFor(claimPatience)),
			claiming("nobody knows a master")},
		{"not before another server", observe(peer("b", isStopped, reports(wasReplica(1, 1))), peer("c", isStopped, reports(nothing))),
			doubt("server-b holds the most advanced data")},
		{"not where a replica of this pod was promoted",
			observe(data, recorded("a"), local(func(l *Local) { l.History = History{ID: "m"} }),
				peer("b", linkDown, reports(wasReplica(2, 90)), history("n", "m")), peer("c", isStopped, reports(nothing))),
			doubt("a replica of this pod was promoted, and its data go on from there")},
		{"but over a master whose replica of before this pod goes on from",
			observe(data, local(func(l *Local) { l.History = History{ID: "n", Before: "m"} }),
				peer("b", linkDown, reports(wasMaster(2, 900)), history("m", "")), peer("c", isStopped, reports(nothing))),
			claiming("nobody knows a master")},
		{"not before a launcher has noticed what its replica has received",
			observe(holds(nothing), peer("b", linkDown, reports(nothing)), peer("c", isStopped, reports(nothing))),
			doubt("waiting up to 15s for 1 more server(s) to tell what data they hold")},
		{"not while a server has not told what it holds",
			observe(data, peer("b", isDead), peer("c", isStopped, reports(nothing)), waiting(electionPatience-1)),
			doubt("waiting up to 15s for 1 more server(s) to tell what data they hold")},
		{"but where it never does",
			observe(data, peer("b", isDead), peer("c", isStopped, reports(nothing)), waiting(electionPatience)),
			claiming("nobody knows a master")},
		{"not while a configured server does not exist yet", observe(data, waiting(electionPatience-1)),
			doubt("waiting up to 15s for 2 more server(s) to tell what data they hold")},
		{"but where it never does exist", observe(data, waiting(electionPatience)), claiming("nobody knows a master")},
		{"without waiting for servers that have never been started", observe(peer("b", neverRan), peer("c", neverRan)),
			claiming("nobody knows a master")},
		{"but waiting for them where there has been a master", observe(recorded("b"), peer("c", neverRan)),
			doubt("waiting up to 15s for 2 more server(s) to tell what data they hold")},
		{"and waiting for one that has been started", observe(peer("b", neverRan), peer("c", isGone)),
			doubt("waiting up to 15s for 1 more server(s) to tell what data they hold")},
		{"not empty while the data of an earlier master may still come",
			observe(recorded("b"), peer("b", isGone), peer("c", isStopped, reports(nothing)), waiting(volumePatience-1)),
			doubt("waiting up to 10m0s for 1 more server(s) to tell what data they hold")},
		{"but empty where they never come",
			observe(recorded("b"), peer("b", isGone), peer("c", isStopped, reports(nothing)), waiting(volumePatience)),
			claiming("nobody knows a master")},
		{"nor without persistence, where they may still be in memory",
			observe(recorded("b"), inMemory, peer("b", isGone), peer("c", isStopped, reports(nothing)), waiting(memoryPatience-1)),
			doubt("waiting up to 2m0s for 1 more server(s) to tell what data they hold")},
		{"but not for long", observe(recorded("b"), inMemory, peer("b", isGone), peer("c", isStopped, reports(nothing)), waiting(memoryPatience)),
			claiming("nobody knows a master")},
		{"nor for the data of a pod that is gone with its volume",
			observe(recorded("b"), peer("c", isStopped, reports(nothing)), waiting(electionPatience-1)),
			doubt("waiting up to 15s for 1 more server(s) to tell what data they hold")},
		{"nor for those of one that has never run",
			observe(recorded("b"), peer("b", neverRan), peer("c", isStopped, reports(nothing)), waiting(electionPatience)),
			claiming("nobody knows a master")},
		{"but for those on the volume of a server that does not exist, where volumes are kept",
			observe(recorded("b"), volumesKept, peer("c", isStopped, reports(nothing)), waiting(volumePatience-1)),
			doubt("waiting up to 10m0s for 1 more server(s) to tell what data they hold")},
		{"and in a release that was installed again on kept volumes",
			observe(volumesKept, peer("b", isStopped, reports(nothing)), peer("c", isDead), waiting(volumePatience-1)),
			doubt("waiting up to 10m0s for 1 more server(s) to tell what data they hold")},
		{"but with data of its own no longer than otherwise",
			observe(data, volumesKept, peer("b", isStopped, reports(nothing)), peer("c", isDead), waiting(electionPatience)),
			claiming("nobody knows a master")},
		{"not with an old volume where those of most servers have not come back, although no master has replaced the recorded one since",
			observe(recorded("b"), generation(3), volumesKept, holds(wasReplica(3, 5)), peer("b", isDead), peer("c", isDead), waiting(volumePatience-1)),
			doubt("waiting up to 10m0s for 2 more server(s) to tell what data they hold")},
		{"nor in a release that was installed again",
			observe(data, volumesKept, peer("b", isDead), waiting(volumePatience-1)),
			doubt("waiting up to 10m0s for 2 more server(s) to tell what data they hold")},
		{"nor by a majority of the configured servers where others have scaled the release up",
			observe(data, volumesKept, peer("b", isStopped, reports(nothing)), peer("c", isDead), peer("d", isDead), waiting(volumePatience-1)),
			doubt("waiting up to 10m0s for 2 more server(s) to tell what data they hold")},
		{"but without counting servers that are terminating",
			observe(data, volumesKept, peer("b", isStopped, reports(nothing)), peer("c", isDead), peer("d", isDead, isTerminating), waiting(electionPatience)),
			claiming("nobody knows a master")},
		{"but where they never come back",
			observe(recorded("b"), generation(3), volumesKept, holds(wasReplica(3, 5)), peer("b", isDead), peer("c", isDead), waiting(volumePatience)),
			claiming("nobody knows a master")},
		{"not with data of an earlier generation than the recorded one while a kept volume may have later data",
			observe(recorded("b"), generation(4), volumesKept, holds(wasReplica(3, 5)), peer("b", isDead), peer("c", isStopped, reports(nothing)), waiting(volumePatience-1)),
			doubt("waiting up to 10m0s for 1 more server(s) to tell what data they hold")},
		{"nor with those of the recorded generation at once, while only the recorded master may have written what it had no replica for",
			observe(recorded("b"), generation(3), volumesKept, holds(wasReplica(3, 5)), peer("c", isStopped, reports(nothing)), waiting(recordedPatience-1)),
			doubt("waiting up to 1m0s for 1 more server(s) to tell what data they hold")},
		{"but where the recorded master has told that it has less",
			observe(recorded("b"), generation(3), volumesKept, holds(wasReplica(3, 5)), peer("b", isStopped, reports(nothing)), waiting(electionPatience)),
			claiming("nobody knows a master")},
		{"but without waiting for anybody with the recorded master's own data on a kept volume",
			observe(recorded("a"), generation(3), volumesKept, holds(wasMaster(3, 5)), peer("b", isDead)), claiming("nobody knows a master")},
		{"and at once in a new release whose servers have all told that they are empty",
			observe(volumesKept, peer("b", isStopped, reports(nothing)), peer("c", isStopped, reports(nothing))),
			claiming("nobody knows a master")},
		{"but empty at once where all servers are empty",
			observe(recorded("b"), peer("b", isStopped, reports(nothing)), peer("c", isStopped, reports(nothing))),
			claiming("nobody knows a master")},
		{"without waiting for a server that is terminating, nor for its data",
			observe(servers(1), peer("b", isStopped, isTerminating, reports(wasMaster(9, 9)))),
			claiming("nobody knows a master")},
		{"without waiting for data that cannot be better than the recorded master's own",
			observe(recorded("a"), generation(3), holds(wasMaster(3, 5)), peer("b", isDead)), claiming("nobody knows a master")},
		{"but waiting for it where nobody can read what they are",
			observe(recorded("a"), generation(3), holds(unreadable(wasMaster(3, 5))), peer("b", isDead)),
			doubt("waiting up to 15s for 2 more server(s) to tell what data they hold")},
		{"but waiting for it where it has handed over",
			observe(fenced("a", time.Hour), generation(3), holds(wasMaster(3, 5)), peer("b", isDead)),
			doubt("waiting up to 15s for 2 more server(s) to tell what data they hold")},
		{"but waiting for it where its data are of an earlier time",
			observe(recorded("a"), generation(4), holds(wasMaster(3, 5)), peer("b", isDead)),
			doubt("waiting up to 15s for 2 more server(s) to tell what data they hold")},
		{"not while it is fenced and a replica lives",
			observe(fenced("a", time.Hour), generation(3), holds(wasMaster(3, 5)), peer("b", linkDown, reports(wasReplica(3, 1)))),
			doubt("this pod is fenced, and server-b holds the data")},
		{"with a fourth server that is there while the pods are replaced, only when it has told, too",
			observe(data, wholeRelease, peer("d", isDead)),
			doubt("waiting up to 15s for 1 more server(s) to tell what data they hold")},
	})
}

func TestReplicaSucceedsAMasterThatDoesNotRunWithoutWaitingForIt(t *testing.T) {
	lost := together(lostLink("b", 4*time.Second), generation(3), holds(wasReplica(3, 100)), recorded("b"), peer("c", linkDown, reports(wasReplica(3, 9))))
	check(t, []claim{
		{"its pod is dead", observe(lost, peer("b", isDead)), Decision{State: Uncertain, Label: SlaveLabel, Action: Claim,
			Reason: "the master is gone and the sentinels know nothing; this pod holds the most advanced data"}},
		{"it is fenced, whatever it holds", observe(lost, fenced("b", time.Hour), peer("b", isStopped, reports(wasMaster(3, 900)))),
			Decision{State: Uncertain, Label: SlaveLabel, Action: Claim,
				Reason: "the master is gone and the sentinels know nothing; this pod holds the most advanced data"}},
		{"but it waits for one that merely does not answer", observe(lost, peer("b", isGone)), replica(Uncertain,
			"the master is gone and the sentinels know nothing; waiting up to 15s for 1 more server(s) to tell what data they hold")},
		{"and with data of an earlier time", observe(lost, generation(4), peer("b", isDead)), replica(Uncertain,
			"the master is gone and the sentinels know nothing; waiting up to 15s for 1 more server(s) to tell what data they hold")},
	})
}

func TestPatienceOfARunningServerCountsFromTheLossOfItsMaster(t *testing.T) {
	given := func(down time.Duration) Observation {
		return observe(lostLink("b", down), holds(wasReplica(1, 100)), recorded("b"), peer("c", isDead), waiting(time.Hour))
	}
	require.Equal(t, Wait, Decide(given(electionPatience-1)).Action)
	require.Equal(t, Claim, Decide(given(electionPatience)).Action)
}

func TestStandingIsDisputedByLaterDataOnly(t *testing.T) {
	tells := func(s Standing) []Peer { return []Peer{{Status: &Status{Standing: s}}} }
	own := wasMaster(2, 100)
	require.True(t, own.Disputed(tells(Standing{Generation: 2, Epoch: 3})))
	require.True(t, own.Disputed(tells(wasReplica(3, 1))))
	require.False(t, own.Disputed(tells(wasReplica(2, 900))))
	require.False(t, own.Disputed(tells(Standing{Empty: true, Generation: 9})))
	require.False(t, own.Disputed([]Peer{{}}), "nobody has told anything")
}
