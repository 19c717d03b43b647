package agent

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/succession"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// A view is some time old when it is acted on: the sentinel may have replaced
// the dead master meanwhile, and would replace its healthy successor.
func TestFailoverIsNotCommandedToASentinelThatNamesAnotherMasterByNow(t *testing.T) {
	const master = "10.0.0.1"
	for name, now := range map[string]string{
		"which it has replaced":  fakeredis.Master("10.0.0.2", "master"),
		"which it is replacing":  fakeredis.Master(master, "master,failover_in_progress"),
		"which it has forgotten": "-ERR No such master with that name\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			view, s := sentinelAt(t, "first", master, map[string]string{"SENTINEL MASTER": now})
			other, untold := sentinelAt(t, "second", master, nil)
			_, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []observe.SentinelView{view, other}, netip.MustParseAddr(master))
			require.ErrorIs(t, err, succession.ErrFailoverRunning)
			require.False(t, commanded(s))
			require.False(t, commanded(untold), "nor to another, whose view may be behind")
		})
	}
}

// sentinelAt is a sentinel that names a master; changes replace answers.
func sentinelAt(t *testing.T, name, master string, changes map[string]string) (observe.SentinelView, *fakeredis.Server) {
	answers := map[string]string{"INFO sentinel": fakeredis.Text("sentinel_tilt:0\r\n"), "SENTINEL FAILOVER": "+OK\r\n"}
	for command, answer := range changes {
		answers[command] = answer
	}
	s := fakeredis.Start(t, answers)
	l := observe.NewLinks("")
	view := role.View{Reach: role.Answered, HasMaster: true, Master: netip.MustParseAddr(master)}
	return observe.SentinelView{Pod: kube.Pod{Name: name}, Node: l.To(s.Addr.Addr(), int(s.Addr.Port())), View: view}, s
}

func commanded(s *fakeredis.Server) bool {
	return strings.Contains(strings.Join(s.Heard(), "\n"), "SENTINEL FAILOVER mymaster")
}

func TestFailoverIsCommandedToOneSentinelThatCanDoIt(t *testing.T) {
	const master = "10.0.0.1"
	tilted := map[string]string{"INFO sentinel": fakeredis.Text("sentinel_tilt:1\r\n")}
	refuses := map[string]string{"SENTINEL FAILOVER": "-NOGOODSLAVE No suitable replica to promote\r\n"}
	silent := map[string]string{"SENTINEL FAILOVER": ""}
	for name, c := range map[string]struct {
		first   map[string]string
		master  string // that the first names
		told    string
		second  bool // whether the second is told
		problem string
	}{
		"the first does it":                             {nil, master, "first", false, ""},
		"the next where the first is in TILT":           {tilted, master, "second", true, ""},
		"the next where the first has no good replica":  {refuses, master, "second", true, ""},
		"the next where the first has another master":   {nil, "10.0.0.9", "second", true, ""},
		"no other where the first may have obeyed":      {silent, master, "", false, "no sentinel replaces the master: sentinel first: "},
		"no other where the first names another, alone": {nil, "10.0.0.9", "second", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			first, _ := sentinelAt(t, "first", c.master, c.first)
			second, other := sentinelAt(t, "second", master, nil)
			told, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []observe.SentinelView{first, second}, netip.MustParseAddr(master))
			require.Equal(t, c.told, told)
			require.Equal(t, c.second, commanded(other))
			if c.problem == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.problem)
			}
		})
	}
}

func TestNoSecondFailoverIsCommandedWhileOneIsGoingOn(t *testing.T) {
	first, speaker := sentinelAt(t, "first", "10.0.0.1", nil)
	second := observe.SentinelView{View: role.View{Reach: role.Answered, HasMaster: true, FailingOver: true}}
	_, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []observe.SentinelView{first, second}, first.Master)
	require.ErrorIs(t, err, succession.ErrFailoverRunning)
	require.Empty(t, speaker.Heard())
}

// Each of two sentinels that are told would take the next epoch, and that is the same one.
func TestSentinelThatHasBegunAFailoverMeanwhileIsNotFollowedByTheNext(t *testing.T) {
	const master = "10.0.0.1"
	first, _ := sentinelAt(t, "first", master, map[string]string{"SENTINEL FAILOVER": "-INPROG Failover already in progress\r\n"})
	second, untold := sentinelAt(t, "second", master, nil)
	told, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []observe.SentinelView{first, second}, first.Master)
	require.ErrorIs(t, err, succession.ErrFailoverRunning)
	require.ErrorContains(t, err, "sentinel first")
	require.Empty(t, told)
	require.False(t, commanded(untold))
}

func TestSentinelThatIsPassedOverIsNamedWithItsReason(t *testing.T) {
	const master = "10.0.0.1"
	for name, c := range map[string]struct{ info, want string }{
		"TILT":      {fakeredis.Text("sentinel_tilt:1\r\n"), "no sentinel replaces the master: sentinel first is in TILT"},
		"an error":  {"-LOADING it starts\r\n", "sentinel first does not answer: INFO at "},
		"no answer": {"", "sentinel first does not answer: INFO at "},
	} {
		t.Run(name, func(t *testing.T) {
			first, s := sentinelAt(t, "first", master, map[string]string{"INFO sentinel": c.info})
			_, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []observe.SentinelView{first}, first.Master)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "nil")
			require.False(t, commanded(s))
		})
	}
}
