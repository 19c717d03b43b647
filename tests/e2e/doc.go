// Package e2e tests the chart on a real cluster: the documented commands, what
// a client sees when something fails, and that nothing is left behind.
//
// `make e2e` runs it. By hand, with kubectl, helm, go and bash in PATH:
//
//	KUBECONFIG=../../.cache/kubeconfig go test -count=1 -timeout 40m -v .
//	KUBECONFIG=... go test -count=10 -timeout 3h -v -run Failover . -args -reuse
//
// The tests own the release redis-ha in the namespace kube-public, which the
// documents use, and the namespaces redis-ha-e2e and redis-ha-e2e-large: what is
// there before is removed. With -reuse a healthy release is taken as it is, and left. Without
// a cluster the tests fail; they are never skipped.
package e2e
