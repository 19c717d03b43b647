package role

import "time"

// freshMaster is how long a new master may serve alone before anybody confirms it.
// The sentinels need about 1.3 s. It is no longer than they need to find a master
// down, so that one that is cut off at its promotion refuses writes before another
// is promoted.
const freshMaster = 3 * time.Second

// MinReplicas says how many replicas the master must have from now on to accept
// writes; ok is false when the present setting stays. A master alone may
// serve, but only while it can see that it is not cut off: majority says that
// the sentinels name it, fresh that the API answered just now and has it as the
// master. With neither it may have been replaced, and must not serve alone,
// unless it has become master just now, masterFor ago: then neither can know yet.
func MinReplicas(configured, online int, majority, fresh bool, masterFor time.Duration) (n int, ok bool) {
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
