package copyplan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	// LargeKey is the size in bytes from which a key is copied in pieces: DUMP would hold up the source, and needs the
	// memory twice.
	LargeKey = 8 << 20
	// StringPiece is the size in bytes of the pieces of a large string.
	StringPiece = 1 << 20
	// pieceBytes is the size of the pieces of other large values, as far as the size of their elements is known.
	pieceBytes = 1 << 20
	// maxPiece is the largest number of elements in a piece.
	maxPiece = 1000
	// unknownPiece is the number of elements in a piece where the source does not tell the size of a key.
	unknownPiece = 100
)

// Method is how a key is copied.
type Method int

const (
	// Gone: the source has no such key, so the target may have none.
	Gone Method = iota
	// ByPayload: DUMP and RESTORE.
	ByPayload
	// ByCommands: the elements are read, and written by commands of their type.
	ByCommands
	// Impossible: there are no commands for the type, and the target refuses the payload.
	Impossible
)

// kinds are the types whose elements commands can read and write, as TYPE names them.
var kinds = map[string]bool{"string": true, "list": true, "set": true, "zset": true, "hash": true, "stream": true}

// Choose says how a key is copied. Kind is the answer to TYPE, bytes the answer to MEMORY USAGE, 0 if unknown, and
// refused says whether the target has refused payloads of this type.
func Choose(kind string, bytes int64, refused bool) Method {
	switch {
	case kind == "none":
		return Gone
	case !kinds[kind] && refused:
		return Impossible
	case kinds[kind] && (refused || bytes > LargeKey):
		return ByCommands
	}
	return ByPayload
}

// PieceLength is how many elements of a value are read at once. Bytes and length are those of the whole value; 0 means
// unknown.
func PieceLength(bytes, length int64) int64 {
	if bytes <= 0 || length <= 0 {
		return unknownPiece
	}
	return min(max(pieceBytes*length/bytes, 1), maxPiece)
}

// PayloadRefused says whether an answer to DUMP or RESTORE means that this means is closed: the payload is of a version
// or an encoding that the target does not know, or the command is not allowed.
func PayloadRefused(answer string) bool {
	for _, text := range []string{"payload version or checksum", "Bad data format", "NOPERM", "unknown command"} {
		if strings.Contains(answer, text) {
			return true
		}
	}
	return false
}

// PayloadBytes is the expected size of a payload: that of the key in memory, or a guess where the source does not tell.
func PayloadBytes(memory int64) int64 {
	if memory <= 0 {
		return LargeKey / 64
	}
	return memory
}

// NextID is the ID of a stream entry that follows directly after another one.
func NextID(id string) (string, error) {
	front, back, found := strings.Cut(id, "-")
	milliseconds, err := strconv.ParseUint(front, 10, 64)
	if err != nil || !found {
		return "", fmt.Errorf("%q is no ID of a stream entry", id)
	}
	sequence, err := strconv.ParseUint(back, 10, 64)
	if err != nil {
		return "", fmt.Errorf("%q is no ID of a stream entry", id)
	}
	if sequence == math.MaxUint64 {
		return fmt.Sprintf("%d-0", milliseconds+1), nil
	}
	return fmt.Sprintf("%d-%d", milliseconds, sequence+1), nil
}
