package kindcluster

import (
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
