package loopback

import (
	"encoding/json"
	"fmt"
)

// launcherStatus is a part of what a server's launcher tells of itself.
type launcherStatus struct {
	Synced   bool   `json:"synced"`
	Lacks    string `json:"lacks"`
	Reason   string `json:"reason"`
	Standing struct {
		Empty      bool  `json:"empty"`
		Generation int64 `json:"generation"`
	} `json:"standing"`
}

// status asks a server's launcher for its status.
func (c *cluster) status(p *pod) launcherStatus {
	c.t.Helper()
	var s launcherStatus
	eventually(c.t, settle, "the status of "+p.name, func() error {
		code, text, err := get(p, "/status")
		if err != nil || code != 200 {
			return fmt.Errorf("%d %s %w", code, text, err)
		}
		return json.Unmarshal([]byte(text), &s)
	})
	return s
}
