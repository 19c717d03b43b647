package role

// Throttle decides when the writes of a master wait for its replicas. It bounds what a crash of the master can lose,
// in bytes of the replication stream.
//
// A replica that has just finished a full copy is behind by all that was written during the copy. Writes go on while such a
// replica catches up, and wait when it falls further behind.
type Throttle struct {
	// Limit is how far the foremost replica may be behind, in bytes; 0 lets writes never wait.
	Limit int64

	counted bool  // the last look found a replica that counts
	least   int64 // the least lag since replicas count
}

// Look takes the present lag of the foremost replica, and says whether writes wait. ok is false if no replica counts; whether the
// master accepts writes then is the business of MinReplicas.
func (t Throttle) Look(lag int64, ok bool) (next Throttle, wait bool) {
	if t.Limit == 0 || !ok {
		return Throttle{Limit: t.Limit}, false
	}
	if !t.counted {
		t.counted, t.least = true, lag
	}
	wait = lag > max(t.Limit, t.least)
	t.least = min(t.least, lag)
	return t, wait
}

// Lag is how many bytes of a master's replication stream the foremost replica has not carried out. ok is false without a replica.
func Lag(master int64, replicas []int64) (lag int64, ok bool) {
	for i, offset := range replicas {
		if behind := max(0, master-offset); i == 0 || behind < lag {
			lag = behind
		}
	}
	return lag, len(replicas) > 0
}
