package loopback

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
	"github.com/redis-ha/redis-ha/internal/s3server"
)

// backupTime bounds a backup of little data.
const backupTime = time.Minute

// backups are the settings of a release that makes backups into a bucket.
type backups struct {
	cluster  *cluster
	endpoint string
	dir      string // of the objects
	number   int
}

// startWithBackups is start with backups into an S3 server whose objects are in dir.
func startWithBackups(t *testing.T, o options, dir string) (*cluster, *backups) {
	t.Helper()
	environment := map[string]string{"LAUNCHER_BACKUP_ENABLED": "true"}
	maps.Copy(environment, o.environment)
	o.environment = environment
	c := newCluster(t, o)
	if err := c.api.CreateLease(fullname + "-backup"); err != nil {
		t.Fatal(err)
	}
	for range c.options.servers {
		c.addServer().run()
	}
	for range c.options.sentinels {
		c.addSentinel().run()
	}
	c.converge()
	return c, &backups{cluster: c, endpoint: s3server.Start(t, dir), dir: dir}
}

// job is a pod of the CronJob, with another command.
type job struct {
	name    string
	process *process
	output  *printed
	api     *fakeapi.Client
}

// printed is what a command has printed so far.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// start runs a command of the launcher as the CronJob does.
func (b *backups) start(t *testing.T, arguments ...string) *job {
	t.Helper()
	c := b.cluster
	b.number++
	name, ip := fmt.Sprintf("%s-backup-%d-pod", fullname, b.number), c.network.address()
	api, err := c.api.Connect(name, ip+":6443")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(c.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "kubeconfig")
	content := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"test","contexts":[{"name":"test","context":{"cluster":"test","user":"test"}}],
"clusters":[{"name":"test","cluster":{"server":%q}}],"users":[{"name":"test","user":{}}]}`, api.URL())
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := []string{
		"REDIS_CHART_PREFIX=" + fullname + "-", "POD_NAME=" + name, "POD_NAMESPACE=kube-public", "POD_UID=" + name, "POD_IP=" + ip,
		"LAUNCHER_POD_SELECTOR=app=redis-ha,release=redis-ha", "LAUNCHER_KUBECONFIG=" + config,
		"LAUNCHER_BACKUP_S3_ENDPOINT=" + b.endpoint, "LAUNCHER_BACKUP_S3_BUCKET=" + s3server.Bucket, "LAUNCHER_BACKUP_S3_PREFIX=kube-public/" + fullname,
		"LAUNCHER_BACKUP_S3_ACCESS_KEY=" + s3server.AccessKey, "LAUNCHER_BACKUP_S3_SECRET_KEY=" + s3server.SecretKey, "LAUNCHER_BACKUP_WORK_DIR=" + dir,
	}
	if password := c.clientPassword(); password != "" {
		environment = append(environment, "REDIS_PASS="+password)
	}
	if s := c.mountedSecret(); s.Cert != nil {
		s.Write(t, dir)
		environment = append(environment, secretVariables(dir)...)
	}
	j := &job{name: name, output: &printed{}, api: api}
	if j.process, err = startProcess(environment, j.output, arguments...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		j.process.kill()
		_ = api.Close()
	})
	return j
}

// end waits for the end of the command, and gives what it printed.
func (j *job) end(t *testing.T, code int) string {
	t.Helper()
	select {
	case <-j.process.exited:
	case <-time.After(backupTime):
		t.Fatalf("%s did not end within %v", j.name, backupTime)
	}
	if j.process.code != code {
		t.Fatalf("%s ended with code %d, want %d:\n%s", j.name, j.process.code, code, j.output)
	}
	return j.output.String()
}

// slowly has the Redis of a pod wait before it makes a copy.
func (c *cluster) slowly(p *pod, wait time.Duration) {
	c.t.Helper()
	if err := c.client(p).ConfigSet(c.t.Context(), "repl-diskless-sync-delay", fmt.Sprint(wait.Seconds())).Err(); err != nil {
		c.t.Fatal(err)
	}
}

func TestBackupIsTakenFromASlaveBesideClients(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, b := startWithBackups(t, options{}, dir)
	c.fill(t, 500)
	w := c.write()
	w.advance(100)
	made := time.Now()
	said := b.start(t, "backup").end(t, 0)
	w.advance(100)
	w.requireNothingLost()
	for _, text := range []string{`reason="a slave in sync, `, `msg="the backup is whole"`} {
		if !strings.Contains(said, text) {
			t.Errorf("the backup did not say %q:\n%s", text, said)
		}
	}
	if strings.Contains(said, c.password) || strings.Contains(said, s3server.SecretKey) {
		t.Errorf("the backup tells a secret:\n%s", said)
	}
	master := c.converge()
	list := b.start(t, "backup", "list").end(t, 0)
	if lines := strings.Split(strings.TrimSpace(list), "\n"); len(lines) != 2 || !strings.HasSuffix(lines[1], " no") {
		t.Errorf("one backup should be listed:\n%s", list)
	}
	file := filepath.Join(c.dir, "fetched.rdb")
	b.start(t, "backup", "fetch", "latest", "--to", file).end(t, 0)
	if content, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(content, []byte("REDIS")) {
		t.Errorf("the fetched file is no RDB file: %v", err)
	}
	eventually(t, settle, "the master's metrics to tell the backup", func() error { return toldOnlyBy(c, master, made) })
	old := master
	old.killRedis()
	eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
	master = c.converge()
	eventually(t, settle, "the metrics of the new master to tell the backup", func() error { return toldOnlyBy(c, master, made) })
}

// toldOnlyBy checks that the metrics of the master alone tell a backup that began after a time.
func toldOnlyBy(c *cluster, master *pod, after time.Time) error {
	for _, p := range c.servers() {
		response, err := http.Get(p.url("/metrics"))
		if err != nil {
			return err
		}
		text, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
		_, value, found := strings.Cut(string(text), "\nredis_ha_last_backup_timestamp_seconds ")
		if found != (p == master) {
			return fmt.Errorf("%s tells a backup: %t; it is the master: %t", p.name, found, p == master)
		}
		var began float64
		if _, err := fmt.Sscan(value, &began); found && (err != nil || began < float64(after.Unix())) {
			return fmt.Errorf("%s tells a backup at %v", p.name, value[:20])
		}
	}
	return nil
}

// Sentinel would promote whatever it takes for a replica, and could not forget it.
func TestNoSentinelKnowsACopyOfTheMaster(t *testing.T) {
	t.Parallel()
	c, b := startWithBackups(t, options{servers: 1, sentinels: 1}, t.TempDir())
	c.fill(t, 100)
	sentinel := c.client(c.sentinels()[0])
	begun := sentinel.Do(t.Context(), "INFO", "server").String()
	c.slowly(c.servers()[0], 5*time.Second)
	j := b.start(t, "backup")
	seen := false
	for done := false; !done; {
		select {
		case <-j.process.exited:
			done = true
		case <-time.After(100 * time.Millisecond):
		}
		text := c.client(c.servers()[0]).Info(t.Context(), "replication").Val()
		seen = seen || strings.Contains(text, "port=65536,state=wait_bgsave")
		replicas, err := sentinel.Do(t.Context(), "SENTINEL", "REPLICAS", "mymaster").Slice()
		if err != nil || len(replicas) > 0 {
			t.Fatalf("the sentinel knows replicas of a single server: %v %v", replicas, err)
		}
	}
	if said := j.end(t, 0); !strings.Contains(said, `reason="the master, as there is no slave"`) {
		t.Errorf("the backup did not say that it copies the master:\n%s", said)
	}
	if !seen {
		t.Error("the master never told of the copy, so the sentinel had nothing to ignore")
	}
	if runID := func(text string) string { _, id, _ := strings.Cut(text, "run_id:"); return id[:40] }; runID(begun) != runID(sentinel.Do(t.Context(), "INFO", "server").String()) {
		t.Error("the sentinel was started again")
	}
	c.converge()
}

func TestOfTwoBackupsAtATimeOneFails(t *testing.T) {
	t.Parallel()
	c, b := startWithBackups(t, options{servers: 2, sentinels: 1}, t.TempDir())
	c.fill(t, 10)
	c.slowly(c.slavesOf(c.converge())[0], 20*time.Second) // the Lease is renewed meanwhile
	first := b.start(t, "backup")
	eventually(t, settle, "the first backup to hold the Lease", func() error {
		if holder := c.api.Lease(fullname + "-backup").Spec.HolderIdentity; holder == nil || *holder != first.name {
			return errors.New("it does not")
		}
		return nil
	})
	said := b.start(t, "backup").end(t, 1)
	if !strings.Contains(said, "another backup is being made by pod "+first.name) {
		t.Errorf("the second backup said:\n%s", said)
	}
	first.end(t, 0)
	if list := b.start(t, "backup", "list").end(t, 0); len(strings.Split(strings.TrimSpace(list), "\n")) != 2 {
		t.Errorf("one backup should be listed:\n%s", list)
	}
}

// TERM in the middle, as a node that is drained sends it, leaves nothing behind.
func TestBackupThatIsToldToEndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, b := startWithBackups(t, options{servers: 2, sentinels: 1}, dir)
	c.fill(t, 10)
	slave := c.slavesOf(c.converge())[0]
	c.slowly(slave, 10*time.Second)
	j := b.start(t, "backup")
	eventually(t, settle, "a slave to be copied", func() error {
		for _, p := range c.servers() {
			if strings.Contains(c.client(p).Info(t.Context(), "replication").Val(), "port=65536") {
				return nil
			}
		}
		return errors.New("nobody copies")
	})
	if err := j.process.signal(15); err != nil {
		t.Fatal(err)
	}
	j.end(t, 1)
	if holder := c.api.Lease(fullname + "-backup").Spec.HolderIdentity; holder != nil {
		t.Errorf("%s still holds the Lease", *holder)
	}
	if list := b.start(t, "backup", "list").end(t, 0); !strings.HasPrefix(list, "no backups at ") {
		t.Errorf("there should be no backup:\n%s", list)
	}
	c.slowly(slave, 0)
	b.start(t, "backup").end(t, 0)
	c.converge()
}

func TestBackupCommandsSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{servers: 1, sentinels: 1})
	server := c.addServer()
	for _, command := range []string{"backup", "list"} {
		output := &bytes.Buffer{}
		arguments := []string{"backup", command}[:map[string]int{"backup": 1, "list": 2}[command]]
		process, err := startProcess(server.environment(), output, arguments...)
		if err != nil {
			t.Fatal(err)
		}
		<-process.exited
		if process.code != 2 || !strings.Contains(output.String(), "run this command in a pod of the backup's CronJob") {
			t.Errorf("%v ended with code %d:\n%s", arguments, process.code, output)
		}
	}
}

// restoring is the environment of servers that begin with a backup.
func (b *backups) restoring(name string) map[string]string {
	return map[string]string{
		"LAUNCHER_RESTORE_FROM": name, "LAUNCHER_BACKUP_S3_ENDPOINT": b.endpoint, "LAUNCHER_BACKUP_S3_BUCKET": s3server.Bucket, "LAUNCHER_BACKUP_S3_PREFIX": "kube-public/" + fullname,
		"LAUNCHER_BACKUP_S3_ACCESS_KEY": s3server.AccessKey, "LAUNCHER_BACKUP_S3_SECRET_KEY": s3server.SecretKey,
	}
}

// startAll adds and starts all pods.
func (c *cluster) startAll() {
	for range c.options.servers {
		c.addServer().run()
	}
	for range c.options.sentinels {
		c.addSentinel().run()
	}
}

// backedUp makes a release with some keys and a backup of it, and ends the release.
func backedUp(t *testing.T, keys int) *backups {
	t.Helper()
	c, b := startWithBackups(t, options{}, t.TempDir())
	c.fill(t, keys)
	b.start(t, "backup").end(t, 0)
	for _, p := range c.all() {
		p.hold()
		p.kill()
	}
	return b
}

// said says whether a pod has printed a text.
func (c *cluster) said(text string) bool {
	for _, p := range c.all() {
		if strings.Contains(p.output.last(0), text) {
			return true
		}
	}
	return false
}

func TestNewReleaseBeginsWithABackupOnce(t *testing.T) {
	t.Parallel()
	b := backedUp(t, 300)
	for name, memoryOnly := range map[string]bool{"on volumes": false, "in memory": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, options{environment: b.restoring("latest"), noPersistence: memoryOnly})
			c.startAll()
			c.converge()
			c.requireKeys(300)
			restored := c.api.Lease(fullname + "-master").Annotations["redis-ha/record"]
			if !strings.Contains(restored, `"restored":"20`) {
				t.Errorf("the record does not tell of the backup: %s", restored)
			}
			// What is written from now on is not restored away, whoever starts again.
			c.fill(t, 400)
			old := c.converge()
			old.killRedis()
			eventually(t, settle, "another master", func() error { return c.checkMasterIsNot(old) })
			c.converge()
			c.requireKeys(400)
			if !memoryOnly {
				for _, p := range c.all() {
					p.hold()
				}
				for _, p := range c.all() {
					p.kill()
				}
				for _, p := range c.all() {
					p.run()
				}
				c.converge()
				c.requireKeys(400)
			}
			if c.said("a backup is not restored") {
				t.Error("the release finds that it had data before the backup")
			}
		})
	}
}

func TestReleaseWithDataRefusesABackup(t *testing.T) {
	t.Parallel()
	b := backedUp(t, 300)
	c := start(t, options{})
	c.fill(t, 50)
	c.options.environment = b.restoring("latest")
	for _, p := range c.servers() { // one after the other, as in a roll-out
		p.hold()
		p.kill()
		eventually(t, settle, "a master", func() error { _, err := c.masterPod(); return err })
		p.run()
		c.converge()
	}
	c.requireKeys(50)
	if count, err := c.client(c.converge()).DBSize(t.Context()).Result(); err != nil || count != 50 {
		t.Errorf("the master has %d keys, not 50: %v", count, err)
	}
	if !c.said("the release had data before: remove restore.from") {
		t.Error("no launcher says that the backup is not restored")
	}
}

func TestReleaseWaitsForABackupThatIsNotThere(t *testing.T) {
	t.Parallel()
	b := backedUp(t, 300)
	c := newCluster(t, options{environment: b.restoring("20200101T000000Z-01234567")})
	c.startAll()
	eventually(t, settle, "a launcher to say why there is no master", func() error {
		if !c.said("the backup that the release begins with could not be restored") {
			return errors.New("none does")
		}
		return nil
	})
	if masters := c.labelled("master"); len(masters) > 0 {
		t.Fatalf("%s is master without the backup", masters[0].name)
	}
	c.options.environment = b.restoring("latest")
	for _, p := range c.servers() {
		p.kill()
		p.run()
	}
	c.converge()
	c.requireKeys(300)
}
