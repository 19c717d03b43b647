// Package restoration carries a backup from the pod of launcher restore to the server that loads the backup, and tells each of them how far the other
// is. The server asks, so nobody needs to connect to a server. The Lease of backups has the address of the pod, and the address has a secret in it.
package restoration

import "time"

// Stage says how far a server is.
type Stage string

// The stages, in their order. A server ends with Done or Failed.
const (
	Fetching Stage = "fetching" // it reads the file
	Fetched  Stage = "fetched"  // it has checked the file, and stops its Redis
	Loading  Stage = "loading"  // a Redis that nobody sees loads the file
	Loaded   Stage = "loaded"   // it waits for the word to go on
	Taking   Stage = "taking"   // it takes over from the master
	Done     Stage = "done"     // it is the recorded master, with the data of the backup
	Failed   Stage = "failed"   // it has given up, and has its old data again
)

// Told is what a server tells of itself.
type Told struct {
	Stage Stage `json:"stage"`
	// Keys is how many keys the Redis has that has loaded the file.
	Keys int64 `json:"keys,omitempty"`
	// Generation is that of the record which names the server, with Done.
	Generation int64 `json:"generation,omitempty"`
	// Reason says why a server has given up.
	Reason string `json:"reason,omitempty"`
}

// Answer is what a server hears.
type Answer struct {
	// Go: the server that has loaded the file may take over.
	Go bool `json:"go"`
	// Stop: it is to give up.
	Stop bool `json:"stop,omitempty"`
}

// Silence is how long launcher restore and the server wait for each other before they give up. A server that takes over does not give up.
const Silence = 15 * time.Second

// WordTime is how long the word to take over counts. The server counts from its question, and launcher restore from its answer, which is later. So a
// server that stood still does not take over after launcher restore has said that nothing was replaced.
const WordTime = 6 * time.Second

// The paths behind the secret.
const (
	filePath = "/file"
	toldPath = "/told"
)
