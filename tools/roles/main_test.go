package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redis-ha/redis-ha/tools/internal/probe"
)

func TestProcessThatHasStartedAgainHasWhatItsFilesHold(t *testing.T) {
	var s inSync
	is := func(role, run string, linked bool, keys int64) probe.Role {
		return probe.Role{Role: role, Run: run, Linked: linked, Keys: keys}
	}
	for _, c := range []struct {
		answer probe.Role
		want   int64
		why    string
	}{
		{is("slave", "1", false, 0), 0, "it has never been in sync"},
		{is("slave", "1", true, 900), 900, "in sync"},
		{is("", "", false, 0), 900, "it does not answer"},
		{is("slave", "1", false, 0), 900, "the same process, while it takes a copy"},
		{is("slave", "2", false, -1), 900, "another process loads its files"},
		{is("slave", "2", false, 870), 870, "what the files hold"},
		{is("slave", "2", false, 10), 870, "the same process, while it takes a copy"},
		{is("master", "2", false, 20), 0, "it is master"},
	} {
		s.after(c.answer)
		assert.Equal(t, c.want, s.keys, c.why)
	}
}
