package role

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// offerTries is how many looks a replica may miss before it is left out.
const offerTries = 2

// ErrNoReplica says that no replica of a lost master answers.
var ErrNoReplica = errors.New("no replica of the lost master answers")

// Offer is what a replica of a lost master holds, as looks at it in quick succession find it.
type Offer struct {
	Replica       // as the look found it that decided to replace the master
	offset  int64 // at the last answer
	linked  bool  // it has not noticed the end of its master yet
	missed  int   // looks without an answer, in a row
	out     bool  // it does not hold any more what was found before
	master  bool  // it has become master
}

// Offers are those of all replicas of a lost master.
type Offers []Offer

// NewOffers are the offers of replicas that have not been asked yet.
func NewOffers(replicas []Replica) Offers {
	offers := make(Offers, len(replicas))
	for i, r := range replicas {
		offers[i].Replica = r
	}
	return offers
}

// Open says whether the replica is worth another question.
func (o Offer) Open() bool { return !o.out && o.missed < offerTries }

// Take notes an answer of the replica, or its silence. follows is the master that it follows.
func (o *Offer) Take(reach Reach, says Look, follows, lost netip.Addr) {
	switch {
	case reach == Refused:
		o.out = true
	case reach != Answered:
		o.missed++
	case says.Master || says.Loading || says.History != o.History || says.Offset < o.Offset:
		o.out, o.master = true, says.Master && !says.Loading
	default:
		o.offset, o.linked, o.missed = says.Offset, says.LinkUp && follows == lost, 0
	}
}

// Settled says whether two looks have found the same, and no more is to come. The replicas of a silent master may never notice its end.
func (o Offers) Settled(before Offers, silent bool) bool {
	for i, now := range o {
		changes := now.linked && !silent || now.missed > 0 && now.missed < offerTries || now.offset != before[i].offset
		if !now.out && changes {
			return false
		}
	}
	return true
}

// Foremost gives the replica that holds most. The first one wins a tie. With record.ErrReplaced one of them is master already. With
// ErrNoReplica none answers. With another error a replica that held more has become silent.
func (o Offers) Foremost() (Replica, error) {
	best := -1
	for i, offer := range o {
		if offer.master {
			return Replica{}, fmt.Errorf("%w: the replica %v is master", record.ErrReplaced, offer.IP)
		}
		if !offer.out && offer.missed == 0 && (best < 0 || offer.offset > o[best].offset) {
			best = i
		}
	}
	if best < 0 {
		return Replica{}, ErrNoReplica
	}
	for _, offer := range o {
		if offer.missed > 0 && !offer.out && max(offer.Offset, offer.offset) > o[best].offset {
			return Replica{}, fmt.Errorf("the replica %v, which held most, does not answer", offer.IP)
		}
	}
	return o[best].Replica, nil
}
