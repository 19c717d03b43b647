package role

import "time"

const (
	// masterSilent is how long the Redis of a pod labelled master may not answer
	// before the pod is not ready; a failover is over by then.
	masterSilent = 10 * time.Second
	// replicaGone is how long a replica without its master stays in the slave Service.
	replicaGone = 10 * time.Second
	// hungAfter is how long Redis may not answer before the kubelet restarts the container.
	hungAfter = 60 * time.Second
)

// Hung says why the kubelet should restart the container of a Redis that runs; empty when it should not. o is what the last decision was made from.
func (m *Memory) Hung(o Observation, now time.Time) string {
	if m.Silent(now) <= hungAfter || o.Local.Loading {
		return ""
	}
	return "redis-server has not answered for " + hungAfter.String()
}

// NotReady says why this pod should get no traffic; empty when it should. o is what the last decision was made from.
func (m *Memory) NotReady(o Observation, now time.Time) string {
	l := o.Local
	switch {
	case !l.Running:
		return m.Decided.Reason
	case l.Full && m.Served && !m.Held.Copied:
		return "" // it serves those clients that it has
	case !l.Answering && o.Self.Label == Master && m.Silent(now) < masterSilent:
		// Nobody asks whether a master is ready: its Services follow the label.
		// Telling it would spend kube-proxy's sync just when the label moves.
		return ""
	case !l.Answering:
		return "redis-server does not answer"
	case l.Loading:
		return "redis-server is loading its data"
	case l.Master && m.Decided.Label != MasterLabel && m.Decided.Label != HoldLabel:
		return m.Decided.Reason
	case !l.Master && !l.Synced && !m.Served:
		return "the first synchronisation is not finished"
	case l.Copied && m.last.Failed && !m.last.Rewriting:
		return "the data are not in the append-only file yet: its rewrite failed (see the log of redis-server for memory or disk), and Redis tries again"
	case l.Copied:
		return "the data are not in the append-only file yet: its first rewrite is running"
	case !l.Master && l.LinkDown > replicaGone:
		return "the link to the master has been down for over " + replicaGone.String()
	}
	return ""
}
