package observe

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
)

// Its sentinel may have the identity of another pod, and would count twice.
func TestSentinelOfAPodThatShouldHaveEndedIsNotAsked(t *testing.T) {
	a := Asker{Config: config.Config{SentinelPort: freePort(t)}, Links: NewLinks("")}
	ended := time.Now().Add(-time.Minute)
	views := a.Sentinels(t.Context(), []kube.Pod{
		{Name: "stays", IP: here, Sentinel: true, Ready: true},
		{Name: "leaves", IP: here, Sentinel: true, Ready: true, Terminating: true, GraceEnds: time.Now()},
		{Name: "should have ended", IP: here, Sentinel: true, Ready: true, Terminating: true, GraceEnds: ended},
	})
	require.Len(t, views, 2)
	require.Equal(t, "leaves", views[1].Pod.Name)
}

// The password of another pod may differ, as after a change of the Secret.
func TestErrorOfASentinelIsTold(t *testing.T) {
	s := fakeredis.Start(t, map[string]string{"SENTINEL": "-NOAUTH Authentication required.\r\n"})
	var told []error
	a := Asker{
		Config: config.Config{SentinelPort: int(s.Addr.Port())}, Links: NewLinks(""), Failed: func(err error) { told = append(told, err) },
	}
	views := a.Sentinels(t.Context(), []kube.Pod{{IP: here, Sentinel: true, Ready: true}})
	require.Equal(t, role.Unknown, views[0].Reach)
	require.Len(t, told, 1)
	s.Answer("SENTINEL", fakeredis.Master("10.0.0.1", "master"))
	views = a.Sentinels(t.Context(), []kube.Pod{{IP: here, Sentinel: true, Ready: true}})
	require.Equal(t, netip.MustParseAddr("10.0.0.1"), views[0].Master)
	require.Len(t, told, 1, "an answer is no error")
}
