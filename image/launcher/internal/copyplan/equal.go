package copyplan

// The answers of PEXPIRETIME that are no time.
const (
	// NoExpiry: the key does not expire.
	NoExpiry = -1
	// NoKey: there is no such key.
	NoKey = -2
)

// expiryTolerance is in milliseconds. A server before Redis 7 tells only how long a key has left; its time and the way
// of the answer make the difference.
const expiryTolerance = 1000

// SameExpiry compares the times, in milliseconds since 1970, at which a key expires at two servers. Exact says that
// both servers have told the time itself.
func SameExpiry(a, b int64, exact bool) bool {
	if a < 0 || b < 0 || exact {
		return a == b
	}
	return max(a-b, b-a) <= expiryTolerance
}

// checkEnd is the number of bytes at the end of a payload that hold its version (2) and its CRC-64 (8).
const checkEnd = 10

// Check is the end of a payload of DUMP: its version and its checksum.
type Check string

// CheckOf cuts the check off a payload.
func CheckOf(payload string) Check {
	return Check(payload[max(0, len(payload)-checkEnd):])
}

// Comparison is the outcome of comparing two checks.
type Comparison int

const (
	// Differ: the payloads differ. The values may still be equal where Varies says so.
	Differ Comparison = iota
	// Equal: the values are equal.
	Equal
	// Unlike: the payloads are of two versions, or nobody may read one of them, so that they say nothing about the values.
	Unlike
)

// Compare compares the checks of two payloads.
func (c Check) Compare(other Check) Comparison {
	switch {
	case len(c) != checkEnd || len(other) != checkEnd || c[:2] != other[:2]:
		return Unlike
	case c == other:
		return Equal
	}
	return Differ
}

// Varies says whether equal values of a type may have different payloads: the order of a hash table and the nodes of a
// stream depend on how they came about.
func Varies(kind string) bool { return kind == "set" || kind == "hash" || kind == "stream" }

// Shares divides a number of samples among databases by their numbers of keys. Each database with keys has one at least.
func Shares(samples int, sizes map[int]int64) map[int]int {
	var total int64
	for _, size := range sizes {
		total += size
	}
	shares := map[int]int{}
	for db, size := range sizes {
		if size > 0 && samples > 0 {
			shares[db] = int(min(size, max(1, int64(float64(samples)*float64(size)/float64(total)))))
		}
	}
	return shares
}
