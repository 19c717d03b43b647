package bulk

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReplicasThatAreNotConnectedHaveNoLag(t *testing.T) {
	master, offsets := roles([]map[string]string{
		fields("role:slave\r\nmaster_link_status:up\r\nslave_repl_offset:70\r\n"),
		fields("# Replication\r\nrole:master\r\nmaster_repl_offset:100\r\n"),
		fields("role:slave\r\nmaster_link_status:down\r\nslave_repl_offset:90\r\n"),
		nil, // it did not answer
	})
	assert.Equal(t, int64(100), number(master, "master_repl_offset"))
	assert.Equal(t, []int64{70}, offsets)
}

func TestRefusalsAreNoLostAnswers(t *testing.T) {
	answer := func(err error) redis.Cmder {
		c := redis.NewStatusCmd(t.Context())
		c.SetErr(err)
		return c
	}
	l := &load{}
	l.count([]redis.Cmder{answer(nil), answer(refusal("NOREPLICAS Not enough good replicas to write.")), answer(errors.New("i/o timeout"))}, 5)
	l.count(nil, 3)
	assert.Equal(t, []int64{1, 1, 1, 5}, []int64{l.acknowledged.Load(), l.refused.Load(), l.failed.Load(), l.longest.Load()})
	require.NotNil(t, l.refusal.Load())
	assert.Contains(t, *l.refusal.Load(), "NOREPLICAS")
}

// refusal is an error that Redis has replied.
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) RedisError()     {}
