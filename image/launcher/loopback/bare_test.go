package loopback

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

// bareName sorts the names of bare servers behind those of all others, so that they are promoted last.
const bareName = "zzzzz"

// generationEvery is how often bare servers look which generation is recorded.
const generationEvery = 200 * time.Millisecond

// addBare adds replicas of the master that have a Redis and no launcher: the test answers for their status. With them a machine
// with few cores can show what a launcher asks in a large release. They are replicas only, and never elected or promoted.
func (c *cluster) addBare(n int, master *pod) {
	c.t.Helper()
	generation := c.followGeneration()
	for range n {
		p := c.addNamed("server", bareName)
		p.runBare(master)
		p.serveStatus(generation)
		p.labelBare()
	}
}

// followGeneration gives the recorded generation, which it reads until the end of the test.
func (c *cluster) followGeneration() *atomic.Int64 {
	done, found := make(chan struct{}), &atomic.Int64{}
	c.t.Cleanup(func() { close(done) })
	read := func() {
		var record struct {
			Generation int64 `json:"generation"`
		}
		if json.Unmarshal([]byte(c.api.Lease(fullname + "-master").Annotations["redis-ha/record"]), &record) == nil {
			found.Store(record.Generation)
		}
	}
	read()
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(generationEvery):
				read()
			}
		}
	}()
	return found
}

// runBare starts a Redis that follows master. It ends with the test.
func (p *pod) runBare(master *pod) {
	t := p.cluster.t
	t.Helper()
	file := filepath.Join(p.runDir, "redis.conf")
	config := fmt.Sprintf("bind %s\nport 6379\nprotected-mode no\ndir %q\nsave \"\"\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n"+
		"replica-announce-ip %s\nreplica-priority 0\nreplicaof %s 6379\n", p.ip, p.dataDir, p.ip, master.ip)
	if p.password != "" {
		config += fmt.Sprintf("requirepass %q\nmasterauth %q\n", p.password, p.password)
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("redis-server", file)
	command.SysProcAttr, command.Stdout, command.Stderr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, p.output, p.output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
}

// serveStatus answers for a launcher: the Redis of this pod is a replica in sync.
func (p *pod) serveStatus(generation *atomic.Int64) {
	mux := http.NewServeMux()
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"uid":%q,"state":"serving","synced":true,"standing":{"generation":%d}}`, p.uid, generation.Load())
	})
	server := &http.Server{Addr: p.ip + ":8080", Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = server.ListenAndServe() }()
	p.cluster.t.Cleanup(func() { _ = server.Close() })
}

// labelBare gives the pod the labels of a slave, as a launcher does.
func (p *pod) labelBare() {
	c := p.cluster
	c.t.Helper()
	var runID string
	eventually(c.t, settle, "Redis of "+p.name, func() error {
		n, err := c.info(p)
		runID = n.runID
		return err
	})
	err := c.api.UpdatePod(p.name, func(object *corev1.Pod) {
		object.Labels[fakeapi.RoleLabel], object.Labels["podIP"], object.Labels["runID"] = "slave", p.ip, runID[:6]
	})
	if err != nil {
		c.t.Fatal(err)
	}
}
