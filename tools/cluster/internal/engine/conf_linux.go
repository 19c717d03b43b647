package engine

import "syscall"

// rlimitProcesses is RLIMIT_NPROC, which package syscall does not name.
const rlimitProcesses = 6

// limits returns the hard limits of this process, which containers may have
// but not exceed where the host cannot raise limits.
func limits() (files, processes uint64) {
	return hardLimit(syscall.RLIMIT_NOFILE), hardLimit(rlimitProcesses)
}

func hardLimit(resource int) uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(resource, &limit); err != nil {
		return 0
	}
	return limit.Max
}
