package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	// spaces is the folder of named network namespaces.
	spaces = "/run/netns"
	// portChain is the chain in which Podman forwards ports of the host.
	portChain = "NETAVARK-HOSTPORT-DNAT"
)

// Dead are containers that were removed.
type Dead struct {
	// IDs of the containers, in full.
	IDs []string
	// Names that nothing alive has; a name may be left without its container's
	// ID being known any more.
	Names []string
	// Spaces are the paths of their network namespaces.
	Spaces []string
}

// Forget removes what Podman's network keeps of containers that are gone, if
// whoever should have cleaned up after them was killed: the name of a node
// would lead to its predecessor's address as well, a port of the host to
// nowhere. What belongs to other containers stays, also to those of another
// Podman on the same host. Docker's daemon does all this by itself.
func (e *Engine) Forget(ctx context.Context, dead Dead) error {
	if e.Name != Podman || os.Geteuid() != 0 {
		return nil
	}
	if err := forgetNames(namesFolder, dead); err != nil {
		return fmt.Errorf("remove names of removed containers: %w", err)
	}
	e.forgetPorts(ctx, dead)
	forgetSpaces(dead.Spaces)
	return nil
}

// forgetNames removes entries of dead containers and makes aardvark read the
// rest again.
func forgetNames(folder string, dead Dead) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	changedAny := false
	for _, entry := range entries {
		if entry.Name() == namesPID || entry.IsDir() {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		kept, count, changed := keepNames(string(content), dead)
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
		changedAny = true
	}
	server := dnsServer(folder)
	if server == 0 {
		// A number that another process may get one day.
		if err := os.Remove(filepath.Join(folder, namesPID)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	if !changedAny {
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
// addresses of the DNS server; every other a container's ID, its addresses
// and, separated by commas, its names.
func keepNames(content string, dead Dead) (kept string, count int, changed bool) {
	lines := strings.Split(strings.TrimRight(content, "\n"), "\n")
	result := lines[:1:1]
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) == 0 || slices.Contains(dead.IDs, fields[0]) || shared(strings.Split(fields[len(fields)-1], ","), dead.Names) {
			changed = true
			continue
		}
		result = append(result, line)
		count++
	}
	return strings.Join(result, "\n") + "\n", count, changed
}

// shared tells whether two lists have an element in common.
func shared(a, b []string) bool {
	return slices.ContainsFunc(a, func(element string) bool { return slices.Contains(b, element) })
}

// forgetPorts removes port forwardings to dead containers.
func (e *Engine) forgetPorts(ctx context.Context, dead Dead) {
	rules, err := e.Runner.Output(ctx, "iptables", "-w", "-t", "nat", "-S", portChain)
	if err != nil {
		return
	}
	for _, port := range deadPorts(rules, dead.IDs) {
		_ = e.Runner.Run(ctx, "iptables", append([]string{"-w", "-t", "nat", "-D", portChain}, port...)...)
	}
}

// deadPorts reads iptables rules whose comment names a dead container, and
// returns their specifications.
func deadPorts(rules string, ids []string) [][]string {
	var dead [][]string
	for _, rule := range strings.Split(rules, "\n") {
		before, after, found := strings.Cut(rule, `--comment "`)
		comment, target, closed := strings.Cut(after, `"`)
		_, id, named := strings.Cut(comment, " id: ")
		if !found || !closed || !named || !slices.Contains(ids, id) {
			continue
		}
		spec := strings.Fields(strings.TrimPrefix(before, "-A "+portChain+" "))
		spec = append(append(spec, "--comment", comment), strings.Fields(target)...)
		dead = append(dead, spec)
	}
	return dead
}

// forgetSpaces removes network namespaces that no process is in; the
// interfaces in them go too.
func forgetSpaces(paths []string) {
	inhabited := inhabitedSpaces()
	for _, path := range paths {
		var info syscall.Stat_t
		if filepath.Dir(path) != spaces || syscall.Stat(path, &info) != nil || inhabited[info.Ino] {
			continue
		}
		_ = syscall.Unmount(path, syscall.MNT_DETACH)
		_ = os.Remove(path)
	}
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
