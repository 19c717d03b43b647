package backup

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/store"
)

// readManifest reads the manifest of the backup of a name.
func readManifest(ctx context.Context, s store.Store, name string) (Manifest, error) {
	body, err := s.Get(ctx, name+manifestSuffix)
	if err != nil {
		return Manifest{}, err
	}
	defer body.Close()
	content, err := io.ReadAll(io.LimitReader(body, manifestSize))
	if err != nil {
		return Manifest{}, fmt.Errorf("read the manifest of backup %s: %w", name, err)
	}
	return decode(name, content)
}

// List writes a table of the backups, the newest first.
func List(ctx context.Context, s store.Store, now time.Time, out io.Writer) error {
	objects, err := s.List(ctx)
	if err != nil {
		return err
	}
	sizes := map[string]int64{}
	for _, o := range objects {
		sizes[o.Name] = o.Size
	}
	found := names(objects)
	if len(found) == 0 {
		_, err := fmt.Fprintf(out, "no backups at %s\n", s)
		return err
	}
	var problems []string
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tAGE\tSIZE\tREDIS\tENCRYPTED")
	for _, name := range found {
		m, err := readManifest(ctx, s, name)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		if size := sizes[dataName(name, m.Encrypted)]; size != m.Stored.Size {
			problems = append(problems, fmt.Sprintf("backup %s is damaged: its data have %d bytes and should have %d", name, size, m.Stored.Size))
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", name, ageText(now.Sub(m.Time)), sizeText(m.Stored.Size), m.RedisVersion, map[bool]string{true: "yes", false: "no"}[m.Encrypted])
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the backups: %w", err)
	}
	for _, problem := range problems {
		fmt.Fprintln(out, problem)
	}
	return nil
}

// ageText tells a time in the largest unit of which it has two.
func ageText(age time.Duration) string {
	switch {
	case age >= 48*time.Hour:
		return fmt.Sprintf("%dd", age/(24*time.Hour))
	case age >= 2*time.Hour:
		return fmt.Sprintf("%dh", age/time.Hour)
	case age >= 2*time.Minute:
		return fmt.Sprintf("%dm", age/time.Minute)
	}
	return fmt.Sprintf("%ds", max(0, age)/time.Second)
}

// sizeText tells a size in MiB, or in bytes if it is less.
func sizeText(size int64) string {
	if size < 1<<20 {
		return fmt.Sprintf("%d B", size)
	}
	return fmt.Sprintf("%.1f MiB", float64(size)/(1<<20))
}

// Latest stands for the newest backup.
const Latest = "latest"

// find gives the manifest of the backup of a name, or of the newest backup.
func find(ctx context.Context, s store.Store, name string) (Manifest, error) {
	if name == Latest {
		objects, err := s.List(ctx)
		if err != nil {
			return Manifest{}, err
		}
		found := names(objects)
		if len(found) == 0 {
			return Manifest{}, fmt.Errorf("there is no backup at %s", s)
		}
		name = found[0]
	}
	if _, ok := timeOf(name); !ok {
		return Manifest{}, fmt.Errorf("%q is no name of a backup: see launcher backup list, or use %q", name, Latest)
	}
	return readManifest(ctx, s, name)
}

// Find gives the manifest of the backup of a name, or of the latest one, if its data are there.
func Find(ctx context.Context, s store.Store, name string) (Manifest, error) {
	m, err := find(ctx, s, name)
	if err != nil {
		return Manifest{}, err
	}
	objects, err := s.List(ctx)
	if err != nil {
		return Manifest{}, err
	}
	for _, o := range objects {
		if o.Name == dataName(m.Name, m.Encrypted) && o.Size == m.Stored.Size {
			return m, nil
		}
	}
	return Manifest{}, fmt.Errorf("backup %s is damaged: its data are not there with their %d bytes", m.Name, m.Stored.Size)
}

// Fetch writes the RDB file of a backup to a path, which must not exist, and checks the file. After an error there is no file.
func Fetch(ctx context.Context, s store.Store, name, identity, path string, log *slog.Logger) (Manifest, error) {
	m, err := find(ctx, s, name)
	if err != nil {
		return Manifest{}, err
	}
	return m, fetch(ctx, s, m, identity, path, log)
}
