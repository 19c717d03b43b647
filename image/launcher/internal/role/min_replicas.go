package role

import "time"

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
	case !majority && !fresh && masterFor > promotionPatience:
		return configured, true
	default:
		return 0, false
	}
}
