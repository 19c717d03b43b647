package role

import "time"

// saveReserve is what a leaving server needs after its Redis has ended, and what a save may take longer than expected.
const saveReserve = 10 * time.Second

// SavesCopy says whether the Redis of a leaving replica saves a copy of its data before it ends. The copy names the place in the
// replication stream. So the next pod on this volume goes on from there and needs no full copy. left is the time until this pod must exit.
func (m *Memory) SavesCopy(o Observation, left time.Duration) bool {
	l := o.Local
	return l.Answering && !l.Master && l.LinkUp && l.Synced && m.saveFits(o, left)
}

// SavesAfterHandOver is SavesCopy for a master that has handed over. Its Redis becomes a replica of the successor first.
func (m *Memory) SavesAfterHandOver(o Observation, left time.Duration) bool {
	return o.Local.Master && m.saveFits(o, left)
}

// saveFits says whether there is a volume that stays, and time to save. A save takes about as long as the last one. The next pod is judged by the
// append-only file, so data that are not in it are not worth a copy.
func (m *Memory) saveFits(o Observation, left time.Duration) bool {
	return o.VolumesKept && !o.Local.Copied && m.last.LastSave >= 0 && 2*m.last.LastSave+saveReserve < left
}

// AppendsAgain says whether Redis has to be told to write its append-only file: Redis has started from a saved copy, and has loaded it. Until
// the file is written its data count as those of a full copy.
func (m *Memory) AppendsAgain(o Observation) bool {
	return o.Persistence && o.Local.Answering && o.Local.Copied && m.last.Unwritten && !m.last.Syncing
}
