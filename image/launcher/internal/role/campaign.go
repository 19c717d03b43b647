package role

import (
	"net/netip"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
)

// campaignTries is in how many epochs a launcher asks for votes. It does not know the latest epoch of the sentinels, which an
// election without a result raises as well. So it skips more epochs each time.
const campaignTries = 5

// Campaign asks the sentinels to elect a launcher to replace a master: the epochs in which the launcher asks, and whether it has
// won. See docs/adr/0028.
type Campaign struct {
	id        string
	sentinels int
	epoch     int64
	tries     int
}

// NewCampaign is the campaign of a launcher that asks for votes with a run ID. configured is the number of sentinels in the settings. The first
// epoch is after all those in which the sentinels have named a master.
func NewCampaign(id string, configured int, views []View) Campaign {
	c := Campaign{id: id, sentinels: Electorate(configured, views)}
	for _, v := range views {
		c.epoch = max(c.epoch, v.ConfigEpoch)
	}
	return c
}

// Next gives the epoch to ask for votes in; false when the launcher has asked often enough.
func (c *Campaign) Next() (epoch int64, ok bool) {
	if c.tries == campaignTries {
		return c.epoch, false
	}
	c.epoch += 1 << c.tries
	c.tries++
	return c.epoch, true
}

// Unvoted gives the epoch of a replacement without votes. It is after all epochs in which the launcher has asked. SENTINEL FAILOVER takes an
// epoch without votes, too.
func (c *Campaign) Unvoted() int64 { return c.epoch + 1<<campaignTries }

// For says whether a vote is for this launcher, in the present epoch.
func (c *Campaign) For(v sentinel.Vote) bool { return v.Leader == c.id && v.Epoch == c.epoch }

// Won says whether a majority of the sentinels has voted for this launcher in the present epoch; see Electorate. If not, the next epoch is
// after the latest in which a sentinel has voted.
func (c *Campaign) Won(votes []sentinel.Vote) bool {
	n, latest := 0, c.epoch
	for _, v := range votes {
		if latest = max(latest, v.Epoch); c.For(v) {
			n++
		}
	}
	if n >= majorityOf(c.sentinels) {
		return true
	}
	c.epoch = latest
	return false
}

// Mandate is what the sentinels have elected a launcher for: to replace a master, in an epoch.
type Mandate struct {
	Master netip.Addr
	Epoch  int64
	// Named is the latest epoch in which a sentinel named the master before the votes.
	Named             int64
	Sentinels, Quorum int // see Electorate; the quorum is that of the settings
	DownAfter         time.Duration
	// Silent: the master may run; most sentinels find it down.
	Silent bool
	// Unvoted is, of a master that hands over without votes, how many sentinels may be alive; 0: the sentinels have voted. A majority of these must
	// consent, and so must each sentinel that is asked.
	Unvoted int
}

// NewMandate is a mandate to replace a master in an epoch. views are what the sentinels said before the votes.
func NewMandate(master netip.Addr, epoch int64, views []View) Mandate {
	m := Mandate{Master: master, Epoch: epoch}
	for _, v := range views {
		if v.Reach == Answered && v.HasMaster && v.Master == master {
			m.Named = max(m.Named, v.ConfigEpoch)
		}
	}
	return m
}

// Asks says whether a sentinel is asked for its consent. The sentinel answered before the votes. A sentinel that missed a failover of the past
// is not asked where each must consent. A sentinel that names another master in a later epoch is asked, and does not consent.
func (m Mandate) Asks(before View) bool {
	missed := before.HasMaster && before.Master != m.Master && before.ConfigEpoch <= m.Named
	return before.Reach == Answered && !(m.Unvoted > 0 && missed)
}

// Consent is what one sentinel says of the master that a launcher has been elected to replace.
type Consent int

const (
	// Unclear: the sentinel does not answer; or it names no master; or it named another master before the votes, and still does; or it has yet
	// to find a silent master down.
	Unclear Consent = iota
	// Granted: the sentinel names the master, in an earlier epoch than that of the votes, and leaves the master to the launcher.
	Granted
	// Rival: the sentinel is replacing the master itself, or has heard of a later epoch.
	Rival
	// Recovered: the silent master has answered the sentinel.
	Recovered
)

// Consent judges what a sentinel said before the votes, and says now. voted: the sentinel has voted for the launcher. A sentinel may
// have begun a failover in the milliseconds before the votes. If the sentinel has voted for the launcher since then, nobody elects the
// sentinel any more: it counts the votes of the latest epoch only (sentinelGetLeader). To leave the master to it would cost the seconds
// until it gives up.
func (m Mandate) Consent(before View, voted bool, now View) Consent {
	switch {
	case now.Reach != Answered || !now.HasMaster:
		return Unclear
	case now.Master != m.Master && before.HasMaster && before.Master == now.Master:
		return Unclear // it missed an earlier failover, or is the only sentinel that has heard of the latest
	case now.FailingOver && !(now.Unelected && voted), now.Master != m.Master, now.ConfigEpoch >= m.Epoch:
		return Rival
	case m.Silent && !FindsLost(now.Down, now.Silent, m.DownAfter):
		return Recovered
	case m.Silent && !now.Down:
		return Unclear
	}
	return Granted
}

// Outcome is whether a launcher may use its mandate.
type Outcome int

const (
	// Pending: more answers are to come.
	Pending Outcome = iota
	// Upheld: enough sentinels have granted it.
	Upheld
	// Superseded: a sentinel is replacing the master.
	Superseded
	// Obsolete: so many sentinels have heard of the silent master again that it cannot be found down any more.
	Obsolete
	// Unconfirmed: too few sentinels have granted it.
	Unconfirmed
)

// Outcome judges the answers of the sentinels so far. asked is how many were asked, and wait how many answers must have come for
// Upheld: a sentinel that replaces the master answers last.
func (m Mandate) Outcome(heard []Consent, asked, wait int) Outcome {
	granted, recovered, need := 0, 0, majorityOf(m.Sentinels)
	switch {
	case m.Silent:
		need = max(need, m.Quorum)
	case m.Unvoted > 0:
		need, wait = max(majorityOf(m.Unvoted), asked), asked
	}
	for _, c := range heard {
		switch c {
		case Rival:
			return Superseded
		case Granted:
			granted++
		case Recovered:
			recovered++
		}
	}
	switch {
	case granted >= need && len(heard) >= wait:
		return Upheld
	case len(heard) < asked:
		return Pending
	case recovered > 0 && asked-recovered < need:
		return Obsolete
	}
	return Unconfirmed
}
