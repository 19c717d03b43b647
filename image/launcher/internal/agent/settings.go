package agent

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/certificate"
	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/pace"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
)

// ServerStatus is what a server's launcher tells of itself: role.Status for its peers, and its settings for people.
type ServerStatus struct {
	role.Status
	Settings    settings.State     `json:"settings"`
	Certificate *certificate.State `json:"certificate,omitempty"` // nil: nothing is encrypted
	Password    *password.Told     `json:"password,omitempty"`    // nil: there is one for good
}

// live is the configuration with the present settings. Goroutines beside the loop may call it.
func (s *Server) live() config.Config {
	c := s.config
	if s.follower != nil {
		c = s.follower.Config()
	}
	c.DownAfter = s.sentinelTimes.least(c.DownAfter)
	return s.passwords.Apply(c)
}

// sentinelTimes are the down-after of the sentinels, as each told last. A server never goes by a longer time, whatever its settings say: a
// launcher that has just started does not know how long ago they changed, and a sentinel's launcher may have started since.
type sentinelTimes struct {
	mu   sync.Mutex
	told map[string]time.Duration // by UID of the pod
}

// hear notes what the sentinels of all pods told. What a sentinel that does not answer told before still counts.
func (t *sentinelTimes) hear(views []observe.SentinelView) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.told
	t.told = map[string]time.Duration{}
	for _, v := range views {
		if told := cmp.Or(v.Settings.DownAfter, before[v.Pod.UID]); told > 0 {
			t.told[v.Pod.UID] = told
		}
	}
}

// least is the shortest of some time and what the sentinels told.
func (t *sentinelTimes) least(downAfter time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, told := range t.told {
		downAfter = min(downAfter, told)
	}
	return downAfter
}

// downAfter is how long a master may be silent before the sentinels find it down.
func (s *Server) downAfter() time.Duration { return s.live().DownAfter }

// lone says whether nobody can replace this server: the settings, and the API, know of no other one.
func (s *Server) lone() bool {
	if s.live().Servers > 1 {
		return false
	}
	servers := 0
	for _, pod := range s.api.Pods() {
		if pod.Server {
			servers++
		}
	}
	return servers <= 1
}

// limits are those by which the writes of this master wait for its replicas.
func (s *Server) limits() pace.Limits {
	c := s.live()
	return pace.Limits{Limit: c.MaxReplicationLag, Longest: role.PauseLimit(c.DownAfter) / 2, Silence: c.MinReplicasMaxLag}
}

// settingsState is what this launcher tells of its settings.
func (s *Server) settingsState() settings.State {
	if s.follower == nil {
		return settings.State{}
	}
	pending := append(s.follower.Pending(), s.directives.pending(s.child != nil)...)
	return settings.State{Version: s.live().SettingsVersion, Pending: pending}
}

// live is the configuration with the present settings. Goroutines beside the loop may call it.
func (s *Sentinel) live() config.Config {
	c := s.config
	if s.follower != nil {
		c = s.follower.Config()
	}
	return s.passwords.Apply(c)
}

// changed tells of other settings; never where the launcher follows none.
func changed(f *settings.Follower) <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.Changed()
}

// wantedSettings are those that the sentinel is to work with.
func (s *Sentinel) wantedSettings() redisnode.Settings {
	c := s.live()
	return redisnode.Settings{Quorum: c.Quorum, DownAfter: c.DownAfter, FailoverTimeout: c.FailoverTimeout}
}

// applySettings has the local sentinel follow the settings. After an error the next turn tries again.
func (s *Sentinel) applySettings(ctx context.Context) {
	s.unsettled = ""
	i := slices.IndexFunc(s.views, func(v observe.SentinelView) bool { return v.Pod.UID == s.self.UID })
	if s.child == nil || i < 0 || !s.views[i].HasMaster {
		return // it starts with them
	}
	wanted := s.wantedSettings()
	if s.views[i].Settings == wanted {
		return
	}
	if err := s.views[i].Node.SetSentinel(ctx, s.config.MasterName, wanted); err != nil {
		s.unsettled = "the sentinel has not taken its settings: " + err.Error()
		s.log.Warn("the sentinel has not taken its settings; trying again", "error", err)
		return
	}
	s.log.Info("the sentinel works with other settings", "quorum", wanted.Quorum, "down-after", wanted.DownAfter.String(), "failover-timeout", wanted.FailoverTimeout.String())
}

// settingsState is what this launcher tells of its settings.
func (s *Sentinel) settingsState() settings.State {
	if s.follower == nil {
		return settings.State{}
	}
	state := settings.State{Version: s.live().SettingsVersion, Pending: s.follower.Pending()}
	if s.unsettled != "" {
		state.Pending = append(state.Pending, s.unsettled)
	}
	return state
}

// turnOf says whether the time that a clock counts is that of this pod: the sentinel pods take turns by their names.
func (s *Sentinel) turnOf(pods []kube.Pod, clock int64) bool {
	var names []string
	for _, pod := range pods {
		if pod.Sentinel {
			names = append(names, pod.Name)
		}
	}
	slices.Sort(names)
	own := slices.Index(names, s.self.Name)
	return own >= 0 && clock%int64(len(names)) == int64(own)
}
