package loopback

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// With appendfsync everysec Redis may keep a write back from its file for up to
// two seconds: the constant in flushAppendOnlyFile of Redis.
const fileDelay = 2 * time.Second

// readyFor is how long a pod must have been ready before its readiness counts
// as the promise that its files are complete: its launcher needs a moment to see
// that a copy has replaced its data.
const readyFor = time.Second

// lookTimeout bounds an answer of a server to the guard, searchTimeout one about all writes.
const (
	lookTimeout   = 300 * time.Millisecond
	searchTimeout = time.Second
)

// serverData is what the guard has seen of the data of one server pod. The lock
// of dataGuard guards everything but pod and client.
type serverData struct {
	pod    *pod
	client *redis.Client // of the guard's look alone

	runID   string      // of the process that answered last
	answers bool        // it answered the last look, and with its own data
	state   look        // the last answer
	memory  []time.Time // when each write was seen in this process; zero: it was not
	files   []bool      // each write that the files of the pod hold
	absent  []int       // writes that the last look asked for in vain

	answered time.Time     // when this process answered last
	died     time.Time     // when the process before did
	previous string        // its run ID
	down     time.Duration // from then until this process answered

	keysSince   time.Time // this process has had keys since then; zero: never
	keysInFiles bool      // the files of the pod have held keys

	promisedBy string    // run ID of the process for whose writes its pod was ready although its files were not complete
	readySince time.Time // its pod is ready since then although its files are not complete
	searched   bool      // it was asked for every write since its data may have been replaced last
	window     int       // where the next look goes on with older writes
	wiped      int       // how often the harness has removed or damaged the files
}

// look is what a Redis says about itself at one moment.
type look struct {
	runID, role, master string
	linkUp              bool
	keys                int64
	persistent          bool // it has an append-only file
	flushed             bool // all that it has written to the file has left its memory
	complete            bool // no rewrite of the file is going on or has failed
}

// sameSource is true when nothing has replaced the data since an earlier look.
func (l look) sameSource(earlier look) bool {
	return l.runID == earlier.runID && l.role == earlier.role && l.master == earlier.master && l.linkUp == earlier.linkUp
}

// lookAt asks a server about itself and for keys in one transaction, and
// returns for each key whether it is there. It fails where the server loads
// data, and where the launcher passes the connection on to another pod.
func lookAt(ctx context.Context, client *redis.Client, p *pod, keys []string) (look, []bool, error) {
	const batch = 500
	var info, size *redis.Cmd
	var counts []*redis.IntCmd
	_, err := client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		info, size = pipe.Do(ctx, "INFO", "server", "replication", "persistence"), pipe.Do(ctx, "DBSIZE")
		for begin := 0; begin < len(keys); begin += batch {
			counts = append(counts, pipe.Exists(ctx, keys[begin:min(begin+batch, len(keys))]...))
		}
		return nil
	})
	if err != nil {
		return look{}, nil, err
	}
	fields := infoFields(info)
	if directory := filepath.Dir(fields["config_file"]); directory != p.runDir {
		return look{}, nil, fmt.Errorf("the address of %s leads to %s", p.name, directory)
	}
	l := look{runID: fields["run_id"], role: fields["role"], master: fields["master_host"], linkUp: fields["master_link_status"] == "up",
		persistent: fields["aof_enabled"] == "1",
		flushed:    fields["aof_buffer_length"] == "0" && fields["aof_last_write_status"] == "ok",
		complete: fields["aof_rewrite_in_progress"] == "0" && fields["aof_rewrite_scheduled"] == "0" &&
			fields["aof_last_bgrewrite_status"] == "ok"}
	if l.keys, err = size.Int64(); err != nil {
		return look{}, nil, err
	}
	present := make([]bool, len(keys))
	for i, count := range counts {
		begin, end := i*batch, min((i+1)*batch, len(keys))
		switch count.Val() {
		case 0:
		case int64(end - begin):
			for n := begin; n < end; n++ {
				present[n] = true
			}
		default:
			if err := lookForEach(ctx, client, keys[begin:end], present[begin:end]); err != nil {
				return look{}, nil, err
			}
		}
	}
	return l, present, nil
}

func lookForEach(ctx context.Context, client *redis.Client, keys []string, present []bool) error {
	replies := make([]*redis.IntCmd, len(keys))
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, key := range keys {
			replies[i] = pipe.Exists(ctx, key)
		}
		return nil
	})
	for i := range replies {
		present[i] = err == nil && replies[i].Val() == 1
	}
	return err
}

// isReady asks the launcher of a pod whether it is ready.
func isReady(ctx context.Context, p *pod) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url("/readyz"), nil)
	if err != nil {
		return false
	}
	response, err := p.browser().Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// promises is true when a pod has been ready for so long, although its files are
// not complete, that its launcher must have meant it.
func (s *serverData) promises(now time.Time, ready bool) bool {
	if !ready {
		s.readySince = time.Time{}
	} else if s.readySince.IsZero() {
		s.readySince = now
	}
	return ready && now.Sub(s.readySince) >= readyFor
}

// startedAnew forgets what died with the process before.
func (s *serverData) startedAnew(runID string, now time.Time) {
	s.previous, s.died, s.down = s.runID, s.answered, now.Sub(s.answered)
	s.runID, s.memory, s.readySince, s.keysSince = runID, nil, time.Time{}, time.Time{}
}

// lose forgets everything: the files are gone or damaged, or the data are deleted.
func (s *serverData) lose() {
	s.files, s.memory, s.keysInFiles, s.keysSince, s.previous = nil, nil, false, time.Time{}, ""
	s.readySince, s.promisedBy = time.Time{}, ""
}

// found records an answer. asked are the numbers of the writes that it is about.
// onDisk says that the files hold what the process held fileDelay ago.
func (s *serverData) found(now time.Time, l look, asked []int, present []bool, onDisk bool) {
	s.state, s.answers, s.answered, s.absent = l, true, now, nil
	for i, write := range asked {
		if !present[i] {
			s.absent = append(s.absent, write)
			continue
		}
		// A replica that has just started and has no link yet has what its files happened to hold:
		// what they certainly hold, two seconds before the end of the process before, counts already.
		if l.role == "master" || l.linkUp || s.hasInFiles(write) {
			s.knows(write, now)
		}
	}
	if l.keys > 0 && s.keysSince.IsZero() && (l.role == "master" || l.linkUp) {
		s.keysSince = now
	}
	if !onDisk {
		return
	}
	if !l.complete {
		s.promisedBy = l.runID
	} else if s.promisedBy == l.runID {
		s.promisedBy = ""
	}
	for len(s.files) < len(s.memory) {
		s.files = append(s.files, false)
	}
	for write, since := range s.memory {
		if !since.IsZero() && now.Sub(since) >= fileDelay {
			s.files[write] = true
		}
	}
	if !s.keysSince.IsZero() && now.Sub(s.keysSince) >= fileDelay {
		s.keysInFiles = true
	}
}

func (s *serverData) knows(write int, now time.Time) {
	for len(s.memory) <= write {
		s.memory = append(s.memory, time.Time{})
	}
	if s.memory[write].IsZero() {
		s.memory[write] = now
	}
}

// hasInMemory is true when the process that answered last had a write.
func (s *serverData) hasInMemory(write int) bool {
	return write < len(s.memory) && !s.memory[write].IsZero()
}

func (s *serverData) hasInFiles(write int) bool { return write < len(s.files) && s.files[write] }

// where says where a write survives on this server, or "".
func (s *serverData) where(write int) string {
	switch {
	case s.answers && s.hasInMemory(write):
		return "in the memory of " + s.pod.name + ", whose process has it since " + s.memory[write].Format("15:04:05.000")
	case s.hasInFiles(write) && s.promisedBy != "":
		return "promised by " + s.pod.name + ", which was ready, although a rewrite of its append-only file had not ended"
	case s.hasInFiles(write):
		return "in the files of " + s.pod.name
	}
	return ""
}

func (s *serverData) String() string {
	memory, files := 0, 0
	for write := range s.memory {
		if s.hasInMemory(write) {
			memory++
		}
		if s.hasInFiles(write) {
			files++
		}
	}
	for write := len(s.memory); write < len(s.files); write++ {
		if s.files[write] {
			files++
		}
	}
	return s.pod.name + " (" + s.pod.ip + "): answers " + strconv.FormatBool(s.answers) + ", " + s.state.role + " of " +
		strconv.Quote(s.state.master) + ", link up " + strconv.FormatBool(s.state.linkUp) + ", run ID " + s.runID + ", " +
		strconv.FormatInt(s.state.keys, 10) + " keys, writes seen in memory " + strconv.Itoa(memory) + ", in files " + strconv.Itoa(files)
}
