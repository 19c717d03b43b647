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

func TestReplicaInSyncThatFollowsAMasterWithFewerKeysIsFound(t *testing.T) {
	began := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	master := func(s int, pod, run string, keys int64) probe.Entry {
		return probe.Entry{At: began.Add(time.Duration(s) * time.Second), Kind: probe.RoleKind, Pod: pod, Value: "master", Run: run, Keys: keys}
	}
	linked := func(s int, pod, to string, before int64) probe.Entry {
		return probe.Entry{At: began.Add(time.Duration(s) * time.Second), Kind: probe.RoleKind, Pod: pod, Value: "linked", Master: to, KeysInSync: before}
	}
	start := []probe.Entry{master(1, "a", "1", 0), linked(2, "b", "a", 0), linked(2, "c", "a", 0)}
	for name, c := range map[string]struct {
		then  []probe.Entry
		found []string
	}{
		"the former master, which has only what it had before": {
			[]probe.Entry{master(5, "b", "2", 500), linked(6, "c", "b", 499), {At: began.Add(7 * time.Second), Kind: probe.RoleKind, Pod: "a", Value: "slave"},
				master(9, "a", "1", 510), linked(10, "c", "a", 900)},
			[]string{"c was in sync with 900 keys, and follows a, which became master with 510 keys, from 00:00:10.000"},
		},
		"a server that has loaded nothing": {
			[]probe.Entry{master(5, "a", "3", -1), master(6, "a", "3", 0), linked(7, "b", "a", 300)},
			[]string{"b was in sync with 300 keys, and follows a, which became master with 0 keys, from 00:00:07.000"},
		},
		"not the same master, whose process is not known after it has been silent": {
			[]probe.Entry{{At: began.Add(5 * time.Second), Kind: probe.RoleKind, Pod: "a", Value: "none"}, master(6, "a", "", 300), master(7, "a", "1", 280),
				{At: began.Add(7 * time.Second), Kind: probe.RoleKind, Pod: "b", Value: "none"}, linked(8, "b", "a", 900)}, nil,
		},
		"not the same master": {
			[]probe.Entry{{At: began.Add(5 * time.Second), Kind: probe.RoleKind, Pod: "a", Value: "none"}, master(6, "a", "1", 300), linked(7, "b", "a", 400)}, nil,
		},
		"not a master that loads and then has all":          {[]probe.Entry{master(5, "a", "3", -1), master(6, "a", "3", 300), linked(7, "b", "a", 300)}, nil},
		"not a master that lacks what was written just now": {[]probe.Entry{master(5, "b", "2", 500), linked(6, "c", "b", 500+keysUnconfirmed)}, nil},
		"a server that was linked to a demoted one in between": {
			[]probe.Entry{{At: began.Add(4 * time.Second), Kind: probe.RoleKind, Pod: "a", Value: "slave"}, master(5, "b", "2", 500), linked(6, "c", "a", 900), linked(8, "c", "b", 500)},
			[]string{"c was in sync with 900 keys, and follows b, which became master with 500 keys, from 00:00:08.000"},
		},
		"not what it got from the new master by way of the demoted one": {
			[]probe.Entry{{At: began.Add(4 * time.Second), Kind: probe.RoleKind, Pod: "a", Value: "slave"}, master(5, "b", "2", 500), linked(6, "c", "a", 500), linked(8, "c", "b", 900)}, nil,
		},
		"not what it had before its clients removed it, where it followed a new master before anybody knew of that": {
			[]probe.Entry{linked(5, "c", "b", 900), master(6, "b", "2", 900), master(20, "a", "3", 30), linked(21, "c", "a", 30)}, nil,
		},
		"a new master with fewer keys that nobody knew of yet": {
			[]probe.Entry{linked(5, "c", "b", 900), master(6, "b", "2", 500)},
			[]string{"c was in sync with 900 keys, and follows b, which became master with 500 keys, from 00:00:06.000"},
		},
		"not a new master that it has left": {
			[]probe.Entry{linked(5, "c", "b", 900), {At: began.Add(6 * time.Second), Kind: probe.RoleKind, Pod: "c", Value: "slave"}, master(7, "b", "2", 500)}, nil,
		},
		"not a new server": {[]probe.Entry{master(5, "b", "2", 500), linked(6, "d", "b", 0)}, nil},
	} {
		assert.Equal(t, c.found, wiped(append(append([]probe.Entry{}, start...), c.then...), began), name)
	}
	early := append(append([]probe.Entry{}, start...), master(5, "b", "2", 0), linked(6, "c", "b", 499))
	assert.Empty(t, wiped(early, began.Add(7*time.Second)), "what an earlier round has told")
}

func TestServersThatARoundHasStruckAreCounted(t *testing.T) {
	began := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	runs := func(s int, pod, run string) probe.Entry {
		return probe.Entry{At: began.Add(time.Duration(s) * time.Second), Kind: probe.RoleKind, Pod: pod, Value: "slave", Run: run}
	}
	is := func(s int, pod, value string) probe.Entry {
		return probe.Entry{At: began.Add(time.Duration(s) * time.Second), Kind: probe.PodKind, Pod: pod, Value: value}
	}
	history := []probe.Entry{
		runs(1, "x-server-1", "1"), runs(1, "x-server-2", "2"), runs(1, "x-server-3", "3"), runs(2, "x-server-3", "4"),
		is(2, "x-server-0", "gone"),
		runs(6, "x-server-1", "5"), runs(6, "x-server-2", "2"), runs(7, "x-server-2", ""), runs(8, "x-server-4", "6"),
		is(7, "x-server-1", "terminating"), is(8, "x-server-1", "gone"), is(8, "x-sentinel-1", "gone"),
	}
	count := func(silenced ...string) struck {
		set := map[string]bool{}
		for _, pod := range silenced {
			set[pod] = true
		}
		return struckServers(history, began.Add(5*time.Second), "x-server-", 3, set)
	}
	assert.Equal(t, struck{of: 3, struck: 1, gone: 1}, count())
	assert.Equal(t, struck{of: 3, struck: 1, gone: 1}, count("x-server-1"), "the same server was silenced and has ended")
	assert.Equal(t, struck{of: 3, struck: 2, gone: 1}, count("x-server-3"))
	history = append(history, runs(9, "x-server-2", "7"), runs(9, "", "7"), runs(9, "", "8"))
	assert.Equal(t, struck{of: 3, struck: 2, gone: 1}, count())
}
