package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// writeInterval is the pause between two writes of a writer.
	writeInterval = "2ms"
	// writeLimit ends a writer that nobody stops.
	writeLimit = "15m"
	// readBackTime bounds the reading back.
	readBackTime = time.Minute
)

// report is what the writer in tools/writer prints at its end.
type report struct {
	Acknowledged           int            `json:"acknowledged"`
	Lost                   int            `json:"lost"`
	FirstLostAt            *time.Time     `json:"firstLostAt"`
	LastLostAt             *time.Time     `json:"lastLostAt"`
	LongestGapMilliseconds int64          `json:"longestGapMilliseconds"`
	Gaps                   []gap          `json:"gaps"`
	Failures               int            `json:"failures"`
	FailureKinds           map[string]int `json:"failureKinds"`
}

type gap struct {
	From         time.Time `json:"from"`
	Milliseconds int64     `json:"milliseconds"`
}

// line is any line of the writer: one of progress, or the report.
type line struct {
	report
	LastFailure string `json:"lastFailure"`
}

// writer is a client in the cluster that writes numbered keys through the
// master Service. It knows nothing of Sentinel, and reconnects when told off.
type writer struct {
	t     *testing.T
	start time.Time
	stdin *io.PipeWriter
	ended chan error

	mu   sync.Mutex
	last line
}

// write starts a writer on the release and waits until it writes.
func (r *release) write(t *testing.T) *writer {
	t.Helper()
	return r.writeTo(t, 0)
}

// writeConfirmed is write with writes that count as acknowledged when a replica has
// confirmed them, too (WAIT 1).
func (r *release) writeConfirmed(t *testing.T) *writer {
	t.Helper()
	return r.writeTo(t, 1)
}

// writeTo starts a writer that waits until so many replicas have each write.
func (r *release) writeTo(t *testing.T, replicas int) *writer {
	t.Helper()
	stdin, input := io.Pipe()
	output, stdout := io.Pipe()
	w := &writer{t: t, start: time.Now(), stdin: input, ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	// The password goes through standard input, as arguments are public.
	// A lost node may have run the cluster's DNS servers, which are not tested here.
	address := net.JoinHostPort(r.service(t, "-master-svc").Spec.ClusterIP, strconv.Itoa(redisPort))
	script := "read -r REDIS_PASS; export REDIS_PASS; exec " + writerPath + ` "$@"`
	arguments := []string{"bash", "-c", script, "writer",
		"-address", address, "-interval", writeInterval, "-duration", writeLimit, "-replicas", strconv.Itoa(replicas), "-until-stdin-ends", "-progress"}
	if r.tls {
		arguments = append(arguments, "-tls-dir", r.clientFiles(), "-tls-name", r.fullname()+"-master-svc")
	}
	read := make(chan struct{})
	go func() {
		err := env.Stream(ctx, workNamespace, clientPod, stdin, stdout, arguments...)
		_ = stdout.Close()
		<-read
		w.ended <- err
	}()
	go func() {
		defer close(read)
		w.read(output)
	}()
	_, err := io.WriteString(input, r.password+"\n")
	require.NoError(t, err)
	w.advance(50)
	return w
}

func (w *writer) read(output io.Reader) {
	for lines := bufio.NewScanner(output); lines.Scan(); {
		var l line
		if !strings.HasPrefix(lines.Text(), "{") || json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		w.mu.Lock()
		w.last = l
		w.mu.Unlock()
	}
}

func (w *writer) current() line {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// advance waits until n more writes are acknowledged.
func (w *writer) advance(n int) {
	w.t.Helper()
	before := w.current().Acknowledged
	eventually(w.t, recoveryTime, fmt.Sprintf("%d more acknowledged writes", n), func(context.Context) error {
		now := w.current()
		if now.Acknowledged >= before+n {
			return nil
		}
		select {
		case err := <-w.ended:
			w.ended <- err
			w.t.Fatalf("the writer ended early: %v", err)
		default:
		}
		return fmt.Errorf("%d writes acknowledged, then: %s", now.Acknowledged-before, now.LastFailure)
	})
}

// finish stops the writer, which then reads back all that was acknowledged,
// and returns its report.
func (w *writer) finish() report {
	w.t.Helper()
	// The exec stream sends the end of input under the time limit of the last
	// write, a minute; this write gives it a new one.
	_, err := io.WriteString(w.stdin, "\n")
	require.NoError(w.t, err)
	require.NoError(w.t, w.stdin.Close())
	select {
	case err := <-w.ended:
		require.NoError(w.t, err, "the writer")
	case <-time.After(readBackTime):
		w.t.Fatalf("waited %s for the writer to read back what was acknowledged", readBackTime)
	}
	found := w.current().report
	w.t.Logf("client: %d writes acknowledged, %d lost, longest gap %d ms, %d failed attempts %v",
		found.Acknowledged, found.Lost, found.LongestGapMilliseconds, found.Failures, found.FailureKinds)
	for _, g := range found.Gaps {
		if g.Milliseconds >= 500 {
			w.t.Logf("client: a gap of %d ms, %.1f s after its start", g.Milliseconds, g.From.Sub(w.start).Seconds())
		}
	}
	return found
}

// costs stops the writer; the fault must not have cost it more than allowed.
func (w *writer) costs(allowed outage) {
	w.t.Helper()
	found := w.finish()
	require.LessOrEqualf(w.t, found.Lost, allowed.lost, "acknowledged writes are lost, from %v to %v", found.FirstLostAt, found.LastLostAt)
	longest := time.Duration(found.LongestGapMilliseconds) * time.Millisecond
	require.LessOrEqual(w.t, longest, allowed.gap, "longest time without an acknowledged write")
}
