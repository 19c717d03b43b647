package record

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var now = time.Unix(1800000000, 0)

func member(name string) Member { return Member{Name: name, UID: "uid-" + name, IP: "10.0.0.1"} }

var self, other, third = member("server-a"), member("server-b"), member("server-c")

// fenced gives the record of generation 3, in which the master m is fenced.
func fenced(m Member, f Fence) Record {
	f.UID = m.UID
	return Record{Master: m, Generation: 3, Fence: &f}
}

// One pod at a time replaces a dead master, and a master that hands over and dies is replaced at once.
func TestDeadMasterIsReplacedByOnePodAtATime(t *testing.T) {
	past := now.Add(-CarrierPatience)
	for name, c := range map[string]struct {
		record Record
		dead   Member
		want   error
	}{
		"its own":                                        {Record{Master: self}, self, nil},
		"its own, which was never recorded":              {Record{Master: other}, self, ErrNotRecorded},
		"its own, which has been replaced":               {Record{Master: other, Previous: self}, self, ErrReplaced},
		"its own, which has replaced the next":           {Record{Master: other, Previous: self, Fence: &Fence{UID: other.UID, At: now}}, self, ErrNotRecorded},
		"its own, which a replica has fenced":            {fenced(self, Fence{By: third.Name, At: now}), self, ErrReplaced},
		"its own, again":                                 {fenced(self, Fence{Successor: third.UID, At: now}), self, nil},
		"another's":                                      {Record{Master: other, Generation: 3}, other, nil},
		"another's, again":                               {fenced(other, Fence{By: self.Name, At: now}), other, nil},
		"another's, which has come back":                 {Record{Master: other, Generation: 4}, other, ErrReplaced},
		"another's, which has been replaced":             {Record{Master: third, Generation: 3}, other, ErrReplaced},
		"another's, which a replica has fenced":          {fenced(other, Fence{By: third.Name, At: now}), other, ErrReplaced},
		"another's, which a replica has fenced long ago": {fenced(other, Fence{By: third.Name, At: past}), other, nil},
		"another's, which handed over":                   {fenced(other, Fence{Successor: third.UID, At: now}), other, nil},
		"another's, when a replica has told a sentinel":  {Record{Master: other, Generation: 3, Order: &Order{By: third.Name, At: now}}, other, ErrReplaced},
	} {
		t.Run(name, func(t *testing.T) {
			lost := Lost{Member: c.dead, Reason: "it has ended"}
			if c.dead == other {
				lost.Generation = 3
			}
			require.ErrorIs(t, c.record.Replaceable(lost, self, now), c.want)
			if c.want != nil {
				return
			}
			want := Fence{UID: c.dead.UID, Reason: "it has ended", At: now, Successor: "uid-chosen"}
			if c.dead != self {
				want.By = self.Name
			}
			require.Equal(t, want, *c.record.FenceLost(lost, self, "uid-chosen", now).Fence)
		})
	}
}

// The launcher of a silent master may be at work, other than that of a dead one.
func TestSilentMasterThatHandsOverIsLeftToItself(t *testing.T) {
	silent := Lost{Member: other, Generation: 3, Silent: true}
	require.ErrorIs(t, fenced(other, Fence{Successor: third.UID, At: now}).Replaceable(silent, self, now), ErrReplaced)
	require.NoError(t, fenced(other, Fence{Successor: third.UID, At: now.Add(-CarrierPatience)}).Replaceable(silent, self, now))
	taken := Record{Master: other, Generation: 3}.FenceLost(silent, self, third.UID, now)
	require.NoError(t, taken.Replaceable(silent, self, now))
	back, changed := taken.Withdraw(silent, self)
	require.True(t, changed)
	require.Nil(t, back.Fence)
	_, changed = taken.Withdraw(silent, third)
	require.False(t, changed, "another pod has written the fence")
}

func TestHandOverIsRecordedOrLeftToOthers(t *testing.T) {
	for name, c := range map[string]struct {
		record Record
		named  bool
		want   error
	}{
		"this pod is recorded":                                    {Record{Master: self}, true, nil},
		"a fence of an attempt before":                            {fenced(self, Fence{Successor: third.UID}), true, nil},
		"another is recorded, and the sentinels name it":          {Record{Master: other}, false, ErrReplaced},
		"the record is old, and the sentinels name this pod":      {Record{Master: other}, true, ErrNotRecorded},
		"a replica has just ordered a failover":                   {Record{Master: self, Order: &Order{By: other.Name, At: now}}, true, ErrReplaced},
		"a replica has fenced it":                                 {fenced(self, Fence{By: other.Name, At: now}), true, ErrReplaced},
		"a replica has ordered a failover long ago, which failed": {Record{Master: self, Order: &Order{By: other.Name, At: now.Add(-OrderAge)}}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			next, err := c.record.HandOver(self, other.UID, c.named, now)
			require.ErrorIs(t, err, c.want)
			if c.want != nil {
				require.Equal(t, c.record, next, "nothing changes")
				return
			}
			require.Equal(t, other.UID, next.Fence.Successor)
			undone, changed, err := next.Unfence(self, now)
			require.NoError(t, err)
			require.True(t, changed)
			require.Nil(t, undone.Fence)
		})
	}
}

func TestFenceIsTakenBackOnlyByItsMaster(t *testing.T) {
	_, changed, err := Record{Master: self}.Unfence(self, now)
	require.NoError(t, err)
	require.False(t, changed, "the record has no fence")
	_, changed, err = fenced(other, Fence{At: now}).Unfence(self, now)
	require.NoError(t, err)
	require.False(t, changed, "the fence is of another master")
	_, _, err = Record{Master: other, Previous: self}.Unfence(self, now)
	require.ErrorIs(t, err, ErrReplaced)
	_, _, err = fenced(self, Fence{By: other.Name, At: now}).Unfence(self, now)
	require.ErrorIs(t, err, ErrReplaced)
}

// Two failovers that are ordered in the same moment take the same epoch, and may
// promote two replicas.
func TestOnlyOneReplicaOrdersAFailoverOfAMasterThatIsDown(t *testing.T) {
	ordered, err := Record{Master: third}.OrderFailover(self, now)
	require.NoError(t, err)
	_, err = ordered.OrderFailover(other, now)
	require.ErrorContains(t, err, "server-a has just told a sentinel")
	_, err = ordered.OrderFailover(self, now)
	require.ErrorIs(t, err, ErrReplaced, "nor the same one again")
	_, err = ordered.OrderFailover(other, now.Add(OrderAge))
	require.NoError(t, err, "but when it has had its time")
	require.Nil(t, ordered.Claim(self).Order, "the order is carried out")
	_, err = fenced(third, Fence{Reason: "redis-server has ended", At: now}).OrderFailover(self, now)
	require.ErrorContains(t, err, "redis-server has ended")
}

func TestClaimBeginsAGeneration(t *testing.T) {
	before := fenced(other, Fence{At: now})
	claimed := before.Claim(self)
	require.Equal(t, Record{Initialised: true, Generation: 4, Master: self, Previous: other}, claimed)
	require.Equal(t, Record{Initialised: true, Generation: 5, Master: self, Previous: other}, claimed.Claim(self), "the master before stays")
	require.True(t, claimed.Names(self, 4))
	require.False(t, claimed.Names(self, 3), "another may have been master since")
	require.False(t, claimed.Names(self, 0), "it has not been recorded since it is master")
	require.False(t, claimed.Names(other, 4))
	require.False(t, fenced(self, Fence{At: now}).Names(self, 3))
}

func TestSuccessorIsLeftToTheLauncherThatFencedTheMaster(t *testing.T) {
	chosen := fenced(other, Fence{By: third.Name, Successor: third.UID, At: now})
	require.True(t, chosen.LeftToAnother(self, now))
	require.False(t, chosen.LeftToAnother(third, now))
	require.False(t, chosen.LeftToAnother(self, now.Add(CarrierPatience)))
}

func TestExternalMasterIsSucceededOnce(t *testing.T) {
	self := Member{Name: "a", UID: "uid-a"}
	ordered, err := Record{}.Succeed(self, now)
	require.NoError(t, err)
	require.Equal(t, &Successor{self, now}, ordered.Successor)
	require.False(t, ordered.Initialised)
	back, changed := ordered.CallOffSuccession()
	require.True(t, changed)
	require.Equal(t, Record{}, back)

	claimed := ordered.Claim(self)
	require.Nil(t, claimed.Successor)
	_, changed = claimed.CallOffSuccession()
	require.False(t, changed, "the successor is master")
	_, err = claimed.Succeed(Member{Name: "b", UID: "uid-b"}, now)
	require.ErrorIs(t, err, ErrReplaced)
}
