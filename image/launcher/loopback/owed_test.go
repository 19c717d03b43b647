package loopback

import (
	"fmt"
	"strings"
	"time"
)

const (
	// graceOfMaster is the age from which on a confirmed write must be at the labelled master.
	graceOfMaster = 500 * time.Millisecond
	// aloneFor is how long a master must have had no replica in sync so that what it took is owed
	// although nobody confirmed it: Sentinel may promote a replica that has just lost its master.
	aloneFor = 5 * time.Second
	// backWithin is how soon such a master must be back: until then nobody needs to be elected in its place.
	backWithin = 5 * time.Second
)

// guardedWrite is a write that was confirmed, or one that a master took alone.
type guardedWrite struct {
	key   string
	at    time.Time
	alone *takenAlone // nil: it was confirmed
}

// takenAlone says which process took a write while it had no replica in sync, and since when it had none.
type takenAlone struct {
	by    *serverData
	runID string
	since time.Time
}

// violation says which of the cases above the last look has seen, or "".
func (d *dataGuard) violation() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range []string{d.masterLacksWrites(), d.processLostWrites(), d.wipedByAnEmptyMaster()} {
		if text != "" {
			var state strings.Builder
			for _, s := range d.servers {
				fmt.Fprintln(&state, "  ", s)
			}
			return text + "\n" + state.String()
		}
	}
	return ""
}

// master returns what is known of the only pod labelled master, if it answers as one.
func (d *dataGuard) master() *serverData {
	p, err := d.cluster.masterPod()
	if err != nil {
		return nil
	}
	for _, s := range d.servers {
		if s.pod == p && s.answers && s.state.role == "master" {
			return s
		}
	}
	return nil
}

func (d *dataGuard) masterLacksWrites() string {
	master := d.master()
	if master == nil {
		return ""
	}
	var missing []int
	for _, write := range master.absent {
		if time.Since(d.writes[write].at) >= graceOfMaster && d.survives(write) != "" {
			missing = append(missing, write)
		}
	}
	return d.tell("the labelled master "+master.pod.name, missing)
}

func (d *dataGuard) processLostWrites() string {
	for _, s := range d.servers {
		var missing []int
		for _, write := range s.absent {
			if s.answers && s.hasInMemory(write) && d.survives(write) != "" {
				missing = append(missing, write)
			}
		}
		if text := d.tell("a process that had them, "+s.state.role+" "+s.pod.name, missing); text != "" {
			return text
		}
	}
	return ""
}

func (d *dataGuard) wipedByAnEmptyMaster() string {
	for _, replica := range d.servers {
		hadKeys := replica.keysInFiles || !replica.keysSince.IsZero()
		if !replica.answers || replica.state.role != "slave" || !replica.state.linkUp || replica.state.keys > 0 || !hadKeys {
			continue
		}
		for _, master := range d.servers {
			if master.answers && master.pod.ip == replica.state.master && master.state.role == "master" && master.state.keys == 0 && master.keysSince.IsZero() {
				return fmt.Sprintf("%s had keys and is in sync with %s, which has none", replica.pod.name, master.pod.name)
			}
		}
	}
	return ""
}

// survives says where a write that is owed still is, or "".
func (d *dataGuard) survives(write int) string {
	if alone := d.writes[write].alone; alone != nil {
		return alone.survives(write)
	}
	for _, s := range d.servers {
		if where := s.where(write); where != "" {
			return where
		}
	}
	return ""
}

// survives says where a write is that a master took alone, or "" where it is not owed.
func (a *takenAlone) survives(write int) string {
	s := a.by
	if !s.answers || s.previous != a.runID || s.down > backWithin || s.died.Sub(a.since) < aloneFor || !s.hasInFiles(write) {
		return ""
	}
	return fmt.Sprintf("in the files of %s, which was a master without a replica in sync since %s, died after %s and was back within %v",
		s.pod.name, a.since.Format("15:04:05.000"), s.died.Format("15:04:05.000"), s.down)
}

// tell describes writes that somebody lacks, or gives "" for none.
func (d *dataGuard) tell(who string, missing []int) string {
	if len(missing) == 0 {
		return ""
	}
	describe := func(write int) string {
		return fmt.Sprintf("%s, guarded since %s, %s", d.writes[write].key, d.writes[write].at.Format("15:04:05.000"), d.survives(write))
	}
	return fmt.Sprintf("%d of %d guarded writes are missing at %s, seen at %s\nthe first: %s\nthe last: %s", len(missing), len(d.writes), who,
		time.Now().Format("15:04:05.000"), describe(missing[0]), describe(missing[len(missing)-1]))
}
