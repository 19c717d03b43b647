package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Looks at a replica that has started from a saved copy. It writes no append-only file until it is told to.
var (
	sawLoadingSaved = Look{Loading: true, Unwritten: true, History: History{ID: "r", Before: "0", BeforeUpTo: -1}}
	sawSaved        = Look{Unwritten: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}, Offset: 9}
	sawGoingOn      = Look{LinkUp: true, Unwritten: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}, Offset: 12}
	sawWriting      = Look{LinkUp: true, Rewriting: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}, Offset: 15}
	sawWritten      = Look{LinkUp: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}, Offset: 15}
)

func TestWhatAReplicaHoldsThatHasStartedFromASavedCopy(t *testing.T) {
	for name, c := range map[string]struct {
		looks  []Look
		inSync bool
		copied bool
	}{
		"it loads the copy":                        {[]Look{sawLoadingSaved}, false, true},
		"it has loaded the copy, which may be old": {[]Look{sawLoadingSaved, sawSaved}, false, true},
		"it has gone on from there":                {[]Look{sawLoadingSaved, sawSaved, sawGoingOn}, true, true},
		"the same where no look saw the link": {
			[]Look{sawLoadingSaved, sawSaved, {Lost: true, Unwritten: true, History: sawSaved.History, Offset: 12}}, true, true,
		},
		"it rewrites its file":                      {[]Look{sawLoadingSaved, sawSaved, sawGoingOn, sawWriting}, true, true},
		"its data are in its file":                  {[]Look{sawLoadingSaved, sawSaved, sawGoingOn, sawWriting, sawWritten}, true, false},
		"it is promoted before that":                {[]Look{sawLoadingSaved, sawSaved, sawGoingOn, {Master: true, Unwritten: true}}, false, true},
		"it is a master that has never been linked": {[]Look{sawLoadingSaved, sawSaved, {Master: true, Unwritten: true}}, false, true},
		"its master needs to send a full copy":      {[]Look{sawLoadingSaved, sawSaved, {Syncing: true, Unwritten: true}}, false, true},
		"the master dies while it loads that copy": {
			[]Look{sawLoadingSaved, sawSaved, {Syncing: true, Loading: true, Unwritten: true}, {Unwritten: true, History: sawSaved.History, Offset: 20}}, true, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := Held{saved: true}
			for _, look := range c.looks {
				h = h.After(look)
			}
			require.Equal(t, c.inSync, h.InSync, "in sync")
			require.Equal(t, c.copied, h.Copied, "not in the file")
		})
	}
}

func TestReplicaInSyncSavesACopyWhereItsVolumeStays(t *testing.T) {
	replica := Local{Answering: true, LinkUp: true, Synced: true}
	const enough = saveReserve + 8*time.Second + 1
	for name, c := range map[string]struct {
		change func(o *Observation)
		last   time.Duration
		left   time.Duration
		saves  bool
	}{
		"a replica in sync":                                                        {func(*Observation) {}, 4 * time.Second, enough, true},
		"a replica whose last save took too long":                                  {func(*Observation) {}, 4 * time.Second, enough - 1, false},
		"a replica that has not written all its data yet":                          {func(*Observation) {}, -time.Second, enough, false},
		"a replica whose volume goes with its pod":                                 {func(o *Observation) { o.VolumesKept = false }, 0, enough, false},
		"a replica that does not answer":                                           {func(o *Observation) { o.Local.Answering = false }, 0, enough, false},
		"a master":                                                                 {func(o *Observation) { o.Local.Master = true }, 0, enough, false},
		"a replica without its master":                                             {func(o *Observation) { o.Local.LinkUp = false }, 0, enough, false},
		"a former master that waits for its copy":                                  {func(o *Observation) { o.Local.Synced = false }, 0, enough, false},
		"a replica whose copy is not in its file, by which the next pod is judged": {func(o *Observation) { o.Local.Copied = true }, 0, enough, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := Observation{VolumesKept: true, Local: replica}
			c.change(&o)
			m := Memory{last: Own{Look: Look{LastSave: c.last}}}
			require.Equal(t, c.saves, m.SavesCopy(o, c.left))
		})
	}
}

func TestMasterThatHasHandedOverSavesACopyWhereItsVolumeStays(t *testing.T) {
	master := Observation{VolumesKept: true, Local: Local{Answering: true, Master: true}}
	m := Memory{last: Own{Look: Look{LastSave: 4 * time.Second}}}
	const enough = saveReserve + 8*time.Second + 1
	require.True(t, m.SavesAfterHandOver(master, enough))
	require.False(t, m.SavesAfterHandOver(master, enough-1), "too little time")
	gone := master
	gone.VolumesKept = false
	require.False(t, m.SavesAfterHandOver(gone, enough))
	replica := master
	replica.Local.Master = false
	require.False(t, m.SavesAfterHandOver(replica, enough), "somebody else has replaced it")
}

func TestRedisIsToldToWriteItsFileWhenItHasLaterData(t *testing.T) {
	for name, c := range map[string]struct {
		persistence, answering, copied, unwritten, syncing, tells bool
	}{
		"a replica that has gone on from a saved copy": {true, true, true, true, false, true},
		"a replica that has loaded a saved copy":       {true, true, false, true, false, false},
		"a replica that receives a full copy":          {true, true, true, true, true, false},
		"a replica that writes its file":               {true, true, true, false, false, false},
		"a replica that does not answer":               {true, false, true, true, false, false},
		"a release without persistence":                {false, true, true, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := Memory{last: Own{Look: Look{Unwritten: c.unwritten, Syncing: c.syncing}}}
			require.Equal(t, c.tells, m.AppendsAgain(Observation{Persistence: c.persistence, Local: Local{Answering: c.answering, Copied: c.copied}}))
		})
	}
}
