package agent

import (
	"context"
	"log/slog"
	"strings"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

// authorization is what Redis or Sentinel has of the passwords. The zero value stands for the one password of a release without a file.
type authorization struct{ link, accepted string }

func authorizationOf(c config.Config) authorization {
	if c.Passwords == nil {
		return authorization{}
	}
	return authorization{link: c.Passwords.Link, accepted: strings.Join(c.Passwords.Accepted, " ")}
}

// authorize has the running Redis accept the passwords that count, and use the present one. Connections that are open stay. After an error the
// next turn tries again. A Redis that loads a backup is told as well: passwords may change twice before it takes over.
func (s *Server) authorize(ctx context.Context) {
	has, node := &s.authorized, s.local()
	switch {
	case s.unseen():
		has, node = &s.replacing.authorized, s.replacing.node
	case s.child == nil:
		s.unauthorized = ""
		return
	}
	c := s.passwords.Apply(s.config)
	if *has == authorizationOf(c) {
		s.unauthorized = ""
		return
	}
	err := node.SetPasswords(ctx, c.Passwords.Accepted)
	if err == nil && has.link != c.Passwords.Link && !s.plan.Seen.External.On { // see setLink
		var pairs []any
		for _, d := range redisconf.Link(c, false) {
			pairs = append(pairs, d.Name, d.Value)
		}
		err = node.SetAll(ctx, pairs...)
	}
	if s.unauthorized = refused(s.log, s.unauthorized, err); err == nil {
		*has = authorizationOf(c)
		s.log.Info("Redis has taken other passwords", "accepted", accepted(c))
	}
}

// authorize is the same for the sentinel. A sentinel connects anew to all others when it uses another password.
func (s *Sentinel) authorize(ctx context.Context) {
	c := s.live()
	if s.child == nil || s.authorized == authorizationOf(c) {
		s.unauthorized = ""
		return
	}
	node := s.links.To(s.config.PodIP, s.config.SentinelPort)
	err := node.SetPasswords(ctx, c.Passwords.Accepted)
	if err == nil && s.authorized.link != c.Passwords.Link {
		err = node.SetSentinelPassword(ctx, s.config.MasterName, c.Passwords.Link)
	}
	if s.unauthorized = refused(s.log, s.unauthorized, err); err == nil {
		s.authorized = authorizationOf(c)
		s.log.Info("the sentinel has taken other passwords", "accepted", accepted(c))
	}
}

// refused gives what a process has said to other passwords; empty: it has taken them. The same answer is logged once.
func refused(log *slog.Logger, before string, err error) string {
	if err == nil {
		return ""
	}
	said := redisnode.Said(err)
	if said != before {
		log.Error("the passwords have not been taken; trying again", "error", err)
	}
	return said
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
	return password.Ask(ctx, state, password.Peers(api.Pods(), c, state.New), c.HTTPPort), true
}
