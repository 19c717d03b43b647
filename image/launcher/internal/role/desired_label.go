package role

import "time"

// labelLag is how long after a write of the labels the watched pods may still show the labels from before it.
const labelLag = 2 * time.Second

// PodLabels are the labels of a pod that follow from its role. Equal values mean the same labels.
type PodLabels struct {
	// Known says that Role and RunID are certain. If it is false, nobody knows what the labels should be, or are.
	Known bool
	// Role is the value of the label redis-role: Master, Slave or Sentinel. It is empty for a pod without that label.
	Role string
	// RunID is the value of the label runID. It is empty for a pod without that label.
	RunID string
}

// Master says whether the labels are those of a master.
func (l PodLabels) Master() bool { return l.Known && l.Role == Master }

// DesiredLabel is what the labels of this pod should be, and what they are as far as this launcher has written them. It holds the times
// that decide for how long both count. The zero value leaves the labels as they are.
type DesiredLabel struct {
	labels     PodLabels
	seenAt     time.Time // when the look began that labels follow from
	disownedAt time.Time // when Disown last took labels back

	written   PodLabels // what was last written, or found to be as desired
	writtenAt time.Time // when it was written; zero: the watched pods show what counts
}

// Want replaces the desired labels by labels with these values. seenAt is when the look began that they follow from. A look that began
// before the last Disown changes nothing: whoever took the label then knew more. Nor does a look that began before the look that the present
// labels follow from: a replacement beside the loop labels its pod by a look of its own. gone says that the API has no object of this pod any more.
// Such a pod is never to be master: there is nothing to label. changed says whether the labels have to be written, or looked at, anew.
func (d *DesiredLabel) Want(label, runID string, seenAt time.Time, gone bool) (changed bool) {
	switch {
	case label == Master && gone:
		d.labels = PodLabels{}
		return false
	case d.disownedAt.After(seenAt) || d.seenAt.After(seenAt):
		return false
	}
	next := PodLabels{Known: true, Role: label, RunID: runID}
	changed = d.labels != next
	d.labels, d.seenAt = next, seenAt
	return changed
}

// Hold leaves the labels as they are, whoever changes them, until the next Want. A look that began before the look that the present labels
// follow from changes nothing.
func (d *DesiredLabel) Hold(seenAt time.Time) {
	if !d.seenAt.After(seenAt) {
		d.labels.Known = false
	}
}

// Disown takes back the desire to be master when another pod has taken the label master off this pod, or when this pod is gone. Only a look
// that begins after now leads to the label again. Disown returns false, and changes nothing, if this pod is to have another label than
// master: it has given the label up itself.
func (d *DesiredLabel) Disown(now time.Time) bool {
	if d.labels.Known && d.labels.Role != Master {
		return false
	}
	d.labels, d.writtenAt, d.disownedAt = PodLabels{}, time.Time{}, now
	return true
}

// At returns the labels that are desired at a moment. The desire to be master counts for downAfter from the look that it follows
// from. An older look says that the pod has stood still for as long as a failover takes: it must look again first.
func (d *DesiredLabel) At(now time.Time, downAfter time.Duration) PodLabels {
	if d.labels.Role == Master && now.Sub(d.seenAt) > downAfter {
		return PodLabels{}
	}
	return d.labels
}

// Owned says whether this pod was last desired to be master, however old the look is that this follows from.
func (d *DesiredLabel) Owned() bool { return d.labels.Master() }

// Wrote notes that the API has accepted labels at a moment.
func (d *DesiredLabel) Wrote(labels PodLabels, now time.Time) { d.written, d.writtenAt = labels, now }

// Found notes that the pod has the desired labels already.
func (d *DesiredLabel) Found(labels PodLabels) { d.written = labels }

// Written returns the labels that were written last. recent says that the watched pods may not show them yet.
func (d *DesiredLabel) Written(now time.Time) (labels PodLabels, recent bool) {
	return d.written, now.Sub(d.writtenAt) < labelLag
}

// Done says whether the labels are as desired.
func (d *DesiredLabel) Done() bool { return d.written == d.labels }
