package copydata

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/redis-ha/redis-ha/image/launcher/internal/copyplan"
)

// The client library's own log says again what the returned errors say.
func init() { logging.Disable() }

const (
	dialTimeout = 10 * time.Second
	// answerTimeout leaves a busy server the time for a batch of large payloads over a slow network.
	answerTimeout = time.Minute
	// noSuchKey is asked for to learn which commands a server knows.
	noSuchKey = "redis-ha-copy:no-such-key"
)

// server is the source or the target.
type server struct {
	// side is "source" or "target".
	side     string
	endpoint Endpoint

	// What the server knows, as learn has found out.
	expireTime, fieldExpiry, memoryUsage, readScripts bool
	// ahead is what the server's clock is ahead of this one's.
	ahead time.Duration

	mu      sync.Mutex
	clients map[int]*redis.Client
}

func newServer(side string, endpoint Endpoint) *server {
	return &server{side: side, endpoint: endpoint, clients: map[int]*redis.Client{}}
}

// db gives the client of a numbered database.
func (s *server) db(number int) *redis.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if client := s.clients[number]; client != nil {
		return client
	}
	client := redis.NewClient(&redis.Options{
		Addr: s.endpoint.Address, Username: s.endpoint.User, Password: s.endpoint.Password, DB: number, TLSConfig: s.endpoint.tls,
		Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1, PoolSize: 2*workers + 4,
		DialTimeout: dialTimeout, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	s.clients[number] = client
	return client
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, client := range s.clients {
		_ = client.Close()
	}
	clear(s.clients)
}

// wrap says which server an error is from.
func (s *server) wrap(attempted string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s at the %s %s: %w", attempted, s.side, s.endpoint.Address, err)
}

// info asks for sections of INFO.
func (s *server) info(ctx context.Context) (copyplan.Info, error) {
	var all strings.Builder
	for _, section := range []string{"server", "replication", "persistence", "cluster", "keyspace", "commandstats"} {
		text, err := s.db(0).Info(ctx, section).Result()
		if err != nil {
			return nil, s.wrap("ask for INFO "+section, err)
		}
		all.WriteString(text)
	}
	return copyplan.ParseInfo(all.String()), nil
}

// learn finds out which commands the server knows and allows.
func (s *server) learn(ctx context.Context) error {
	for command, known := range map[string]*bool{
		"PEXPIRETIME " + noSuchKey:                  &s.expireTime,
		"HPEXPIRETIME " + noSuchKey + " FIELDS 1 f": &s.fieldExpiry,
		"MEMORY USAGE " + noSuchKey:                 &s.memoryUsage,
	} {
		arguments := strings.Fields(command)
		err := s.db(0).Do(ctx, anys(arguments)...).Err()
		if err != nil && (!answered(err) || passes(err)) {
			return s.wrap("ask for "+arguments[0], err)
		}
		*known = err == nil || errors.Is(err, redis.Nil)
	}
	err := s.db(0).Do(ctx, "EVAL_RO", checkScript, 1, noSuchKey).Err()
	s.readScripts = errors.Is(err, redis.Nil)
	now, err := s.db(0).Time(ctx).Result()
	if answered(err) && !passes(err) {
		return nil // TIME is not allowed: this clock will do
	}
	if err == nil {
		s.ahead = time.Until(now)
	}
	return s.wrap("ask for TIME", err)
}

// expiryQuestion asks for the time at which a key expires. An old server answers how long a key has left. That counts
// from the time of the question: large payloads before the answer may take seconds to arrive.
type expiryQuestion struct {
	answer *redis.Cmd
	asked  time.Time
}

// askExpiry puts the question for the time at which a key expires into a pipeline.
func (s *server) askExpiry(ctx context.Context, pipe redis.Pipeliner, name string) expiryQuestion {
	command := "PTTL"
	if s.expireTime {
		command = "PEXPIRETIME"
	}
	return expiryQuestion{answer: pipe.Do(ctx, command, name), asked: time.Now()}
}

// expiry reads the answer to askExpiry: milliseconds since 1970, copyplan.NoExpiry or copyplan.NoKey.
func (s *server) expiry(question expiryQuestion) (int64, error) {
	value, err := question.answer.Int64()
	if err != nil || value < 0 || s.expireTime {
		return value, err
	}
	return question.asked.Add(s.ahead).UnixMilli() + value, nil
}

// size asks for the number of keys in a database.
func (s *server) size(ctx context.Context, db int) (int64, error) {
	size, err := s.db(db).DBSize(ctx).Result()
	return size, s.wrap("count the keys", err)
}

// answered says that a server has answered, and with what, so that asking again is of no use.
func answered(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer)
}

// passing are the beginnings of answers of a server that will soon answer something else.
var passing = []string{"LOADING", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "BUSY ", "NOREPLICAS"}

// passes says that an error may go away by itself: the server does not answer, or is not ready.
func passes(err error) bool {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return err != nil
	}
	for _, beginning := range passing {
		if strings.HasPrefix(answer.Error(), beginning) {
			return true
		}
	}
	return false
}

// execute carries out a pipeline. The error is one of the connection, or an answer that passes; other answers are in the
// commands.
func execute(ctx context.Context, pipe redis.Pipeliner) error {
	if pipe.Len() == 0 {
		return nil
	}
	commands, err := pipe.Exec(ctx)
	if err != nil && !answered(err) {
		return err
	}
	for _, command := range commands {
		if err := command.Err(); answered(err) && passes(err) {
			return err
		}
	}
	return nil
}

// first gives the first error among commands of a pipeline, but not that a key does not exist.
func first(commands []redis.Cmder) error {
	for _, command := range commands {
		if err := command.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

func anys(texts []string) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = text
	}
	return all
}
