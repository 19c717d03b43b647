// Package password keeps the password of the release while it changes: an earlier one works until everybody has the new one, and a grace period
// longer. It decides when Redis and Sentinel of this pod accept, use and drop a password, and remembers that over a restart of the container.
package password

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/volume"
)

const (
	// readEvery is how often the file is read, and how often others are asked while a password changes.
	readEvery = time.Second
	// learnEvery is how often a new pod asks: it must not start before it knows.
	learnEvery = 100 * time.Millisecond
	// stateFile is where the state survives the end of the launcher. Its folder is in memory and goes with the pod: it holds passwords.
	stateFile = "passwords.json"
)

// Keeper has the passwords that count now. Its methods may be called from several goroutines, and with nil, where there is no file.
type Keeper struct {
	file, state string
	live        atomic.Pointer[func() config.Config] // see Follow
	log         *slog.Logger
	changed     chan struct{}
	seen        string // what was read last

	mu      sync.Mutex
	now     State
	stored  bool   // the next launcher of this pod knows the state
	waits   string // why the next step waits
	refusal string // why the file does not count
}

// Open reads the password, and what an earlier launcher of this pod has left. It sets the password of c. The Keeper is nil, without an error,
// where the password comes from the environment.
func Open(c *config.Config, log *slog.Logger) (*Keeper, error) {
	if c.PasswordSource.File == "" {
		return nil, nil
	}
	fixed := *c
	k := &Keeper{file: c.PasswordSource.File, state: filepath.Join(c.RunDir, stateFile), log: log, changed: make(chan struct{}, 1)}
	k.Follow(func() config.Config { return fixed })
	wanted, err := k.read()
	left, known := k.load()
	left = left.past(time.Now())
	switch {
	case err == nil && known:
		k.now, k.seen = left.taken(wanted, time.Now()), wanted
	case err == nil:
		k.now, k.seen = begun(wanted, time.Now()), wanted
	case known: // the kubelet may bring the Secret after the settings
		k.now, k.seen, k.refusal = left, left.Wanted, err.Error()
	default:
		return nil, &config.ProblemsError{Problems: []string{"LAUNCHER_PASSWORD_FILE: " + err.Error()}}
	}
	c.Password = k.now.Wanted
	c.PasswordSource.Trying = k.Trying()
	*c = k.Apply(*c)
	return k, nil
}

// Follow has the settings decide whether a password is asked for, and how long an earlier one works.
func (k *Keeper) Follow(live func() config.Config) {
	if k != nil {
		k.live.Store(&live)
	}
}

// source gives the present settings of the password.
func (k *Keeper) source() config.PasswordSource { return (*k.live.Load())().PasswordSource }

// read gives what the Secret holds; empty: no password is asked for.
func (k *Keeper) read() (string, error) {
	if !k.source().Asked {
		return "", nil
	}
	content, err := os.ReadFile(k.file)
	password := string(content)
	switch {
	case err != nil:
		return "", fmt.Errorf("read the password (has the Secret this key?): %w", err)
	case password == "":
		return "", errors.New("the password is empty: put one into the Secret, or set auth to false")
	case !utf8.ValidString(password): // no container can have it in its environment
		return "", errors.New("the password is not UTF-8: use printable characters only")
	case strings.ContainsFunc(password, unicode.IsControl):
		return "", errors.New("the password has a control character such as a line break: use printable characters only")
	}
	return password, nil
}

// load gives what an earlier launcher of this pod has left.
func (k *Keeper) load() (State, bool) {
	content, err := os.ReadFile(k.state)
	var s State
	if err == nil {
		err = json.Unmarshal(content, &s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.log.Warn("what an earlier launcher of this pod knew of passwords cannot be read; the pod asks the others, like a new one", "error", err)
	}
	return s, err == nil
}

// save keeps the state for the next launcher of this pod.
func (k *Keeper) save(s State) error {
	content, err := json.Marshal(s)
	if err == nil {
		err = volume.Write(k.state, string(content))
	}
	if err != nil {
		return fmt.Errorf("keep the passwords for the next start of the container: %w", err)
	}
	return nil
}

// Apply gives the configuration with the passwords that count now.
func (k *Keeper) Apply(c config.Config) config.Config {
	if k == nil {
		return c
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c.Password = k.now.Wanted
	c.Passwords = &config.Passwords{Link: k.now.Used, Accepted: k.now.accepted()}
	return c
}

// Trying gives what redisnode.Node.Trying takes; nil where there is one password for good.
func (k *Keeper) Trying() func() []string {
	if k == nil {
		return nil
	}
	return func() []string {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.now.candidates()
	}
}

// Waits says why Redis or Sentinel of a new pod must not start yet; empty: they may.
func (k *Keeper) Waits() string {
	if k == nil {
		return ""
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.now.New || k.now.Alone {
		return ""
	}
	if k.waits == "" {
		return "a new pod asks the others which passwords they accept"
	}
	return k.waits
}

// Alone says why a pod that has started is of no use to the others yet; empty: it may be. A roll-out must not go on past it.
func (k *Keeper) Alone() string {
	if k == nil {
		return ""
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.now.Alone {
		return ""
	}
	return k.waits
}

// Changed tells that other passwords count.
func (k *Keeper) Changed() <-chan struct{} {
	if k == nil {
		return nil
	}
	return k.changed
}

// Told gives what this launcher tells of its passwords; nil where there is one for good.
func (k *Keeper) Told() *Told {
	if k == nil {
		return nil
	}
	grace := k.source().Grace
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.now.tells(grace, k.waits)
	if k.refusal != "" {
		t.Pending = append(t.Pending, "the password in the Secret is refused, and the earlier password stays: "+k.refusal)
	}
	return t
}

// Run follows the file, and takes one step after the other, until ctx ends. Ask asks the pods of the release what they accept, and says whether
// they are known.
func (k *Keeper) Run(ctx context.Context, ask func(context.Context, State) ([]Node, bool)) {
	if k == nil {
		return
	}
	for {
		k.turn(ctx, ask)
		every := readEvery
		if k.Waits() != "" {
			every = learnEvery
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// turn reads the file, and takes a step.
func (k *Keeper) turn(ctx context.Context, ask func(context.Context, State) ([]Node, bool)) {
	next := k.look(time.Now())
	grace, waits := k.source().Grace, ""
	if next.asks(grace, time.Now()) {
		nodes, known := ask(ctx, next)
		switch {
		case known:
			next, waits = next.step(nodes, grace, time.Now())
		default:
			waits = "the API has not listed the pods of the release yet"
			next.Alone = next.unheard(time.Now())
		}
	}
	k.become(next, waits)
}

// look gives the state with what the file holds. That counts when two looks in a row have found the same.
func (k *Keeper) look(now time.Time) State {
	wanted, err := k.read()
	k.mu.Lock()
	defer k.mu.Unlock()
	refusal := ""
	if err != nil {
		refusal = err.Error()
	}
	if refusal != k.refusal && refusal != "" {
		k.log.Error("the password in the Secret is refused; the earlier password stays", "error", err)
	}
	stable := err == nil && wanted == k.seen
	if err == nil {
		k.seen = wanted
	}
	k.refusal = refusal
	if !stable {
		return k.now
	}
	return k.now.taken(wanted, now)
}

// become has a state count. It is saved first: Redis accepts nothing that the next launcher of this pod would not know.
func (k *Keeper) become(next State, waits string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if waits != k.waits && waits != "" {
		k.log.Info("the next step of the passwords waits", "reason", waits)
	}
	k.waits = waits
	if sameState(next, k.now) && k.stored {
		return
	}
	if err := k.save(next); err != nil {
		k.waits = err.Error()
		k.log.Error("the password does not change yet; trying again", "error", err)
		return
	}
	k.now, k.stored = next, true
	k.log.Info("passwords", "state", next.String())
	select {
	case k.changed <- struct{}{}:
	default: // it has been told
	}
}

func sameState(a, b State) bool {
	one, _ := json.Marshal(a) // it never fails: these are texts and times
	other, _ := json.Marshal(b)
	return string(one) == string(other)
}
