package loopback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	corev1 "k8s.io/api/core/v1"
)

// clientOptions are for tests: no retries, short waits, no extra commands.
func clientOptions(address, password string) *redis.Options {
	return &redis.Options{
		Addr: address, Password: password, Protocol: 2, DisableIdentity: true, MaxRetries: -1, PoolSize: 3,
		DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second, ContextTimeoutEnabled: true,
		DialerRetries:            1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// node is what a redis says about itself.
type node struct {
	role, runID    string
	master         string // address without port of the master of a slave
	linkUp         bool
	replicas       int // attached and online
	offset, keys   int64
	minReplicas    int
	replicaAddress []string
}

// info asks the redis of a pod.
func (c *cluster) info(p *pod) (node, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	client := c.client(p)
	var reply, size *redis.Cmd
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		reply, size = pipe.Do(ctx, "INFO", "everything"), pipe.Do(ctx, "DBSIZE")
		return nil
	})
	if err != nil {
		c.forgetClient(p)
		return node{}, fmt.Errorf("ask %s: %w", p.name, err)
	}
	text, err := reply.Text()
	if err != nil {
		return node{}, err
	}
	fields := map[string]string{}
	n := node{}
	for _, line := range strings.Split(text, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		fields[name] = value
		// Until a replica has acknowledged an offset, "online" does not mean that it is sent anything.
		if _, err := strconv.Atoi(strings.TrimPrefix(name, "slave")); err == nil &&
			strings.Contains(value, "state=online") && !strings.Contains(value, ",offset=0,") {
			n.replicas++
			address, _, _ := strings.Cut(strings.TrimPrefix(value, "ip="), ",")
			n.replicaAddress = append(n.replicaAddress, address)
		}
	}
	sort.Strings(n.replicaAddress)
	n.role, n.runID, n.master, n.linkUp = fields["role"], fields["run_id"], fields["master_host"], fields["master_link_status"] == "up"
	n.offset, _ = strconv.ParseInt(fields["master_repl_offset"], 10, 64)
	n.keys, err = size.Int64()
	return n, err
}

// sentinelView is what a sentinel knows.
type sentinelView struct {
	id       string
	master   string   // address without port
	flags    string   // of the master
	replicas []string // addresses, all that are known
	healthy  []string // addresses of those that it sees connected to the master
	others   []string // ids of the other sentinels
	epoch    int64
}

func (c *cluster) sentinelView(ctx context.Context, p *pod) (sentinelView, error) {
	client := c.client(p)
	var id, master, replicas, others *redis.Cmd
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		id = pipe.Do(ctx, "SENTINEL", "MYID")
		master = pipe.Do(ctx, "SENTINEL", "MASTER", "mymaster")
		replicas = pipe.Do(ctx, "SENTINEL", "REPLICAS", "mymaster")
		others = pipe.Do(ctx, "SENTINEL", "SENTINELS", "mymaster")
		return nil
	})
	if err != nil {
		c.forgetClient(p)
		return sentinelView{}, fmt.Errorf("ask sentinel %s: %w", p.name, err)
	}
	v := sentinelView{}
	v.id, _ = id.Text()
	fields := pairs(master.Val())
	v.master, v.flags = fields["ip"], fields["flags"]
	v.epoch, _ = strconv.ParseInt(fields["config-epoch"], 10, 64)
	for _, entry := range list(replicas.Val()) {
		fields := pairs(entry)
		v.replicas = append(v.replicas, fields["ip"])
		if fields["flags"] == "slave" && fields["master-link-status"] == "ok" {
			v.healthy = append(v.healthy, fields["ip"])
		}
	}
	for _, entry := range list(others.Val()) {
		v.others = append(v.others, pairs(entry)["runid"])
	}
	sort.Strings(v.replicas)
	sort.Strings(v.others)
	return v, nil
}

func list(reply any) []any {
	entries, _ := reply.([]any)
	return entries
}

func pairs(reply any) map[string]string {
	result := map[string]string{}
	entries := list(reply)
	for i := 0; i+1 < len(entries); i += 2 {
		result[fmt.Sprint(entries[i])] = fmt.Sprint(entries[i+1])
	}
	return result
}

func (c *cluster) describeSentinel(ctx context.Context, p *pod) string {
	v, err := c.sentinelView(ctx, p)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%+v", v)
}

// masterPod returns the only pod labelled master.
func (c *cluster) masterPod() (*pod, error) {
	masters := c.labelled("master")
	if len(masters) != 1 {
		var names []string
		for _, p := range masters {
			names = append(names, p.name)
		}
		return nil, fmt.Errorf("%d pods are labelled master: %v", len(masters), names)
	}
	return masters[0], nil
}

// checkConverged says why the cluster is not in the state in which nothing is
// left to do: one master, all other servers its slaves, every sentinel knowing
// exactly these and its peers, and true labels.
func (c *cluster) checkConverged() error { return c.check(true) }

// checkSettled is checkConverged, except that sentinels may still remember
// replicas that are gone: they forget them at leisure.
func (c *cluster) checkSettled() error { return c.check(false) }

func (c *cluster) check(forgotten bool) error {
	master, err := c.masterPod()
	if err != nil {
		return err
	}
	servers, sentinels := c.servers(), c.sentinels()
	if !slices.Contains(servers, master) {
		return fmt.Errorf("master %s is being deleted", master.name)
	}
	var slaves []string
	for _, p := range servers {
		n, err := c.info(p)
		if err != nil {
			return err
		}
		if err := c.checkLabels(p, n.role, n.runID); err != nil {
			return err
		}
		if protected := c.deletionCost(p) > 0; protected != (p == master) {
			return fmt.Errorf("%s has the deletion cost %d", p.name, c.deletionCost(p))
		}
		if p == master {
			if n.role != "master" || n.replicas != len(servers)-1 {
				return fmt.Errorf("%s is labelled master, its ROLE is %s with %d of %d replicas", p.name, n.role, n.replicas, len(servers)-1)
			}
			continue
		}
		if n.role != "slave" || n.master != master.ip || !n.linkUp {
			return fmt.Errorf("%s is %s of %q (link up: %t), not slave of %s", p.name, n.role, n.master, n.linkUp, master.ip)
		}
		slaves = append(slaves, p.ip)
	}
	if len(c.labelled("slave")) != len(slaves) || len(c.labelled("sentinel")) != len(sentinels) {
		return fmt.Errorf("%d pods are labelled slave and %d sentinel", len(c.labelled("slave")), len(c.labelled("sentinel")))
	}
	sort.Strings(slaves)
	return c.checkSentinels(master, slaves, forgotten)
}

// checkSentinels says what the sentinels have wrong.
func (c *cluster) checkSentinels(master *pod, slaves []string, forgotten bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	sentinels := c.sentinels()
	views := map[string]sentinelView{}
	for _, p := range sentinels {
		v, err := c.sentinelView(ctx, p)
		if err != nil {
			return err
		}
		if v.master != master.ip || v.flags != "master" {
			return fmt.Errorf("sentinel %s names %q (%s) as master, not %s", p.name, v.master, v.flags, master.ip)
		}
		for _, ip := range slaves {
			if !slices.Contains(v.healthy, ip) {
				return fmt.Errorf("sentinel %s does not see a healthy replica %s: healthy are %v, known %v", p.name, ip, v.healthy, v.replicas)
			}
		}
		if forgotten && !slices.Equal(v.replicas, slaves) {
			return fmt.Errorf("sentinel %s remembers the replicas %v, there are %v", p.name, v.replicas, slaves)
		}
		if len(v.others) != len(sentinels)-1 {
			return fmt.Errorf("sentinel %s knows %d other sentinels, not %d", p.name, len(v.others), len(sentinels)-1)
		}
		if err := c.checkLabels(p, "sentinel", ""); err != nil {
			return err
		}
		views[v.id] = v
	}
	if len(views) != len(sentinels) {
		return errors.New("two sentinels have the same id")
	}
	for id, v := range views {
		for _, other := range v.others {
			if _, ok := views[other]; !ok || other == id {
				return fmt.Errorf("sentinel %s knows sentinel %s, which does not run", id, other)
			}
		}
	}
	return nil
}

// deletionCost is what makes a ReplicaSet delete other pods first.
func (c *cluster) deletionCost(p *pod) int {
	object := c.api.Pod(p.name)
	if object == nil {
		return 0
	}
	n, _ := strconv.Atoi(object.Annotations[corev1.PodDeletionCost])
	return n
}

// checkLabels says which runtime label of a pod is not true. The runID of a
// sentinel is only required to look like one.
func (c *cluster) checkLabels(p *pod, role, runID string) error {
	object := c.api.Pod(p.name)
	if object == nil {
		return fmt.Errorf("pod %s is gone", p.name)
	}
	labels := object.Labels
	if labels["redis-role"] != role || labels["podIP"] != p.ip {
		return fmt.Errorf("%s is %s at %s and labelled redis-role=%s podIP=%s", p.name, role, p.ip, labels["redis-role"], labels["podIP"])
	}
	if len(labels["runID"]) != 6 || (runID != "" && labels["runID"] != runID[:6]) {
		return fmt.Errorf("%s has run_id %.6s and is labelled runID=%s", p.name, runID, labels["runID"])
	}
	return nil
}

// converge waits until checkSettled is content and returns the master.
func (c *cluster) converge() *pod {
	c.t.Helper()
	return c.convergeWithin(settle, c.checkSettled)
}

func (c *cluster) convergeWithin(bound time.Duration, check func() error) *pod {
	c.t.Helper()
	eventually(c.t, bound, "one master, its slaves and every sentinel in agreement", check)
	master, err := c.masterPod()
	if err != nil {
		c.t.Fatal(err)
	}
	return master
}

// slavesOf returns the live servers other than one.
func (c *cluster) slavesOf(master *pod) []*pod {
	return slices.DeleteFunc(c.servers(), func(p *pod) bool { return p == master })
}
