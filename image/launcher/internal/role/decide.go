package role

import (
	"net/netip"
	"time"
)

// State is where a launcher stands.
type State int

// The states, in the order a pod goes through them. Their names are part of
// the metrics and of the documentation.
const (
	Booting     State = iota // the API has not been read yet
	Discovering              // Redis does not run; the role is being found out
	Starting                 // Redis starts or loads its data
	Serving                  // Redis serves in a role everybody agrees on
	Uncertain                // Redis serves, but its role is not agreed on
	Stopping                 // TERM has come: hand over and leave
	Stopped                  // Redis has been stopped for good
)

func (s State) String() string {
	return [...]string{"booting", "discovering", "starting", "serving", "uncertain", "stopping", "stopped"}[s]
}

// Label is what a decision desires of this pod's label redis-role.
type Label int

const (
	HoldLabel  Label = iota // leave it as it is
	ClearLabel              // remove it
	MasterLabel
	SlaveLabel
)

// Action is the one thing to do now.
type Action int

const (
	Wait          Action = iota // nothing; look again
	StartReplica                // start Redis as a replica of Target
	Claim                       // write this pod into the record as master; then start as master, or become it
	Follow                      // make the running Redis a replica of Target and drop its clients
	FailOver                    // replace the master, whose Redis is known to be dead (this pod's own)
	Nudge                       // tell a sentinel to replace Target, which a majority finds down and none of them is replacing
	ReplaceDead                 // replace the recorded master, whose container is seen to have ended
	ReplaceSilent               // replace the recorded master, which most sentinels find down
	CallOff                     // end the failovers of Target that sentinels have begun and not carried out
	Restore                     // fetch the backup that a new release begins with
	Detach                      // end Redis, whose data a backup replaces that this pod has fetched
	LoadBackup                  // have a Redis that nobody sees load that backup
)

func (a Action) String() string {
	return [...]string{"wait", "start-replica", "claim", "follow", "fail-over", "nudge", "replace-dead", "replace-silent", "call-off", "restore", "detach", "load-backup"}[a]
}

// Decision is what to do and why.
type Decision struct {
	State         State
	Label         Label
	Action        Action
	Target        netip.Addr // the server to follow or to replace, or the master whose failovers to end
	BeingReplaced bool       // another is being made master in place of this one: what is written now would be lost
	// Succeeded: a former replica of this master says it is master, and neither the API nor most sentinels can be asked; or
	// another launcher is replacing this master, which most sentinels had found down.
	Succeeded bool
	Reason    string // one sentence for the log, the status and the tests
	Rule      string // the ID of the rule that decided; see docs/launcher.md
}

// How long things may take before the next thing is tried.
const (
	// electionPatience is how long servers that exist or are configured, but
	// have not told their standing, are waited for before the first election.
	electionPatience = 15 * time.Second
	// volumePatience is the same where a master has served before, all that have
	// told are empty, and a pod that has run has not: an empty master would be the
	// end of what is on its volume. The pod of a lost node is terminating before,
	// and not waited for any more: Kubernetes evicts it after 50 s and its default
	// toleration of 300 s. A volume that moves to another node takes up to 6 min.
	volumePatience = 10 * time.Minute
	// recordedPatience is how long the volume of the recorded master is waited for where volumes are kept. A StatefulSet creates the next pod at
	// once, and the volume is attached again within seconds on the same node.
	recordedPatience = time.Minute
	// memoryPatience is the same without persistence: there are data to come only
	// where a Redis still runs that cannot be reached.
	memoryPatience = 120 * time.Second
	// claimPatience is how long a master that has claimed mastership may serve before
	// a server that cannot reach it may be elected: freshMaster, and two seconds
	// until its launcher has looked and Redis refuses writes.
	claimPatience = freshMaster + 2*time.Second
	// lostPatience is how long a master that cannot be reached, and that no
	// replica can replace, is waited for.
	lostPatience = 30 * time.Second
	// latePatience is for how long a silent sentinel may still know a master, since any sentinel named one. On a busy node a
	// sentinel is late several times in a row.
	latePatience = 5 * time.Second
	// wrongMasterPatience is how long a replica may follow another server than the
	// agreed master: Sentinel moves a replica itself within a second or two.
	wrongMasterPatience = 2 * time.Second
	// promotionPatience is how long a promoted replica may be master before the
	// sentinels agree: the leader needs an INFO and a hello, about 2 s.
	promotionPatience = 8 * time.Second
	// freshPatience is how long before the end of a master a replica may have lost
	// its link to it and still count as up to date: Redis tells that in whole
	// seconds, and a container that is restarted counts from then only. The
	// default of servers.minReplicasMaxLagSeconds and two seconds for that.
	freshPatience = 5 * time.Second
	// linkSlack is how long before the end of a master a replica seems to have lost its link when
	// it has lost it at the end: Redis tells whole seconds.
	linkSlack = time.Second
	// fencePatience is how old a fence may be; it covers a failover and a clock
	// that is wrong by a few seconds.
	fencePatience = 30 * time.Second
	// answerPatience is how long a replica that may hold more than the others has to answer before a dead master is
	// replaced without it. One look of a failover waits for 0.15 s.
	answerPatience = time.Second
	// labelPatience is how long a pod whose Redis has died keeps the label master
	// for its successor to be labelled first. Nothing listens at the pod, so
	// clients are refused at once and come again; if it let the label go first,
	// kube-proxy would spend its sync on that and the successor would wait a
	// second for the next one.
	labelPatience = 3 * time.Second
	// refusedPatience is how long nothing may listen in a master's pod, neither
	// Redis nor the launcher, before a replica has it replaced. A container that
	// is restarted needs longer, and its launcher listens before Redis does.
	refusedPatience = 50 * time.Millisecond
	// requestPatience is how long the sentinels may find a master down before a
	// replica requests a failover from one of them: an attempt that failed blocks them for twice the
	// failover timeout.
	requestPatience = 3 * time.Second
)

// Decide says what a server does next.
func Decide(o Observation) Decision {
	s := situationOf(o)
	switch {
	case o.External.On:
		return decideBy(externalRules, s)
	case o.replacesData():
		return decideBy(replacingRules, s)
	case !o.Local.Running:
		d := discover(s)
		if d.Label == ClearLabel && o.Self.Label == Master && !o.masterLabelled() && o.Waiting < labelPatience {
			d.Label = HoldLabel
		}
		return d
	case o.Local.Full || !o.Local.Answering || o.Local.Loading:
		return decideBy(unclearRules, s)
	case o.Local.Master:
		d := decideBy(masterRules, s)
		d.Succeeded = o.formerReplicaServes() || o.fencedByAnother()
		d.BeingReplaced = d.Succeeded || o.aboutToBeReplaced()
		return d
	default:
		return decideBy(replicaRules, s)
	}
}

// discover finds the role of a server whose Redis does not run.
func discover(s *situation) Decision {
	if len(s.masters) > 0 {
		return decideBy(masterInViewRules, s)
	}
	return decideBy(nobodyIsMasterRules, s)
}

// podlessRules decide for a Redis that does not run, while the pod list has not been read.
var podlessRules = []rule[*situation, Decision]{
	{
		ID:      "service-names-master",
		When:    "for 10 s the API has not listed the pods, and the sentinel Service names a master, which says that it is master",
		Then:    "start as its replica",
		Why:     "A container that starts during an outage of the API can serve. It never becomes master that way.",
		Label:   HoldLabel,
		applies: func(s *situation) bool { return s.ServiceMaster.IsValid() },
		decide: func(s *situation) Decision {
			return Decision{State: Starting, Action: StartReplica, Target: s.ServiceMaster, Reason: "the API does not answer; the sentinel Service names the master"}
		},
	},
	{
		ID:    "pods-unknown",
		When:  "anything else",
		Then:  "wait",
		Why:   "Without the list of the pods nothing is known of the others.",
		Label: HoldLabel,
		decide: func(*situation) Decision {
			return Decision{State: Booting, Reason: "waiting for the API to list the pods of the release"}
		},
	},
}

// unclearRules decide for a Redis that runs and does not tell its role.
var unclearRules = []rule[*situation, Decision]{
	{
		ID:      "redis-full",
		When:    "Redis has reached `maxclients` and refuses the launcher",
		Then:    "wait",
		Why:     "Redis lives, and nothing else is known of it.",
		Label:   HoldLabel,
		applies: func(s *situation) bool { return s.Local.Full },
		decide:  func(*situation) Decision { return uncertainly("Redis has reached maxclients and refuses the launcher") },
	},
	{
		ID:      "redis-silent",
		When:    "Redis does not answer",
		Then:    "wait",
		Why:     "The sentinels decide whether it is down. One late answer decides nothing (ADR 0025).",
		Label:   HoldLabel,
		applies: func(s *situation) bool { return !s.Local.Answering },
		decide: func(*situation) Decision {
			return uncertainly("Redis does not answer; the sentinels decide whether it is down")
		},
	},
	{
		ID:     "redis-loading",
		When:   "Redis loads its data",
		Then:   "wait",
		Why:    "Redis serves nobody until it has all its data.",
		Label:  HoldLabel,
		decide: func(*situation) Decision { return Decision{State: Starting, Reason: "Redis is loading its data"} },
	},
}
