package backup

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// parseRecipients reads public keys of age, one a line. There are none in an empty text: backups are not encrypted.
func parseRecipients(text string) ([]age.Recipient, error) {
	if text == "" {
		return nil, nil
	}
	recipients, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the key recipient of the Secret for encryption, which has public keys of age (age1...), one a line: %w", err)
	}
	return recipients, nil
}

// CheckIdentity says with nil that a text has private keys of age. Whether one of them fits a backup shows when the backup is read.
func CheckIdentity(text string) error {
	_, err := parseIdentities(text)
	return err
}

// parseIdentities reads private keys of age, one a line. The error never has the text.
func parseIdentities(text string) ([]age.Identity, error) {
	if text == "" {
		return nil, errors.New("the backup is encrypted: give the private key of age in LAUNCHER_BACKUP_IDENTITY")
	}
	identities, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil {
		return nil, errors.New("LAUNCHER_BACKUP_IDENTITY is no private key of age: set it to lines that begin with AGE-SECRET-KEY-1")
	}
	return identities, nil
}

// encrypted gives what age makes of plain. Close it, so that nothing waits for a reader that has stopped.
func encrypted(plain io.Reader, recipients []age.Recipient) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() {
		into, err := age.Encrypt(writer, recipients...)
		if err == nil {
			_, err = io.Copy(into, plain)
		}
		if err == nil {
			err = into.Close()
		}
		writer.CloseWithError(err)
	}()
	return reader
}

// decrypted gives what was encrypted.
func decrypted(content io.Reader, identities []age.Identity) (io.Reader, error) {
	plain, err := age.Decrypt(content, identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, errors.New("the private key in LAUNCHER_BACKUP_IDENTITY is not one that the backup was encrypted for")
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt the backup: %w", err)
	}
	return plain, nil
}

// encryptedSize bounds the size of a file of a size after age has encrypted it: 16 bytes more for each 64 KiB, and a header with at most 4 KiB
// for each key.
func encryptedSize(size int64, recipients int) int64 {
	return size + (size>>16+1)*16 + int64(recipients+1)<<12
}
