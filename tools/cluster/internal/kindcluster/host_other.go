//go:build !linux

package kindcluster

// ThisHost is ordinary where containers run in a virtual machine of the
// engine.
func ThisHost() Host { return Host{} }

// kubeletHint knows nothing of a host inside the engine's virtual machine.
func kubeletHint() string { return "" }
