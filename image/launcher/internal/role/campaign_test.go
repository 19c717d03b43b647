package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
)

func TestCampaignIsWonByAMajorityOfTheConfiguredSentinelsInOneEpoch(t *testing.T) {
	own := func(epoch int64) sentinel.Vote { return sentinel.Vote{Leader: "this", Epoch: epoch} }
	for name, c := range map[string]struct {
		votes []sentinel.Vote
		won   bool
	}{
		"all vote":                        {[]sentinel.Vote{own(5), own(5), own(5)}, true},
		"a majority votes":                {[]sentinel.Vote{own(5), own(5)}, true},
		"a majority of those that answer": {[]sentinel.Vote{own(5)}, false},
		"for somebody else":               {[]sentinel.Vote{own(5), {Leader: "other", Epoch: 5}, {Leader: "other", Epoch: 5}}, false},
		"in another epoch":                {[]sentinel.Vote{own(5), own(4), own(6)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			campaign := NewCampaign("this", 3, []View{{ConfigEpoch: 4}, {ConfigEpoch: 2}, {}})
			epoch, ok := campaign.Next()
			require.True(t, ok)
			require.EqualValues(t, 5, epoch)
			require.Equal(t, c.won, campaign.Won(c.votes))
		})
	}
}

func TestCampaignGoesOnInLaterEpochsAndEnds(t *testing.T) {
	campaign := NewCampaign("this", 3, nil)
	var asked []int64
	for {
		epoch, ok := campaign.Next()
		if !ok {
			break
		}
		asked = append(asked, epoch)
		require.False(t, campaign.Won([]sentinel.Vote{{Leader: "other", Epoch: 7}}))
	}
	require.Equal(t, []int64{1, 9, 13, 21, 37}, asked)
}

func TestSentinelConsentsUnlessItReplacesTheMasterOrHasHeardOfItAgain(t *testing.T) {
	dead := Mandate{Master: address("a"), Epoch: 9, Sentinels: 3, Quorum: 2, DownAfter: 3 * time.Second}
	silent := dead
	silent.Silent = true
	names := views("a")[0]
	with := func(change func(*View)) View {
		v := names
		change(&v)
		return v
	}
	other := views("b")[0]
	begun := with(func(v *View) { v.FailingOver, v.Unelected = true, true })
	for name, c := range map[string]struct {
		mandate Mandate
		before  View
		voted   bool
		now     View
		want    Consent
	}{
		"it names the master":                      {dead, names, true, names, Granted},
		"it does not answer":                       {dead, names, true, View{}, Unclear},
		"it knows no master":                       {dead, names, true, View{Reach: Answered}, Unclear},
		"it has named another all the time":        {dead, other, false, other, Unclear},
		"it names another by now":                  {dead, names, true, other, Rival},
		"it has heard of the epoch of the votes":   {dead, names, true, with(func(v *View) { v.ConfigEpoch = 9 }), Rival},
		"it leads a failover":                      {dead, names, true, with(func(v *View) { v.FailingOver = true }), Rival},
		"it has begun a failover, and voted since": {dead, names, true, begun, Granted},
		"it has begun a failover, without a vote":  {dead, names, false, begun, Rival},
		"it finds the silent master down":          {silent, names, true, with(func(v *View) { v.Down = true }), Granted},
		"it does not find the silent master down":  {silent, names, true, with(func(v *View) { v.Silent = 2900 * time.Millisecond }), Unclear},
		"the silent master has answered it":        {silent, names, true, names, Recovered},
		"the dead master is not found down yet":    {dead, names, true, names, Granted},
		"it leads a failover of a silent master":   {silent, names, true, with(func(v *View) { v.FailingOver = true }), Rival},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, c.mandate.Consent(c.before, c.voted, c.now)) })
	}
}

func TestMandateHoldsWithTheConsentOfAMajority(t *testing.T) {
	dead := Mandate{Sentinels: 3, Quorum: 3}
	silent := dead
	silent.Silent = true
	for name, c := range map[string]struct {
		mandate     Mandate
		heard       []Consent
		asked, wait int
		want        Outcome
	}{
		"a majority":                                           {dead, []Consent{Granted, Granted}, 3, 0, Upheld},
		"more answers are waited for":                          {dead, []Consent{Granted, Granted}, 3, 3, Pending},
		"all have answered":                                    {dead, []Consent{Granted, Unclear, Granted}, 3, 3, Upheld},
		"a minority so far":                                    {dead, []Consent{Granted}, 3, 0, Pending},
		"a minority":                                           {dead, []Consent{Granted, Unclear, Unclear}, 3, 0, Unconfirmed},
		"one is replacing the master":                          {dead, []Consent{Rival}, 3, 0, Superseded},
		"nobody was asked":                                     {dead, nil, 0, 0, Unconfirmed},
		"a silent master needs the quorum":                     {silent, []Consent{Granted, Granted, Unclear}, 3, 0, Unconfirmed},
		"a silent master, with the quorum":                     {silent, []Consent{Granted, Granted, Granted}, 3, 0, Upheld},
		"one sentinel hears a silent master again":             {silent, []Consent{Granted, Granted, Recovered}, 3, 0, Obsolete},
		"most sentinels are late to find a silent master down": {Mandate{Sentinels: 5, Quorum: 3, Silent: true}, []Consent{Recovered, Granted, Unclear, Unclear, Unclear}, 5, 0, Unconfirmed},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, c.mandate.Outcome(c.heard, c.asked, c.wait)) })
	}
}

// Whatever the sentinels answer, and in which order: a mandate is never upheld without a majority of the configured ones.
func TestNoMandateWithoutAMajority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Mandate{Sentinels: rapid.SampledFrom([]int{2, 3, 5}).Draw(t, "sentinels"), Quorum: rapid.IntRange(1, 5).Draw(t, "quorum"), Silent: rapid.Bool().Draw(t, "silent")}
		heard := rapid.SliceOfN(rapid.SampledFrom([]Consent{Unclear, Granted, Rival, Recovered}), 0, m.Sentinels).Draw(t, "heard")
		granted, rivals := 0, 0
		for _, c := range heard {
			switch c {
			case Granted:
				granted++
			case Rival:
				rivals++
			}
		}
		outcome := m.Outcome(heard, m.Sentinels, rapid.IntRange(0, m.Sentinels).Draw(t, "wait"))
		if outcome == Upheld && (2*granted <= m.Sentinels || m.Silent && granted < m.Quorum || rivals > 0) {
			t.Fatalf("upheld by %v", heard)
		}
		if outcome == Pending && len(heard) == m.Sentinels {
			t.Fatal("it waits for ever")
		}
	})
}

// A sentinel that does not answer may be replacing the master, perhaps on the other side of a partition. A sentinel that has ended is not.
func TestMasterHandsOverWithoutVotesOnlyIfEverySentinelThatAnsweredConsents(t *testing.T) {
	for name, c := range map[string]struct {
		alive, asked int
		heard        []Consent
		want         Outcome
	}{
		"all consent":                  {3, 3, []Consent{Granted, Granted, Granted}, Upheld},
		"one has still to answer":      {3, 3, []Consent{Granted, Granted}, Pending},
		"one does not answer any more": {3, 3, []Consent{Granted, Unclear, Granted}, Unconfirmed},
		"one was silent before":        {3, 2, []Consent{Granted, Granted}, Upheld},
		"two were silent before":       {3, 1, []Consent{Granted}, Unconfirmed},
		"two have ended":               {1, 1, []Consent{Granted}, Upheld},
		"one replaces the master":      {3, 3, []Consent{Granted, Granted, Rival}, Superseded},
		"none answers":                 {3, 0, nil, Unconfirmed},
	} {
		m := Mandate{Master: address("a"), Epoch: 9, Sentinels: 3, Quorum: 2, DownAfter: 3 * time.Second, Unvoted: c.alive}
		require.Equal(t, c.want, m.Outcome(c.heard, c.asked, 0), name)
	}
}

// Each sentinel that is asked must consent where the launcher has no votes. A sentinel that has missed a failover of the past never does.
func TestSentinelThatMissedAFailoverIsNotAskedWhereEachMustConsent(t *testing.T) {
	names := func(master string, epoch int64) View {
		return View{Reach: Answered, HasMaster: true, Master: address(master), ConfigEpoch: epoch}
	}
	before := []View{names("a", 4), names("a", 5), names("b", 6), names("b", 5), {Reach: Answered}, {}}
	voted := NewMandate(address("a"), 9, before)
	require.Equal(t, Mandate{Master: address("a"), Epoch: 9, Named: 5}, voted)
	unvoted := voted
	unvoted.Unvoted = 3
	for i, want := range []struct{ voted, unvoted bool }{{true, true}, {true, true}, {true, true}, {true, false}, {true, true}, {false, false}} {
		require.Equal(t, want.voted, voted.Asks(before[i]), "%d, with votes", i)
		require.Equal(t, want.unvoted, unvoted.Asks(before[i]), "%d, without votes", i)
	}
}

func TestEpochWithoutVotesIsAfterAllThatWereAskedFor(t *testing.T) {
	c := NewCampaign("id", 3, []View{{ConfigEpoch: 7}})
	latest := int64(0)
	for epoch, more := c.Next(); more; epoch, more = c.Next() {
		require.False(t, c.Won([]sentinel.Vote{{Leader: "another", Epoch: epoch + 3}}))
		latest = epoch + 3
	}
	require.Greater(t, c.Unvoted(), latest)
}
