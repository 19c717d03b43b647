package loopback

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

// fullname is the full name of the release, as with `helm install redis-ha`.
const fullname = "redis-ha-redis-ha"

// options are the values of the chart that a test sets.
type options struct {
	servers, sentinels int
	noPersistence      bool
	noPassword         bool
	downAfter          time.Duration
	webhook            string
	extraConfig        string               // file of further redis.conf directives
	environment        map[string]string    // further variables of every pod
	serverEnvironment  map[string]string    // further variables of servers
	secretPassword     bool                 // the pods mount a Secret with the password, and follow the settings
	followed           bool                 // the pods mount a ConfigMap with the settings; see settingsOf
	secret             fakeauthority.Secret // of the certificate; empty: nothing is encrypted
	unguarded          bool                 // nobody watches the data, which takes time on the machine
}

// cluster is one release: its pods and the API server they talk to.
type cluster struct {
	t        *testing.T
	options  options
	network  *network
	api      *fakeapi.Server
	data     *dataGuard
	password string
	dir      string // for data, on disk
	runDir   string // for configuration files, in memory where possible
	born     time.Time

	mu        sync.Mutex
	mounted   configMap            // what a pod gets that starts now
	secret    fakeauthority.Secret // the same of the certificate
	held      secretPassword       // what the Secret with the password holds
	current   string               // the password of the tests' own connections
	clientTLS *tls.Config          // of the tests' own connections; nil: they are plain
	pods      []*pod               // in the order of their creation
	clients   map[string]*redis.Client
}

// newCluster makes an API server with the chart's Leases and no pods yet.
func newCluster(t *testing.T, o options) *cluster {
	t.Helper()
	if o.servers == 0 {
		o.servers = 3
	}
	if o.sentinels == 0 {
		o.sentinels = 3
	}
	if o.downAfter == 0 {
		o.downAfter = 3 * time.Second
	}
	c := &cluster{t: t, options: o, network: claimNetwork(t), api: fakeapi.New("kube-public"), clients: map[string]*redis.Client{},
		dir: t.TempDir(), born: time.Now().Add(-time.Hour)}
	c.runDir = memoryDir(t, c.dir)
	if o.secret.Cert != nil {
		c.secret, c.clientTLS = o.secret, o.secret.Client(t)
	}
	if !o.noPassword {
		c.password = fmt.Sprintf("pass word %d \"#%%'", rand.Uint32())
	}
	c.current, c.held = c.password, secretPassword{asked: c.password != "", text: c.password}
	for _, lease := range []string{"-master", "-sentinels"} {
		if err := c.api.CreateLease(fullname + lease); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(c.close)
	guard(c)
	if c.data = (&dataGuard{cluster: c}); !o.unguarded {
		c.data.watch()
	}
	c.network.service(t, c.sentinelService()+":26379", func() (string, error) { return c.backend("sentinel", "26379") })
	return c
}

// startWritten is start with a client that has written for a while, and gives the
// master as well.
func startWritten(t *testing.T, o options) (*cluster, *writer, *pod) {
	t.Helper()
	c := start(t, o)
	w := c.write()
	w.advance(200)
	return c, w, c.converge()
}

// start makes a cluster, starts all its pods at once and waits until it has
// converged.
func start(t *testing.T, o options) *cluster {
	t.Helper()
	c := newCluster(t, o)
	for range c.options.servers {
		c.addServer().run()
	}
	for range c.options.sentinels {
		c.addSentinel().run()
	}
	c.converge()
	return c
}

// memoryDir returns a directory in memory, as the chart's run volume is.
func memoryDir(t testing.TB, fallback string) string {
	dir, err := os.MkdirTemp("/dev/shm", "loopback")
	if err != nil {
		return fallback
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (c *cluster) sentinelService() string { return c.network.prefix + "2" }

func (c *cluster) addServer() *pod   { return c.addPod("server") }
func (c *cluster) addSentinel() *pod { return c.addPod("sentinel") }

// addPod creates a pod of a component, a second younger than the one before
// and with an address and empty directories of its own. It runs nothing yet.
func (c *cluster) addPod(component string) *pod { return c.addNamed(component, randomName(5)) }

// addNamed is addPod with a part of the name.
func (c *cluster) addNamed(component, part string) *pod {
	c.t.Helper()
	c.mu.Lock()
	c.born = c.born.Add(time.Second)
	p := &pod{cluster: c, name: fmt.Sprintf("%s-%s-%s-%02d", fullname, component, part, len(c.pods)), ip: c.network.address(),
		sentinel: component == "sentinel", created: c.born, password: c.password, output: &output{}}
	c.pods = append(c.pods, p)
	c.mu.Unlock()
	p.uid = fmt.Sprintf("%08x-0000-4000-8000-%012x", rand.Uint32(), rand.Uint32())
	p.dataDir, p.runDir = filepath.Join(c.dir, p.name, "data"), filepath.Join(c.runDir, p.name)
	for _, dir := range []string{p.dataDir, p.runDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			c.t.Fatal(err)
		}
	}
	labels := map[string]string{"app": "redis-ha", "release": "redis-ha", "component": component, "name": fullname + "-" + component}
	container := "sentinel"
	if !p.sentinel {
		labels["redis-node"], container = "true", "redis"
	}
	err := c.api.CreatePod(fakeapi.PodTemplate{Name: p.name, UID: p.uid, IP: p.ip, Labels: labels, Created: p.created, Container: container})
	if err != nil {
		c.t.Fatal(err)
	}
	if p.api, err = c.api.Connect(p.name, p.ip+":6443"); err != nil {
		c.t.Fatal(err)
	}
	kubeconfig := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"test",
"contexts":[{"name":"test","context":{"cluster":"test","user":"test","namespace":"kube-public"}}],
"clusters":[{"name":"test","cluster":{"server":%q}}],"users":[{"name":"test","user":{}}]}`, p.api.URL())
	if err := os.WriteFile(p.kubeconfig(), []byte(kubeconfig), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return p
}

func randomName(length int) string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	name := make([]byte, length)
	for i := range name {
		name[i] = letters[rand.IntN(len(letters))]
	}
	return string(name)
}

// servers returns the server pods that exist and are not being deleted, oldest first.
func (c *cluster) servers() []*pod { return c.live(false) }

// sentinels returns the sentinel pods that exist and are not being deleted, oldest first.
func (c *cluster) sentinels() []*pod { return c.live(true) }

func (c *cluster) live(sentinel bool) []*pod {
	c.mu.Lock()
	defer c.mu.Unlock()
	var result []*pod
	for _, p := range c.pods {
		if p.sentinel == sentinel && !p.isDeleted() {
			result = append(result, p)
		}
	}
	return result
}

// all returns every pod there has been.
func (c *cluster) all() []*pod {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*pod(nil), c.pods...)
}

// labelled returns the pods of the API that carry a role.
func (c *cluster) labelled(role string) []*pod {
	var result []*pod
	for _, object := range c.api.Pods() {
		if object.Labels[fakeapi.RoleLabel] != role {
			continue
		}
		for _, p := range c.all() {
			if p.name == object.Name {
				result = append(result, p)
			}
		}
	}
	return result
}

// backend picks one of the pods with a role, as a Service does.
func (c *cluster) backend(role, port string) (string, error) {
	pods := c.labelled(role)
	if len(pods) == 0 {
		return "", fmt.Errorf("connection refused: the Service of redis-role=%s has no endpoint", role)
	}
	return net.JoinHostPort(pods[rand.IntN(len(pods))].ip, port), nil
}

// client returns a connection pool for the redis of a pod, or for its sentinel.
func (c *cluster) client(p *pod) *redis.Client {
	options := c.clientOptions(p.address())
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.clients[p.name]; ok {
		return client
	}
	client := redis.NewClient(options)
	c.clients[p.name] = client
	return client
}

// forgetClient drops the pool of a pod after an error: go-redis answers from a
// remembered error for a second once a few dials have failed.
func (c *cluster) forgetClient(p *pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.clients[p.name]; ok {
		_ = client.Close()
		delete(c.clients, p.name)
	}
}

// close kills everything, tells what is left to tell and checks that no
// launcher asked the API server for what it must not.
func (c *cluster) close() {
	if c.t.Failed() {
		c.dump()
	}
	c.keepLogs()
	for _, p := range c.all() {
		p.hold()
		p.kill()
		_ = p.api.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, client := range c.clients {
		_ = client.Close()
	}
	if unexpected := c.api.Unexpected(); len(unexpected) > 0 {
		c.t.Errorf("the API server was asked for what no launcher may do:\n%s", strings.Join(unexpected, "\n"))
	}
}

// dump prints what one needs to understand a failure.
func (c *cluster) dump() {
	var text strings.Builder
	fmt.Fprintln(&text, "history of redis-role:")
	for _, change := range c.api.RoleChanges() {
		fmt.Fprintln(&text, "  ", change)
	}
	fmt.Fprintln(&text, "pods:")
	for _, p := range c.all() {
		fmt.Fprintln(&text, "  ", p.describe())
	}
	c.current, c.held = c.password, secretPassword{asked: c.password != "", text: c.password}
	for _, lease := range []string{"-master", "-sentinels"} {
		object := c.api.Lease(fullname + lease)
		fmt.Fprintf(&text, "lease %s: annotations %v spec %+v\n", object.Name, object.Annotations, object.Spec)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, p := range c.all() {
		if p.sentinel && p.isRunning() {
			fmt.Fprintf(&text, "sentinel %s: %s\n", p.name, c.describeSentinel(ctx, p))
		}
	}
	writes := c.api.Writes(time.Time{})
	fmt.Fprintf(&text, "API writes: %d, the last:\n", len(writes))
	for _, request := range writes[max(0, len(writes)-20):] {
		fmt.Fprintln(&text, "  ", request)
	}
	c.t.Log(text.String())
	for _, p := range c.all() {
		c.t.Logf("output of %s (%s):\n%s", p.name, p.ip, p.output.last(60))
	}
}

// keepLogs writes what the pods printed to where go test -artifacts keeps it.
func (c *cluster) keepLogs() {
	var roles strings.Builder
	for _, change := range c.api.RoleChanges() {
		fmt.Fprintln(&roles, change)
	}
	files := map[string]string{"redis-role": roles.String()}
	for _, p := range c.all() {
		files[p.name] = p.output.last(0) + "\n"
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(c.t.ArtifactDir(), name+".log"), []byte(text), 0o600); err != nil {
			c.t.Log(err)
		}
	}
}
