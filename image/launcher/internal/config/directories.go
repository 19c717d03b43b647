package config

import (
	"fmt"
	"os"
)

// CheckDirectories makes sure that the launcher can write where it must, before
// anything is started. The error is a *ProblemsError.
func (c Config) CheckDirectories() error {
	var problems []string
	check := func(variable, dir, remedy string) {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v: %s", variable, err, remedy))
			return
		}
		probe, err := os.CreateTemp(dir, ".redis-ha-probe-*")
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v: %s", variable, err, remedy))
			return
		}
		_ = probe.Close()
		_ = os.Remove(probe.Name())
	}
	check("LAUNCHER_RUN_DIR", c.RunDir, "mount an emptyDir there")
	if !c.Sentinel {
		check("LAUNCHER_DATA_DIR", c.DataDir, "mount a volume there that the pod's user or fsGroup may write to, with space left")
	}
	if len(problems) > 0 {
		return &ProblemsError{Problems: problems}
	}
	return nil
}
