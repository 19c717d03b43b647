// Package pack makes a chart repository of a chart: the archive, its
// provenance if there is a key to sign with, and the index.
package pack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/provenance"
	"helm.sh/helm/v3/pkg/repo"
)

// imageValue is the value with the image that the chart runs.
const imageValue = "redis_image"

// Repository says what to make, and of what.
type Repository struct {
	// Chart is the folder of the chart, which stays as it is.
	Chart string
	// Destination is the folder of the repository. It is made if it is not
	// there; archives that are in it are indexed too.
	Destination string
	// Image becomes the chart's default image; empty keeps the one it has.
	Image string
	// Version is the version that the chart has to have, or empty.
	Version string
	// URL is where the archives will be; empty means beside the index.
	URL string
	// Index is the index of earlier versions, which are kept; it may be missing.
	Index string
	// Key signs the archive; the zero value does not.
	Key Key
}

// Key is a private key in a keyring as GnuPG exports it.
type Key struct {
	// Name is a part of the key's user id.
	Name string
	// Keyring is the file, and PassphraseFile the one with its passphrase.
	Keyring, PassphraseFile string
}

// Make writes the repository and returns the path of the archive.
func (r Repository) Make() (archive string, err error) {
	loaded, err := loader.LoadDir(r.Chart)
	if err != nil {
		return "", fmt.Errorf("load the chart: %w", err)
	}
	if r.Version != "" && loaded.Metadata.Version != r.Version {
		return "", fmt.Errorf("%s has version %s, and %s is to be packaged: set it there, or tag v%s",
			filepath.Join(r.Chart, "Chart.yaml"), loaded.Metadata.Version, r.Version, loaded.Metadata.Version)
	}
	if r.Image != "" {
		if err := setImage(loaded, r.Image); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(r.Destination, 0o755); err != nil {
		return "", fmt.Errorf("create the chart repository: %w", err)
	}
	archive, err = chartutil.Save(loaded, r.Destination)
	if err != nil {
		return "", fmt.Errorf("write the chart's archive: %w", err)
	}
	// One of an archive before would be wrong.
	if err := os.Remove(archive + ".prov"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("remove an old provenance: %w", err)
	}
	if r.Key != (Key{}) {
		if err := r.Key.sign(archive); err != nil {
			return "", err
		}
	}
	return archive, r.index()
}

// setImage changes the default image wherever the package names it: in the
// values, in their schema and in the text about them.
func setImage(c *chart.Chart, image string) error {
	old, _ := c.Values[imageValue].(string)
	if old == "" {
		return fmt.Errorf("values.yaml has no %s to set", imageValue)
	}
	replaced := func(text []byte) []byte { return bytes.ReplaceAll(text, []byte(old), []byte(image)) }
	for _, file := range c.Raw {
		// An archive takes its values.yaml from here, and nothing else.
		if file.Name == chartutil.ValuesfileName {
			file.Data = replaced(file.Data)
		}
	}
	for _, file := range c.Files {
		file.Data = replaced(file.Data)
	}
	c.Schema = replaced(c.Schema)
	return nil
}

// sign writes the provenance beside the archive.
func (k Key) sign(archive string) error {
	if k.Name == "" || k.Keyring == "" {
		return errors.New("sign the archive: name both the key and the keyring it is in")
	}
	signatory, err := provenance.NewFromKeyring(k.Keyring, k.Name)
	if err != nil {
		return fmt.Errorf("find the key %q in %s: %w", k.Name, k.Keyring, err)
	}
	if err := signatory.DecryptKey(k.passphrase); err != nil {
		return fmt.Errorf("decrypt the key %q: %w", k.Name, err)
	}
	signed, err := signatory.ClearSign(archive)
	if err != nil {
		return fmt.Errorf("sign the archive: %w", err)
	}
	if err := os.WriteFile(archive+".prov", []byte(signed), 0o644); err != nil {
		return fmt.Errorf("write the provenance: %w", err)
	}
	return nil
}

// passphrase reads the passphrase of an encrypted key.
func (k Key) passphrase(string) ([]byte, error) {
	if k.PassphraseFile == "" {
		return nil, errors.New("the key has a passphrase: name the file it is in")
	}
	content, err := os.ReadFile(k.PassphraseFile)
	if err != nil {
		return nil, fmt.Errorf("read the passphrase: %w", err)
	}
	return []byte(strings.TrimRight(string(content), "\r\n")), nil
}

// index writes the index of all archives in the repository and of the earlier
// versions. What is in the repository wins.
func (r Repository) index() error {
	index, err := repo.IndexDirectory(r.Destination, r.URL)
	if err != nil {
		return fmt.Errorf("index the chart repository: %w", err)
	}
	if r.Index != "" {
		earlier, err := repo.LoadIndexFile(r.Index)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return fmt.Errorf("read the index of earlier versions: %w", err)
		default:
			index.Merge(earlier)
		}
	}
	index.SortEntries()
	if err := index.WriteFile(filepath.Join(r.Destination, "index.yaml"), 0o644); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	return nil
}
