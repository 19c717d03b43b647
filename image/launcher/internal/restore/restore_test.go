package restore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/backup"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/restoration"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakerelease"
)

// pod gives a server of a healthy release: its master, or a slave in sync.
func pod(name, label string) server {
	s := server{pod: kube.Pod{Name: name, UID: name, Role: label, Server: true, IP: netip.MustParseAddr("10.0.0.1")}}
	s.info = redisnode.Info{Master: label == "master", LinkUp: label == "slave", ReplID: "history", Version: "8.0.2"}
	return s
}

func TestSlaveInSyncLoadsTheBackup(t *testing.T) {
	recorded := record.Record{Initialised: true, Generation: 3, Master: record.Member{Name: "server-1", UID: "server-1"}}
	for name, c := range map[string]struct {
		change func(servers []server)
		chosen string
		notes  int
		says   string
	}{
		"the lowest number":         {chosen: "server-2"},
		"the lowest number in sync": {change: func(s []server) { s[1].info.LinkUp = false }, chosen: "server-10", notes: 2},
		"no slave in sync": {change: func(s []server) { s[1].info.ReplID, s[2].err = "other", errors.New("silent") },
			says: "no slave is in sync, and one has to load the backup while the master serves", notes: 2},
		"no master":                 {change: func(s []server) { s[0].pod.Role = "" }, says: "0 pods are labelled master"},
		"two masters":               {change: func(s []server) { s[1].pod.Role = "master" }, says: "2 pods are labelled master"},
		"a silent master":           {change: func(s []server) { s[0].err = errors.New("silent") }, says: "the master server-1 does not answer: silent"},
		"a master without a record": {change: func(s []server) { s[0].pod.UID = "another" }, says: "the record or its Redis says otherwise"},
		"a label without a master":  {change: func(s []server) { s[0].info.Master = false }, says: "the record or its Redis says otherwise"},
	} {
		t.Run(name, func(t *testing.T) {
			servers := []server{pod("server-1", "master"), pod("server-2", "slave"), pod("server-10", "slave")}
			if c.change != nil {
				c.change(servers)
			}
			f := findings{record: recorded}
			problems := strings.Join(f.choose(servers), "\n")
			require.Contains(t, problems, c.says)
			require.Equal(t, c.says == "", problems == "", problems)
			require.Equal(t, c.chosen, f.chosen.pod.Name)
			require.Len(t, f.notes, c.notes)
		})
	}
}

func TestRecordThatKeepsTheMasterFromBeingReplaced(t *testing.T) {
	now := time.Now()
	require.NoError(t, recordProblem(record.Record{Initialised: true}, now))
	require.NoError(t, recordProblem(record.Record{Initialised: true, Fence: &record.Fence{At: now.Add(-time.Hour)}}, now))
	require.ErrorContains(t, recordProblem(record.Record{}, now), "the release has never had a master: restore.from")
	require.ErrorContains(t, recordProblem(record.Record{Initialised: true, Fence: &record.Fence{At: now, Reason: "hand-over"}}, now), "is being replaced (hand-over)")
}

func TestOlderRedisIsNotGivenALaterBackup(t *testing.T) {
	for version, refused := range map[string]bool{"8.0.2": false, "8.0.5": false, "8.2.0": false, "9.0.0": false, "10.0": false, "7.4.9": true, "": false, "unknown": false} {
		err := olderThan(version, backup.Manifest{Name: "x", RedisVersion: "8.0.3"})
		require.Equal(t, refused, err != nil, version)
	}
}

func TestNothingIsReplacedWithoutAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		answer  string
		says    string
	}{
		"a script":            {Options{Yes: true}, "", ""},
		"nobody":              {Options{}, "yes\n", "nobody can be asked here: give --yes"},
		"yes":                 {Options{Terminal: true}, "yes\n", ""},
		"yes without a line":  {Options{Terminal: true}, "yes", ""},
		"another word":        {Options{Terminal: true}, "y\n", `the answer was "y" and not yes`},
		"the end of the text": {Options{Terminal: true}, "", `the answer was "" and not yes`},
	} {
		t.Run(name, func(t *testing.T) {
			out := &bytes.Buffer{}
			err := (&Restorer{options: c.options, in: strings.NewReader(c.answer), out: out}).ask()
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}

// released gives a run of launcher restore on a release whose master server-a serves and has the label.
func released(t *testing.T, recorded func(record.Record) record.Record, info ...string) (*Restorer, findings) {
	t.Helper()
	release := fakerelease.New(t, "server-a")
	redis := fakeredis.StartAt(t, "127.0.0.10:0", map[string]string{"INFO": fakeredis.Text("role:master\r\n" + strings.Join(info, "\r\n"))})
	c := fakerelease.Config(t, release, "server-a")
	c.RedisPort = int(redis.Addr.Port())
	api := fakerelease.Connect(t, release, c)
	require.NoError(t, api.PatchLabels(t.Context(), map[string]string{kube.RoleLabel: role.Master}, nil))
	read, err := api.Record(t.Context())
	require.NoError(t, err)
	_, err = api.WriteRecord(t.Context(), recorded(read))
	require.NoError(t, err)
	f := findings{manifest: backup.Manifest{Name: "backup"}, chosen: server{pod: kube.Pod{Name: "server-b"}}}
	return New(c, api, nil, Options{}, nil, io.Discard, slog.New(slog.DiscardHandler)), f
}

// A slave that stood still may take over as long as its word counts.
func TestNothingWasReplacedOnlyWhenTheSlaveDoesNotTakeOverAnyMore(t *testing.T) {
	r, f := released(t, func(read record.Record) record.Record { return read.Claim(fakerelease.Member("server-a")) })
	giver, err := restoration.Give(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"), "", nil)
	require.NoError(t, err)
	t.Cleanup(giver.Close)
	silent := errors.New("silent")
	require.ErrorIs(t, r.verdict(t.Context(), giver, f, silent), ErrNothingChanged, "the slave has not heard the word")
	giver.Go()
	_, err = restoration.Take(giver.URL, nil).Tell(t.Context(), restoration.Told{Stage: restoration.Loaded})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*lookEvery)
	defer cancel()
	err = r.verdict(ctx, giver, f, silent)
	require.ErrorContains(t, err, "whether the backup has replaced the data is not known yet")
	require.NotErrorIs(t, err, ErrNothingChanged)
}

// A server that is promoted right after its copy knows nothing of the backup, and clears its name in the record.
func TestReplicationHistoryTellsOfABackupThatTheRecordDoesNotName(t *testing.T) {
	for name, c := range map[string]struct {
		id, before string
		said       string // empty: the data were replaced
	}{
		"the former master":           {"former", strings.Repeat("0", 40), ErrNothingChanged.Error()},
		"a replica of it":             {"new", "former", ErrNothingChanged.Error()},
		"a replica of its successor":  {"new", "other", ""},
		"a Redis that started anew":   {"new", strings.Repeat("0", 40), "is not known yet"},
		"a Redis that never followed": {"new", "", "is not known yet"},
	} {
		t.Run(name, func(t *testing.T) {
			r, f := released(t, func(read record.Record) record.Record { return read.Claim(fakerelease.Member("server-a")) }, "master_replid:"+c.id, "master_replid2:"+c.before)
			f.master.info.ReplID = "former"
			giver, err := restoration.Give(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"), "", nil)
			require.NoError(t, err)
			t.Cleanup(giver.Close)
			ctx, cancel := context.WithTimeout(t.Context(), 3*lookEvery)
			defer cancel()
			err = r.verdict(ctx, giver, f, errors.New("silent"))
			if c.said == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.said)
			}
		})
	}
}

func TestLostBackupIsToldAfterTheTakeover(t *testing.T) {
	b := fakerelease.Member("server-b")
	r, f := released(t, func(read record.Record) record.Record {
		return read.Claim(b).Restore(b, "backup", time.Now()).Claim(fakerelease.Member("server-a")).Holding(1)
	})
	require.ErrorContains(t, r.awaitFollowers(t.Context(), f), "server-b was lost before another server had the data of the backup")
}
