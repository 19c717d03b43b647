package kube

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

func TestRecordIsReadBackAsItWasWritten(t *testing.T) {
	server := release(t)
	c := client(t, server, "server-a")
	wanted, err := c.Record(t.Context())
	require.NoError(t, err)
	require.False(t, wanted.Initialised, "the chart creates the Lease without a record")

	wanted.Initialised, wanted.Generation = true, 3
	wanted.Master, wanted.Previous = record.Member{Name: "server-a", UID: "uid-server-a", IP: "127.0.0.10"}, record.Member{Name: "server-b"}
	wanted.Fence = &record.Fence{UID: "uid-b", Reason: "test", At: created}
	written, err := c.WriteRecord(t.Context(), wanted)
	require.NoError(t, err)
	read, err := c.Record(t.Context())
	require.NoError(t, err)
	require.Equal(t, written, read)
	wanted.Version = read.Version
	require.Equal(t, wanted, read)

	lease := server.Lease(prefix + "master")
	require.Equal(t, "server-a", *lease.Spec.HolderIdentity, "kubectl get lease shows the master")
	require.EqualValues(t, 3, *lease.Spec.LeaseTransitions)
	require.WithinDuration(t, time.Now(), lease.Spec.AcquireTime.Time, time.Minute)
	require.Empty(t, server.Unexpected())
}

func TestOnlyOneOfTwoWritersOfARecordWins(t *testing.T) {
	server := release(t)
	first, second := client(t, server, "server-a"), client(t, server, "sentinel-a")
	one, err := first.Record(t.Context())
	require.NoError(t, err)
	two, err := second.Record(t.Context())
	require.NoError(t, err)

	one.Master = record.Member{Name: "one"}
	one, err = first.WriteRecord(t.Context(), one)
	require.NoError(t, err)
	two.Master = record.Member{Name: "two"}
	_, err = second.WriteRecord(t.Context(), two)
	require.ErrorIs(t, err, ErrChanged)

	one.Generation++
	one, err = first.WriteRecord(t.Context(), one)
	require.NoError(t, err, "the winner may write on without reading")
	read, err := second.Record(t.Context())
	require.NoError(t, err)
	require.Equal(t, one, read)
}

// Each request to the API lengthens a hand-over.
func TestWriteOfTheRecordThatWasSeenLastIsOneRequest(t *testing.T) {
	server := release(t)
	c := client(t, server, "server-a")
	r, err := c.Record(t.Context())
	require.NoError(t, err)
	for range 2 {
		began := time.Now()
		r.Generation++
		r, err = c.WriteRecord(t.Context(), r)
		require.NoError(t, err)
		require.Len(t, server.Requests(began), 1)
	}
}

func TestSlotsCarryTheIdentityOfTheInstallation(t *testing.T) {
	server := release(t)
	c := client(t, server, "sentinel-a")
	slots, err := c.Slots(t.Context())
	require.NoError(t, err)
	require.NotNil(t, slots.Holders)
	require.Equal(t, string(server.Lease(prefix+"sentinels").UID), slots.Cluster)
	stale := slots
	slots.Holders[2] = record.Member{Name: "sentinel-a", UID: "uid-sentinel-a"}
	require.NoError(t, c.WriteSlots(t.Context(), slots))
	require.ErrorIs(t, c.WriteSlots(t.Context(), stale), ErrChanged)
	read, err := c.Slots(t.Context())
	require.NoError(t, err)
	require.Equal(t, slots.Holders, read.Holders)
	require.Nil(t, server.Lease(prefix+"sentinels").Spec.HolderIdentity, "nobody holds the slots as a whole")
}

func TestOtherAnnotationsOfALeaseStay(t *testing.T) {
	server := fakeapi.New("default")
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	require.NoError(t, server.CreateLease(prefix+"master"))
	c := client(t, server, "server-a")
	lease, err := c.leases.Get(t.Context(), prefix+"master", getOptions)
	require.NoError(t, err)
	lease.Annotations = map[string]string{"meta.helm.sh/release-name": "redis-ha"}
	_, err = c.leases.Update(t.Context(), lease, updateOptions)
	require.NoError(t, err)
	record, err := c.Record(t.Context())
	require.NoError(t, err)
	_, err = c.WriteRecord(t.Context(), record)
	require.NoError(t, err)
	require.Equal(t, "redis-ha", server.Lease(prefix + "master").Annotations["meta.helm.sh/release-name"])
}

func TestRecordThatCannotBeReadIsExplained(t *testing.T) {
	server := release(t)
	c := client(t, server, "server-a")
	lease, err := c.leases.Get(t.Context(), prefix+"master", getOptions)
	require.NoError(t, err)
	lease.Annotations = map[string]string{recordAnnotation: "{"}
	_, err = c.leases.Update(t.Context(), lease, updateOptions)
	require.NoError(t, err)
	_, err = c.Record(t.Context())
	var syntax *json.SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.ErrorContains(t, err, "read the annotation redis-ha/record of lease redis-ha-master (delete the annotation if it was edited by hand)")

	server.Deny("", "get", "leases")
	_, err = c.Record(t.Context())
	require.ErrorContains(t, err, `grant the verb "get" on "leases/redis-ha-master"`)
	_, err = c.Slots(t.Context())
	require.ErrorContains(t, err, `grant the verb "get" on "leases/redis-ha-sentinels"`)
	_, err = c.WriteRecord(t.Context(), record.Record{})
	require.Error(t, err)
	server.Allow("", "get", "leases")
	server.Deny("", "update", "leases")
	slots, err := c.Slots(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, c.WriteSlots(t.Context(), slots), `grant the verb "update" on "leases/redis-ha-sentinels"`)
}

func TestMissingLeaseIsExplained(t *testing.T) {
	server := fakeapi.New("default")
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	_, err := client(t, server, "server-a").Record(t.Context())
	require.ErrorContains(t, err, "get leases/redis-ha-master: not there (the chart creates it; run helm upgrade if it was deleted)")
}
