package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// readEvery is how often the files are read. They are small, and in memory.
const readEvery = time.Second

// folderPrefix is what the names of the folders for Redis and Sentinel begin with. The version follows.
const folderPrefix = "tls-"

// Keeper has the certificate that counts now. Its methods may be called from several goroutines.
type Keeper struct {
	files   config.TLS
	dir     string // the folder in which Redis and Sentinel find the certificates; empty: this launcher runs neither of them
	log     *slog.Logger
	changed chan struct{}
	seen    Set // what was read last

	mu       sync.Mutex
	stage    stage
	folder   string // what Redis and Sentinel are to read
	refusal  string // why the files do not count; empty: they do
	unstored string // why Redis and Sentinel cannot have the files; empty: they can
}

// Open reads the certificate. It is nil, without an error, where nothing is encrypted.
func Open(files config.TLS, log *slog.Logger) (*Keeper, error) {
	if !files.On() {
		return nil, nil
	}
	set, err := Read(files)
	if err != nil {
		return nil, &config.ProblemsError{Problems: []string{"LAUNCHER_TLS_CERT_FILE, LAUNCHER_TLS_KEY_FILE, LAUNCHER_TLS_CA_FILE: " + err.Error()}}
	}
	return &Keeper{files: files, log: log, changed: make(chan struct{}, 1), seen: set, stage: begun(set)}, nil
}

// OpenKept reads the certificate that the running launcher of this pod keeps in a folder of dir, and otherwise that of the files. So a command in a
// pod connects as the launcher does, also while the files are refused, or wait.
func OpenKept(files config.TLS, dir string, log *slog.Logger) (*Keeper, error) {
	if !files.On() {
		return nil, nil
	}
	certs, _ := filepath.Glob(filepath.Join(dir, folderPrefix+"*", CertFile)) // its only error is that of a wrong pattern
	var newest time.Time
	kept := files
	for _, cert := range certs {
		if at, err := os.Stat(cert); err == nil && at.ModTime().After(newest) {
			folder := filepath.Dir(cert)
			newest = at.ModTime()
			kept.CertFile, kept.KeyFile, kept.CAFile = cert, filepath.Join(folder, KeyFile), filepath.Join(folder, CAFile)
		}
	}
	if k, err := Open(kept, log); err == nil {
		return k, nil
	}
	return Open(files, log)
}

// Keep makes a folder with the files that count, and from now on another one with each change.
func (k *Keeper) Keep(dir string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dir = dir
	return k.store()
}

// store makes the folder for what counts. The files of a folder never change, so Redis and Sentinel read files that fit. Of the folders before
// one stays, which a process that has just been started may be reading.
func (k *Keeper) store() error {
	if k.dir == "" {
		return nil
	}
	folder := filepath.Join(k.dir, folderPrefix+k.stage.version())
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make a folder with the certificate for Redis: %w", err)
	}
	for name, content := range map[string][]byte{CertFile: k.stage.shown.Cert, KeyFile: k.stage.shown.Key, CAFile: k.stage.trusted.CA} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return fmt.Errorf("write the certificate for Redis: %w", err)
		}
	}
	before := k.folder
	k.folder = folder
	folders, _ := filepath.Glob(filepath.Join(k.dir, folderPrefix+"*")) // its only error is that of a wrong pattern
	for _, old := range folders {
		if old == folder || old == before {
			continue
		}
		if err := os.RemoveAll(old); err != nil {
			k.log.Warn("the folder of an old certificate cannot be removed; it takes up room", "error", err)
		}
	}
	return nil
}

// Folder is where the files are that Redis and Sentinel are to read; empty where nothing is encrypted.
func (k *Keeper) Folder() string {
	if k == nil {
		return ""
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.folder
}

// Links encrypts connections to Redis, Sentinel and launchers. It checks that an authority has signed the certificate of the other side, as
// Redis does, and no name: pods go by addresses, which no certificate has.
func (k *Keeper) Links() *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return k.pair(), nil },
		InsecureSkipVerify:   true, // VerifyConnection checks
		VerifyConnection:     k.verify,
	}
}

// Own encrypts connections to the Redis or the sentinel of this pod. They check the same as those of Links, except that the certificate may have
// expired: the process shows it until the launcher has told it of another one.
func (k *Keeper) Own() *tls.Config {
	c := k.Links()
	c.VerifyConnection = func(state tls.ConnectionState) error {
		return k.verifyAt(state, earlier(time.Now(), state.PeerCertificates))
	}
	return c
}

// earlier gives a moment, or the end of the first certificate if that is earlier.
func earlier(now time.Time, shown []*x509.Certificate) time.Time {
	if len(shown) > 0 && now.After(shown[0].NotAfter) {
		return shown[0].NotAfter
	}
	return now
}

// Client encrypts connections of a client, which checks the name of the server as well.
func (k *Keeper) Client() *tls.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: k.stage.trusted.authorities, Certificates: []tls.Certificate{k.stage.shown.pair}}
}

// Server encrypts connections to the launcher. The kubelet shows no certificate.
func (k *Keeper) Server() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.pair(), nil },
		NextProtos:     []string{"http/1.1"},
	}
}

func (k *Keeper) pair() *tls.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	pair := k.stage.shown.pair // a handshake goes on with it while another certificate begins to count
	return &pair
}

// verify checks the certificate of the other side.
func (k *Keeper) verify(state tls.ConnectionState) error { return k.verifyAt(state, time.Now()) }

// verifyAt checks whether the certificate of the other side was good at a time.
func (k *Keeper) verifyAt(state tls.ConnectionState, at time.Time) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the other side shows no certificate")
	}
	k.mu.Lock()
	authorities := k.stage.trusted.authorities
	k.mu.Unlock()
	var chain [][]byte
	for _, certificate := range state.PeerCertificates[1:] {
		chain = append(chain, certificate.Raw)
	}
	_, err := Set{}.verify(authorities, state.PeerCertificates[0], chain, at, x509.ExtKeyUsageAny)
	return err
}

// Changed tells that another certificate counts, or that other authorities do.
func (k *Keeper) Changed() <-chan struct{} {
	if k == nil {
		return nil
	}
	return k.changed
}

// State gives what this launcher tells of its certificate; nil where nothing is encrypted.
func (k *Keeper) State() *State {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return &State{Version: k.stage.version(), Expires: k.stage.shown.Expires(), life: k.stage.shown.life(), Pending: k.pending()}
}

// pending says what of the files does not count yet, or why they are refused.
func (k *Keeper) pending() []string {
	var pending []string
	for _, text := range []string{k.refusal, k.unstored} {
		if text != "" {
			pending = append(pending, text)
		}
	}
	return append(pending, k.stage.pending()...)
}

// State is what a launcher tells of its certificate.
type State struct {
	// Version names the certificate that this pod shows and the authorities that it trusts.
	Version string `json:"version"`
	// Expires is when the certificate expires, or the last of the authorities if that is earlier.
	Expires time.Time     `json:"expires"`
	life    time.Duration // of the certificate, from its beginning to its end
	// Pending is what has not been applied yet, or cannot be, each in a sentence. Empty: all has been applied.
	Pending []string `json:"pending,omitempty"`
}

// Run follows the files until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	if k == nil {
		return
	}
	ticker := time.NewTicker(readEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			k.look(time.Now())
		}
	}
}

// look reads the files. What they hold counts when two looks in a row have found the same: the kubelet may replace them between two reads.
func (k *Keeper) look(now time.Time) {
	set, err := Read(k.files)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil && now.After(set.Expires()) && !now.After(k.stage.shown.Expires()) {
		err = errors.New("the new certificate has expired, and the present certificate is still good")
	}
	refusal := ""
	if err != nil {
		refusal = "the files of the Secret are refused, and the certificate before stays: " + err.Error()
	}
	if refusal != k.refusal {
		k.refusal = refusal
		if err != nil {
			k.log.Error("the new certificate is refused; the present certificate stays in force", "error", err)
		}
		k.tell()
	}
	next := k.stage
	if err == nil && set.same(k.seen) {
		next = next.taken(set, now)
	}
	if err == nil {
		k.seen = set
	}
	next = next.at(now)
	if next.version() == k.stage.version() && next.shown.same(k.stage.shown) && k.unstored == "" {
		k.stage = next
		return
	}
	k.stage, k.unstored = next, ""
	if err := k.store(); err != nil {
		k.unstored = err.Error()
		k.log.Error("Redis cannot have the certificate; trying again", "error", err)
	}
	k.log.Info("another certificate counts", "version", k.stage.version(), "expires", k.stage.shown.Expires(), "waits", k.stage.pending())
	k.tell()
}

func (k *Keeper) tell() {
	select {
	case k.changed <- struct{}{}:
	default: // it has been told
	}
}
