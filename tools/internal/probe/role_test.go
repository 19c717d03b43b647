package probe

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A launcher passes the connections of a master that has died on to its successor.
func TestAnswersOfAnotherServerAreNoRole(t *testing.T) {
	w := complete()
	w.runs = map[string]string{}
	for _, c := range []struct {
		said Role
		want string
	}{
		{Role{Address: "10.0.0.1:6379", Role: "master", Run: "one"}, "master"},
		{Role{Address: "10.0.0.1:6379", Role: "master", Held: true, Run: "one"}, "held"},
		{Role{Address: "10.0.0.2:6379", Role: "slave", Linked: true, Run: "two"}, "linked"},
		{Role{Address: "10.0.0.1:6379"}, "none"},
		{Role{Address: "10.0.0.2:6379", Role: "master", Run: "two"}, "master"},
		{Role{Address: "10.0.0.1:6379", Role: "master", Held: true, Run: "two"}, "none"},
		{Role{Address: "10.0.0.1:6379", Role: "slave", Run: "three"}, "slave"},
	} {
		text, err := json.Marshal(c.said)
		require.NoError(t, err)
		w.sawRole(text)
		assert.Equal(t, c.want, w.entries[len(w.entries)-1].Value, "%+v", c.said)
	}
	assert.Equal(t, "slave", w.role["10.0.0.1"].Role)
}

func TestHistoryTellsWhomASlaveFollowsAndItsKeys(t *testing.T) {
	w := complete()
	w.runs = map[string]string{}
	text, err := json.Marshal(Role{Address: "10.0.0.2:6379", Role: "slave", Linked: true, Run: "two", Master: "10.0.0.1", Keys: 60, KeysInSync: 100})
	require.NoError(t, err)
	w.sawRole(text)
	assert.Equal(t, []Entry{{Kind: RoleKind, Pod: "b", Value: "linked", Run: "two", Master: "a", Keys: 60, KeysInSync: 100}}, w.entries)
}

// What is known of the servers is old when the program that asks them is not heard of.
func TestWatcherThatHearsNothingIsBlind(t *testing.T) {
	w := complete()
	beat := func() { w.sawRole([]byte(`{"at":"2026-01-01T00:00:00Z","address":""}`)) }
	began := time.Now()
	beat()
	assert.Empty(t, w.entries, "a beat is no role")
	assert.Empty(t, w.Healthy(2, 3))
	assert.Zero(t, w.Blind(began))
	w.heard = time.Now().Add(-blindAfter - time.Second)
	assert.Contains(t, w.Healthy(2, 3), "has not been heard of for 11s")
	beat()
	assert.Empty(t, w.Healthy(2, 3))
	assert.Greater(t, w.Blind(began), blindAfter)
	assert.Zero(t, w.Blind(time.Now()), "a later round")
}
