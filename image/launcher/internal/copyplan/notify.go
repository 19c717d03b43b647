package copyplan

import (
	"strconv"
	"strings"
)

// EventPattern is the pattern of channels that tell of every change: the channel has the database and the event, and
// the message is the key.
const EventPattern = "__keyevent@*__:*"

// byItself are the events of which no client is the cause. They go on after all clients have been stopped.
var byItself = map[string]bool{"expired": true, "hexpired": true, "evicted": true}

// EventKey reads a keyspace notification. ByItself says that no client has made the change.
func EventKey(channel, message string) (key Key, itself, is bool) {
	rest, found := strings.CutPrefix(channel, "__keyevent@")
	if !found {
		return Key{}, false, false
	}
	number, event, found := strings.Cut(rest, "__:")
	if !found {
		return Key{}, false, false
	}
	db, err := strconv.Atoi(number)
	if err != nil {
		return Key{}, false, false
	}
	return Key{DB: db, Name: message}, byItself[event], true
}

// Notifications adds what a copy needs to a value of notify-keyspace-events: E, events by their name, and A, all
// classes of events that are changes. Missing is false if the value has both.
func Notifications(present string) (wanted string, missing bool) {
	wanted = present
	for _, flag := range []string{"E", "A"} {
		if !strings.Contains(wanted, flag) {
			wanted += flag
		}
	}
	return wanted, wanted != present
}
