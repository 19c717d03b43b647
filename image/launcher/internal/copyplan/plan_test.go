package copyplan

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChoiceOfTheMethod(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    string
		bytes   int64
		refused bool
		want    Method
	}{
		{"a key that has gone", "none", 0, false, Gone},
		{"a small key", "hash", 100, false, ByPayload},
		{"a key of unknown size", "hash", 0, false, ByPayload},
		{"a large key", "hash", LargeKey + 1, false, ByCommands},
		{"a large string", "string", LargeKey + 1, false, ByCommands},
		{"a payload that the target refuses", "zset", 100, true, ByCommands},
		{"a type of a module", "ReJSON-RL", LargeKey + 1, false, ByPayload},
		{"a type of a module that the target does not have", "ReJSON-RL", 100, true, Impossible},
	} {
		require.Equal(t, c.want, Choose(c.kind, c.bytes, c.refused), c.name)
	}
}

func TestPiecesHaveABoundedSize(t *testing.T) {
	require.Equal(t, int64(unknownPiece), PieceLength(0, 10))
	require.Equal(t, int64(maxPiece), PieceLength(1000, 1000))
	require.Equal(t, int64(1), PieceLength(100<<20, 10), "elements of 10 MiB")
	require.Equal(t, int64(100), PieceLength(100*pieceBytes, 100*100))
}

func TestAnswersThatCloseTheWayOfPayloads(t *testing.T) {
	for answer, want := range map[string]bool{
		"ERR DUMP payload version or checksum are wrong":                       true,
		"ERR Bad data format":                                                  true,
		"NOPERM this user has no permissions to run the 'restore' command":     true,
		"ERR unknown command 'RESTORE', with args beginning with: 'a' '0' 'x'": true,
		"OOM command not allowed when used memory > 'maxmemory'":               false,
		"READONLY You can't write against a read only replica.":                false,
		"NOREPLICAS Not enough good replicas to write.":                        false,
		"LOADING Redis is loading the dataset in memory":                       false,
		"ERR Invalid TTL value, must be >= 0":                                  false,
		"BUSYKEY Target key name already exists.":                              false,
	} {
		require.Equal(t, want, PayloadRefused(answer), answer)
	}
}

func TestIDsFollowEachOther(t *testing.T) {
	for id, want := range map[string]string{"5-0": "5-1", "5-18446744073709551615": "6-0", "0-0": "0-1"} {
		next, err := NextID(id)
		require.NoError(t, err)
		require.Equal(t, want, next)
	}
	for _, id := range []string{"", "5", "a-1", "1-a"} {
		_, err := NextID(id)
		require.Error(t, err, id)
	}
}

func sum(kind string, rows ...[]string) [32]byte {
	d := NewDigest(kind)
	for _, r := range rows {
		d.Add(r)
	}
	return d.Sum()
}

func TestDigestKnowsTheOrderWhereThereIsOne(t *testing.T) {
	a, b := []string{"a", "1"}, []string{"b", "2"}
	for _, kind := range []string{"set", "hash"} {
		require.Equal(t, sum(kind, a, b), sum(kind, b, a), kind)
		require.NotEqual(t, sum(kind, a, b), sum(kind, a), kind)
		require.NotEqual(t, sum(kind, a, b), sum(kind, a, b, b), kind)
	}
	for _, kind := range []string{"string", "list", "zset", "stream"} {
		require.NotEqual(t, sum(kind, a, b), sum(kind, b, a), kind)
	}
}

func TestDigestKnowsWhereElementsEnd(t *testing.T) {
	for _, kind := range []string{"list", "hash"} {
		require.NotEqual(t, sum(kind, []string{"ab", "c"}), sum(kind, []string{"a", "bc"}), kind)
		require.NotEqual(t, sum(kind, []string{"a", "b"}), sum(kind, []string{"a"}, []string{"b"}), kind)
		require.NotEqual(t, sum(kind, []string{""}), sum(kind), kind)
	}
}

func TestTimesToExpire(t *testing.T) {
	require.True(t, SameExpiry(1000, 1000, true))
	require.False(t, SameExpiry(1000, 1001, true))
	require.True(t, SameExpiry(5000, 5900, false), "one of the servers tells only the time that is left")
	require.False(t, SameExpiry(5000, 6001, false))
	require.False(t, SameExpiry(NoExpiry, 0, false))
	require.False(t, SameExpiry(NoExpiry, NoKey, false))
	require.True(t, SameExpiry(NoExpiry, NoExpiry, false))
}

func TestChecksOfPayloads(t *testing.T) {
	a, b, older := CheckOf("value"+"\x0a\x00"+"checksum"), CheckOf("other"+"\x0a\x00"+"CHECKSUM"), CheckOf("value"+"\x09\x00"+"checksum")
	require.Equal(t, Equal, a.Compare(a))
	require.Equal(t, Differ, a.Compare(b))
	require.Equal(t, Unlike, a.Compare(older))
	require.Equal(t, Unlike, a.Compare(CheckOf("")), "a payload that nobody may read")
	require.Equal(t, Unlike, CheckOf("").Compare(CheckOf("")), "two payloads that nobody may read")
}

func TestSampleIsSharedAmongDatabases(t *testing.T) {
	require.Equal(t, map[int]int{0: 900, 3: 99, 5: 1}, Shares(1000, map[int]int64{0: 9_000_000, 3: 999_000, 5: 2, 7: 0}))
	require.Equal(t, map[int]int{0: 3}, Shares(1000, map[int]int64{0: 3}))
	require.Empty(t, Shares(0, map[int]int64{0: 3}))
}

func TestNotificationsOfTheSource(t *testing.T) {
	for present, want := range map[string]string{"": "EA", "KEA": "KEA", "Ex": "ExA", "AK": "AKE"} {
		wanted, missing := Notifications(present)
		require.Equal(t, want, wanted)
		require.Equal(t, want != present, missing, present)
	}
	found, itself, is := EventKey("__keyevent@12__:set", "a:b\x00c")
	require.True(t, is)
	require.False(t, itself)
	require.Equal(t, Key{DB: 12, Name: "a:b\x00c"}, found)
	_, itself, is = EventKey("__keyevent@0__:expired", "a")
	require.True(t, is)
	require.True(t, itself, "keys expire when all clients have been stopped, too")
	for _, channel := range []string{"news", "__keyevent@x__:set", "__keyevent@1", "__keyspace@0__:a"} {
		_, _, is := EventKey(channel, "a")
		require.False(t, is, channel)
	}
}

func TestInfo(t *testing.T) {
	info := ParseInfo("# Server\r\nredis_version:7.4.1\r\nrun_id:abc\r\n\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=5\r\ndb12:keys=10,expires=0\r\n" +
		"cmdstat_flushdb:calls=2,usec=5\r\ndbfilename:dump.rdb\r\n")
	require.Equal(t, map[int]int64{0: 3, 12: 10}, info.Keys())
	require.Equal(t, "redis 7.4.1", info.Name())
	require.NotEqual(t, info.Silent(), ParseInfo("cmdstat_flushdb:calls=3,usec=9").Silent())
	require.Equal(t, info.Silent(), ParseInfo("cmdstat_flushdb:calls=2,usec=9").Silent())
	require.NotEqual(t, info.Silent(), ParseInfo("").Silent(), "the statistics have been reset")
	require.Equal(t, "valkey 8.1.1", ParseInfo("redis_version:7.2.4\r\nvalkey_version:8.1.1").Name())
}

func TestProgressTellsHowLongTheRestTakes(t *testing.T) {
	p := Progress{Total: 400, Done: 100, Equal: 5, Bytes: 3 << 20, Spent: 10 * time.Second}
	require.Equal(t, "100 of 400 keys (25.0 %), 3.0 MiB written, 5 were equal, 10 keys/s, 307.2 KiB/s, about 30s left", p.String())
	require.Equal(t, "0 of 0 keys (100.0 %), 0 B written", Progress{}.String())
	p.Done = 500
	require.True(t, strings.HasPrefix(p.String(), "500 of 400 keys (100.0 %)"), "new keys")
	require.NotContains(t, p.String(), "left")
	require.Equal(t, "8388608.0 TiB", Bytes(math.MaxInt64))
}
