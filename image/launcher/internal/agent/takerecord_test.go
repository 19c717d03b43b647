package agent

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// claims gives a pod that is to be master, is in no record, and knows every record.
func claims(self record.Member) claimant {
	unrecorded := func() int64 { return 0 }
	return claimant{self: self, own: unrecorded, held: unrecorded, known: func() int64 { return math.MaxInt64 }, desired: func() bool { return true }}
}

func TestMasterWritesItselfIntoTheRecordWhenItIsLabelled(t *testing.T) {
	server := release(t, "server-a")
	s := launcher(t, server, "server-a")
	s.labels.Want(role.Slave, "abcdef", time.Now())
	go s.labels.Run(t.Context())
	require.Eventually(t, s.labels.Done, bound, time.Millisecond)
	record, err := s.api.Record(t.Context())
	require.NoError(t, err)
	require.False(t, record.Initialised, "a slave does not")
	s.labels.Want(role.Master, "abcdef", time.Now())
	require.Eventually(t, func() bool { return s.written.Load() != nil }, bound, time.Millisecond)
	record, err = s.api.Record(t.Context())
	require.NoError(t, err)
	require.Equal(t, record, s.written.Load().Record)
	require.Equal(t, s.self, record.Master)
	require.True(t, record.Initialised)
	require.EqualValues(t, 1, record.Generation)
}

func TestRecordIsWrittenAgainWhereTheFirstTimeFailed(t *testing.T) {
	server := release(t, "server-a")
	s := launcher(t, server, "server-a")
	server.Deny("", "update", "leases")
	failed := make(chan struct{})
	s.labels.OnMaster = func(ctx context.Context) { defer close(failed); s.recordAfterLabel(ctx) }
	s.labels.Want(role.Master, "abcdef", time.Now())
	go s.labels.Run(t.Context())
	<-failed
	server.Allow("", "update", "leases")
	record, err := s.api.Record(t.Context())
	require.NoError(t, err)
	require.False(t, record.Initialised)
	require.Nil(t, s.written.Load())
	s.setRecord(record)
	s.memory.Decided = role.Decision{Label: role.MasterLabel}
	self := role.Observation{Self: role.Member{Name: s.self.Name, UID: s.self.UID, IP: s.config.PodIP}}
	s.keepRecord(t.Context(), self, time.Now())
	record, err = s.api.Record(t.Context())
	require.NoError(t, err)
	require.Equal(t, s.self, record.Master)
	writes := len(server.Writes(time.Time{}))
	s.keepRecord(t.Context(), self, time.Now().Add(time.Minute))
	require.Len(t, server.Writes(time.Time{}), writes)
}

// The record names the pod that takes over, and that pod has not moved this master yet. A master that wrote the record now would be demoted nevertheless.
func TestMasterLeavesTheRecordToAPodThatTakesOverWithABackup(t *testing.T) {
	server := release(t, "server-a", "server-b")
	s := launcher(t, server, "server-a")
	go s.labels.Run(t.Context())
	s.labels.OnMaster = func(context.Context) {}
	s.labels.Want(role.Master, "abcdef", time.Now())
	require.Eventually(t, s.labels.Done, bound, time.Millisecond)
	read, err := s.api.Record(t.Context())
	require.NoError(t, err)
	taken, err := s.api.WriteRecord(t.Context(), read.Claim(s.self).Restore(member("server-b"), "backup", time.Now()))
	require.NoError(t, err)
	s.setRecord(taken)
	s.memory.Decided = role.Decision{Label: role.MasterLabel}
	self := role.Observation{Self: role.Member{Name: s.self.Name, UID: s.self.UID, IP: s.config.PodIP}}
	s.keepRecord(t.Context(), self, time.Now())
	_, err = claims(s.self).takeRecord(t.Context(), s.api, quiet)
	require.ErrorIs(t, err, errNotDesired)
	now, err := s.api.Record(t.Context())
	require.NoError(t, err)
	require.Equal(t, member("server-b"), now.Master)
	s.keepRecord(t.Context(), self, time.Now().Add(time.Minute))
	now, err = s.api.Record(t.Context())
	require.NoError(t, err)
	require.Equal(t, s.self, now.Master, "that pod has not moved this master")
	require.Empty(t, now.Restored)
}

func TestRecordCountsMastersAndRemembersTheOneBefore(t *testing.T) {
	server := release(t, "server-a", "server-b")
	api := connect(t, server, configured(t, server, "server-a"))
	_, err := claims(member("server-a")).takeRecord(t.Context(), api, quiet)
	require.NoError(t, err)
	taken, err := claims(member("server-b")).takeRecord(t.Context(), api, quiet)
	require.NoError(t, err)
	require.EqualValues(t, 2, taken.Generation)
	require.Equal(t, member("server-b"), taken.Master)
	require.Equal(t, member("server-a"), taken.Previous)
	writes := len(server.Writes(time.Time{}))
	recorded := claims(member("server-b"))
	recorded.own = func() int64 { return 2 }
	again, err := recorded.takeRecord(t.Context(), api, quiet)
	require.NoError(t, err)
	require.Equal(t, taken, again)
	require.Len(t, server.Writes(time.Time{}), writes, "what is true is not written again")

	fenced := taken
	fenced.Fence = &record.Fence{UID: "uid-server-b", At: time.Now()}
	_, err = api.WriteRecord(t.Context(), fenced)
	require.NoError(t, err)
	taken, err = claims(member("server-b")).takeRecord(t.Context(), api, quiet)
	require.NoError(t, err)
	require.Nil(t, taken.Fence, "a master that is labelled again is not fenced")
	require.Equal(t, member("server-a"), taken.Previous)
}

// A record that has changed names, perhaps, a master that has replaced this pod.
func TestRecordThatAnotherHasTakenIsOverwrittenOnlyByAPodThatKnowsItAndIsToBeMaster(t *testing.T) {
	for name, now := range map[string]struct {
		desired bool
		known   int64
		err     error
	}{
		"it is to be master":               {true, 1, nil},
		"it has decided by an earlier one": {true, 0, errTakenSince},
		"it is not to be master any more":  {false, 1, errNotDesired},
	} {
		t.Run(name, func(t *testing.T) {
			server := release(t, "server-a", "server-b")
			api := connect(t, server, configured(t, server, "server-a"))
			asked := 0
			claim := claims(member("server-a"))
			claim.known = func() int64 { return now.known }
			claim.desired = func() bool {
				if asked++; asked > 1 {
					return now.desired
				}
				_, err := claims(member("server-b")).takeRecord(t.Context(), api, quiet)
				require.NoError(t, err)
				return true
			}
			_, err := claim.takeRecord(t.Context(), api, quiet)
			require.ErrorIs(t, err, now.err)
			require.Equal(t, 2, asked)
			kept, err := api.Record(t.Context())
			require.NoError(t, err)
			if now.err == nil {
				require.Equal(t, member("server-a"), kept.Master)
			} else {
				require.Equal(t, member("server-b"), kept.Master)
			}
		})
	}
}

// Another pod may have been master in between, while nobody could write that down.
func TestMasterThatIsPromotedAgainTakesANewGeneration(t *testing.T) {
	server := release(t, "server-a")
	api := connect(t, server, configured(t, server, "server-a"))
	first, err := claims(member("server-a")).takeRecord(t.Context(), api, quiet)
	require.NoError(t, err)
	second, err := claims(member("server-a")).takeRecord(t.Context(), api, quiet)
	require.NoError(t, err)
	require.Equal(t, first.Generation+1, second.Generation)
}
