//go:build !linux

package engine

import "context"

// ForgetDeadContainers has nothing to do where the engine runs in a virtual
// machine.
func (e *Engine) ForgetDeadContainers(context.Context) error { return nil }
