package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	// namesFolder is where Podman keeps, per network, which container has
	// which name and address, for its DNS server aardvark.
	namesFolder = "/run/containers/networks/aardvark-dns"
	// namesPID is the file there with the number of aardvark's process.
	namesPID = "aardvark.pid"
	// spaces is the folder of named network namespaces, and spacePrefix how
	// the names of Podman's begin.
	spaces      = "/run/netns"
	spacePrefix = "netns-"
	// portChain is the chain in which Podman forwards ports of the host.
	portChain = "NETAVARK-HOSTPORT-DNAT"
)

// ForgetDeadContainers removes what Podman's network keeps of containers that
// are gone, because whoever should have cleaned up after them was killed: the
// name of a node would lead to its predecessor's address as well, a port of
// the host to nowhere. Docker's daemon does this by itself.
func (e *Engine) ForgetDeadContainers(ctx context.Context) error {
	if e.Name != Podman || os.Geteuid() != 0 {
		return nil
	}
	output, err := e.Output(ctx, "ps", "-a", "--no-trunc", "--format", "{{.ID}}")
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	alive := map[string]bool{}
	for _, id := range strings.Fields(output) {
		alive[id] = true
	}
	if err := forgetNames(namesFolder, alive); err != nil {
		return fmt.Errorf("remove names of dead containers: %w", err)
	}
	e.forgetPorts(ctx, alive)
	return e.forgetSpaces(ctx)
}

// forgetNames removes entries of dead containers and makes aardvark read the
// rest again.
func forgetNames(folder string, alive map[string]bool) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	server := dnsServer(folder)
	for _, entry := range entries {
		if entry.Name() == namesPID || entry.IsDir() {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		kept, count, changed := keepNames(string(content), alive)
		switch {
		case !changed:
			continue
		case count == 0:
			err = os.Remove(path)
		default:
			err = os.WriteFile(path, []byte(kept), 0o600)
		}
		if err != nil {
			return err
		}
	}
	if server == 0 {
		// A number that another process may get one day.
		if err := os.Remove(filepath.Join(folder, namesPID)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	return syscall.Kill(server, syscall.SIGHUP)
}

// dnsServer returns the number of aardvark's process, 0 if it does not run.
func dnsServer(folder string) int {
	content, err := os.ReadFile(filepath.Join(folder, namesPID))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 0 {
		return 0
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(name)) != "aardvark-dns" {
		return 0
	}
	return pid
}

// keepNames returns the text of one network without the entries of dead
// containers, and how many entries are left. The first line holds the
// addresses of the DNS server; every other starts with a container's ID.
func keepNames(content string, alive map[string]bool) (kept string, count int, changed bool) {
	lines := strings.Split(strings.TrimRight(content, "\n"), "\n")
	result := lines[:1]
	for _, line := range lines[1:] {
		id, _, _ := strings.Cut(line, " ")
		if !alive[id] {
			changed = true
			continue
		}
		result = append(result, line)
		count++
	}
	return strings.Join(result, "\n") + "\n", count, changed
}

// forgetPorts removes port forwardings to dead containers.
func (e *Engine) forgetPorts(ctx context.Context, alive map[string]bool) {
	rules, err := e.Runner.Output(ctx, "iptables", "-w", "-t", "nat", "-S", portChain)
	if err != nil {
		return
	}
	for _, port := range deadPorts(rules, alive) {
		_ = e.Runner.Run(ctx, "iptables", append([]string{"-w", "-t", "nat", "-D", portChain}, port...)...)
	}
}

// deadPorts reads iptables rules whose comment names a container that is not
// alive, and returns their specifications.
func deadPorts(rules string, alive map[string]bool) [][]string {
	var dead [][]string
	for _, rule := range strings.Split(rules, "\n") {
		before, after, found := strings.Cut(rule, `--comment "`)
		comment, target, closed := strings.Cut(after, `"`)
		_, id, named := strings.Cut(comment, " id: ")
		if !found || !closed || !named || alive[id] {
			continue
		}
		spec := strings.Fields(strings.TrimPrefix(before, "-A "+portChain+" "))
		spec = append(append(spec, "--comment", comment), strings.Fields(target)...)
		dead = append(dead, spec)
	}
	return dead
}

// forgetSpaces removes network namespaces that no container names and no
// process is in; the interfaces in them go too.
func (e *Engine) forgetSpaces(ctx context.Context) error {
	paths, err := filepath.Glob(filepath.Join(spaces, spacePrefix+"*"))
	if err != nil || len(paths) == 0 {
		return err
	}
	output, err := e.Output(ctx, "ps", "-a", "--quiet", "--no-trunc")
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	used := ""
	if ids := strings.Fields(output); len(ids) > 0 {
		used, err = e.Output(ctx, append([]string{"inspect", "--format", "{{.NetworkSettings.SandboxKey}}"}, ids...)...)
		if err != nil {
			return fmt.Errorf("list the containers' network namespaces: %w", err)
		}
	}
	inhabited := inhabitedSpaces()
	for _, path := range paths {
		var info syscall.Stat_t
		if strings.Contains(used, path) || syscall.Stat(path, &info) != nil || inhabited[info.Ino] {
			continue
		}
		_ = syscall.Unmount(path, syscall.MNT_DETACH)
		_ = os.Remove(path)
	}
	return nil
}

// inhabitedSpaces returns the inodes of the network namespaces of all
// processes.
func inhabitedSpaces() map[uint64]bool {
	inodes := map[uint64]bool{}
	paths, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range paths {
		var info syscall.Stat_t
		if syscall.Stat(path, &info) == nil {
			inodes[info.Ino] = true
		}
	}
	return inodes
}
