package role

import "time"

// freshMaster is how long a new master may serve alone before anybody confirms it.
// The sentinels need about 1.3 s. It is no longer than they need to find a master
// down. So a master that is cut off at its promotion refuses writes before another master
// is promoted.
const freshMaster = 3 * time.Second

// replicasNeeded says how many replicas the master must have from now on to accept
// writes; ok is false when the present setting stays. A master alone may
// serve, but only while it can see that it is not cut off: majority says that
// the sentinels name it, fresh that the API answered just now and has it as the
// master. With neither it may have been replaced, and must not serve alone,
// unless it has become master just now, masterFor ago: then neither can know yet.
func replicasNeeded(configured, online int, majority, fresh bool, masterFor time.Duration) (n int, ok bool) {
	switch {
	case configured == 0:
		return 0, true
	case online >= configured:
		return configured, true
	case majority && fresh:
		return online, true
	case !majority && !fresh && masterFor > freshMaster:
		return configured, true
	default:
		return 0, false
	}
}

// minReplicas gives min-replicas-to-write from now on. change is false when the present setting stays.
func (m *Memory) minReplicas(f Facts, local Local, now time.Time) (n int, change bool) {
	switch {
	case !local.Answering:
		return 0, false
	case !local.Master:
		return 0, m.MinReplicas != 0
	case f.Self.Terminating || local.Online < f.Settings.MinReplicas && m.servesAlone(f, local, now):
		return 0, false
	}
	fresh := m.RecordKnown && now.Sub(m.recordAt) < CalmTick && m.Record.Master.UID == f.Self.UID
	n, ok := replicasNeeded(f.Settings.MinReplicas, local.Online, m.namedNow(f, now), fresh, local.MasterFor)
	return n, ok && n != m.MinReplicas
}

// mayNotBeAlone says whether a master lacks replicas, and must see that the API still names it to accept writes.
func (m *Memory) mayNotBeAlone(f Facts, local Local, now time.Time) bool {
	return local.Answering && local.Master && !f.Self.Terminating && local.Online < f.Settings.MinReplicas && !m.servesAlone(f, local, now)
}

// servesAlone says whether this master accepts writes with the replicas that it has, and is still named.
func (m *Memory) servesAlone(f Facts, local Local, now time.Time) bool {
	return m.namedNow(f, now) && m.MinReplicas >= 0 && m.MinReplicas <= local.Online
}

// namedNow says whether a majority of the sentinels has named this pod lately.
func (m *Memory) namedNow(f Facts, now time.Time) bool {
	agreed, ok := Observation{Sentinels: f.Settings.Sentinels, Views: m.views}.Agreed()
	return ok && agreed == f.Self.IP && now.Sub(m.viewsAt) < 2*CalmTick
}
