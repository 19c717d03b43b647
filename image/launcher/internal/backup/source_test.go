package backup

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

func masterAt(offset int64) server {
	return server{Pod: kube.Pod{Name: "m", UID: "m", Role: "master"}, info: redisnode.Info{Master: true, Offset: offset, ReplID: "h"}}
}

func slaveAt(name string, offset int64, changes ...func(*server)) server {
	s := server{Pod: kube.Pod{Name: name, UID: name, Role: "slave"}, info: redisnode.Info{LinkUp: true, Offset: offset, ReplID: "h"}}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func TestTheSlaveWithTheSmallestLagIsCopied(t *testing.T) {
	for name, c := range map[string]struct {
		servers []server
		pod     string
		reason  string
	}{
		"smallest lag":        {[]server{slaveAt("a", 80), masterAt(100), slaveAt("b", 90)}, "b", "a slave in sync, 10 bytes behind the master"},
		"the first of equals": {[]server{slaveAt("b", 90), slaveAt("a", 90), masterAt(100)}, "a", "a slave in sync, 10 bytes behind the master"},
		"no master":           {[]server{slaveAt("a", 80), slaveAt("b", 90)}, "b", "a slave in sync"},
		"a slave that asks later than the master was asked": {[]server{slaveAt("a", 110), masterAt(100)}, "a", "a slave in sync, 0 bytes behind the master"},
		"only the master":            {[]server{masterAt(100)}, "m", "the master, as there is no slave"},
		"link down":                  {[]server{masterAt(100), slaveAt("a", 100, func(s *server) { s.info.LinkUp = false })}, "m", "the master, as no slave is in sync: a has no link to its master"},
		"loading":                    {[]server{masterAt(100), slaveAt("a", 100, func(s *server) { s.info.Loading = true })}, "m", "the master, as no slave is in sync: a is loading"},
		"in a full copy":             {[]server{masterAt(100), slaveAt("a", 100, func(s *server) { s.info.Syncing = true })}, "m", "the master, as no slave is in sync: a is loading"},
		"terminating":                {[]server{masterAt(100), slaveAt("a", 100, func(s *server) { s.Terminating = true })}, "m", "the master, as no slave is in sync: a is terminating"},
		"silent":                     {[]server{masterAt(100), slaveAt("a", 0, func(s *server) { s.err = errors.New("time-out") })}, "m", "the master, as no slave is in sync: a does not answer (time-out)"},
		"no label":                   {[]server{masterAt(100), slaveAt("a", 100, func(s *server) { s.Role = "" })}, "m", `the master, as no slave is in sync: a has the label redis-role=""`},
		"another history":            {[]server{masterAt(100), slaveAt("a", 200, func(s *server) { s.info.ReplID = "x" })}, "m", "the master, as no slave is in sync: a has another history than the master"},
		"a slave that became master": {[]server{slaveAt("a", 100, func(s *server) { s.info.Master = true }), slaveAt("b", 50)}, "b", "a slave in sync"},
	} {
		from, err := choose(c.servers)
		require.NoError(t, err, name)
		assert.Equal(t, c.pod, from.Name, name)
		assert.Equal(t, c.reason, from.reason, name)
	}
}

func TestWithoutAServerThereIsNoCopy(t *testing.T) {
	loading := masterAt(100)
	loading.info.Loading = true
	silent := masterAt(100)
	silent.err = errors.New("time-out")
	for says, servers := range map[string][]server{
		"no pod is the master, and there is no slave":                                        nil,
		"no pod is the master, and no slave is in sync: m does not answer (time-out)":        {silent},
		`no pod is the master, and no slave is in sync: m has the label redis-role="master"`: {loading},
	} {
		_, err := choose(servers)
		assert.ErrorIs(t, err, errNoSource)
		assert.ErrorContains(t, err, says)
	}
}
