// Command roles asks Redis servers for their role, and masters whether they
// accept a write, all the time, and prints a line of JSON whenever an answer
// changes, and a line without an address every second. Each line of its standard input
// replaces the list of servers: addresses, separated by spaces. The password is
// in REDIS_PASS. With -tls-dir the connections are encrypted.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/tools/internal/certfiles"
	"github.com/redis-ha/redis-ha/tools/internal/probe"
)

const (
	// pollEvery is the pause between two questions to one server.
	pollEvery = 10 * time.Millisecond
	// writeEvery is the pause between two writes that a master is asked for.
	writeEvery = 50 * time.Millisecond
	// attemptTime bounds a question; a server that takes longer plays no role.
	attemptTime = 250 * time.Millisecond
	// noSuchKey is deleted again and again. That changes no data, and yet waits
	// and is refused as every write.
	noSuchKey = "roles:no such key"
)

// encryption is that of all connections; nil: they are plain.
var encryption *tls.Config

func main() {
	var files certfiles.Flags
	files.Register()
	flag.Parse()
	var err error
	if encryption, err = files.Load(); err != nil {
		fmt.Fprintln(os.Stderr, "roles:", err)
		os.Exit(2)
	}
	output := json.NewEncoder(os.Stdout)
	var mu sync.Mutex
	tell := func(r probe.Role) {
		mu.Lock()
		defer mu.Unlock()
		_ = output.Encode(r)
	}
	go func() {
		for ; ; time.Sleep(probe.BeatEvery) {
			tell(probe.Role{At: time.Now()})
		}
	}()
	running := map[string]context.CancelFunc{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		wanted := map[string]bool{}
		for _, address := range strings.Fields(lines.Text()) {
			wanted[address] = true
			if running[address] == nil {
				ctx, cancel := context.WithCancel(context.Background())
				running[address] = cancel
				go follow(ctx, address, tell)
			}
		}
		for address, cancel := range running {
			if !wanted[address] {
				cancel()
				delete(running, address)
			}
		}
	}
}

// follow tells the role of one server at first and whenever it changes.
func follow(ctx context.Context, address string, tell func(probe.Role)) {
	var last probe.Role // its Keys tell only whether they are known: they change all the time
	var synced inSync
	var master, held atomic.Bool
	go write(ctx, address, &master, &held)
	var anew atomic.Bool // the connection is new: another server may be at its end
	opened := func() { anew.Store(true) }
	client, run := connect(address, opened), ""
	for ctx.Err() == nil {
		now, err := ask(ctx, client)
		if err == nil && (run == "" || anew.Swap(false)) {
			run = runID(ctx, client)
		}
		if err != nil {
			_ = client.Close()
			client, run = connect(address, opened), ""
		} else {
			now.Run = run
		}
		now.Address = address
		master.Store(now.Role == "master")
		now.Held = now.Role == "master" && held.Load()
		change := now
		change.Keys = min(now.Keys, 0)
		if change != last {
			last = change
			now.At, now.KeysInSync = time.Now(), synced.keys
			tell(now)
		}
		synced.after(now)
		time.Sleep(pollEvery)
	}
	_ = client.Close()
}

// inSync is what a server had when it was last seen as a replica in sync.
type inSync struct {
	keys int64
	run  string // the process that had it
}

// after follows one answer. A process that has started again has what its files hold: with appendfsync everysec
// Redis may acknowledge writes up to two seconds before they are there.
func (s *inSync) after(now probe.Role) {
	switch {
	case now.Linked:
		s.keys, s.run = now.Keys, now.Run
	case now.Role == "master":
		*s = inSync{} // what it had before says nothing of what it takes as master, or its clients remove
	case now.Role == "slave" && now.Keys >= 0 && s.keys > 0 && now.Run != "" && now.Run != s.run:
		s.keys, s.run = now.Keys, now.Run
	}
}

// write asks a server for a write as long as it is master, over a connection of
// its own, and keeps in held whether the last one was not accepted in time.
func write(ctx context.Context, address string, master, held *atomic.Bool) {
	client := connect(address, func() {})
	for ctx.Err() == nil {
		held.Store(master.Load() && client.Del(ctx, noSuchKey).Err() != nil)
		time.Sleep(writeEvery)
	}
	_ = client.Close()
}

// connect prepares a client with one connection. The client calls opened for each connection that it makes. When the server ends the
// connection, the client makes a new one, and a different server may answer there.
func connect(address string, opened func()) *redis.Client {
	return redis.NewClient(&redis.Options{
		OnConnect: func(context.Context, *redis.Conn) error { opened(); return nil },
		Addr:      address, Password: os.Getenv("REDIS_PASS"), PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: attemptTime, ReadTimeout: attemptTime, WriteTimeout: attemptTime, DisableIdentity: true, Protocol: 2, TLSConfig: encryption,
	})
}

// runID asks a new connection who is at its other end.
func runID(ctx context.Context, client *redis.Client) string {
	text, _ := client.Info(ctx, "server").Result()
	_, rest, _ := strings.Cut(text, "\nrun_id:")
	id, _, _ := strings.Cut(rest, "\r")
	return id
}

// ask asks once. A server that does not answer has no role.
func ask(ctx context.Context, client *redis.Client) (probe.Role, error) {
	both := client.Pipeline()
	roleReply, size := both.Do(ctx, "ROLE"), both.DBSize(ctx)
	_, _ = both.Exec(ctx)
	reply, err := roleReply.Slice()
	if err != nil || len(reply) == 0 {
		return probe.Role{}, err
	}
	role := probe.Role{Keys: size.Val()}
	if size.Err() != nil {
		role.Keys = -1
	}
	role.Role, _ = reply[0].(string)
	if role.Role == "slave" && len(reply) > 3 {
		role.Master, _ = reply[1].(string)
		state, _ := reply[3].(string)
		role.Linked = state == "connected"
	}
	return role, nil
}
