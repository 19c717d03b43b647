package lag

import (
	"testing"

	"github.com/stretchr/testify/assert"
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

func TestRefusedWritesAreThoseForWantOfReplicas(t *testing.T) {
	assert.Equal(t, int64(12), refusals(fields("errorstat_ERR:count=3\r\nerrorstat_NOREPLICAS:count=12\r\n")))
	assert.Zero(t, refusals(fields("errorstat_ERR:count=3\r\n")))
}
