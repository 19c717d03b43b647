package loopback

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// output keeps what a pod has printed, each line with the time it was read.
type output struct {
	mu      sync.Mutex
	lines   []string
	partial strings.Builder
}

// Write implements io.Writer.
func (o *output) Write(data []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range data {
		if b != '\n' {
			o.partial.WriteByte(b)
			continue
		}
		o.addLocked(o.partial.String())
		o.partial.Reset()
	}
	return len(data), nil
}

func (o *output) addLocked(line string) {
	o.lines = append(o.lines, time.Now().Format("15:04:05.000")+" "+line)
}

// note adds a line of the test's own.
func (o *output) note(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.addLocked("=== " + line)
}

// last returns up to n lines from the end; all of them when n is 0.
func (o *output) last(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := o.lines
	if n > 0 && len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

func (o *output) contains(text string) bool { return strings.Contains(o.last(0), text) }

// says tells why a text is not among what a pod has printed.
func says(p *pod, text string) error {
	if !p.output.contains(text) {
		return fmt.Errorf("%s has not printed %q", p.name, text)
	}
	return nil
}
