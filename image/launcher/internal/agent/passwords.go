package agent

import (
	"context"
	"strings"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

// authorization names what Redis or Sentinel has of the passwords.
func authorization(c config.Config) string {
	if c.Passwords == nil {
		return ""
	}
	return strings.Join(append([]string{c.Passwords.Link}, c.Passwords.Accepted...), "\x00")
}

// authorize has the running Redis accept the passwords that count, and use the present one. Connections that are open stay. After an error the
// next turn tries again.
func (s *Server) authorize(ctx context.Context) {
	c := s.passwords.Apply(s.config)
	if s.child == nil || s.authorized == authorization(c) {
		return
	}
	err := s.local().SetPasswords(ctx, c.Passwords.Accepted)
	if err == nil && !s.plan.Seen.External.On { // see setLink
		var pairs []any
		for _, d := range redisconf.Link(c, false) {
			pairs = append(pairs, d.Name, d.Value)
		}
		err = s.local().SetAll(ctx, pairs...)
	}
	if err != nil {
		if said := redisnode.Said(err); said != s.unauthorized {
			s.unauthorized = said
			s.log.Error("Redis has not taken its passwords; trying again", "error", err)
		}
		return
	}
	s.authorized, s.unauthorized = authorization(c), ""
	s.log.Info("Redis has taken other passwords", "accepted", accepted(c))
}

// authorize is the same for the sentinel.
func (s *Sentinel) authorize(ctx context.Context) {
	c := s.live()
	if s.child == nil || s.authorized == authorization(c) {
		return
	}
	node := s.links.To(s.config.PodIP, s.config.SentinelPort)
	err := node.SetPasswords(ctx, c.Passwords.Accepted)
	if err == nil {
		err = node.SetSentinelPassword(ctx, s.config.MasterName, c.Passwords.Link)
	}
	if err != nil {
		if said := redisnode.Said(err); said != s.unauthorized {
			s.unauthorized = said
			s.log.Error("the sentinel has not taken its passwords; trying again", "error", err)
		}
		return
	}
	s.authorized, s.unauthorized = authorization(c), ""
	s.log.Info("the sentinel has taken other passwords", "accepted", accepted(c))
}

// accepted says how many passwords Redis accepts.
func accepted(c config.Config) any {
	if c.Passwords.Accepted[0] == "nopass" {
		return "any, and none"
	}
	return len(c.Passwords.Accepted) - 1
}

// toldOf is what this launcher tells of its passwords. Failure is why Redis or Sentinel has not taken them; empty: it has.
func toldOf(k *password.Keeper, failure string) *password.Told {
	told := k.Told()
	if told != nil && failure != "" {
		told.Pending = append(told.Pending, "the passwords have not been taken: "+failure)
	}
	return told
}

// askPasswords asks the pods of the release what they accept; false where the API has not listed them.
func (s *Server) askPasswords(ctx context.Context, state password.State) ([]password.Node, bool) {
	return askPasswords(ctx, state, s.api, s.config)
}

// askPasswords asks the pods of the release what they accept; false where the API has not listed them.
func (s *Sentinel) askPasswords(ctx context.Context, state password.State) ([]password.Node, bool) {
	return askPasswords(ctx, state, s.api, s.config)
}

func askPasswords(ctx context.Context, state password.State, api *kube.Client, c config.Config) ([]password.Node, bool) {
	if !api.Synced() {
		return nil, false
	}
	return password.Ask(ctx, state, password.Peers(api.Pods(), c, state.New), c.TLS.Links, c.HTTPPort), true
}
