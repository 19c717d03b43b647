package promote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// answerTime bounds one question to the external master, which may be far away.
const answerTime = 5 * time.Second

// source is the external master.
type source struct {
	*redis.Client
	address string
}

// connect prepares a connection. It fails if the authorities cannot be read.
func connect(x config.External) (*source, error) {
	s := &source{address: net.JoinHostPort(x.Host, strconv.Itoa(x.Port))}
	options := &redis.Options{
		Addr: s.address, Password: x.Password, Protocol: 2, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true,
		DialTimeout: answerTime, ReadTimeout: answerTime, WriteTimeout: answerTime,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if x.TLS {
		trusted := x509.NewCertPool()
		text, err := os.ReadFile(x.Trusted())
		if err == nil && !trusted.AppendCertsFromPEM(text) {
			err = fmt.Errorf("no certificate in %s", x.Trusted())
		}
		if err != nil {
			return nil, fmt.Errorf("read the authorities that the external master's certificate is checked by: %w", err)
		}
		options.TLSConfig = &tls.Config{ServerName: x.Host, RootCAs: trusted, MinVersion: tls.VersionTLS12}
	}
	s.Client = redis.NewClient(options)
	return s, nil
}

// state is what the external master tells of its replication.
type state struct {
	master  bool
	offset  int64
	history string
	process string // ID of the process
	empty   bool   // it has no keys
}

func (s *source) state(ctx context.Context) (state, error) {
	text, err := s.Info(ctx).Result()
	if err != nil {
		return state{}, fmt.Errorf("ask the external master %s for its offset: %w", s.address, err)
	}
	fields, empty := map[string]string{}, true
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[name] = value
		empty = empty && !strings.HasPrefix(value, "keys=") // the lines of the databases with keys
	}
	offset, err := strconv.ParseInt(fields["master_repl_offset"], 10, 64)
	if err != nil {
		return state{}, fmt.Errorf("the external master %s tells no offset", s.address)
	}
	return state{master: fields["role"] == "master", offset: offset, history: fields["master_replid"], process: fields["run_id"], empty: empty}, nil
}

// sentinels gives how many Sentinels listen at the external master, 0 if it does not tell.
func (s *source) sentinels(ctx context.Context) int64 {
	const hello = "__sentinel__:hello" // where Sentinels tell each other of a master
	listening, err := s.PubSubNumSub(ctx, hello).Result()
	if err != nil {
		return 0
	}
	return listening[hello]
}

// mayPause asks for a pause that ends at once: a longer one of somebody else goes on.
func (s *source) mayPause(ctx context.Context) error {
	if err := s.Do(ctx, "CLIENT", "PAUSE", 0, "WRITE").Err(); err != nil {
		return fmt.Errorf("the external master %s does not hold writes back: %w", s.address, err)
	}
	return nil
}

// pause has the external master hold all writes back.
func (s *source) pause(ctx context.Context, d time.Duration) error {
	if err := s.Do(ctx, "CLIENT", "PAUSE", d.Milliseconds(), "WRITE").Err(); err != nil {
		return fmt.Errorf("have the external master %s hold writes back: %w", s.address, err)
	}
	return nil
}

// unpause has the external master accept writes again.
func (s *source) unpause(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := s.Do(ctx, "CLIENT", "UNPAUSE").Err(); err != nil {
		return fmt.Errorf("have the external master %s accept writes again: %w", s.address, err)
	}
	return nil
}
