package kindcluster

import (
	"fmt"
	"strings"

	kindexec "sigs.k8s.io/kind/pkg/exec"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/progress"
)

// stepLogger shows the phases of kind's library as progress and puts the rest
// into the log.
type stepLogger struct {
	progress *progress.Reporter
	log      command.Runner
}

// Warn implements log.Logger.
func (l *stepLogger) Warn(message string) { l.write(message) }

// Warnf implements log.Logger.
func (l *stepLogger) Warnf(format string, args ...any) { l.write(fmt.Sprintf(format, args...)) }

// Error implements log.Logger.
func (l *stepLogger) Error(message string) { l.write(message) }

// Errorf implements log.Logger.
func (l *stepLogger) Errorf(format string, args ...any) { l.write(fmt.Sprintf(format, args...)) }

// V implements log.Logger.
func (l *stepLogger) V(level log.Level) log.InfoLogger { return &infoLogger{l, level} }

func (l *stepLogger) write(message string) {
	if l.log.Log != nil {
		fmt.Fprintln(l.log.Log, "kind: "+strings.TrimSpace(message))
	}
}

// infoLogger is one level of a stepLogger.
type infoLogger struct {
	*stepLogger
	level log.Level
}

// Enabled implements log.InfoLogger.
func (l *infoLogger) Enabled() bool { return l.level < 4 }

// Infof implements log.InfoLogger.
func (l *infoLogger) Infof(format string, args ...any) { l.Info(fmt.Sprintf(format, args...)) }

// Info implements log.InfoLogger.
func (l *infoLogger) Info(message string) {
	l.write(message)
	if phase, finished := finishedPhase(message); l.level == 0 && finished {
		l.progress.Line("  kind: %s", phase)
	}
}

// finishedPhase reads the name of a phase from the line by which kind reports
// its end.
func finishedPhase(message string) (phase string, finished bool) {
	phase, finished = strings.CutPrefix(strings.TrimSpace(message), "✓ ")
	plain := func(r rune) rune {
		if r > '~' {
			return -1
		}
		return r
	}
	return strings.TrimSpace(strings.Map(plain, phase)), finished
}

// describe adds to an error of kind's library what the program behind it
// printed.
func describe(err error) error {
	failed := kindexec.RunErrorForError(err)
	if err == nil || failed == nil {
		return err
	}
	return fmt.Errorf("%w:\n%s", err, command.Tail(string(failed.Output), 20))
}
