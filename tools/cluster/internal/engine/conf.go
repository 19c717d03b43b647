package engine

import "fmt"

// The limits that containers get where the host's own are higher or unknown.
const (
	mostFiles     = 1 << 20
	mostProcesses = 1 << 15
)

// containersConf is a Podman configuration for hosts on which Podman's
// defaults fail: its runtime crun refuses hybrid cgroups, its cgroup manager
// wants systemd, and its default limits exceed what the host may grant.
func containersConf(files, processes uint64) string {
	files, processes = bounded(files, mostFiles), bounded(processes, mostProcesses)
	return fmt.Sprintf(`# Written by the redis-ha cluster tool and read by it alone.
[containers]
default_ulimits = ["nofile=%d:%d", "nproc=%d:%d"]

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
`, files, files, processes, processes)
}

func bounded(limit, most uint64) uint64 {
	if limit == 0 || limit > most {
		return most
	}
	return limit
}
