package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/store"
	"github.com/redis-ha/redis-ha/internal/s3server"
)

const redisPassword = "pass word"

// release is a master and a slave, real processes on one port of two addresses.
type release struct {
	lease
	port    int
	clients []*redis.Client
	pods    []kube.Pod
}

func (r *release) LivePods(context.Context) ([]kube.Pod, error) { return r.pods, nil }

// freePort is a port that is free on all addresses of loopback.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// startRedis runs a redis-server with a password until the test ends.
func startRedis(t *testing.T, ip string, port int, directives ...string) *redis.Client {
	t.Helper()
	command := exec.Command("redis-server", append([]string{"--port", fmt.Sprint(port), "--bind", ip, "--save", "", "--dir", t.TempDir(), "--rdbcompression", "no",
		"--requirepass", redisPassword, "--masterauth", redisPassword, "--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"}, directives...)...)
	require.NoError(t, command.Start())
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("%s:%d", ip, port), Password: redisPassword, Protocol: 2})
	t.Cleanup(func() {
		_ = client.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	require.Eventually(t, func() bool { return client.Ping(t.Context()).Err() == nil }, time.Minute, 20*time.Millisecond, "redis-server answers, and has loaded its file")
	return client
}

// newRelease starts a master with some keys and a slave in sync.
func newRelease(t *testing.T) *release {
	t.Helper()
	r := &release{port: freePort(t)}
	start := func(ip, role string, directives ...string) {
		r.clients = append(r.clients, startRedis(t, ip, r.port, directives...))
		r.pods = append(r.pods, kube.Pod{Name: "server-" + role, UID: role, IP: netip.MustParseAddr(ip), Server: true, Role: role})
	}
	start("127.0.0.2", masterLabel)
	require.NoError(t, r.clients[0].Do(t.Context(), "DEBUG", "POPULATE", 30000, "key", 500).Err())
	start("127.0.0.3", slaveLabel, "--replicaof", fmt.Sprintf("127.0.0.2 %d", r.port))
	require.Eventually(t, func() bool {
		return strings.Contains(r.clients[1].Info(t.Context(), "replication").Val(), "master_link_status:up") && r.digest(t, 0) == r.digest(t, 1)
	}, 20*time.Second, 50*time.Millisecond, "the slave is in sync")
	return r
}

// digest is the checksum of all data of a server.
func (r *release) digest(t *testing.T, number int) string {
	t.Helper()
	return r.clients[number].Do(t.Context(), "DEBUG", "DIGEST").String()
}

// maker makes backups of the release into a store.
func (r *release) maker(t *testing.T, s store.Store, recipients string) *Maker {
	t.Helper()
	keys, err := parseRecipients(recipients)
	require.NoError(t, err)
	c := config.Config{PodName: "backup-1", Namespace: "caches", Prefix: "redis-ha-", Password: redisPassword, RedisPort: r.port,
		Backup: config.Backup{WorkDir: t.TempDir(), Retention: 24 * time.Hour}}
	return &Maker{config: c, api: r, store: s, recipients: keys, log: slog.New(slog.NewTextHandler(t.Output(), nil)), times: quick}
}

// bucket is a store on an S3 server with further flags.
func bucket(t *testing.T, dir string, flags ...string) store.Store {
	t.Helper()
	s, err := Open(config.Backup{S3: config.S3{
		Endpoint: s3server.Start(t, dir, flags...), Bucket: s3server.Bucket, Prefix: "caches/redis-ha/", AccessKey: s3server.AccessKey, SecretKey: s3server.SecretKey,
	}})
	require.NoError(t, err)
	return s
}

func objects(t *testing.T, s store.Store) []string {
	t.Helper()
	list, err := s.List(t.Context())
	require.NoError(t, err)
	found := []string{}
	for _, o := range list {
		found = append(found, o.Name)
	}
	return found
}

// loaded gives the digest of a Redis that has loaded an RDB file.
func loaded(t *testing.T, path string) string {
	t.Helper()
	client := startRedis(t, "127.0.0.9", freePort(t), "--dir", filepath.Dir(path), "--dbfilename", filepath.Base(path))
	return client.Do(t.Context(), "DEBUG", "DIGEST").String()
}

func TestBackupHasAllData(t *testing.T) {
	r := newRelease(t)
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	directory, err := store.NewDirectory(t.TempDir())
	require.NoError(t, err)
	for name, c := range map[string]struct {
		store               store.Store
		recipient, identity string
	}{
		"directory":        {directory, "", ""},
		"bucket":           {bucket(t, t.TempDir()), "", ""},
		"encrypted bucket": {bucket(t, t.TempDir()), "# the operator\n" + key.Recipient().String() + "\n", key.String()},
	} {
		t.Run(name, func(t *testing.T) {
			m := r.maker(t, c.store, c.recipient)
			require.NoError(t, m.Run(t.Context()))
			found := objects(t, c.store)
			require.Len(t, found, 2)
			record := r.get()
			assert.Empty(t, record.Holder)
			assert.WithinDuration(t, time.Now(), record.Last.Time, time.Minute)
			manifest, err := find(t.Context(), c.store, Latest)
			require.NoError(t, err)
			assert.Equal(t, record.Last.Name, manifest.Name)
			assert.Equal(t, record.Last.Size, manifest.Stored.Size)
			assert.Equal(t, "server-slave", manifest.Source)
			assert.Equal(t, "caches/redis-ha", manifest.Release)
			assert.Equal(t, c.recipient != "", manifest.Encrypted)
			left, err := os.ReadDir(m.config.Backup.WorkDir)
			require.NoError(t, err)
			assert.Empty(t, left, "no copy of the data stays in the pod")

			path := filepath.Join(t.TempDir(), "fetched.rdb")
			_, err = Fetch(t.Context(), c.store, Latest, c.identity, path, quiet)
			require.NoError(t, err)
			assert.Equal(t, r.digest(t, 0), loaded(t, path))
			_, err = Fetch(t.Context(), c.store, Latest, c.identity, path, quiet)
			assert.ErrorIs(t, err, os.ErrExist, "no file is overwritten")
		})
	}
}

func TestMasterIsCopiedWhereNoSlaveIsInSync(t *testing.T) {
	r := newRelease(t)
	r.pods = r.pods[:1]
	s := bucket(t, t.TempDir())
	require.NoError(t, r.maker(t, s, "").Run(t.Context()))
	m, err := find(t.Context(), s, Latest)
	require.NoError(t, err)
	assert.Equal(t, "server-master", m.Source)
}

// A slave that does not answer the copy does not end the backup.
func TestAnotherServerIsCopiedIfACopyFails(t *testing.T) {
	r := newRelease(t)
	require.NoError(t, r.clients[1].ConfigSet(t.Context(), "repl-diskless-sync", "no").Err())
	dir, err := r.clients[1].ConfigGet(t.Context(), "dir").Result()
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir["dir"])) // the slave cannot write its copy any more
	s := bucket(t, t.TempDir())
	require.NoError(t, r.maker(t, s, "").Run(t.Context()))
	m, err := find(t.Context(), s, Latest)
	require.NoError(t, err)
	assert.Equal(t, "server-master", m.Source)
}

func TestWrongKeyReadsNothing(t *testing.T) {
	r := newRelease(t)
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	other, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	s := bucket(t, t.TempDir())
	require.NoError(t, r.maker(t, s, key.Recipient().String()).Run(t.Context()))
	for says, identity := range map[string]string{
		"is not one that the backup was encrypted for":      other.String(),
		"the backup is encrypted: give the private key":     "",
		"LAUNCHER_BACKUP_IDENTITY is no private key of age": "secret text",
	} {
		path := filepath.Join(t.TempDir(), "fetched.rdb")
		_, err = Fetch(t.Context(), s, Latest, identity, path, quiet)
		require.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), "secret text")
		assert.NotContains(t, err.Error(), other.String())
		assert.NoFileExists(t, path)
	}
	_, err = parseRecipients(other.String())
	assert.Error(t, err, "a private key where the public one belongs")
}

func TestFailedBackupLeavesNothingThatLooksWhole(t *testing.T) {
	r := newRelease(t)
	for name, c := range map[string]struct {
		flags []string
		says  string
	}{
		"a full bucket":            {[]string{"-room", "9000000"}, "the S3 server has no more room"},
		"no room for the manifest": {[]string{"-room", "16000000"}, "the S3 server has no more room"},
		"a broken upload":          {[]string{"-break-after", "9000000"}, "store "},
		"damage in the store":      {[]string{"-flip", ".rdb"}, "is damaged: it has"},
		"a damaged manifest":       {[]string{"-flip", ".json"}, "is damaged: it has"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before := bucket(t, dir)
			require.NoError(t, r.maker(t, before, "").Run(t.Context()))
			good := objects(t, before)
			record := r.get()
			size := record.Last.Size
			require.Greater(t, size, int64(9000000), "the data have several parts")
			flags := c.flags
			if name == "no room for the manifest" {
				flags = []string{"-room", fmt.Sprint(size + 10)}
			}
			require.Eventually(t, func() bool { return time.Now().UTC().Format(timeForm) > record.Last.Name[:len(timeForm)] }, 2*time.Second, 10*time.Millisecond)
			err := r.maker(t, bucket(t, dir, flags...), "").Run(t.Context())
			require.ErrorContains(t, err, c.says)
			assert.Equal(t, good, objects(t, before), "the good backup is all that is there")
			assert.Equal(t, record.Last, r.get().Last)
			assert.Empty(t, r.get().Holder)
		})
	}
}

// TERM ends a run in the middle; nothing of it stays.
func TestInterruptedBackupIsRemoved(t *testing.T) {
	r := newRelease(t)
	s := &slow{Store: bucket(t, t.TempDir()), reached: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.maker(t, s, "").Run(ctx) }()
	<-s.reached
	cancel()
	assert.ErrorIs(t, <-done, context.Canceled)
	assert.Empty(t, objects(t, s))
	assert.Empty(t, r.get().Holder)
}

// slow stops in the middle of the first object until the context ends.
type slow struct {
	store.Store
	reached chan struct{}
}

func (s *slow) Put(ctx context.Context, name string, content io.Reader, atMost int64) error {
	stuck := readerFunc(func(p []byte) (int, error) {
		close(s.reached)
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	return s.Store.Put(ctx, name, io.MultiReader(io.LimitReader(content, 9<<20), stuck), atMost)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A run whose process was killed leaves data without a manifest, and the next run but one a day later deletes them.
func TestLeftoversGoAndOldBackupsGo(t *testing.T) {
	r := newRelease(t)
	dir := t.TempDir()
	s, err := store.NewDirectory(dir)
	require.NoError(t, err)
	put := func(age time.Duration, suffixes ...string) {
		began := time.Now().Add(-age)
		for _, suffix := range suffixes {
			path := filepath.Join(dir, nameOf(began, File{SHA256: "0123456789"})+suffix)
			require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
			require.NoError(t, os.Chtimes(path, began, began))
		}
	}
	put(30*time.Hour, dataSuffix)                 // interrupted long ago
	put(2*time.Hour, dataSuffix)                  // may be under way
	put(28*time.Hour, dataSuffix, manifestSuffix) // too old
	put(20*time.Hour, dataSuffix, manifestSuffix) // still wanted
	require.NoError(t, r.maker(t, s, "").Run(t.Context()))
	assert.Len(t, objects(t, s), 5)
	list, err := s.List(t.Context())
	require.NoError(t, err)
	assert.Len(t, names(list), 2)
}

// The last good backup is kept for ever if no other one succeeds.
func TestNothingIsDeletedByARunThatFails(t *testing.T) {
	r := newRelease(t)
	dir := t.TempDir()
	s, err := store.NewDirectory(dir)
	require.NoError(t, err)
	old := nameOf(time.Now().Add(-1000*time.Hour), File{SHA256: "0123456789"})
	for _, suffix := range []string{dataSuffix, manifestSuffix} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, old+suffix), []byte("x"), 0o600))
	}
	r.pods = nil
	assert.ErrorIs(t, r.maker(t, s, "").Run(t.Context()), errNoSource)
	assert.Len(t, objects(t, s), 2)
}

func TestSecondRunAtTheSameTimeFails(t *testing.T) {
	r := newRelease(t)
	held, _, err := acquire(t.Context(), r, "another", quick, quiet)
	require.NoError(t, err)
	defer held.release(t.Context())
	s := bucket(t, t.TempDir())
	assert.ErrorIs(t, r.maker(t, s, "").Run(t.Context()), errRunning)
	assert.Empty(t, objects(t, s))
}

func TestListShowsWholeBackupsAndNamesDamagedOnes(t *testing.T) {
	s := bucket(t, t.TempDir())
	var out bytes.Buffer
	require.NoError(t, List(t.Context(), s, noon, &out))
	assert.Contains(t, out.String(), "no backups at http://127.0.0.1:")
	put := func(hours int, stored int64, sealed bool) string {
		name := nameOf(noon.Add(-time.Duration(hours)*time.Hour), File{SHA256: "0123456789"})
		content, err := Manifest{Form: 1, Name: name, Time: noon.Add(-time.Duration(hours) * time.Hour), RedisVersion: "8.0.2", Encrypted: sealed,
			Stored: File{stored, "a"}, RDB: File{5, "b"}}.encode()
		require.NoError(t, err)
		require.NoError(t, s.Put(t.Context(), name+manifestSuffix, bytes.NewReader(content), 1000))
		require.NoError(t, s.Put(t.Context(), dataName(name, sealed), strings.NewReader("12345"), 5))
		return name
	}
	put(1, 5, true)
	put(3, 5, false)
	put(80, 5, false)
	broken := put(5, 6, false)
	out.Reset()
	require.NoError(t, List(t.Context(), s, noon, &out))
	assert.Equal(t, `NAME                       AGE  SIZE  REDIS  ENCRYPTED
20261130T110000Z-01234567  60m  5 B   8.0.2  yes
20261130T090000Z-01234567  3h   5 B   8.0.2  no
20261127T040000Z-01234567  3d   5 B   8.0.2  no
backup `+broken+` is damaged: its data have 5 bytes and should have 6
`, out.String())
	_, err := Fetch(t.Context(), s, broken, "", filepath.Join(t.TempDir(), "x"), quiet)
	assert.ErrorContains(t, err, "is damaged")
	_, err = Fetch(t.Context(), s, "../x", "", filepath.Join(t.TempDir(), "x"), quiet)
	assert.ErrorContains(t, err, "is no name of a backup")
	_, err = Fetch(t.Context(), s, "20200101T000000Z-01234567", "", filepath.Join(t.TempDir(), "x"), quiet)
	assert.True(t, errors.Is(err, store.ErrNotThere), err)
}
