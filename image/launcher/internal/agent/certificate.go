package agent

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/certificate"
	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisconf"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

// certify has the running Redis read another certificate if another one counts. Connections that are open stay. After an error the next turn
// tries again.
func (s *Server) certify(ctx context.Context) {
	c := s.config
	c.TLS.Folder = s.certificates.Folder()
	if s.child == nil || s.certified == c.TLS.Folder {
		return
	}
	var pairs []any
	for _, d := range redisconf.Certificate(c) {
		pairs = append(pairs, d.Name, d.Value)
	}
	if err := s.local().SetAll(ctx, pairs...); err != nil {
		if said := redisnode.Said(err); said != s.uncertified {
			s.uncertified = said
			s.log.Error("Redis has not taken its certificate; trying again", "error", err)
		}
		return
	}
	s.certified, s.uncertified = c.TLS.Folder, ""
	s.log.Info("Redis has taken another certificate", "folder", c.TLS.Folder)
}

// certificateState is what this launcher tells of its certificate.
func (s *Server) certificateState() *certificate.State {
	state := s.certificates.State()
	if state != nil && s.uncertified != "" {
		state.Pending = append(state.Pending, "Redis has not taken its certificate: "+s.uncertified)
	}
	return state
}

// announceEvery is how often a launcher looks whether its certificate expires soon.
const announceEvery = time.Hour

// announceExpiry tells by the log and by an Event that the certificate expires soon, once a day, until ctx ends. All launchers of a release give
// the Event the same name, so there is one.
func announceExpiry(ctx context.Context, k *certificate.Keeper, api *kube.Client, c config.Config, log *slog.Logger) {
	if k == nil {
		return
	}
	ticker := time.NewTicker(announceEvery)
	defer ticker.Stop()
	for told := ""; ; {
		told = announce(ctx, *k.State(), told, api, c, log)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// announce tells of a certificate that expires soon, unless it has been told today. It gives the name of what was told last.
func announce(ctx context.Context, state certificate.State, told string, api *kube.Client, c config.Config, log *slog.Logger) string {
	now := time.Now()
	warning := state.Warning(now)
	name := fmt.Sprintf("%scertificate-%s-%s", c.Prefix, state.Version, now.UTC().Format("20060102"))
	if warning == "" || name == told {
		return told
	}
	log.Warn(warning)
	if _, err := api.Event(ctx, name, kube.Pod{Name: c.PodName, UID: c.PodUID}, true, "CertificateExpires", warning); err != nil {
		log.Warn("the Event could not be written; trying again", "error", err)
		return told
	}
	return name
}
