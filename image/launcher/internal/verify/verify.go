// Package verify checks a release from a client's place: it writes through the
// master Service, reads through the slave Service and asks a sentinel.
package verify

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
)

// Addresses are the Services to check, as host:port; an empty one is left out.
type Addresses struct {
	Master, Slave, Sentinel string
	MasterName              string
}

const (
	// stepLimit is how long one step may take; a failover may be going on.
	stepLimit = 12 * time.Second
	retry     = 200 * time.Millisecond
	// keyLife removes the key of a check that did not get to remove it. A slave may read a new password later than the master.
	keyLife = settings.SettleTime + time.Minute
)

// Access is how to get in: an empty password means no authentication, and without TLS the connections are plain.
type Access struct {
	Password string
	TLS      *tls.Config // checks the name of the server
}

// forPod gives the access to a pod that a sentinel has named by its address. Certificates have the names of Services, and not that address.
func (a Access) forPod(service string) Access {
	if host, _, err := net.SplitHostPort(service); a.TLS != nil && err == nil {
		a.TLS = a.TLS.Clone()
		a.TLS.ServerName = host
	}
	return a
}

// Run carries out the steps and writes one line for each.
func Run(ctx context.Context, a Addresses, access Access, out io.Writer) error {
	key, value := "redis-ha-verify:"+rand.Text(), rand.Text()
	master := connect(a.Master, access)
	defer master.Close()
	steps := []step{
		{a.Master, "write through the master Service", func(ctx context.Context) error {
			return master.Set(ctx, key, value, keyLife).Err()
		}},
		{a.Slave, "read it through the slave Service", func(ctx context.Context) error { return read(ctx, a.Slave, access, key, value) }},
		{a.Sentinel, "ask a sentinel for the master", func(ctx context.Context) error { return askSentinel(ctx, a, access) }},
		{a.Master, "remove it", func(ctx context.Context) error { return master.Del(ctx, key).Err() }},
	}
	for _, s := range steps {
		if s.address == "" {
			continue
		}
		if err := s.run(ctx, out); err != nil {
			return err
		}
	}
	return nil
}

// step is one thing to check at one address.
type step struct {
	address, name string
	check         func(context.Context) error
}

// run tries until the step succeeds or its time is over.
func (s step) run(ctx context.Context, out io.Writer) error {
	began := time.Now()
	last := began // when the time for other errors than a refused password began
	ctx, cancel := context.WithTimeout(ctx, settings.SettleTime)
	defer cancel()
	for {
		err := s.check(ctx)
		if err == nil {
			fmt.Fprintf(out, "ok    %s (%s)\n", s.name, s.address)
			return nil
		}
		if redisnode.RefusesPassword(err) { // the release may not have read a new password yet, or that auth is off
			last = time.Now()
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
		if ctx.Err() != nil || time.Since(last) > stepLimit {
			fmt.Fprintf(out, "FAIL  %s (%s): %v\n", s.name, s.address, err)
			return fmt.Errorf("%s at %s, tried for %v: %w", s.name, s.address, time.Since(began).Round(time.Second), err)
		}
	}
}

func connect(address string, access Access) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: address, Password: access.Password, TLSConfig: access.TLS, Protocol: 2, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true,
		DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// read reads the key over a new connection, which may reach another replica
// than the connection before.
func read(ctx context.Context, address string, access Access, key, want string) error {
	client := connect(address, access)
	defer client.Close()
	role, err := client.Do(ctx, "ROLE").Slice()
	if err != nil {
		return fmt.Errorf("ask for the role: %w", err)
	}
	if len(role) == 0 || role[0] != "slave" {
		return fmt.Errorf("a %v answered", role)
	}
	got, err := client.Get(ctx, key).Result()
	if err != nil {
		return fmt.Errorf("read the key: %w", err)
	}
	if got != want {
		return fmt.Errorf("read %q instead of %q", got, want)
	}
	return nil
}

// askSentinel asks for the master and checks that it is one.
func askSentinel(ctx context.Context, a Addresses, access Access) error {
	sentinel := connect(a.Sentinel, access)
	defer sentinel.Close()
	reply, err := sentinel.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", a.MasterName).StringSlice()
	if err != nil {
		return fmt.Errorf("ask for master %s: %w", a.MasterName, err)
	}
	if len(reply) != 2 {
		return fmt.Errorf("master %s is not known", a.MasterName)
	}
	master := connect(net.JoinHostPort(reply[0], reply[1]), access.forPod(a.Master))
	defer master.Close()
	role, err := master.Do(ctx, "ROLE").Slice()
	if err != nil {
		return fmt.Errorf("ask %s for its role: %w", reply[0], err)
	}
	if len(role) == 0 || role[0] != "master" {
		return fmt.Errorf("%s, which the sentinel names, is no master", reply[0])
	}
	return nil
}
