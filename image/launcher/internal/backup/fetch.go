package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/redis-ha/redis-ha/image/launcher/internal/rdb"
	"github.com/redis-ha/redis-ha/image/launcher/internal/store"
)

// fetch writes the RDB file of a backup to a path. After an error there is no file.
func fetch(ctx context.Context, s store.Store, m Manifest, identity, path string, log *slog.Logger) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return fmt.Errorf("make a file for the backup: %w", err)
	}
	err = fetchInto(ctx, s, m, identity, file, log)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		_, err = rdb.Check(ctx, checker, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("fetch backup %s: %w", m.Name, err), os.Remove(path))
	}
	return nil
}

// fetchInto writes the RDB file of a backup, and compares its size and its checksum.
func fetchInto(ctx context.Context, s store.Store, m Manifest, identity string, to io.Writer, log *slog.Logger) error {
	object := dataName(m.Name, m.Encrypted)
	if !m.Encrypted {
		return verify(ctx, s, log, object, m.Stored, to)
	}
	identities, err := parseIdentities(identity)
	if err != nil {
		return err
	}
	// What comes from the store is decrypted on the way, and both files are compared at the end.
	reader, writer := io.Pipe()
	defer reader.Close()
	verified := make(chan error, 1)
	go func() {
		err := verify(ctx, s, log, object, m.Stored, writer)
		writer.CloseWithError(err)
		verified <- err
	}()
	plain, err := decrypted(reader, identities)
	if err != nil {
		return err
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(to, sum), plain)
	if err != nil {
		return fmt.Errorf("decrypt the backup: %w", err)
	}
	if err := <-verified; err != nil {
		return err
	}
	if got := fileOf(size, sum); got != m.RDB {
		return fmt.Errorf("the decrypted file has %d bytes with SHA-256 %s and should have %d bytes with SHA-256 %s", got.Size, got.SHA256, m.RDB.Size, m.RDB.SHA256)
	}
	return nil
}
