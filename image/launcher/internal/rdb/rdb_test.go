package rdb

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// redisServer is a running redis-server.
type redisServer struct {
	addr   netip.AddrPort
	client *redis.Client
}

// startRedis runs a redis-server with a password until the test ends.
func startRedis(t *testing.T, directives ...string) redisServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := netip.MustParseAddrPort(listener.Addr().String())
	require.NoError(t, listener.Close())
	arguments := append([]string{"--port", fmt.Sprint(addr.Port()), "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir(),
		"--requirepass", "secret", "--masterauth", "secret", "--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"}, directives...)
	command := exec.Command("redis-server", arguments...)
	require.NoError(t, command.Start())
	client := redis.NewClient(&redis.Options{Addr: addr.String(), Password: "secret", Protocol: 2})
	t.Cleanup(func() {
		_ = client.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	require.Eventually(t, func() bool { return client.Ping(t.Context()).Err() == nil }, 10*time.Second, 20*time.Millisecond, "redis-server answers")
	return redisServer{addr, client}
}

func TestCopyHasTheDataOfOneMoment(t *testing.T) {
	for name, directive := range map[string]string{"length unknown": "yes", "length known": "no"} {
		t.Run(name, func(t *testing.T) {
			server := startRedis(t, "--repl-diskless-sync", directive)
			require.NoError(t, server.client.Do(t.Context(), "DEBUG", "POPULATE", 20000, "key", 200).Err())
			var copied bytes.Buffer
			size, err := Copy(t.Context(), server.addr, "secret", nil, &copied)
			require.NoError(t, err)
			assert.EqualValues(t, copied.Len(), size)

			path := filepath.Join(t.TempDir(), "dump.rdb")
			require.NoError(t, os.WriteFile(path, copied.Bytes(), 0o600))
			keys, err := Check(t.Context(), "redis-check-rdb", path)
			require.NoError(t, err)
			assert.EqualValues(t, 20000, keys)
			loaded := startRedis(t, "--dir", filepath.Dir(path), "--dbfilename", "dump.rdb")
			assert.Equal(t, server.client.Do(t.Context(), "DEBUG", "DIGEST").Val(), loaded.client.Do(t.Context(), "DEBUG", "DIGEST").Val())
		})
	}
}

// Sentinel takes every replica of a master that it can reach for one that it may promote.
func TestNoSentinelTakesACopyForAReplica(t *testing.T) {
	server := startRedis(t, "--repl-diskless-sync-delay", "5")
	watching, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := Copy(watching, server.addr, "secret", nil, io.Discard)
		done <- err
	}()
	require.Eventually(t, func() bool {
		return strings.Contains(server.client.Info(t.Context(), "replication").Val(), ",port=65536,state=wait_bgsave")
	}, 5*time.Second, 10*time.Millisecond, "the master tells of the copy, with a port that no replica has")
	cancel()
	assert.ErrorIs(t, <-done, context.Canceled)
}

func TestCopyFailsWithoutALinkToTheMaster(t *testing.T) {
	server := startRedis(t, "--replicaof", "127.0.0.1 1")
	_, err := Copy(t.Context(), server.addr, "secret", nil, io.Discard)
	assert.ErrorIs(t, err, ErrNotInSync)
}

func TestCopyTellsOfAWrongPassword(t *testing.T) {
	server := startRedis(t)
	_, err := Copy(t.Context(), server.addr, "wrong", nil, io.Discard)
	assert.ErrorContains(t, err, "WRONGPASS")
	assert.NotContains(t, err.Error(), "secret")
}

// serve answers one connection as a Redis would that sends the given bytes after SYNC.
func serve(t *testing.T, chunks ...string) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		buffer := make([]byte, 4096)
		for range 3 { // the three REPLCONF
			_, _ = connection.Read(buffer)
			_, _ = io.WriteString(connection, "+OK\r\n")
		}
		_, _ = connection.Read(buffer)
		for _, chunk := range chunks {
			_, _ = io.WriteString(connection, chunk)
			time.Sleep(5 * time.Millisecond) // so that they arrive one by one
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}

func TestMarkIsFoundHoweverItArrives(t *testing.T) {
	mark := strings.Repeat("0123456789", 4)
	for name, chunks := range map[string][]string{
		"at once":              {"\n\n$EOF:" + mark + "\r\nREDIS" + mark},
		"split":                {"\n$EOF:" + mark + "\r\n", "RE", "DIS0", "12345" + mark[:7], mark[7:]},
		"its begin in between": {"$EOF:" + mark + "\r\nREDIS" + mark[:20], "x", mark},
	} {
		t.Run(name, func(t *testing.T) {
			var copied bytes.Buffer
			_, err := Copy(t.Context(), serve(t, chunks...), "", nil, &copied)
			require.NoError(t, err)
			want := strings.TrimSuffix(strings.Join(chunks, ""), mark)
			_, want, _ = strings.Cut(want, "\r\n")
			assert.Equal(t, want, copied.String())
		})
	}
}

func TestCopyThatBreaksOffIsAnError(t *testing.T) {
	for name, sent := range map[string]string{
		"before the mark":   "$EOF:" + strings.Repeat("0123456789", 4) + "\r\nREDIS0123456789",
		"before the length": "$100\r\nREDIS",
		"before the head":   "\n",
		"no length":         "$x\r\n",
		"an error":          "-LOADING Redis is loading the dataset in memory\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Copy(t.Context(), serve(t, sent), "", nil, io.Discard)
			assert.Error(t, err)
		})
	}
}

func TestCheckRefusesDamage(t *testing.T) {
	server := startRedis(t)
	require.NoError(t, server.client.Do(t.Context(), "DEBUG", "POPULATE", 1000, "key", 200).Err())
	var copied bytes.Buffer
	_, err := Copy(t.Context(), server.addr, "secret", nil, &copied)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "dump.rdb")
	whole := copied.Bytes()
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, content := range map[string][]byte{"cut": whole[:len(whole)-20], "flipped": flipped, "empty": {}, "another kind of file": []byte("REDISx")} {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		_, err := Check(t.Context(), "redis-check-rdb", path)
		assert.ErrorContains(t, err, "redis-check-rdb does not accept the RDB file", name)
	}
	_, err = Check(t.Context(), "no-such-program", path)
	assert.Error(t, err)
}
