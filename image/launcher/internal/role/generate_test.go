package role

import (
	"net/netip"
	"time"

	"pgregory.net/rapid"
)

// pods that observations are drawn from; "f" never exists.
var letters = []string{"a", "b", "c", "d", "e"}

// anySpan draws a duration near one that decisions depend on.
func anySpan() *rapid.Generator[time.Duration] {
	return rapid.Custom(func(t *rapid.T) time.Duration {
		edge := rapid.SampledFrom([]time.Duration{
			0, wrongMasterPatience, 3 * time.Second, promotionPatience, requestPatience, electionPatience, lostPatience, memoryPatience, volumePatience, time.Hour,
		}).Draw(t, "edge")
		return max(0, edge+time.Duration(rapid.IntRange(-1, 1).Draw(t, "beside")))
	})
}

func anyAddress() *rapid.Generator[netip.Addr] {
	return rapid.Map(rapid.SampledFrom(append([]string{"a", "a", "f"}, letters...)), address)
}

func anyUID() *rapid.Generator[string] {
	return rapid.Map(rapid.SampledFrom(append([]string{"f"}, letters...)), uid)
}

func anyStanding() *rapid.Generator[Standing] {
	return rapid.Custom(func(t *rapid.T) Standing {
		return Standing{
			Empty:      rapid.Bool().Draw(t, "empty"),
			Generation: rapid.Int64Range(0, 3).Draw(t, "generation"),
			Master:     rapid.Bool().Draw(t, "was master"),
			Offset:     rapid.Int64Range(0, 3).Draw(t, "offset"),
			Broken:     rapid.IntRange(0, 4).Draw(t, "broken") == 0,
			Unreadable: rapid.IntRange(0, 4).Draw(t, "unreadable") == 0,
		}
	})
}

// anyView draws what a sentinel says; mostly it names one pod.
func anyView(usual netip.Addr) *rapid.Generator[View] {
	return rapid.Custom(func(t *rapid.T) View {
		v := View{Reach: Reach(2 - rapid.IntRange(0, 5).Draw(t, "reach")/4)}
		if v.Reach == Answered && rapid.IntRange(0, 3).Draw(t, "has master") > 0 {
			v.HasMaster, v.Master = true, usual
			if rapid.IntRange(0, 3).Draw(t, "differs") == 0 {
				v.Master = anyAddress().Draw(t, "names")
			}
			v.Down, v.FailingOver = rapid.Bool().Draw(t, "down"), rapid.IntRange(0, 3).Draw(t, "failing over") == 0
			if v.Down {
				v.DownFor = anySpan().Draw(t, "down for")
			}
			v.Silent = anySpan().Draw(t, "silent")
			if v.FailingOver {
				v.Switched, v.Chosen = rapid.IntRange(0, 3).Draw(t, "switched") == 0, anyAddress().Draw(t, "chosen")
			}
		}
		return v
	})
}

func anyMember(pod string) *rapid.Generator[Member] {
	return rapid.Custom(func(t *rapid.T) Member {
		m := member(pod)
		m.Created = epoch.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "age")) * time.Second)
		m.Label = rapid.SampledFrom([]string{"", Master, Slave}).Draw(t, "label")
		m.Ready = rapid.Bool().Draw(t, "ready")
		m.NeverRan = !m.Ready && rapid.Bool().Draw(t, "never ran")
		return m
	})
}

func anyPeer(pod string) *rapid.Generator[Peer] {
	return rapid.Custom(func(t *rapid.T) Peer {
		p := Peer{Member: anyMember(pod).Draw(t, "member"), Redis: Reach(rapid.IntRange(0, 2).Draw(t, "redis"))}
		p.Terminating = rapid.IntRange(0, 4).Draw(t, "terminating") == 0
		if rapid.IntRange(0, 4).Draw(t, "no address") == 0 {
			p.IP, p.Redis = netip.Addr{}, Unknown
		}
		if p.Redis == Answered {
			p.Master = rapid.IntRange(0, 4).Draw(t, "master") == 0
			if p.LinkUp = !p.Master && rapid.Bool().Draw(t, "link up"); !p.LinkUp && !p.Master {
				p.Unlinked = anySpan().Draw(t, "unlinked")
			}
			p.Offset = rapid.Int64Range(0, 3).Draw(t, "offset")
		}
		if p.IP.IsValid() && rapid.IntRange(0, 2).Draw(t, "launcher answers") > 0 {
			p.Status = &Status{
				UID: p.UID, Claimed: rapid.IntRange(0, 4).Draw(t, "claimed") == 0,
				Synced: rapid.Bool().Draw(t, "synced"), Standing: anyStanding().Draw(t, "standing"),
			}
		}
		return p
	})
}

func anyLocal() *rapid.Generator[Local] {
	return rapid.Custom(func(t *rapid.T) Local {
		l := Local{Running: rapid.Bool().Draw(t, "running")}
		if !l.Running {
			return l
		}
		l.Answering, l.Loading = rapid.IntRange(0, 9).Draw(t, "silent") > 0, rapid.IntRange(0, 9).Draw(t, "loading") == 0
		l.Offset = rapid.Int64Range(0, 3).Draw(t, "offset")
		l.Synced = rapid.Bool().Draw(t, "synced")
		if l.Master = rapid.Bool().Draw(t, "master"); l.Master {
			l.Claimed, l.Confirmed = rapid.Bool().Draw(t, "claimed"), rapid.Bool().Draw(t, "confirmed")
			l.Recorded = rapid.Bool().Draw(t, "recorded")
			l.MasterFor, l.Online = anySpan().Draw(t, "master for"), rapid.IntRange(0, 2).Draw(t, "online")
			return l
		}
		l.Follows = rapid.Map(rapid.SampledFrom([]string{"b", "c", "d", "f"}), address).Draw(t, "follows")
		if l.LinkUp = rapid.Bool().Draw(t, "link up"); l.LinkUp {
			l.Linked = anySpan().Draw(t, "linked")
		} else {
			l.LinkDown, l.Unlinked = anySpan().Draw(t, "link down"), anySpan().Draw(t, "unlinked")
		}
		l.Astray = anySpan().Draw(t, "astray")
		return l
	})
}

// anyObservation draws whatever a server may see, consistent or not.
func anyObservation() *rapid.Generator[Observation] {
	return rapid.Custom(func(t *rapid.T) Observation {
		o := Observation{
			Self: anyMember("a").Draw(t, "self"), Local: anyLocal().Draw(t, "local"), Standing: anyStanding().Draw(t, "standing"),
			Servers:   rapid.IntRange(1, 4).Draw(t, "servers"),
			Sentinels: rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "sentinels"), DownAfter: 3 * time.Second, Persistence: rapid.Bool().Draw(t, "persistence"),
			Waiting: anySpan().Draw(t, "waiting"), Unnamed: anySpan().Draw(t, "unnamed"), MasterDown: anySpan().Draw(t, "master down"), Masterless: anySpan().Draw(t, "masterless"),
			Foremost:      anySpan().Draw(t, "foremost"),
			GenerationFor: anySpan().Draw(t, "generation for"),
			PodsKnown:     rapid.IntRange(0, 9).Draw(t, "no pods") > 0, RecordKnown: rapid.IntRange(0, 5).Draw(t, "no record") > 0,
		}
		o.Self.Terminating = rapid.IntRange(0, 9).Draw(t, "terminating") == 0
		o.Views = rapid.SliceOfN(anyView(anyAddress().Draw(t, "usual")), 0, o.Sentinels).Draw(t, "views")
		for _, pod := range letters[1:] {
			if rapid.Bool().Draw(t, "there is "+pod) {
				o.Peers = append(o.Peers, anyPeer(pod).Draw(t, pod))
			}
		}
		if !o.RecordKnown {
			return o
		}
		if o.Initialised = rapid.IntRange(0, 3).Draw(t, "not initialised") > 0; o.Initialised {
			o.Generation = rapid.Int64Range(0, 3).Draw(t, "recorded generation")
			o.MasterUID, o.PreviousIP = anyUID().Draw(t, "recorded"), anyAddress().Draw(t, "previous")
			if rapid.Bool().Draw(t, "fence") {
				o.Fence = &Fence{UID: anyUID().Draw(t, "fenced"), Successor: anyUID().Draw(t, "successor"), Age: anySpan().Draw(t, "fenced for")}
			}
		}
		return o
	})
}
