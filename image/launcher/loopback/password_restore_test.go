package loopback

import (
	"strings"
	"testing"
	"time"
)

// The launchers have started with a password that is gone, and the password changes again while a server loads the backup.
func TestBackupIsLoadedWhileThePasswordChanges(t *testing.T) {
	t.Parallel()
	c, b, backup := backedUpRunning(t, options{secretPassword: true, serverEnvironment: map[string]string{"LAUNCHER_REDIS_CONFIG_FILE": slowLoad(t)}}, 300)
	first := c.password
	c.change(secretPassword{asked: true, text: "the second one", grace: time.Second})
	c.spreadPassword(c.everyone()...)
	c.awaitInUse(settle)
	c.useAsClient("the second one")
	c.awaitRefused(settle, first)

	j := b.restoreUntil(t, ": loading", backup, "--yes", "--without-backup")
	c.change(secretPassword{asked: true, text: "the third one", grace: time.Hour})
	c.spreadPassword(c.everyone()...)
	if said := j.end(t, 0); !strings.Contains(said, "all 3 servers have the data of the backup") {
		t.Errorf("launcher restore said:\n%s", said)
	}
	c.awaitInUse(settle)
	for _, password := range []string{"the second one", "the third one"} {
		c.awaitAccepted(settle, password)
	}
	c.useAsClient("the third one")
	c.converge()
	c.requireOnlyKeys(300)
}
