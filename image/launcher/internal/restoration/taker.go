package restoration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// wordTime bounds one exchange of words.
const wordTime = 2 * time.Second

// Taker is the side of the server.
type Taker struct {
	url    string
	client *http.Client
}

// Take prepares the questions to the pod behind a URL of Give. It asks nothing yet. encryption says how to check the certificate of that pod.
func Take(url string, encryption *tls.Config) Taker {
	transport := &http.Transport{
		DialContext: (&net.Dialer{Timeout: wordTime}).DialContext, TLSHandshakeTimeout: wordTime, TLSClientConfig: encryption,
		ResponseHeaderTimeout: wordTime, IdleConnTimeout: Silence, Proxy: nil,
	}
	return Taker{url, &http.Client{Transport: transport}}
}

// File writes the file to a path, and compares its size in bytes and its SHA-256. It gives up if nothing comes for Silence.
func (t Taker) File(ctx context.Context, path string, size int64, sha string) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stalled := time.AfterFunc(Silence, func() { end(fmt.Errorf("nothing has come for %v", Silence)) })
	defer stalled.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url+filePath, nil)
	if err != nil {
		return fmt.Errorf("ask for the backup: %w", withoutURL(err))
	}
	response, err := t.client.Do(request)
	if err != nil {
		return fmt.Errorf("ask the pod of launcher restore for the backup: %w", withoutURL(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the pod of launcher restore for the backup: it answered %s", response.Status)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return fmt.Errorf("make a file for the backup: %w", err)
	}
	sum := sha256.New()
	got, err := io.Copy(io.MultiWriter(file, sum, writer(func() { stalled.Reset(Silence) })), io.LimitReader(response.Body, size+1))
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("read the backup from the pod of launcher restore (is there room on the volume?): %w", err)
	}
	if found := hex.EncodeToString(sum.Sum(nil)); got != size || found != sha {
		return fmt.Errorf("the backup has come with %d bytes and SHA-256 %s, and should have %d bytes and SHA-256 %s", got, found, size, sha)
	}
	return nil
}

// writer calls a function for each part that is written.
type writer func()

func (w writer) Write(b []byte) (int, error) {
	w()
	return len(b), nil
}

// Tell tells how far this server is, and gives the answer.
func (t Taker) Tell(ctx context.Context, told Told) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, wordTime)
	defer cancel()
	var answer Answer
	content, err := json.Marshal(told)
	if err != nil {
		return answer, fmt.Errorf("encode how far this server is: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url+toldPath, bytes.NewReader(content))
	if err != nil {
		return answer, fmt.Errorf("tell how far this server is: %w", withoutURL(err))
	}
	response, err := t.client.Do(request)
	if err != nil {
		return answer, fmt.Errorf("tell the pod of launcher restore how far this server is: %w", withoutURL(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("tell the pod of launcher restore how far this server is: it answered %s", response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 4<<10)).Decode(&answer); err != nil {
		return answer, fmt.Errorf("read the answer of launcher restore: %w", err)
	}
	if answer.Stop {
		return answer, ErrStopped
	}
	return answer, nil
}

// ErrStopped says that launcher restore has ended, or does not want the data to be replaced any more.
var ErrStopped = errors.New("launcher restore has stopped")

// withoutURL leaves the URL out of an error, as it has the secret.
func withoutURL(err error) error {
	var asked interface{ Unwrap() error }
	if errors.As(err, &asked) {
		if inner := asked.Unwrap(); inner != nil {
			return inner
		}
	}
	return errors.New("the address is wrong")
}
