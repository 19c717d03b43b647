//go:build !linux

package kindcluster

// ThisHost is ordinary where containers run in a virtual machine of the
// engine.
func ThisHost() Host { return Host{} }
