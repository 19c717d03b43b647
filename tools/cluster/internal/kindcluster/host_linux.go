package kindcluster

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// capSysResource is the number of CAP_SYS_RESOURCE in capability sets.
const capSysResource = 24

// ThisHost looks at the host that this process runs on.
func ThisHost() Host {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	status, _ := os.ReadFile("/proc/self/status")
	return Host{CgroupV1: err != nil, RestrictedOOM: os.Geteuid() == 0 && !boundingSetHas(string(status), capSysResource)}
}

// boundingSetHas reads a capability from the text of /proc/PID/status. A text
// without a bounding set counts as having all.
func boundingSetHas(status string, capability uint) bool {
	for _, line := range strings.Split(status, "\n") {
		value, found := strings.CutPrefix(line, "CapBnd:")
		if !found {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		return err != nil || set&(1<<capability) != 0
	}
	return true
}

// enoughInstances is what kind's own documentation sets fs.inotify.max_user_instances
// to; a cluster of 4 nodes uses about 100, so that two exceed the kernel's 128.
const enoughInstances = 512

// kubeletHint says what on this host may have kept a node's kubelet from
// running; empty if nothing is known.
func kubeletHint() string {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		return ""
	}
	return instancesHint(string(text))
}

func instancesHint(limit string) string {
	limit = strings.TrimSpace(limit)
	if n, err := strconv.Atoi(limit); err != nil || n >= enoughInstances {
		return ""
	}
	return fmt.Sprintf("; its kubelet may have run out of inotify instances (the limit is %s): remove other clusters, or run "+
		"`sysctl fs.inotify.max_user_instances=%d`", limit, enoughInstances)
}
