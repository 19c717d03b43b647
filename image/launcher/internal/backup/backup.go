package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/rdb"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/store"
)

const (
	// checker is the program that checks RDB files; the image has it.
	checker = "redis-check-rdb"
	// copyAttempts is how many servers are tried. A server may end or lose its master while it is copied.
	copyAttempts = 3
	// cleanUpTime bounds the removal of what a failed run has left.
	cleanUpTime = time.Minute
)

// api is what a run asks of Kubernetes.
type api interface {
	records
	LivePods(context.Context) ([]kube.Pod, error)
}

// Maker makes backups of a release.
type Maker struct {
	config     config.Config
	api        api
	store      store.Store
	recipients []age.Recipient
	log        *slog.Logger
	times      times
}

// NewMaker prepares a run. It sends nothing yet. The error is about the settings.
func NewMaker(c config.Config, k *kube.Client, s store.Store, log *slog.Logger) (*Maker, error) {
	recipients, err := parseRecipients(c.Backup.Recipients)
	if err != nil {
		return nil, err
	}
	return &Maker{config: c, api: k, store: s, recipients: recipients, log: log, times: usual}, nil
}

// Open gives the store of the settings.
func Open(b config.Backup) (store.Store, error) {
	if b.Directory != "" {
		return store.NewDirectory(b.Directory)
	}
	return store.NewS3(store.S3Settings{
		Endpoint: b.S3.Endpoint, Bucket: b.S3.Bucket, Prefix: b.S3.Prefix, Region: b.S3.Region, AccessKey: b.S3.AccessKey, SecretKey: b.S3.SecretKey,
	})
}

// Run makes one backup, and then deletes those that are too old. Another run at the same time makes it fail. An error leaves no backup
// behind, but a backup may be whole although Run could not delete the old ones.
func (m *Maker) Run(ctx context.Context) error {
	return m.Alone(ctx, func(ctx context.Context, a *Alone) error {
		m.cleanUp(ctx)
		made, err := a.Make(ctx)
		if err != nil {
			return err
		}
		return m.expire(ctx, made)
	})
}

// Alone is the time in which no other run makes or restores a backup.
type Alone struct {
	maker *Maker
	lock  *lock
}

// Alone calls f while no other run makes or restores a backup. The context of f ends if another run takes the Lease.
func (m *Maker) Alone(ctx context.Context, f func(context.Context, *Alone) error) error {
	l, ctx, err := acquire(ctx, m.api, m.config.PodName, m.times, m.log)
	if err != nil {
		return fmt.Errorf("take the Lease of backups: %w", err)
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
		defer cancel()
		l.release(ending)
	}()
	return f(ctx, &Alone{m, l})
}

// Make makes one backup. An error leaves no backup behind, unless the Lease could not be written.
func (a *Alone) Make(ctx context.Context) (Manifest, error) {
	m, began := a.maker, time.Now().UTC().Truncate(time.Second)
	made, err := m.make(ctx, began)
	if err != nil {
		return Manifest{}, err
	}
	if err := a.lock.remember(ctx, kube.LastBackup{Name: made.Name, Time: made.Time, Size: made.Stored.Size}); err != nil {
		return Manifest{}, err
	}
	m.log.Info("the backup is whole", "name", made.Name, "bytes", made.Stored.Size, "encrypted", made.Encrypted, "at", m.store.String(),
		"seconds", int(time.Since(began).Seconds()))
	return made, nil
}

// jobTime is the activeDeadlineSeconds of the chart's Jobs: no Job makes a pod later than that.
const jobTime = 6 * time.Hour

// NotOrderedBefore says with an error that an earlier pod of the same Job has given an order. A Job makes another pod where the first one has
// failed, and what has been restored must not be restored once more.
func (a *Alone) NotOrderedBefore() error {
	return orderedBy(a.lock.read().Ordered, a.lock.self, time.Now())
}

// orderedBy says with an error that an order was given by another pod of the Job of self. The name of a pod is that of its Job, "-" and five letters.
func orderedBy(last kube.Ordered, self string, now time.Time) error {
	job := func(pod string) string { return pod[:max(0, strings.LastIndexByte(pod, '-'))] }
	if last.By == self || job(self) == "" || job(last.By) != job(self) || now.Sub(last.At).Abs() > jobTime {
		return nil
	}
	return fmt.Errorf("pod %s of this Job has begun to restore already: see its log, and begin anew with a Job of another name (with backoffLimit 0)", last.By)
}

// Order writes an order to a server into the Lease. The order ends with this run, or with nil.
func (a *Alone) Order(ctx context.Context, order *kube.Restoration) error {
	err := a.lock.write(ctx, func(r *kube.BackupRecord) {
		r.Restoration, r.Ordered = order, kube.Ordered{By: a.lock.self, At: time.Now().UTC()}
	})
	if err != nil {
		return fmt.Errorf("write the order to load a backup into the Lease: %w", err)
	}
	return nil
}

// cleanUp removes what interrupted runs have left. A failure is told, and does not stop the backup.
func (m *Maker) cleanUp(ctx context.Context) {
	before := time.Now().Add(-leftoverAge)
	err := m.store.Discard(ctx, before)
	objects, listed := m.store.List(ctx)
	for _, name := range leftovers(objects, before) {
		m.log.Info("deleting what a failed backup has left", "object", name)
		err = errors.Join(err, m.store.Delete(ctx, name))
	}
	if err = errors.Join(err, listed); err != nil {
		m.log.Warn("what failed backups have left could not be removed; the next run tries again", "error", err)
	}
}

// make copies, checks and stores the data, and writes the manifest.
func (m *Maker) make(ctx context.Context, began time.Time) (Manifest, error) {
	path := filepath.Join(m.config.Backup.WorkDir, "dump.rdb")
	if err := os.MkdirAll(m.config.Backup.WorkDir, 0o750); err != nil {
		return Manifest{}, fmt.Errorf("make the directory for a copy of the data (mount an emptyDir there): %w", err)
	}
	defer os.Remove(path)
	from, copied, err := m.copy(ctx, path)
	if err != nil {
		return Manifest{}, err
	}
	m.log.Info("checking the copy", "program", checker)
	keys, err := rdb.Check(ctx, checker, path)
	if err != nil {
		return Manifest{}, fmt.Errorf("the copy of %s is damaged: %w", from.Name, err)
	}
	made := Manifest{
		Form: manifestForm, Name: nameOf(began, copied), Release: m.config.Namespace + "/" + m.config.Prefix[:len(m.config.Prefix)-1], Time: began,
		Source: from.Name, RedisVersion: from.info.Version, Encrypted: len(m.recipients) > 0, RDB: copied,
	}
	if keys >= 0 {
		made.Keys = &keys
	}
	if err := m.keep(ctx, &made, path); err != nil {
		return Manifest{}, errors.Join(err, m.withdraw(ctx, made))
	}
	return made, nil
}

// copy writes a copy of the data into a file.
func (m *Maker) copy(ctx context.Context, path string) (source, File, error) {
	var tried []string
	var failed error
	for range copyAttempts {
		from, err := m.choose(ctx, tried)
		if err != nil {
			return source{}, File{}, errors.Join(err, failed)
		}
		m.log.Info("copying", "pod", from.Name, "reason", from.reason)
		copied, err := m.copyFrom(ctx, from, path)
		if err == nil {
			return from, copied, nil
		}
		if failed = errors.Join(failed, err); ctx.Err() != nil {
			break
		}
		m.log.Warn("the copy failed; trying another server", "pod", from.Name, "error", err)
		tried = append(tried, from.UID)
	}
	return source{}, File{}, failed
}

// choose is chooseOnce, again and again while the servers have not read the password of this pod: it may be a new one.
func (m *Maker) choose(ctx context.Context, tried []string) (from source, err error) {
	ended := password.UntilRead(ctx, func() error {
		var early bool
		if from, early, err = m.chooseOnce(ctx, tried); early {
			return err
		}
		return nil
	}, func(refusal error) {
		m.log.Info("waiting until the servers have read the new password", "error", refusal)
	})
	if ended != nil {
		return source{}, err
	}
	return from, err
}

// chooseOnce asks all servers but the tried ones, and chooses one of them. early says that no server can be chosen, and that a server refuses the
// password of this pod.
func (m *Maker) chooseOnce(ctx context.Context, tried []string) (from source, early bool, err error) {
	pods, err := m.api.LivePods(ctx)
	if err != nil {
		return source{}, false, err
	}
	var servers []server
	for _, pod := range pods {
		if pod.Server && pod.IP.IsValid() && !slices.Contains(tried, pod.UID) {
			servers = append(servers, server{Pod: pod})
		}
	}
	links := observe.NewLinks(m.config.Password).Encrypted(m.config.TLS.Links)
	defer links.Keep(netip.Addr{}, nil)
	observe.Each(servers, func(s *server) { s.info, s.err = links.To(s.IP, m.config.RedisPort).Info(ctx) })
	from, err = choose(servers)
	early = err != nil && slices.ContainsFunc(servers, func(s server) bool { return errors.Is(s.err, redisnode.ErrPassword) })
	return from, early, err
}

// copyFrom writes a copy of the data of a server into a file.
func (m *Maker) copyFrom(ctx context.Context, from source, path string) (File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return File{}, fmt.Errorf("write a copy of the data (is there room in LAUNCHER_BACKUP_WORK_DIR?): %w", err)
	}
	ctx, moved, over := watch(ctx, m.log, "copying", 0)
	defer over()
	sum := sha256.New()
	size, err := rdb.Copy(ctx, netip.AddrPortFrom(from.IP, uint16(m.config.RedisPort)), m.config.Password, m.config.TLS.Links, io.MultiWriter(file, sum, moved))
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return File{}, err
	}
	return fileOf(size, sum), nil
}

func fileOf(size int64, sum hash.Hash) File {
	return File{Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}
}

// keep stores the file and, when the store gives it back as it was, the manifest.
func (m *Maker) keep(ctx context.Context, made *Manifest, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the copy of the data: %w", err)
	}
	defer file.Close()
	var content io.Reader = file
	atMost := made.RDB.Size
	if made.Encrypted {
		sealed := encrypted(file, m.recipients)
		defer sealed.Close()
		content, atMost = sealed, encryptedSize(made.RDB.Size, len(m.recipients))
	}
	object := dataName(made.Name, made.Encrypted)
	if made.Stored, err = m.send(ctx, object, content, atMost); err != nil {
		return err
	}
	if err := verify(ctx, m.store, m.log, object, made.Stored, io.Discard); err != nil {
		return err
	}
	manifest, err := made.encode()
	if err != nil {
		return err
	}
	written, err := m.send(ctx, made.Name+manifestSuffix, bytes.NewReader(manifest), int64(len(manifest)))
	if err != nil {
		return err
	}
	return verify(ctx, m.store, m.log, made.Name+manifestSuffix, written, io.Discard)
}

// send stores an object, and tells what was sent.
func (m *Maker) send(ctx context.Context, object string, content io.Reader, atMost int64) (File, error) {
	ctx, moved, over := watch(ctx, m.log, "storing "+object, atMost)
	defer over()
	sum := sha256.New()
	err := m.store.Put(ctx, object, io.TeeReader(content, io.MultiWriter(sum, moved)), atMost)
	return fileOf(moved.done.Load(), sum), err
}

// verify reads an object from the store into a writer, and compares its size and its checksum.
func verify(ctx context.Context, s store.Store, log *slog.Logger, object string, want File, to io.Writer) error {
	ctx, moved, over := watch(ctx, log, "reading "+object, want.Size)
	defer over()
	body, err := s.Get(ctx, object)
	if err != nil {
		return err
	}
	defer body.Close()
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(sum, moved, to), body)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("read %s from %s: %w", object, s, err)
	}
	if got := fileOf(size, sum); got != want {
		return fmt.Errorf("%s at %s is damaged: it has %d bytes with SHA-256 %s and should have %d bytes with SHA-256 %s",
			object, s, got.Size, got.SHA256, want.Size, want.SHA256)
	}
	return nil
}

// withdraw deletes what a failed run has stored. The context of the run may have ended.
func (m *Maker) withdraw(ctx context.Context, made Manifest) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	var err error
	for _, object := range []string{made.Name + manifestSuffix, dataName(made.Name, made.Encrypted)} {
		err = errors.Join(err, m.store.Delete(ctx, object))
	}
	if err != nil {
		return fmt.Errorf("remove what the failed backup has stored: %w", err)
	}
	return nil
}

// expire deletes the backups that are too old.
func (m *Maker) expire(ctx context.Context, last Manifest) error {
	objects, err := m.store.List(ctx)
	if err != nil {
		return fmt.Errorf("the backup is whole, but old ones could not be deleted: %w", err)
	}
	for _, name := range expired(objects, time.Now().Add(-m.config.Backup.Retention), last.Name) {
		m.log.Info("deleting a backup that is too old", "name", name)
		for _, object := range objectsOf(objects, name) {
			if err := m.store.Delete(ctx, object); err != nil {
				return fmt.Errorf("the backup is whole, but backup %s, which is too old, could not be deleted: %w", name, err)
			}
		}
	}
	return nil
}
