// Package notify tells people what a sentinel found: as Kubernetes Events and,
// if wanted, at a webhook.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

// switchMaster is the channel on which a sentinel names a new master.
const switchMaster = "+switch-master"

// Channels are the messages people are told of.
var Channels = []string{"+sdown", "+odown", switchMaster}

const (
	// window is the time within which the same message of several sentinels is one,
	// where nothing else tells that they speak of the same thing.
	window = 30 * time.Second
	// webhookTries is how often a webhook that fails is tried, with 1 s, 2 s, … between.
	webhookTries = 4
)

// Notice is what is posted to the webhook.
type Notice struct {
	Event     string    `json:"event"`   // the sentinel's channel: +sdown, +odown, +switch-master
	Message   string    `json:"message"` // the sentinel's own words
	Namespace string    `json:"namespace"`
	Release   string    `json:"release"` // full name of the release
	Sentinel  string    `json:"sentinel"`
	Time      time.Time `json:"time"`
}

// Teller tells of notices.
type Teller struct {
	config config.Config
	api    *kube.Client
	log    *slog.Logger
	http   *http.Client
	// epoch asks the sentinel for the configuration epoch of the present master.
	epoch func(context.Context) (int64, error)
}

// New prepares a teller. epoch asks the pod's sentinel for the configuration
// epoch of the master that it names.
func New(c config.Config, api *kube.Client, log *slog.Logger, epoch func(context.Context) (int64, error)) *Teller {
	return &Teller{config: c, api: api, log: log, http: &http.Client{Timeout: 5 * time.Second}, epoch: epoch}
}

// Tell writes the Event and calls the webhook. All sentinels see the same
// things. The launcher that gets the Event written calls the webhook. If no Event
// can be written, every launcher calls the webhook: twice is better than never.
func (t *Teller) Tell(ctx context.Context, n redisnode.Notice) {
	reason, warning := describe(n.Channel)
	pod, ok := t.podIn(n.Payload)
	if !ok {
		pod = kube.Pod{Name: t.config.PodName, UID: t.config.PodUID}
	}
	first, err := t.api.Event(ctx, t.name(ctx, n, time.Now()), pod, warning, reason, fmt.Sprintf("Sentinel: %s %s", n.Channel, n.Payload))
	if err != nil {
		t.log.Warn("the Event could not be written", "error", err)
	}
	if (first || err != nil) && t.config.WebhookURL != "" {
		t.post(ctx, n)
	}
}

// describe gives an Event's reason and whether it is a warning.
func describe(channel string) (string, bool) {
	switch channel {
	case "+sdown":
		return "SubjectivelyDown", true
	case "+odown":
		return "ObjectivelyDown", true
	default:
		return "MasterSwitched", false
	}
}

// name gives the name of the Event. All launchers give the same name for the same
// occasion. A switch of the master has an epoch of its own. Other messages with the
// same words count as one occasion within a window.
func (t *Teller) name(ctx context.Context, n redisnode.Notice, now time.Time) string {
	payload, occasion := n.Payload, now.Unix()/int64(window.Seconds())
	if n.Channel == switchMaster {
		if epoch, err := t.epoch(ctx); err == nil {
			occasion = epoch
		}
	}
	if n.Channel == "+odown" {
		// The rest counts votes, which differs from sentinel to sentinel.
		payload, _, _ = strings.Cut(payload, " #quorum")
	}
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%s|%s|%d", n.Channel, payload, occasion)
	return fmt.Sprintf("%s%x", t.config.Prefix, sum.Sum64())
}

// podIn finds the pod a message is about: the last address in it.
func (t *Teller) podIn(payload string) (found kube.Pod, ok bool) {
	payload, _, _ = strings.Cut(payload, " @")
	for _, word := range strings.Fields(payload) {
		ip, err := netip.ParseAddr(word)
		if err != nil {
			continue
		}
		for _, pod := range t.api.Pods() {
			if pod.IP == ip {
				found, ok = pod, true
			}
		}
	}
	return found, ok
}

func (t *Teller) post(ctx context.Context, n redisnode.Notice) {
	body, err := json.Marshal(Notice{
		Event: n.Channel, Message: n.Payload, Namespace: t.config.Namespace,
		Release: strings.TrimSuffix(t.config.Prefix, "-"), Sentinel: t.config.PodName, Time: time.Now().UTC(),
	})
	if err != nil {
		t.log.Warn("the notice could not be encoded", "error", err)
		return
	}
	for try := 1; try <= webhookTries; try++ {
		if err = t.postOnce(ctx, body); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(try) * time.Second):
		}
	}
	t.log.Warn("the webhook could not be told", "event", n.Channel, "tries", webhookTries, "error", err)
}

func (t *Teller) postOnce(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.config.WebhookURL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("prepare the webhook call: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := t.http.Do(request)
	if err != nil {
		// The URL may hold a token; the error's text would repeat it.
		return fmt.Errorf("call the webhook: no answer")
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("call the webhook: it answered %s", response.Status)
	}
	return nil
}
