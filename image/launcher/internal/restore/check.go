package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/backup"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// server is one server of the release, and what its Redis has answered.
type server struct {
	pod  kube.Pod
	info redisnode.Info
	err  error
}

// findings are what was found before anything is changed.
type findings struct {
	manifest backup.Manifest
	record   record.Record
	master   server
	chosen   server // the slave that loads the backup
	keys     int64  // of the release
	notes    []string
}

// servers asks all servers of the release that stay.
func (r *Restorer) servers(ctx context.Context) ([]server, error) {
	pods, err := r.api.LivePods(ctx)
	if err != nil {
		return nil, err
	}
	var found []server
	for _, pod := range pods {
		if !pod.Server || pod.Terminating {
			continue
		}
		s := server{pod: pod, err: errors.New("it has no address yet")}
		if pod.IP.IsValid() {
			node := r.redisOf(pod)
			s.info, s.err = node.Info(ctx)
			node.Close()
		}
		found = append(found, s)
	}
	return found, nil
}

// serversThatAccept is servers, again and again while one of them has not read the password of this pod: it may be a new one.
func (r *Restorer) serversThatAccept(ctx context.Context) (found []server, err error) {
	ended := password.UntilRead(ctx, func() error {
		found, err = r.servers(ctx)
		early := slices.IndexFunc(found, func(s server) bool { return errors.Is(s.err, redisnode.ErrPassword) })
		if early < 0 {
			return nil
		}
		return fmt.Errorf("%s refuses that of this pod", found[early].pod.Name)
	}, func(refusal error) { r.say("waiting until the servers have read a new password: %v", refusal) })
	if ended != nil {
		return nil, ended
	}
	return found, err
}

// redisOf gives a connection to the Redis of a pod.
func (r *Restorer) redisOf(pod kube.Pod) *redisnode.Node {
	return redisnode.New(netip.AddrPortFrom(pod.IP, uint16(r.config.RedisPort)), r.config.Password).Encrypted(r.config.TLS.Links)
}

// check finds out what is there, and lists all that is in the way at once.
func (r *Restorer) check(ctx context.Context, alone *backup.Alone) (found findings, err error) {
	var problems []string
	note := func(err error) {
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	found.manifest, err = backup.Find(ctx, r.store, r.options.Backup)
	note(err)
	if of := found.manifest.Release; of != "" && of != r.release() {
		found.notes = append(found.notes, "the backup is of another release, "+of)
	}
	if found.manifest.Encrypted {
		note(backup.CheckIdentity(r.config.Backup.Identity))
	}
	note(alone.NotOrderedBefore())
	found.record, err = r.api.Record(ctx)
	note(err)
	if err == nil {
		note(recordProblem(found.record, time.Now()))
	}
	servers, err := r.serversThatAccept(ctx)
	note(err)
	if err == nil {
		problems = append(problems, found.choose(servers)...)
	}
	if found.master.pod.UID != "" {
		node := r.redisOf(found.master.pod)
		found.keys, err = node.Keys(ctx)
		node.Close()
		note(err)
		note(olderThan(found.master.info.Version, found.manifest))
	}
	if len(problems) > 0 {
		return found, fmt.Errorf("%d thing(s) in the way:\n  - %s", len(problems), strings.Join(problems, "\n  - "))
	}
	return found, nil
}

// recordProblem says why the master that a record names cannot be replaced now.
func recordProblem(r record.Record, now time.Time) error {
	switch {
	case !r.Initialised:
		return errors.New("the release has never had a master: restore.from has a new release begin with a backup")
	case r.Fence != nil && now.Sub(r.Fence.At).Abs() < record.OrderAge:
		return fmt.Errorf("the master %s is being replaced (%s): try again in a minute", r.Master.Name, r.Fence.Reason)
	}
	return nil
}

// choose finds the master, and the slave that loads the backup: of the slaves in sync, the slave with the lowest name. A roll-out of a StatefulSet
// replaces it last.
func (f *findings) choose(servers []server) (problems []string) {
	var masters, slaves []server
	for _, s := range servers {
		if s.pod.Role == role.Master {
			masters = append(masters, s)
		}
	}
	if len(masters) != 1 {
		return []string{fmt.Sprintf("%d pods are labelled master: wait until there is one", len(masters))}
	}
	switch master := masters[0]; {
	case master.err != nil:
		return []string{fmt.Sprintf("the master %s does not answer: %v", master.pod.Name, master.err)}
	case !master.info.Master || master.info.Loading || f.record.Initialised && f.record.Master.UID != master.pod.UID:
		return []string{fmt.Sprintf("%s is labelled master, and the record or its Redis says otherwise: wait until they agree", master.pod.Name)}
	default:
		f.master = master
	}
	for _, s := range servers {
		if s.pod.UID == f.master.pod.UID {
			continue
		}
		if s.err == nil && s.pod.Role == role.Slave && !s.info.Master && s.info.LinkUp && !s.info.Loading && s.info.ReplID == f.master.info.ReplID {
			slaves = append(slaves, s)
			continue
		}
		f.notes = append(f.notes, fmt.Sprintf("%s is no slave in sync, and gets the data of the backup when it is back", s.pod.Name))
	}
	if len(slaves) == 0 {
		return []string{"no slave is in sync, and one has to load the backup while the master serves: wait, or set replicas.servers to at least 2 (which replaces no pod)"}
	}
	if len(slaves) == 1 {
		f.notes = append(f.notes, fmt.Sprintf("%s is the only slave in sync: while it loads the backup, no server can replace the master without a loss", slaves[0].pod.Name))
	}
	f.chosen = slices.MinFunc(slaves, func(a, b server) int {
		return cmp.Or(cmp.Compare(len(a.pod.Name), len(b.pod.Name)), cmp.Compare(a.pod.Name, b.pod.Name))
	})
	return nil
}

// olderThan says with an error that the Redis of the release is older than that of a backup, and may not be able to read it.
func olderThan(version string, m backup.Manifest) error {
	if earlier(version, m.RedisVersion) {
		return fmt.Errorf("backup %s is of Redis %s, and the release runs %s, which may not read it: upgrade first", m.Name, m.RedisVersion, version)
	}
	return nil
}

// earlier compares the first two numbers of versions. What is no version is not earlier.
func earlier(version, than string) bool {
	a, b := strings.SplitN(version, ".", 3), strings.SplitN(than, ".", 3)
	for i := range 2 {
		if i >= len(a) || i >= len(b) {
			return false
		}
		x, errX := strconv.Atoi(a[i])
		y, errY := strconv.Atoi(b[i])
		if errX != nil || errY != nil || x != y {
			return errX == nil && errY == nil && x < y
		}
	}
	return false
}
