package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redis-ha/redis-ha/tools/internal/probe"
)

func TestTwoLabelledMastersAreFound(t *testing.T) {
	began := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	entry := func(ms int, kind probe.Kind, pod, value string) probe.Entry {
		return probe.Entry{At: began.Add(time.Duration(ms) * time.Millisecond), Kind: kind, Pod: pod, Value: value}
	}
	start := []probe.Entry{
		entry(0, probe.RoleKind, "a", "master"), entry(0, probe.LabelKind, "a", "master"),
		entry(1000, probe.RoleKind, "b", "master"), entry(1100, probe.LabelKind, "b", "master"),
	}
	end := began.Add(time.Minute)
	for name, c := range map[string]struct {
		then  []probe.Entry
		found int
	}{
		"for good":                     {nil, 1},
		"until the old one steps down": {[]probe.Entry{entry(4000, probe.RoleKind, "a", "slave")}, 1},
		"not where the old one stepped down at once": {[]probe.Entry{entry(1500, probe.RoleKind, "a", "none")}, 0},
		"not where the old one lets writes wait":     {[]probe.Entry{entry(1500, probe.RoleKind, "a", "held")}, 0},
		"not where the old one lost its label":       {[]probe.Entry{entry(1500, probe.LabelKind, "a", "")}, 0},
		"not where the old one is gone":              {[]probe.Entry{entry(1500, probe.PodKind, "a", "gone")}, 0},
		"twice":                                      {[]probe.Entry{entry(4000, probe.RoleKind, "a", "none"), entry(5000, probe.RoleKind, "a", "master")}, 2},
	} {
		assert.Len(t, twoMasters(append(append([]probe.Entry{}, start...), c.then...), began, end), c.found, name)
	}
	ended := append(start, entry(4000, probe.RoleKind, "a", "slave"))
	assert.Empty(t, twoMasters(ended, began.Add(5*time.Second), end), "what an earlier round has told")
}

func TestReplicasInSyncThatLostKeysAreFound(t *testing.T) {
	history := []probe.Entry{
		{Kind: probe.RoleKind, Pod: "a", Value: "linked"},
		{Kind: probe.KeysKind, Pod: "a", Missing: keysUnconfirmed},
		{Kind: probe.KeysKind, Pod: "b", Missing: keysUnconfirmed + 1},
	}
	assert.Equal(t, []string{"b was in sync, and is again with 21 keys less, at 00:00:00.000"}, wiped(history))
}

func TestServersThatAreGoneAreCounted(t *testing.T) {
	history := []probe.Entry{
		{Kind: probe.PodKind, Pod: "x-server-1", Value: "terminating"},
		{Kind: probe.PodKind, Pod: "x-server-1", Value: "gone"},
		{Kind: probe.PodKind, Pod: "x-sentinel-1", Value: "gone"},
	}
	assert.Equal(t, 1, goneServers(history, "x-server-"))
}
