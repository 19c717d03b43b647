// Package fakeapi is the part of a Kubernetes API server that the launcher
// uses: the Pods, Leases and Events of one namespace over plain HTTP, with the
// resource versions, watches, patches and conflicts of the real one.
//
// What the launcher has no right to, or no reason for, is answered with 403
// and remembered: Unexpected lists it and a test is expected to fail on it.
// Every launcher gets a listener of its own (Connect), so that one launcher,
// or all of them, can lose the server, and so that the server knows who asks.
// The methods in controllers.go play the kubelet's and the controllers' part.
package fakeapi
