package password

import (
	"context"
	"crypto/tls"
	"net/netip"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// Peer is a pod of the release whose Redis or Sentinel is asked.
type Peer struct {
	Pod, UID string
	Addr     netip.AddrPort
	TLS      *tls.Config // nil: the link is plain
	// Own is the pod that asks, and Leaving a pod that ends.
	Own, Leaving bool
}

// Peers gives the pods whose passwords are asked for. A pod that has not learned the passwords asks others that stay.
func Peers(pods []kube.Pod, c config.Config, learning bool) (peers []Peer) {
	for _, pod := range pods {
		if !pod.IP.IsValid() || learning && (pod.Terminating || pod.UID == c.PodUID) {
			continue
		}
		port := c.RedisPort
		if pod.Sentinel {
			port = c.SentinelPort
		}
		peer := Peer{Pod: pod.Name, UID: pod.UID, Addr: netip.AddrPortFrom(pod.IP, uint16(port)), TLS: c.TLS.Links, Leaving: pod.Terminating}
		if pod.UID == c.PodUID {
			peer.TLS, peer.Own = c.TLS.Own, true
		}
		peers = append(peers, peer)
	}
	return peers
}

// Ask asks all at once which passwords they accept. What they accept themselves is the truth: they may have started anew, or have been
// changed by hand.
func Ask(ctx context.Context, s State, peers []Peer, httpPort int) []Node {
	nodes := make([]Node, len(peers))
	var wait sync.WaitGroup
	for i, peer := range peers {
		wait.Go(func() { nodes[i] = ask(ctx, s, peer, httpPort) })
	}
	wait.Wait()
	return nodes
}

func ask(ctx context.Context, s State, peer Peer, httpPort int) Node {
	silent := Node{Pod: peer.Pod, Own: peer.Own, Leaving: peer.Leaving}
	n := silent
	node := with(s.Wanted, peer)
	defer node.Close()
	accepts, reach := node.Accepts(ctx)
	n.Answered, n.Down, n.Wanted = reach == redisnode.Answered, reach == redisnode.Refused, accepts
	if !n.Answered {
		return n
	}
	if s.Used != s.Wanted {
		before := with(s.Used, peer)
		defer before.Close()
		n.Used, reach = before.Accepts(ctx)
		if reach != redisnode.Answered {
			return silent
		}
	}
	learns := s.New && s.Wanted != "" && n.Wanted
	if !learns && !s.acceptsAll() {
		return n
	}
	told, uid := told(ctx, peer, httpPort)
	n.Unaware = s.acceptsAll() && !told.Aware
	if !learns {
		return n
	}
	if uid != peer.UID { // the address may belong to another release by now, which may ask for no password
		return silent
	}
	sums, none, err := node.Passwords(ctx)
	if err != nil {
		return silent
	}
	if none {
		sums = append(sums, "")
	}
	n.Accepts = learnable(sums, s, told)
	return n
}

// learnable gives the passwords of a node with their ends, without the wanted password. Redis lists them in the order in which the launcher
// tells the ends. Where these do not fit, as the passwords have just changed, all work until the last end.
func learnable(sums []string, s State, told Told) (accepts []old) {
	for _, known := range sums {
		if known != sum(s.Wanted) {
			accepts = append(accepts, old{Sum: known, Until: told.Until})
		}
	}
	for i := range accepts {
		if len(told.Ends) == len(accepts) {
			accepts[i].Until = told.Ends[i]
		}
	}
	return accepts
}

// acceptsAll says whether whoever has no password is let in for the time of a change.
func (s State) acceptsAll() bool { return s.Wanted != "" && s.accepted()[0] == "nopass" }

// with gives a connection with one password.
func with(password string, peer Peer) *redisnode.Node {
	return redisnode.New(peer.Addr, "").Encrypted(peer.TLS).Trying(func() []string { return []string{password} })
}

// told gives what the launcher of a pod tells of its passwords, and the UID of its pod. A launcher that does not answer tells nothing.
func told(ctx context.Context, peer Peer, httpPort int) (Told, string) {
	var status struct {
		UID      string `json:"uid"`
		Password Told   `json:"password"`
	}
	if err := web.FetchStatus(ctx, peer.Addr.Addr().String(), httpPort, &status); err != nil {
		return Told{}, ""
	}
	return status.Password, status.UID
}

// Accepting counts the pods that accept the password in the Secret, of those that are asked.
func (k *Keeper) Accepting(ctx context.Context, peers []Peer, httpPort int) (accepting int) {
	k.mu.Lock()
	s := State{Wanted: k.now.Wanted, Used: k.now.Wanted, Read: time.Now()}
	k.mu.Unlock()
	for _, n := range Ask(ctx, s, peers, httpPort) {
		if n.Wanted {
			accepting++
		}
	}
	return accepting
}
