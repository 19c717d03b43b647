// Package record is the release's memory of its master, and the only ways in which that memory changes. The record
// lives on a Lease. Each change is a pure function from the record that was read to the record to write. The API refuses the
// write if somebody has written since, so one pod at a time replaces a master.
package record

import (
	"errors"
	"fmt"
	"time"
)

const (
	// CarrierTime is how long the launcher that has fenced a dead master has for the votes, one more look at the
	// sentinels, and the promotion. It takes 10 ms where nothing is slow.
	CarrierTime = 2 * time.Second
	// Skew is by how much the clocks of two nodes may differ where the age of a fence or an order is compared.
	Skew = 2 * time.Second
	// CarrierPatience is how long the others leave a fenced master to the launcher that has fenced it.
	CarrierPatience = CarrierTime + Skew
	// OrderAge is how long an order to a sentinel is left to its writer. A failover takes no longer.
	OrderAge = 10 * time.Second
)

var (
	// ErrReplaced says that another pod has become master, or that somebody is replacing this master.
	ErrReplaced = errors.New("this master is being replaced by somebody else")
	// ErrNotRecorded says that the record does not name the master that is to be replaced, so that it cannot say who
	// replaces it.
	ErrNotRecorded = errors.New("the record does not name this master")
)

// Member names one pod in a record.
type Member struct {
	Name string `json:"name,omitempty"`
	UID  string `json:"uid,omitempty"`
	IP   string `json:"ip,omitempty"`
	// Volume is the ID of the data volume of a server, which may outlive the pod; empty if it is not known.
	Volume string `json:"volume,omitempty"`
}

// Fence says that a master is dead or hands over. It accepts no writes when a replica is
// promoted in its place, so that its successor may be labelled before the sentinels have agreed on it.
type Fence struct {
	UID    string    `json:"uid"`    // the fenced pod
	Reason string    `json:"reason"` // how it was fenced
	At     time.Time `json:"at"`     // when, by the writer's clock
	// By is the replica that saw the container of the fenced pod ended; empty if the fenced pod says so itself.
	By string `json:"by,omitempty"`
	// Successor is the UID of the replica that the writer promotes in its place.
	Successor string `json:"successor,omitempty"`
}

// young says whether the launcher that has written the fence may still be at work.
func (f Fence) young(now time.Time) bool { return now.Sub(f.At).Abs() < CarrierPatience }

// Order says that a replica has told a sentinel to replace a master that is
// down, and perhaps not dead.
type Order struct {
	By string    `json:"by"` // the replica's pod
	At time.Time `json:"at"` // when, by the writer's clock
}

// Successor is a server that is told to succeed an external master.
type Successor struct {
	Member
	// Until is the end of the order, by the writer's clock. The external master accepts writes again later, and what they write would be lost.
	Until time.Time `json:"until"`
}

// Record says who is master, who was master before, and who is replacing the master. It outlives every pod and goes with the release.
type Record struct {
	Initialised bool   `json:"initialised"` // a master has served in this release before
	Generation  int64  `json:"generation"`  // counts masters; higher is later
	Master      Member `json:"master"`
	Previous    Member `json:"previous"` // the master before
	Fence       *Fence `json:"fence,omitempty"`
	Order       *Order `json:"order,omitempty"`
	// Restored names the backup that the release began with, or that has replaced its data since; empty if there is none.
	Restored string `json:"restored,omitempty"`
	// RestoredIn is the generation from which on the release has the data of Restored; 0 if it began with them.
	RestoredIn int64 `json:"restoredIn,omitempty"`
	// RestoredAt is when the launcher that takes over with those data last wrote so, by its clock; see TakenOver.
	RestoredAt time.Time `json:"restoredAt,omitzero"`
	// Successor is the server that becomes the first master of the release, which follows an external master so far.
	Successor *Successor `json:"successor,omitempty"`

	// Version is that of the Lease when the record was read.
	Version string `json:"-"`
}

// Names says whether the record names this pod as it is master now. own is the generation
// in which this pod has been recorded since its Redis became master, 0 for none. A record of
// an earlier generation may name this pod as well: another pod may have been master in
// between while the API was away.
func (r Record) Names(self Member, own int64) bool {
	return r.Master == self && r.Fence == nil && own > 0 && r.Generation <= own
}

// Claim makes a pod the master of a new generation. It does so also where the record names this pod already: of
// two servers that claim mastership at once only one can write. A master that has
// loaded its file starts its offsets at 0 again, so they must not be compared with the
// larger ones of its replicas of before.
func (r Record) Claim(self Member) Record {
	if r.Master.UID != self.UID {
		r.Previous = r.Master
	}
	r.Generation++
	r.Initialised, r.Master, r.Fence, r.Order, r.Successor = true, self, nil, nil, nil
	return r
}

// Restore makes a pod the master of a new generation. The data of a backup replace those of the generation before.
func (r Record) Restore(self Member, backup string, now time.Time) Record {
	r = r.Claim(self)
	r.Restored, r.RestoredIn, r.RestoredAt = backup, r.Generation, now
	return r
}

// TakenOver says whether the record has just begun to name another pod than self with the data of a backup. The launcher of that pod has CarrierTime
// to move the other servers. The former master does not write the record for CarrierPatience.
func (r Record) TakenOver(self Member, now time.Time) bool {
	return r.RestoredIn > 0 && r.RestoredIn == r.Generation && r.Master.UID != self.UID && now.Sub(r.RestoredAt).Abs() < CarrierPatience
}

// Holding gives the record of a master whose data are of a generation. If they are older than a backup that has replaced the data of the
// release, that backup has been lost: nobody else has its data.
func (r Record) Holding(generation int64) Record {
	if r.RestoredIn > generation {
		r.Restored, r.RestoredIn, r.RestoredAt = "", 0, time.Time{}
	}
	return r
}

// LeftToAnother says whether a launcher is replacing a master by another pod than self.
func (r Record) LeftToAnother(self Member, now time.Time) bool {
	f := r.Fence
	return r.TakenOver(self, now) || f != nil && f.UID != self.UID && f.Successor != self.UID && f.young(now)
}

// TakenSince says whether another pod than self has taken the record since a launcher decided by a record of the generation known.
func (r Record) TakenSince(known int64, self Member) bool {
	return r.Generation > known && r.Master.UID != self.UID
}

// Lost is a master that is replaced without its help: what the launcher that replaces it knows of it.
type Lost struct {
	Member
	// Silent: its Redis may run. Most sentinels get no answer from it. Otherwise it certainly does not run.
	Silent bool
	// Generation is that of the record when the master was found dead; 0: any.
	Generation int64
	Reason     string
}

// Replaceable says with nil that self may replace a lost master. With ErrReplaced somebody else does, or the master has come back.
// With ErrNotRecorded the record does not name self, which is the dead master.
func (r Record) Replaceable(lost Lost, self Member, now time.Time) error {
	// If the recorded master is fenced, self may have replaced it: the record names self only later.
	fenced := r.Fence != nil && r.Fence.UID == r.Master.UID
	switch {
	case r.Master.UID != lost.UID && lost.UID == self.UID && (r.Previous.UID != self.UID || fenced):
		return ErrNotRecorded
	case r.Master.UID != lost.UID:
		return fmt.Errorf("%w: the record names %s, and not %s", ErrReplaced, r.Master.Name, lost.Name)
	case lost.Generation != 0 && r.Generation != lost.Generation:
		return fmt.Errorf("%w: the record has generation %d of the master, and not %d", ErrReplaced, r.Generation, lost.Generation)
	}
	return r.unclaimed(lost, self, now)
}

// unclaimed gives ErrReplaced where somebody else is replacing a master by what the record says. Whoever does has
// CarrierPatience for it. The fence of a master that promotes its successor itself ends with its container; a silent master may
// still be at it.
func (r Record) unclaimed(lost Lost, self Member, now time.Time) error {
	switch order, fence := r.Order, r.Fence; {
	case order != nil && order.By != self.Name && now.Sub(order.At).Abs() < CarrierPatience:
		return fmt.Errorf("%w: %s has just told a sentinel to replace the master", ErrReplaced, order.By)
	case fence == nil || fence.UID != lost.UID || !fence.young(now):
		return nil
	case fence.By != "" && fence.By != self.Name:
		return fmt.Errorf("%w: %s has just fenced the master", ErrReplaced, fence.By)
	case fence.By == "" && lost.Silent:
		return fmt.Errorf("%w: the master is handing over", ErrReplaced)
	}
	return nil
}

// FenceLost says that self replaces a lost master by a replica, whose UID is successor. The record must be Replaceable.
func (r Record) FenceLost(lost Lost, self Member, successor string, now time.Time) Record {
	r.Fence = &Fence{UID: lost.UID, Reason: lost.Reason, At: now, Successor: successor}
	if lost.UID != self.UID {
		r.Fence.By = self.Name
	}
	return r
}

// HandOver says that the master self promotes a replica in its place, whose UID is successor. named says that a majority of the
// sentinels names self. With ErrReplaced the record names another master, or somebody has just ordered a failover or fenced self.
// With ErrNotRecorded the record cannot tell.
func (r Record) HandOver(self Member, successor string, named bool, now time.Time) (Record, error) {
	order, fence := r.Order, r.Fence
	switch {
	case r.Master.UID != self.UID && named:
		return r, fmt.Errorf("%w, and the sentinels do", ErrNotRecorded)
	case r.Master.UID != self.UID:
		return r, fmt.Errorf("%w: the record names %s", ErrReplaced, r.Master.Name)
	case order != nil && now.Sub(order.At).Abs() < OrderAge:
		return r, fmt.Errorf("%w: %s has just ordered a failover", ErrReplaced, order.By)
	case fence != nil && fence.By != "" && fence.young(now):
		return r, fmt.Errorf("%w: %s has fenced it", ErrReplaced, fence.By)
	}
	r.Fence = &Fence{UID: self.UID, Reason: "hand-over", At: now, Successor: successor}
	return r, nil
}

// Unfence takes back the fence of the master self, whose hand-over did not happen. changed is false if there is no such fence. With
// ErrReplaced the record names another master, or a replica has fenced self.
func (r Record) Unfence(self Member, now time.Time) (next Record, changed bool, err error) {
	switch {
	case r.Master.UID != self.UID && r.Previous.UID == self.UID:
		return r, false, fmt.Errorf("%w: the record names %s", ErrReplaced, r.Master.Name)
	case r.Fence == nil || r.Fence.UID != self.UID:
		return r, false, nil
	case r.Fence.By != "" && r.Fence.young(now):
		return r, false, fmt.Errorf("%w: %s has fenced this pod", ErrReplaced, r.Fence.By)
	}
	r.Fence = nil
	return r, true, nil
}

// Withdraw takes back the fence that self has written for a silent master, which it does not replace. changed is false if there is no
// such fence any more.
func (r Record) Withdraw(lost Lost, self Member) (next Record, changed bool) {
	if f := r.Fence; f == nil || f.UID != lost.UID || f.By != self.Name {
		return r, false
	}
	r.Fence = nil
	return r, true
}

// OrderFailover says that the replica self tells a sentinel to replace a master that is down. A replica that does not hear the others may
// believe that it has to act, and so may another replica. Two failovers that are ordered take the
// same epoch and may promote two replicas. An order or a fence that is younger than OrderAge is left to its writer: the error is
// ErrReplaced.
func (r Record) OrderFailover(self Member, now time.Time) (Record, error) {
	switch order, fence := r.Order, r.Fence; {
	case order != nil && now.Sub(order.At).Abs() < OrderAge:
		return r, fmt.Errorf("%w: %s has just told a sentinel to replace the master", ErrReplaced, order.By)
	case fence != nil && now.Sub(fence.At).Abs() < OrderAge:
		return r, fmt.Errorf("%w: the master has just been fenced (%s), and its writer is replacing it", ErrReplaced, fence.Reason)
	}
	r.Order = &Order{By: self.Name, At: now}
	return r, nil
}

// Succeed says that a server becomes the first master of the release in the place of an external master, until a moment. The error is
// ErrReplaced if the release has a master of its own already.
func (r Record) Succeed(successor Member, until time.Time) (Record, error) {
	if r.Initialised {
		return r, fmt.Errorf("%w: the release has a master of its own, %s", ErrReplaced, r.Master.Name)
	}
	r.Successor = &Successor{successor, until}
	return r, nil
}

// CallOffSuccession takes Succeed back. changed is false if there is nothing to take back, for instance because the successor has
// become master.
func (r Record) CallOffSuccession() (next Record, changed bool) {
	changed = r.Successor != nil && !r.Initialised
	r.Successor = nil
	return r, changed
}
