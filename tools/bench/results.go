package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/redis-ha/redis-ha/tools/internal/crowd"
)

// results is what the benchmark found, as it is kept in a file. Each part is
// replaced when it is measured again.
type results struct {
	// Machine says where it was measured, in words.
	Machine string `json:"machine"`
	// Faults holds the runs, by the name of the fault.
	Faults map[string][]run `json:"faults,omitempty"`
	// Installs are the times of installations.
	Installs   []install   `json:"installs,omitempty"`
	Throughput *throughput `json:"throughput,omitempty"`
	Launcher   *footprint  `json:"launcher,omitempty"`
	Quiet      *quiet      `json:"quiet,omitempty"`
	// Loads are bulk loads, by the bound for the lag of the slaves.
	Loads map[string][]load `json:"loads,omitempty"`
	// Crowds are faults under many clients, by the name of the fault.
	Crowds map[string][]crowd.Report `json:"crowds,omitempty"`
	// Scale is what launchers ask, by the number of servers.
	Scale []scaleRun `json:"scale,omitempty"`
	// Clients are faults under clients that ask the sentinels, by the names of the client and of the fault.
	Clients map[string]map[string][]clientRun `json:"clients,omitempty"`
	// Heavy are faults under many clients without a pause and with much data, by the name of the fault.
	Heavy map[string][]heavyRun `json:"heavy,omitempty"`
	// Returns are slaves that went and came back, by the way in which they did.
	Returns map[string][]returned `json:"returns,omitempty"`
	// Encrypted are faults of a plain and an encrypted release in turns, by the name of the fault.
	Encrypted map[string][]pair `json:"encrypted,omitempty"`
	// Measured is when the last part was measured.
	Measured time.Time `json:"measured"`
}

func readResults(path string) (results, error) {
	r := results{Faults: map[string][]run{}, Heavy: map[string][]heavyRun{}, Encrypted: map[string][]pair{}}
	content, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read earlier results: %w", err)
	}
	return r, nil
}

func (r results) write(path string) error {
	content, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode the results: %w", err)
	}
	if err := os.WriteFile(path, append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("keep the results: %w", err)
	}
	return nil
}

// quantile gives the value below which the share q of the values lies, by the
// nearest rank; NaN without values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[max(0, rank)]
}

func column[T any](rows []T, value func(T) float64) []float64 {
	var found []float64
	for _, row := range rows {
		found = append(found, value(row))
	}
	return found
}
