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

// recordFile is what the package calls embeds.
const recordFile = "../calls/calls.txt"

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
	c := start(t, options{})
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
	var made []string
	for _, request := range c.api.Requests(time.Time{}) {
		made = append(made, callOf(request))
	}
	slices.Sort(made)
	made = slices.Compact(made)
	if *recordCalls {
		content := "# Written by go test ./image/launcher/loopback/ -run TestCallsAreThoseRecorded -record-calls\n" + strings.Join(made, "\n") + "\n"
		if err := os.WriteFile(recordFile, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	var recorded []string
	for _, call := range calls.Recorded() {
		recorded = append(recorded, call.String())
	}
	slices.Sort(recorded)
	if !slices.Equal(made, recorded) {
		t.Errorf("the launcher made these calls:\n%s\nand %s has these:\n%s\nif that is meant, write them with -record-calls, and see to the chart's Role",
			strings.Join(made, "\n"), recordFile, strings.Join(recorded, "\n"))
	}
}
