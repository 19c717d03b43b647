package config

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"slices"
	"strings"
)

// liveVariables are the variables that the settings file may hold: those that a launcher applies while it runs.
var liveVariables = map[string]bool{
	"LAUNCHER_SERVERS": true, "LAUNCHER_SENTINELS": true, "LAUNCHER_QUORUM": true, "LAUNCHER_DOWN_AFTER_MILLISECONDS": true,
	"LAUNCHER_FAILOVER_TIMEOUT_MILLISECONDS": true, "LAUNCHER_MIN_REPLICAS_TO_WRITE": true, "LAUNCHER_MIN_REPLICAS_MAX_LAG_SECONDS": true,
	"LAUNCHER_LOG_LEVEL": true, "LAUNCHER_AUTH": true, "LAUNCHER_PASSWORD_GRACE_SECONDS": true,
}

// readSettings has the settings file replace variables of the environment, and gives its content. The file has one NAME=value a line. Empty
// lines and lines that begin with # are left out. With a file no live variable has a default: a line that somebody has removed must not change
// the number of sentinels, or how many replicas a write needs.
func (r *reader) readSettings() []byte {
	file := r.env["LAUNCHER_SETTINGS_FILE"]
	if file == "" {
		return nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		r.problem("LAUNCHER_SETTINGS_FILE cannot be read: %v", err)
		return nil
	}
	number, seen := 0, map[string]bool{}
	for line := range strings.Lines(string(content)) {
		number++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, assigned := strings.Cut(line, "=")
		switch {
		case !assigned:
			r.problem("LAUNCHER_SETTINGS_FILE has no NAME=value in line %d: correct it", number)
		case !liveVariables[name]:
			r.problem("LAUNCHER_SETTINGS_FILE sets %s, which cannot change while the launcher runs: correct the name, or set the variable in the environment", name)
		case seen[name]:
			r.problem("LAUNCHER_SETTINGS_FILE sets %s twice: remove one of them", name)
		default:
			r.env[name] = value
		}
		seen[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(liveVariables)) {
		if r.env[name] == "" {
			r.problem("LAUNCHER_SETTINGS_FILE lacks %s: set it there", name)
		}
	}
	return content
}

// versionOf names the content of the settings file: the first 8 hexadecimal digits of its SHA-256 sum. It is empty without a file.
func versionOf(settings []byte) string {
	if settings == nil {
		return ""
	}
	sum := sha256.Sum256(settings)
	return hex.EncodeToString(sum[:])[:8]
}
