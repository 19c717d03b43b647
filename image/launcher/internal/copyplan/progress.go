package copyplan

import (
	"fmt"
	"time"
)

// Progress is how far the reading of all keys has come.
type Progress struct {
	// Total is the number of keys of the source when the reading began.
	Total int64
	// Done are the keys that have been read, Equal those of them that the target had already.
	Done, Equal int64
	// Bytes have been written to the target.
	Bytes int64
	// Spent is the time since the reading began.
	Spent time.Duration
}

// String is a line for the operator: keys, bytes, percent, rate and the time left.
func (p Progress) String() string {
	percent := 100.0
	if p.Total > 0 {
		percent = min(100, 100*float64(p.Done)/float64(p.Total))
	}
	line := fmt.Sprintf("%d of %d keys (%.1f %%), %s written", p.Done, p.Total, percent, Bytes(p.Bytes))
	if p.Equal > 0 {
		line += fmt.Sprintf(", %d were equal", p.Equal)
	}
	seconds := p.Spent.Seconds()
	if seconds < 0.1 || p.Done == 0 {
		return line
	}
	line += fmt.Sprintf(", %.0f keys/s, %s/s", float64(p.Done)/seconds, Bytes(int64(float64(p.Bytes)/seconds)))
	if rest := p.Total - p.Done; rest > 0 {
		left := time.Duration(float64(rest) / float64(p.Done) * float64(p.Spent))
		line += ", about " + left.Round(time.Second).String() + " left"
	}
	return line
}

// Bytes is a number of bytes for a person.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, names := float64(n)/unit, []string{"KiB", "MiB", "GiB", "TiB"}
	for value >= unit && len(names) > 1 {
		value, names = value/unit, names[1:]
	}
	return fmt.Sprintf("%.1f %s", value, names[0])
}
