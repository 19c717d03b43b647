package loopback

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/calls"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
)

var recordCalls = flag.Bool("record-calls", false, "write anew which calls of the API the launcher makes")

// The files that the package calls embeds.
const (
	recordFile       = "../calls/calls.txt"
	backupRecordFile = "../calls/backup.txt"
)

// callOf leaves out of a request what differs from one release to the next.
func callOf(r fakeapi.Request) string {
	c := calls.Call{Verb: r.Verb, Group: r.Group, Resource: r.Resource}
	if r.Resource == "leases" {
		c.Name = strings.TrimPrefix(r.Name, fullname)
	}
	return c.String()
}

// The chart's Role is compared with the record, so a call that is new here needs a right there, and a right without a call goes.
func TestCallsAreThoseRecorded(t *testing.T) {
	t.Parallel()
	c, b := startWithBackups(t, options{}, t.TempDir())
	b.start(t, "backup").end(t, 0)
	b.start(t, "restore", "latest").end(t, 1) // nobody can be asked
	eventually(t, settle, "the master to ask for the last backup", func() error {
		for _, request := range c.api.Requests(time.Time{}) {
			if request.Name == fullname+"-backup" && !strings.HasPrefix(request.User, fullname+"-backup") {
				return nil
			}
		}
		return fmt.Errorf("it did not")
	})
	c.converge().killRedis() // and with it come the Events of a failover
	eventually(t, settle, "an Event", func() error {
		if len(c.api.Events()) == 0 {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	c.converge()
	c.servers()[0].remove()
	c.sentinels()[0].remove()
	made := map[string][]string{}
	for _, request := range c.api.Requests(time.Time{}) {
		file := recordFile
		if strings.HasPrefix(request.User, fullname+"-backup") {
			file = backupRecordFile
		}
		made[file] = append(made[file], callOf(request))
	}
	compareCalls(t, recordFile, made[recordFile], calls.Recorded())
	compareCalls(t, backupRecordFile, made[backupRecordFile], calls.RecordedOfBackups())
}

// compareCalls compares calls with those of a file, or writes the file.
func compareCalls(t *testing.T, file string, made []string, known []calls.Call) {
	t.Helper()
	slices.Sort(made)
	made = slices.Compact(made)
	if *recordCalls {
		content := "# Written by go test ./image/launcher/loopback/ -run TestCallsAreThoseRecorded -record-calls\n" + strings.Join(made, "\n") + "\n"
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	var recorded []string
	for _, call := range known {
		recorded = append(recorded, call.String())
	}
	slices.Sort(recorded)
	if !slices.Equal(made, recorded) {
		t.Errorf("the launcher made these calls:\n%s\nand %s has these:\n%s\nif that is meant, write them with -record-calls, and see to the chart's Role",
			strings.Join(made, "\n"), file, strings.Join(recorded, "\n"))
	}
}
