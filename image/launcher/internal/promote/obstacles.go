package promote

import "fmt"

// obstacles says what is wrong with the external master. sentinels is how many Sentinels listen at it.
func (s state) obstacles(address string, sentinels int64) (problems []string) {
	problem := func(format string, arguments ...any) { problems = append(problems, fmt.Sprintf(format, arguments...)) }
	switch {
	case !s.master:
		problem("%s is a replica itself: set externalMaster.host to its master, or promote it first", address)
	case s.empty:
		problem("%s has no keys, and may have lost them: to begin without data, set externalMaster.enabled=false", address)
	}
	if sentinels > 0 {
		problem("%d Sentinel(s) watch %s, and would make the new master its replica again: have each of them forget it with redis-cli -p 26379 SENTINEL REMOVE "+
			"and the name of the master, or stop them", sentinels, address)
	}
	return problems
}

// obstacle says what is wrong with a server; empty if nothing is.
func obstacle(s server, external state) string {
	switch {
	case s.err != nil:
		return fmt.Sprintf("does not answer: %v", s.err)
	case s.info.Loading:
		return "loads its data"
	case s.info.Master:
		return "is master"
	case !s.info.LinkUp:
		return "has no link to the external master: look at the log of its Redis"
	case external.history != "" && s.info.ReplID != external.history:
		return "has another history than the external master: it is connected to another server"
	case external.offset-s.info.Offset > lagLimit:
		return fmt.Sprintf("is %d MiB behind", (external.offset-s.info.Offset)>>20)
	}
	return ""
}
