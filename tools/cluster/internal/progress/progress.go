// Package progress tells the user which step runs, how long it has taken so
// far and how long it took in the end.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// reminder is how often a running step is mentioned again.
const reminder = 20 * time.Second

// Reporter prints the steps of one run. Steps may run side by side.
type Reporter struct {
	mutex sync.Mutex
	out   io.Writer
	start time.Time
}

// New returns a reporter whose clock starts now.
func New(out io.Writer) *Reporter {
	return &Reporter{out: out, start: time.Now()}
}

// Step runs one step and reports its beginning, its end and, while it lasts,
// that it is still running.
func (r *Reporter) Step(name string, step func() error) error {
	start := time.Now()
	r.Line("%s ...", name)
	stop := make(chan struct{})
	var reminders sync.WaitGroup
	reminders.Go(func() {
		ticker := time.NewTicker(reminder)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				r.Line("%s: running for %s", name, Elapsed(time.Since(start)))
			}
		}
	})
	err := step()
	close(stop)
	reminders.Wait()
	if err != nil {
		r.Line("%s: failed after %s", name, Elapsed(time.Since(start)))
		return err
	}
	r.Line("%s: done in %s", name, Elapsed(time.Since(start)))
	return nil
}

// Line prints one line with the time since the start of the run.
func (r *Reporter) Line(format string, args ...any) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	fmt.Fprintf(r.out, "[%6s] %s\n", Elapsed(time.Since(r.start)), fmt.Sprintf(format, args...))
}

// Text prints a block as it is, such as a table.
func (r *Reporter) Text(text string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	fmt.Fprintln(r.out, text)
}

// Elapsed writes a duration for people: 0.4s, 42.0s, 3m07s.
func Elapsed(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}
