// Package probe looks at a Redis release on a cluster as its clients and the
// API see it: a client that writes, the role each server plays, the labels and
// endpoints, and what is written to the API. It works for any chart whose
// servers it can select.
package probe

import "time"

// BeatEvery is the pause between two lines without an address, which only tell that the program asks.
const BeatEvery = time.Second

// Role is what a server says of itself, or no role if it does not answer.
type Role struct {
	At      time.Time `json:"at"`
	Address string    `json:"address"`
	// Role is master, slave or empty.
	Role string `json:"role"`
	// Held says that a master accepts no writes: it lets them wait, as in a
	// hand-over, or refuses them.
	Held bool `json:"held"`
	// Linked says that a slave is connected to its master.
	Linked bool `json:"linked"`
	// Master is the address without port of a slave's master.
	Master string `json:"master,omitempty"`
	// Keys is the number of keys that the server has, and -1 while it loads its data.
	// KeysInSync is what it had when it was last seen as a replica in sync, or what it has loaded from its files if it has
	// started again since; 0 if it was not in sync, or was master since.
	Keys       int64 `json:"keys"`
	KeysInSync int64 `json:"keysInSync"`
	// Run is the run ID of the process that answers. Where a launcher passes
	// connections on, it is that of another server.
	Run string `json:"run"`
}
