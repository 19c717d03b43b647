package config

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ownedDirectives are written by the launcher; a user's value would break
// replication, failover or the container's isolation. One is not obvious: save
// would write a second copy of the data, in a shutdown while its time runs out,
// and without persistence a copy that outlives the process it is not told of.
// The dual channel of Valkey is refused because package role relies on the order in
// which Redis loads a copy, links up and rewrites its file.
// The chart refuses the same ones (templates/_validate_config.tpl).
var ownedDirectives = regexp.MustCompile(`^(bind|bind-source-addr|port|dir|requirepass|masterauth|masteruser|user|aclfile|replicaof|slaveof|` +
	`(replica|slave)-(priority|announce.*|read-only)|min-(replicas|slaves)-.*|appendonly|appendfilename|appenddirname|` +
	`save|dbfilename|rdb-del-sync-files|daemonize|pidfile|supervised|logfile|include|loadmodule|rename-command|protected-mode|unixsocket.*|` +
	`dual-channel-replication-enabled|cluster-.*|tls-.*|syslog-.*|sentinel)$`)

// Owned says whether a directive, in lower case, is the launcher's own.
func Owned(directive string) bool { return ownedDirectives.MatchString(directive) }

// readExtraConfig loads the user's directives and refuses the launcher's own.
func (r *reader) readExtraConfig(c *Config) {
	if c.ExtraConfigFile == "" {
		return
	}
	content, err := os.ReadFile(c.ExtraConfigFile)
	if err != nil {
		r.problem("LAUNCHER_REDIS_CONFIG_FILE cannot be read: %v", err)
		return
	}
	for _, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		directive := strings.Fields(line)[0]
		if Owned(strings.ToLower(strings.Trim(directive, `"'`))) {
			r.problem("LAUNCHER_REDIS_CONFIG_FILE sets %q, which the launcher owns: remove it", directive)
			continue
		}
		c.ExtraConfig = append(c.ExtraConfig, line)
	}
}

// replicaLimit is how much a master keeps for a replica, in bytes, by the user's client-output-buffer-limit: the hard or the soft
// limit, whichever is less; 0 if the user sets none. Of a directive that is repeated Redis takes the last.
func replicaLimit(directives []string) (limit int64) {
	for _, line := range directives {
		for _, class := range replicaClasses(words(line)) {
			limit = leastSet(redisSize(class[1]), redisSize(class[2]))
		}
	}
	return limit
}

// words are the words of a directive, in lower case and without quotes.
func words(line string) []string {
	return strings.Fields(strings.NewReplacer(`"`, "", `'`, "").Replace(strings.ToLower(line)))
}

// replicaClasses are the parts of a client-output-buffer-limit, given in words, that are about replicas: the class, the hard limit,
// the soft limit and its seconds. A directive of another name has none.
func replicaClasses(words []string) (found [][]string) {
	if words[0] != "client-output-buffer-limit" {
		return nil
	}
	for class := words[1:]; len(class) >= 4; class = class[4:] {
		if class[0] == "replica" || class[0] == "slave" {
			found = append(found, class[:4])
		}
	}
	return found
}

// UserSets says whether the user's directives set a directive, given in lower case. client-output-buffer-limit counts where it is about
// replicas.
func (c Config) UserSets(directive string) bool {
	return slices.ContainsFunc(c.ExtraConfig, func(line string) bool {
		words := words(line)
		return words[0] == directive && (directive != "client-output-buffer-limit" || len(replicaClasses(words)) > 0)
	})
}

// Directive gives the value that the user sets for a directive with one value, or else the fallback.
func (c Config) Directive(name, fallback string) string {
	for _, line := range c.ExtraConfig {
		if words := words(line); words[0] == name && len(words) == 2 {
			fallback = words[1] // the last one counts
		}
	}
	return fallback
}

// leastSet gives the lower of two limits. A limit of 0 means that Redis applies none.
func leastSet(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// redisSize reads a size as redis.conf spells it, in bytes. It gives 0 for a text that is no size; Redis refuses to start with such a text.
func redisSize(text string) int64 {
	units := []struct {
		name  string
		bytes int64
	}{{"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"b", 1}, {"", 1}}
	for _, unit := range units {
		if digits, ok := strings.CutSuffix(text, unit.name); ok {
			n, _ := strconv.ParseInt(digits, 10, 64)
			return n * unit.bytes
		}
	}
	return 0
}
