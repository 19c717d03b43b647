package redisconf

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// bufferLimit is the one directive that sets several values, one for each class of clients. It may be repeated, and a value of it leaves the
// other classes as they are.
const bufferLimit = "client-output-buffer-limit"

// Live gives the directives that a Redis which runs takes from the settings, by their names: those of the user, and min-replicas-max-lag.
func Live(c config.Config) map[string]string {
	live := map[string]string{"min-replicas-max-lag": strconv.Itoa(int(c.MinReplicasMaxLag.Seconds()))}
	for _, line := range c.ExtraConfig {
		words, err := split(line)
		if err != nil || len(words) == 0 {
			words = strings.Fields(line) // Redis says what is wrong with it
		}
		name, value := strings.ToLower(words[0]), strings.Join(words[1:], " ")
		if before, repeated := live[name]; repeated && name == bufferLimit {
			value = before + " " + value
		}
		live[name] = value
	}
	return live
}

// unsized are the launcher's own defaults of directives that the user may set, for every server.
var unsized = []Directive{
	{"repl-diskless-sync", "yes"}, {"repl-diskless-sync-delay", "0"}, {"tcp-backlog", strconv.Itoa(waiting)}, {"maxclients", strconv.Itoa(maxClients)},
}

// Defaults gives the launcher's own defaults of directives that the user may set.
func Defaults(c config.Config) []Directive { return append(slices.Clone(unsized), Sized(c)...) }

// Change is a directive that a running Redis is to take.
type Change struct {
	Name string
	// Value is what the user sets. With Reset the user sets the directive no more.
	Value string
	Reset bool
}

// Changes gives what a Redis is to take that has the live directives applied, and should have those that are wanted. What the user sets no
// more comes first: it may be an old name of what the user sets now.
func Changes(applied, wanted map[string]string) (changes []Change) {
	for name := range applied {
		if _, set := wanted[name]; !set {
			changes = append(changes, Change{Name: name, Reset: true})
		}
	}
	for name, value := range wanted {
		if before, set := applied[name]; !set || before != value {
			changes = append(changes, Change{Name: name, Value: value})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int {
		if a.Reset != b.Reset {
			return map[bool]int{true: -1, false: 1}[a.Reset]
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return changes
}

// own is the launcher's own default of the directive; empty if it has none.
func (ch Change) own(c config.Config) string {
	for _, d := range Defaults(c) {
		if d.Name == ch.Name {
			return d.Value
		}
	}
	return ""
}

// NeedsDefaults says whether the defaults of Redis itself must be known to carry the change out.
func (ch Change) NeedsDefaults(c config.Config) bool {
	return ch.Name == bufferLimit || ch.Reset && ch.own(c) == ""
}

// Argument is the value for CONFIG SET. redis are the defaults of Redis itself; see NeedsDefaults.
func (ch Change) Argument(c config.Config, redis map[string]string) string {
	own := ch.own(c)
	switch {
	case ch.Name == bufferLimit:
		return strings.Join(strings.Fields(redis[ch.Name]+" "+own+" "+ch.Value), " ") // of a class that is repeated Redis takes the last
	case !ch.Reset:
		return ch.Value
	case own != "":
		return own
	}
	return redis[ch.Name]
}
