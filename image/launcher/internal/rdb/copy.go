// Package rdb takes a copy of all data of a Redis as a replica gets it, in the form of an RDB file, and checks such a file.
package rdb

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	// dialTimeout bounds connecting to a Redis.
	dialTimeout = 5 * time.Second
	// silence is how long a Redis may send nothing. While it prepares a copy it sends an empty line every repl-ping-replica-period, 10 s by
	// default.
	silence = time.Minute
	// noPort is the port that the copying connection announces. It is above every port there is, and so no sentinel takes the connection for
	// a replica that it could promote: see createSentinelAddr in Redis' sentinel.c.
	noPort = 65536
	// markLength is the length of the mark, in bytes, that ends a copy whose length the sender does not know: CONFIG_RUN_ID_SIZE of Redis.
	markLength = 40
	// bufferSize is that of the connection's buffer, in bytes.
	bufferSize = 256 << 10
)

// ErrNotInSync says that a replica has no link to its master, and so gives no copy.
var ErrNotInSync = errors.New("the replica has no link to its master")

// Copy writes the data of the Redis at addr into to, as an RDB file, and gives the size in bytes. The copy has the data of one moment. An
// empty password means no authentication, and nil for encryption a plain connection. The error is ErrNotInSync for a replica without a link to its master. What Copy has written
// before an error is no whole copy.
func Copy(ctx context.Context, addr netip.AddrPort, password string, encryption *tls.Config, to io.Writer) (int64, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	connection, err := dialer.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return 0, fmt.Errorf("connect to the Redis at %s: %w", addr, err)
	}
	defer func() { _ = connection.Close() }()
	if encryption != nil {
		encrypted := tls.Client(connection, encryption)
		limited, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		if err := encrypted.HandshakeContext(limited); err != nil {
			return 0, fmt.Errorf("encrypt the connection to the Redis at %s: %w", addr, err)
		}
		connection = encrypted
	}
	defer context.AfterFunc(ctx, func() { _ = connection.Close() })()
	s := &source{connection: connection}
	s.reader = bufio.NewReaderSize(s, bufferSize)
	size, err := s.copyTo(password, to)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return size, fmt.Errorf("copy the data of the Redis at %s: %w", addr, err)
	}
	return size, nil
}

// source is the connection to the Redis that is copied.
type source struct {
	connection net.Conn
	reader     *bufio.Reader
}

// Read reads from the connection, and gives up when nothing comes for too long.
func (s *source) Read(b []byte) (int, error) {
	if err := s.connection.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return s.connection.Read(b)
}

// send sends a command.
func (s *source) send(words ...string) error {
	var command bytes.Buffer
	fmt.Fprintf(&command, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(word), word)
	}
	if err := s.connection.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	_, err := s.connection.Write(command.Bytes())
	return err
}

// line reads a line, without empty lines before it.
func (s *source) line() (string, error) {
	for {
		line, err := s.reader.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			return text, nil
		}
	}
}

// ask sends a command and reads the answer, which must be one line and no error.
func (s *source) ask(words ...string) error {
	if err := s.send(words...); err != nil {
		return err
	}
	answer, err := s.line()
	if err != nil {
		return err
	}
	if strings.HasPrefix(answer, "-") {
		return fmt.Errorf("%s: %s", words[0], answer[1:])
	}
	return nil
}

func (s *source) copyTo(password string, to io.Writer) (int64, error) {
	if password != "" {
		if err := s.ask("AUTH", "default", password); err != nil { // a Redis that asks for no password accepts one with the user only
			return 0, err
		}
	}
	for _, words := range [][]string{
		{"REPLCONF", "listening-port", strconv.Itoa(noPort)},
		// Redis closes the connection after the copy, and keeps no writes for it.
		{"REPLCONF", "rdb-only", "1"},
		{"REPLCONF", "capa", "eof"},
	} {
		if err := s.ask(words...); err != nil {
			return 0, err
		}
	}
	if err := s.send("SYNC"); err != nil {
		return 0, err
	}
	head, err := s.line()
	switch {
	case err != nil:
		return 0, fmt.Errorf("wait for the copy: %w", err)
	case strings.HasPrefix(head, "-NOMASTERLINK"):
		return 0, ErrNotInSync
	case strings.HasPrefix(head, "$EOF:") && len(head) == len("$EOF:")+markLength:
		return s.untilMark([]byte(head[len("$EOF:"):]), to)
	case strings.HasPrefix(head, "$"):
		length, err := strconv.ParseInt(head[1:], 10, 64)
		if err != nil || length <= 0 {
			return 0, fmt.Errorf("read the length of the copy: %q is no length", head)
		}
		size, err := io.CopyN(to, s.reader, length)
		return size, err
	}
	return 0, fmt.Errorf("SYNC: %s", strings.TrimPrefix(head, "-"))
}

// untilMark writes what comes before the mark.
func (s *source) untilMark(mark []byte, to io.Writer) (int64, error) {
	var size int64
	buffer, kept := make([]byte, bufferSize), 0
	for {
		n, err := s.reader.Read(buffer[kept:])
		kept += n
		if ready := kept - markLength; ready > 0 {
			if _, err := to.Write(buffer[:ready]); err != nil {
				return size, err
			}
			size += int64(ready)
			kept = copy(buffer, buffer[ready:kept])
		}
		if kept == markLength && bytes.Equal(buffer[:kept], mark) && s.reader.Buffered() == 0 {
			return size, nil
		}
		if errors.Is(err, io.EOF) {
			return size, fmt.Errorf("the Redis closed the connection in the middle of the copy: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return size, err
		}
	}
}
