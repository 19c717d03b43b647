//go:build !linux

package engine

// limits are unknown where containers run in a virtual machine.
func limits() (files, processes uint64) { return 0, 0 }
