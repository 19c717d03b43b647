// Package calls is the record of what the launcher asks of the Kubernetes API. A run of the loopback tests writes it, and every
// run compares itself with it; the chart's Role is compared with it in turn.
package calls

import (
	_ "embed"
	"strings"
)

// Call is one kind of call in the namespace of the release.
type Call struct {
	Verb, Group, Resource string
	Name                  string // what follows the release's full name, for objects that are known by name
}

// String writes a call as a line of the record.
func (c Call) String() string {
	line := c.Verb + " " + c.Resource
	if c.Group != "" {
		line += "." + c.Group
	}
	return strings.TrimSpace(line + " " + c.Name)
}

//go:embed calls.txt
var recorded string

//go:embed backup.txt
var recordedOfBackups string

// Recorded are the calls of servers and sentinels of a release that makes backups.
func Recorded() []Call { return parse(recorded) }

// RecordedOfBackups are the calls of the pods that make the backups.
func RecordedOfBackups() []Call { return parse(recordedOfBackups) }

func parse(record string) []Call {
	var calls []Call
	for line := range strings.Lines(record) {
		fields := append(strings.Fields(line), "", "")
		if fields[0] == "" || fields[0] == "#" {
			continue
		}
		c := Call{Verb: fields[0], Name: fields[2]}
		c.Resource, c.Group, _ = strings.Cut(fields[1], ".")
		calls = append(calls, c)
	}
	return calls
}
