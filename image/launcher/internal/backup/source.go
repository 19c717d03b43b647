package backup

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

// server is a server pod and the answer of its Redis.
type server struct {
	kube.Pod
	info redisnode.Info
	err  error // of the question to its Redis
}

// source is the server that is copied.
type source struct {
	server
	reason string // why this server
}

// The values of the label redis-role.
const (
	masterLabel = "master"
	slaveLabel  = "slave"
)

// errNoSource says that no server can be copied.
var errNoSource = errors.New("no server can be copied")

// choose gives the slave in sync with the smallest lag, or the master if there is no slave in sync. A copy costs a master memory and time
// that its clients wait for.
func choose(servers []server) (source, error) {
	var master *server
	for i, s := range servers {
		if s.Role == masterLabel && s.err == nil && s.info.Master && !s.info.Loading {
			master = &servers[i]
		}
	}
	inSync, reasons := slavesInSync(servers, master)
	if len(inSync) > 0 {
		s := inSync[0]
		lag := ""
		if master != nil {
			lag = fmt.Sprintf(", %d bytes behind the master", max(0, master.info.Offset-s.info.Offset))
		}
		return source{s, "a slave in sync" + lag}, nil
	}
	because := "there is no slave"
	if len(reasons) > 0 {
		because = "no slave is in sync: " + strings.Join(reasons, "; ")
	}
	if master != nil {
		return source{*master, "the master, as " + because}, nil
	}
	return source{}, fmt.Errorf("%w: no pod is the master, and %s", errNoSource, because)
}

// slavesInSync gives the slaves in sync, the one with the most data first, and for each other server why it is none.
func slavesInSync(servers []server, master *server) (inSync []server, reasons []string) {
	for _, s := range servers {
		if master != nil && s.UID == master.UID {
			continue
		}
		if why := notInSync(s, master); why != "" {
			reasons = append(reasons, s.Name+" "+why)
			continue
		}
		inSync = append(inSync, s)
	}
	slices.SortStableFunc(inSync, func(a, b server) int {
		return cmp.Or(cmp.Compare(b.info.Offset, a.info.Offset), cmp.Compare(a.Name, b.Name))
	})
	return inSync, reasons
}

// notInSync says why a server is no slave in sync, and is empty if it is one. The master is nil if there is none.
func notInSync(s server, master *server) string {
	switch {
	case s.err != nil:
		return fmt.Sprintf("does not answer (%v)", s.err)
	case s.Role != slaveLabel:
		return fmt.Sprintf("has the label redis-role=%q", s.Role)
	case s.Terminating:
		return "is terminating"
	case s.info.Master:
		return "says that it is a master"
	case s.info.Loading || s.info.Syncing:
		return "is loading"
	case !s.info.LinkUp:
		return "has no link to its master"
	case master != nil && s.info.ReplID != master.info.ReplID:
		return "has another history than the master"
	}
	return ""
}
