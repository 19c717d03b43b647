package loopback

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// The launchers have started with a password that is gone. The password changes again as launcher restore begins, and while a server loads the
// backup.
func TestBackupIsLoadedWhileThePasswordChanges(t *testing.T) {
	t.Parallel()
	c, b, backup := backedUpRunning(t, options{secretPassword: true, serverEnvironment: map[string]string{"LAUNCHER_REDIS_CONFIG_FILE": slowLoad(t)}}, 300)
	first := c.password
	c.change(secretPassword{asked: true, text: "the second one", grace: time.Second})
	c.spreadPassword(c.everyone()...)
	c.awaitInUse(settle)
	c.useAsClient("the second one")
	c.awaitRefused(settle, first)

	c.change(secretPassword{asked: true, text: "the third one", grace: time.Hour})
	c.useAsClient("the third one")
	j := b.restoreUntil(t, "waiting until the servers have read a new password", backup, "--yes", "--without-backup")
	c.spreadPassword(c.everyone()...)
	eventually(t, settle, "a server to load the backup", func() error {
		if said := j.output.String(); !strings.Contains(said, ": loading") {
			return errors.New(said)
		}
		return nil
	})
	c.change(secretPassword{asked: true, text: "the fourth one", grace: time.Hour})
	c.spreadPassword(c.everyone()...)
	if said := j.end(t, 0); !strings.Contains(said, "all 3 servers have the data of the backup") {
		t.Errorf("launcher restore said:\n%s", said)
	}
	c.awaitInUse(settle)
	for _, password := range []string{"the third one", "the fourth one"} {
		c.awaitAccepted(settle, password)
	}
	c.useAsClient("the fourth one")
	c.converge()
	c.requireOnlyKeys(300)
}
