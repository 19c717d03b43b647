// Package s3server builds the program tools/s3server and runs it for a test, as a process of its own.
package s3server

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the server lets in, and what it has.
const (
	AccessKey = "access"
	SecretKey = "secret-of-the-bucket"
	Bucket    = "backups"
)

// buildTime bounds the build of the program, most of which Go's cache has after the first time.
const buildTime = 10 * time.Minute

// startTime bounds the start of the process.
const startTime = 20 * time.Second

// program builds the program once for all tests of a process.
var program = sync.OnceValues(func() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	dir, err := os.MkdirTemp("", "s3server")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "s3server")
	build := exec.Command("go", "build", "-o", path, "./s3server")
	build.Dir = filepath.Join(filepath.Dir(file), "..", "..", "tools")
	build.Env = append(os.Environ(), "GOWORK=off")
	timer := time.AfterFunc(buildTime, func() { _ = build.Process.Kill() })
	defer timer.Stop()
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tools/s3server: %w\n%s", err, output)
	}
	return path, nil
})

// Start runs the server on the objects in a directory, until the test ends, and gives its URL. Flags are those of tools/s3server.
func Start(t testing.TB, dir string, flags ...string) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, append([]string{"-dir", dir, "-bucket", Bucket, "-access-key", AccessKey}, flags...)...)
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("start tools/s3server: %v", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		said <- strings.TrimSpace(line)
	}()
	select {
	case address := <-said:
		if address == "" {
			t.Fatal("tools/s3server ended before it listened")
		}
		return address
	case <-time.After(startTime):
		t.Fatalf("tools/s3server did not listen within %v", startTime)
	}
	return ""
}

// At gives the URL of a server under another host name or address.
func At(t testing.TB, address, host string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = net.JoinHostPort(host, u.Port())
	return u.String()
}
