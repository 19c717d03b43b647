package role

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Looks at a Redis process, as INFO tells of it.
var (
	sawMaster      = Look{Master: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}}
	sawStarting    = Look{History: History{ID: "r", Before: "0", BeforeUpTo: -1}}
	sawLoadingFile = Look{Loading: true, History: History{ID: "r", Before: "0", BeforeUpTo: -1}}
	sawReceiving   = Look{Syncing: true, History: History{ID: "r", Before: "0", BeforeUpTo: -1}}
	sawLoadingCopy = Look{Syncing: true, Loading: true, History: History{ID: "r", Before: "0", BeforeUpTo: -1}}
	sawCopied      = Look{LinkUp: true, Rewriting: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}}
	sawLinked      = Look{LinkUp: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}}
	sawUnlinked    = Look{Lost: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}}
	sawLost        = Look{Lost: true, Rewriting: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}}
	sawResyncing   = Look{Lost: true, Syncing: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}}
	sawReloading   = Look{Lost: true, Syncing: true, Loading: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}}
	sawUnwritten   = Look{Lost: true, Unwritten: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}}
	sawFailed      = Look{LinkUp: true, Failed: true, History: History{ID: "m", Before: "0", BeforeUpTo: -1}}
	// sawOwnOffset: it has lost its master, and tells an offset.
	sawOwnOffset = Look{History: History{ID: "m", Before: "0", BeforeUpTo: -1}, Offset: 9}
	// sawResumed: it follows a promoted replica of its former master, by partial resynchronisation.
	sawResumed = Look{LinkUp: true, Rewriting: true, History: History{ID: "n", Before: "m", BeforeUpTo: 7}}
)

func TestWhatAProcessHoldsFollowsFromTheLooksAtIt(t *testing.T) {
	for name, c := range map[string]struct {
		looks  []Look
		inSync bool
		copied bool
	}{
		"a process that has just started":                       {nil, false, false},
		"a replica that loads its own file":                     {[]Look{sawLoadingFile}, false, true},
		"a replica that waits for its first copy":               {[]Look{sawStarting}, false, false},
		"a replica that receives its first copy":                {[]Look{sawStarting, sawReceiving}, false, true},
		"a replica that loads its first copy":                   {[]Look{sawStarting, sawReceiving, sawLoadingCopy}, false, true},
		"a replica whose copy is not in its file yet":           {[]Look{sawStarting, sawReceiving, sawCopied}, true, true},
		"the same where no look saw the copy":                   {[]Look{sawStarting, sawCopied}, true, true},
		"a replica whose second copy did not come":              {[]Look{sawStarting, sawReceiving, sawCopied, sawResyncing, sawUnlinked}, false, false},
		"the same while its first rewrite runs":                 {[]Look{sawStarting, sawReceiving, sawCopied, sawResyncing, sawLost}, false, true},
		"the same where its file is off":                        {[]Look{sawStarting, sawReceiving, sawCopied, sawResyncing, sawUnwritten}, false, true},
		"a replica that could not load its second copy":         {[]Look{sawStarting, sawReceiving, sawCopied, sawResyncing, sawReloading, sawUnlinked}, false, true},
		"a replica whose first rewrite failed":                  {[]Look{sawStarting, sawReceiving, sawCopied, sawFailed}, true, true},
		"a replica whose second rewrite runs":                   {[]Look{sawStarting, sawReceiving, sawFailed, sawCopied}, true, true},
		"a replica whose copy is in its file":                   {[]Look{sawStarting, sawReceiving, sawCopied, sawLinked}, true, false},
		"the same where the master has died meanwhile":          {[]Look{sawStarting, sawReceiving, sawCopied, sawLost, sawUnlinked}, true, false},
		"a replica whose master dies during its first rewrite":  {[]Look{sawStarting, sawReceiving, sawCopied, sawLost}, true, true},
		"a replica that rewrites its file as usual":             {[]Look{sawStarting, sawReceiving, sawLinked, sawCopied}, true, false},
		"a replica whose usual rewrite failed":                  {[]Look{sawLinked, sawFailed}, true, false},
		"a replica that has lost its master":                    {[]Look{sawLinked, sawUnlinked}, true, false},
		"a replica whose link no look saw":                      {[]Look{sawStarting, sawLost}, true, true},
		"the same after it received a copy":                     {[]Look{sawStarting, sawReceiving, sawLost}, true, true},
		"the same after it loaded its own file":                 {[]Look{sawLoadingFile, sawStarting, sawLost}, true, true},
		"a replica whose next copy was cut short":               {[]Look{sawLinked, sawLost, sawResyncing, sawLost}, false, true},
		"a former master that has received a copy and lost it":  {[]Look{sawMaster, sawReceiving, sawLost}, true, true},
		"a former master whose link no look saw":                {[]Look{sawMaster, sawLost}, false, false},
		"a replica that follows the successor in the same data": {[]Look{sawLinked, sawUnlinked, sawResumed}, true, false},
		"a replica that needs all data of the successor":        {[]Look{sawLinked, sawUnlinked, sawReceiving}, false, true},
		"a replica that has them in memory":                     {[]Look{sawLinked, sawUnlinked, sawReceiving, sawCopied}, true, true},
		"a former master whose copy was cut short":              {[]Look{sawLinked, sawMaster, sawReceiving, sawOwnOffset}, false, false},
		"a replica whose master died while it loaded its copy":  {[]Look{sawStarting, sawReceiving, sawLoadingCopy, sawOwnOffset}, true, true},
		"a replica that could not load its copy":                {[]Look{sawStarting, sawReceiving, sawLoadingCopy, sawStarting}, false, true},
		"a master":                                              {[]Look{sawMaster}, false, false},
		"a master that was a replica in sync":                   {[]Look{sawLinked, sawMaster}, false, false},
		"a master whose first rewrite runs":                     {[]Look{sawCopied, {Master: true, Rewriting: true}}, false, true},
		"a former master that waits for its copy":               {[]Look{sawLinked, sawMaster, sawUnlinked}, false, false},
		"a former master that continues in the present history": {[]Look{sawLinked, sawMaster, sawUnlinked, sawResumed}, true, false},
		"a former master whose copy is not in its file":         {[]Look{sawLinked, sawMaster, sawUnlinked, sawReceiving, sawCopied}, true, true},
		"a replica promoted while it received a copy":           {[]Look{sawLinked, sawReceiving, sawMaster}, false, false},
		"a master that loads its own file":                      {[]Look{{Master: true, Loading: true}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			var h Held
			for _, look := range c.looks {
				h = h.After(look)
			}
			require.Equal(t, c.inSync, h.InSync, "in sync")
			require.Equal(t, c.copied, h.Copied, "copied and not in the file")
		})
	}
}

func TestReplicaWhoseHistoryAnotherServerDoesNotContinueIsNotInSync(t *testing.T) {
	own := Local{Running: true, Answering: true, Follows: address("b")}
	standing := Standing{Generation: 4, Offset: 9}
	master := Peer{Member: Member{IP: address("b")}, Redis: Answered, Master: true}
	later := Peer{Member: Member{IP: address("c")}, Redis: Answered, LinkUp: true, Status: &Status{Standing: Standing{Generation: 5}}}
	for name, c := range map[string]struct {
		history History
		offset  int64
		inSync  bool
	}{
		"the same history":                             {History{ID: "m", Before: "0", BeforeUpTo: -1}, 9, true},
		"a history that continues it":                  {History{ID: "n", Before: "m", BeforeUpTo: 10}, 9, true},
		"a history that continues it from before":      {History{ID: "n", Before: "m", BeforeUpTo: 9}, 9, false},
		"a history of its own, as after a fresh start": {History{ID: "n", Before: "0", BeforeUpTo: -1}, 9, false},
	} {
		t.Run(name, func(t *testing.T) {
			unlinked := sawUnlinked
			unlinked.Offset = c.offset
			h := Held{}.After(sawLinked).After(unlinked)
			for of, p := range map[string]Peer{"master": master, "replica of a later generation": later} {
				p.History = c.history
				beside := h.Beside(own, standing, "m", []Peer{p})
				require.Equal(t, c.inSync, beside.InSync, of)
				require.Equal(t, c.inSync, beside.After(unlinked).InSync, "also when the %s does not answer any more", of)
				linked := sawLinked
				linked.Offset = c.offset
				require.Equal(t, c.inSync, Held{}.After(linked).Beside(own, standing, "m", []Peer{p}).InSync, "also while the link seems to be up; %s", of)
			}
		})
	}
}

func TestReplicaThatStandsStillIsNotInSyncBesideAReplicaOfALaterGeneration(t *testing.T) {
	silent := Local{Running: true}
	h := Held{}.After(sawLinked)
	later := Peer{Member: Member{IP: address("c")}, Redis: Answered, LinkUp: true, Status: &Status{Standing: Standing{Generation: 5}}, History: History{ID: "n"}}
	require.False(t, h.Beside(silent, Standing{Generation: 4, Offset: 99}, "m", []Peer{later}).InSync)
	require.True(t, h.Beside(silent, Standing{Generation: 5}, "m", []Peer{later}).InSync, "of the same generation")
	require.True(t, h.Beside(silent, Standing{Generation: 4}, "l", []Peer{later}).InSync, "its standing is of an earlier history than its data")
	for why, change := range map[string]func(p *Peer){
		"has not received its copy yet": func(p *Peer) { p.LinkUp = false },
		"does not tell its standing":    func(p *Peer) { p.Status = nil },
		"does not answer":               func(p *Peer) { p.Redis = Unknown },
		"is leaving":                    func(p *Peer) { p.Terminating = true },
	} {
		other := later
		change(&other)
		require.True(t, h.Beside(silent, Standing{Generation: 4}, "m", []Peer{other}).InSync, "the other replica "+why)
	}
	require.True(t, h.Beside(silent, Standing{Generation: 4}, "m", []Peer{later}).After(sawLinked).InSync, "it has followed since")
}

func TestLacksTellsWhatAnElectedMasterDoesNotHave(t *testing.T) {
	o := Observation{Self: Member{UID: "a"}, Standing: Standing{Generation: 4}}
	require.Empty(t, Lacks(o, "b"), "no master has served")
	o.Initialised, o.MasterUID, o.Generation = true, "b", 4
	require.Empty(t, Lacks(o, "b"), "its data are those of the recorded master")
	o.Generation = 5
	require.Contains(t, Lacks(o, "server-b"), "lacks what server-b, the master of generation 5, may have accepted alone")
	o.MasterUID = "a"
	require.Empty(t, Lacks(o, "server-a"), "it was the master of that generation itself")
	o.Standing = Standing{Empty: true}
	require.Contains(t, Lacks(o, "server-a"), "starting empty")
}

func TestHistoryOfAPromotedReplicaIsTheLaterOne(t *testing.T) {
	master, promoted := History{ID: "m", Before: "l"}, History{ID: "n", Before: "m"}
	require.True(t, promoted.Succeeds(master))
	require.False(t, master.Succeeds(promoted))
	require.False(t, master.Succeeds(master))
	require.False(t, History{}.Succeeds(History{}), "of servers that have not answered")
}
