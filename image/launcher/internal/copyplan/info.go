package copyplan

import (
	"strconv"
	"strings"
)

// Info are the fields of an answer to INFO.
type Info map[string]string

// ParseInfo reads an answer to INFO.
func ParseInfo(text string) Info {
	info := Info{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			info[name] = value
		}
	}
	return info
}

// Keys are the databases that hold keys, with the number of keys in each.
func (i Info) Keys() map[int]int64 {
	found := map[int]int64{}
	for name, value := range i {
		number, isDB := strings.CutPrefix(name, "db")
		db, err := strconv.Atoi(number)
		if !isDB || err != nil {
			continue
		}
		for part := range strings.SplitSeq(value, ",") {
			if count, is := strings.CutPrefix(part, "keys="); is {
				found[db], _ = strconv.ParseInt(count, 10, 64)
			}
		}
	}
	return found
}

// Silent are the numbers of calls of the commands that change keys without a notification. They differ when one of the
// commands has been called since, or when the statistics have been reset.
func (i Info) Silent() string {
	var calls []string
	for _, command := range []string{"flushall", "flushdb", "swapdb"} {
		first, _, _ := strings.Cut(i["cmdstat_"+command], ",")
		calls = append(calls, command+" "+first)
	}
	return strings.Join(calls, ", ")
}

// Name is what the server calls itself, for instance "redis 8.0.2".
func (i Info) Name() string {
	if version := i["valkey_version"]; version != "" {
		return "valkey " + version
	}
	return "redis " + i["redis_version"]
}
