package role

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// asked are the offers of replicas b and c of a lost master a, which held 100 and 120 bytes when the look found them, after these answers
// of each in turn. An offset of 0 is silence, -1 a refusal, -2 a replica that has become master.
func asked(b, c []int64) Offers {
	offers := NewOffers([]Replica{{address("b"), 100, History{ID: "h"}}, {address("c"), 120, History{ID: "h"}}})
	for i, answers := range [][]int64{b, c} {
		for _, offset := range answers {
			says, reach := Look{LinkUp: true, History: History{ID: "h"}, Offset: offset}, Answered
			switch offset {
			case 0:
				reach = Unknown
			case -1:
				reach = Refused
			case -2:
				says.Master = true
			}
			offers[i].Take(reach, says, address("a"), address("a"))
		}
	}
	return offers
}

func TestForemostReplicaOfALostMasterIsChosen(t *testing.T) {
	for name, c := range map[string]struct {
		b, c []int64
		want string
	}{
		"the replica with more data":                  {[]int64{100}, []int64{120}, "c"},
		"by what they hold now":                       {[]int64{130}, []int64{120}, "b"},
		"the first of equals":                         {[]int64{120}, []int64{120}, "b"},
		"a replica that has ended is left out":        {[]int64{100}, []int64{-1}, "b"},
		"a replica that has lost data is left out":    {[]int64{100}, []int64{110}, "b"},
		"a silent replica with less data is left out": {[]int64{0}, []int64{120}, "c"},
		"a late replica is heard in the second look":  {[]int64{100, 100}, []int64{0, 120}, "c"},
	} {
		t.Run(name, func(t *testing.T) {
			best, err := asked(c.b, c.c).Foremost()
			require.NoError(t, err)
			require.Equal(t, address(c.want), best.IP)
		})
	}
	_, err := asked([]int64{100}, []int64{0, 0}).Foremost()
	require.ErrorContains(t, err, "10.0.0.3, which held most, does not answer")
	require.NotErrorIs(t, err, ErrNoReplica)
	_, err = asked([]int64{-1}, []int64{0, 0}).Foremost()
	require.ErrorIs(t, err, ErrNoReplica)
	_, err = asked([]int64{-2}, []int64{120}).Foremost()
	require.ErrorIs(t, err, record.ErrReplaced)
}

func TestOffersSettleWhenTheReplicasHaveNoticedTheEndOfTheirMaster(t *testing.T) {
	before, now := asked([]int64{100}, []int64{120}), asked([]int64{100, 100}, []int64{120, 120})
	require.False(t, now.Settled(before, false), "their links are up: more may come")
	require.True(t, now.Settled(before, true), "the replicas of a silent master may never notice")
	for i := range now {
		now[i].linked = false
	}
	require.True(t, now.Settled(before, false))
	require.False(t, asked([]int64{100, 110}, []int64{120, 120}).Settled(before, true), "one has received more")
	require.False(t, asked([]int64{100, 0}, []int64{120, 120}).Settled(before, true), "one is late")
	require.True(t, asked([]int64{100, 0, 0}, []int64{120, 120}).Settled(before, true), "it stays silent")
	require.False(t, asked([]int64{100, 0, 0}, []int64{120, 120})[0].Open(), "and is not asked again")
	require.True(t, asked([]int64{100, -1}, []int64{120, 120}).Settled(before, true), "it has ended")
}
