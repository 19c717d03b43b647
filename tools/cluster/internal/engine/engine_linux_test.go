package engine

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/progress"
)

func TestMissingNamesPackagesOnce(t *testing.T) {
	have := map[string]bool{"podman": true, "/usr/lib/podman/netavark": true, "runc": true}
	packages := missing(podmanParts, func(path string) bool { return have[path] })
	assert.Equal(t, []string{"conmon", "aardvark-dns", "iptables"}, packages)
	assert.Empty(t, missing(podmanParts, func(string) bool { return true }))
}

// Programs that stand in for apt-get and dpkg: the first is refused until the
// second has finished what was interrupted.
func TestAnInterruptedInstallationIsFinishedFirst(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	script := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho \"$0 $*\" >> "+dir+"/calls\n"+text), 0o755))
	}
	script("dpkg", "touch "+dir+"/finished")
	script("apt-get", `case "$*" in *install*) [ -e `+dir+`/finished ] || { echo "E: dpkg was interrupted, you must ..."; exit 100; };; esac`)
	finder := Finder{Progress: progress.New(io.Discard)}
	require.NoError(t, finder.aptInstall(t.Context(), []string{"podman"}))

	script("apt-get", `case "$*" in *install*) echo "E: Unable to locate package podman"; exit 100;; esac`)
	require.ErrorContains(t, finder.aptInstall(t.Context(), []string{"podman"}), "Unable to locate")
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(calls), "dpkg --configure -a"), string(calls))
	assert.Equal(t, 3, strings.Count(string(calls), "Lock::Timeout=300 install -y --no-install-recommends podman"), string(calls))
}

func TestContainersConfStaysWithinLimits(t *testing.T) {
	for _, test := range []struct {
		name             string
		files, processes uint64
		want             string
	}{
		{"low limits are kept", 20000, 4096, `["nofile=20000:20000", "nproc=4096:4096"]`},
		{"unlimited is bounded", ^uint64(0), ^uint64(0), `["nofile=1048576:1048576", "nproc=32768:32768"]`},
		{"unknown is bounded", 0, 0, `["nofile=1048576:1048576", "nproc=32768:32768"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf := containersConf(test.files, test.processes)
			assert.Contains(t, conf, test.want)
			assert.Contains(t, conf, `runtime = "runc"`)
			assert.Contains(t, conf, `cgroup_manager = "cgroupfs"`)
		})
	}
}

func TestFirstLinePrefersTheProgramsLastWord(t *testing.T) {
	failed := &command.Error{Name: "docker", Output: "pulling\nunable to apply caps\n", Err: errors.New("exit status 1")}
	assert.Equal(t, "unable to apply caps", firstLine(failed))
	assert.Equal(t, "plain", firstLine(errors.New("plain\nmore")))
}

const names = `fc00::1,10.89.0.1
aaa 10.89.0.2 fc00::2 redis-ha-worker,aaa
bbb 10.89.0.3 fc00::3 redis-ha-worker2,bbb
`

func TestKeepNames(t *testing.T) {
	for _, test := range []struct {
		name    string
		dead    Dead
		kept    string
		count   int
		changed bool
	}{
		{"by ID", Dead{IDs: []string{"aaa"}}, "fc00::1,10.89.0.1\nbbb 10.89.0.3 fc00::3 redis-ha-worker2,bbb\n", 1, true},
		{"by name", Dead{Names: []string{"redis-ha-worker2"}}, "fc00::1,10.89.0.1\naaa 10.89.0.2 fc00::2 redis-ha-worker,aaa\n", 1, true},
		{"all", Dead{IDs: []string{"aaa", "bbb"}}, "fc00::1,10.89.0.1\n", 0, true},
		{"somebody else's", Dead{IDs: []string{"ccc"}, Names: []string{"redis-ha"}}, names, 2, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			kept, count, changed := keepNames(names, test.dead)
			assert.Equal(t, test.kept, kept)
			assert.Equal(t, test.count, count)
			assert.Equal(t, test.changed, changed)
		})
	}
}

func TestForgetNames(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "kind"), []byte(names), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "gone"), []byte("10.1.0.1\nccc 10.1.0.2  old,ccc\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, namesPID), []byte("999999999"), 0o600))
	require.NoError(t, forgetNames(folder, Dead{IDs: []string{"ccc"}, Names: []string{"redis-ha-worker2"}}))
	content, err := os.ReadFile(filepath.Join(folder, "kind"))
	require.NoError(t, err)
	assert.NotContains(t, string(content), "bbb")
	assert.NoFileExists(t, filepath.Join(folder, "gone"), "a network without containers")
	assert.NoFileExists(t, filepath.Join(folder, namesPID), "a server that does not run")
	assert.NoError(t, forgetNames(filepath.Join(folder, "nowhere"), Dead{}))
}

func TestDeadPorts(t *testing.T) {
	rules := `-N NETAVARK-HOSTPORT-DNAT
-A NETAVARK-HOSTPORT-DNAT -p tcp -m tcp --dport 43321 -m comment --comment "dnat name: kind id: aaa" -j NETAVARK-DN-62F9
-A NETAVARK-HOSTPORT-DNAT -p tcp -m tcp --dport 38959 -m comment --comment "dnat name: kind id: bbb" -j NETAVARK-DN-62F9`
	assert.Equal(t, [][]string{{
		"-p", "tcp", "-m", "tcp", "--dport", "38959", "-m", "comment", "--comment", "dnat name: kind id: bbb", "-j", "NETAVARK-DN-62F9",
	}}, deadPorts(rules, []string{"bbb"}))
	assert.Empty(t, deadPorts(rules, nil), "another Podman's containers")
}
