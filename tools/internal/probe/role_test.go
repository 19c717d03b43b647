package probe

import (
	"encoding/json"
	"testing"

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

func TestReplicaInSyncAgainWithFewerKeysIsNoted(t *testing.T) {
	w := complete()
	w.runs = map[string]string{}
	for _, r := range []Role{
		{Linked: true, Keys: 100},
		{Keys: 90, KeysInSync: 100},
		{Linked: true, Keys: 100, KeysInSync: 100},
		{Linked: true, Keys: 60, KeysInSync: 100},
	} {
		r.Address, r.Role = "10.0.0.2:6379", "slave"
		text, err := json.Marshal(r)
		require.NoError(t, err)
		w.sawRole(text)
	}
	var found []Entry
	for _, e := range w.entries {
		if e.Kind == KeysKind {
			found = append(found, e)
		}
	}
	assert.Equal(t, []Entry{{Kind: KeysKind, Pod: "b", Value: "fewer", Missing: 40}}, found)
}
