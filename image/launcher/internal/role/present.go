package role

import "github.com/redis-ha/redis-ha/image/launcher/internal/record"

// present gives the UID of the pod that has the data of a recorded pod now. A pod may be deleted and come back under another UID with the same
// volume. What its data are worth belongs to the volume. The recorded UID stays where the recorded pod exists, where no pod tells of its
// volume, and where several pods do, as after somebody has copied a volume.
func (o Observation) present(in record.Member) string {
	if in.Volume == "" || o.Self.UID == in.UID {
		return in.UID
	}
	uid, found := in.UID, 0
	if o.Self.Volume == in.Volume {
		uid, found = o.Self.UID, 1
	}
	for _, p := range o.Peers {
		switch {
		case p.UID == in.UID:
			return in.UID
		case p.Status != nil && p.Status.Volume == in.Volume:
			uid = p.UID
			found++
		}
	}
	if found > 1 {
		return in.UID
	}
	return uid
}

// recordedPods gives the recorded master and the fenced pod by the UIDs that they have now.
func (o Observation) recordedPods(r record.Record) (master, fenced string) {
	master = o.present(r.Master)
	switch {
	case r.Fence == nil:
		return master, ""
	case r.Fence.UID == r.Master.UID:
		return master, master
	case r.Fence.UID == r.Previous.UID:
		return master, o.present(r.Previous)
	}
	return master, r.Fence.UID
}
