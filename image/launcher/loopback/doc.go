// Package loopback tests the launcher binary from outside: real launcher,
// redis-server and redis-sentinel processes on loopback addresses, and a fake
// API server that also plays the kubelet's and the controllers' part.
//
// Every test has a network 127.a.b.0/24 of its own with one address a pod and
// the real ports, so tests run in parallel and beside each other. The launcher
// is process 1 of a PID namespace where the user may create one, as in a
// container: when it dies, its redis dies.
//
// A failing test prints the history of the role labels, the sentinels' views
// and the last lines of every pod's output; go test -artifacts keeps all of it.
package loopback
