package copyplan

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// Digest sums up the elements of a value. Equal values have equal sums, whatever the versions of their servers, and in
// whatever order a server gives the elements of a set or hash.
type Digest struct {
	inOrder bool
	rows    int64
	running hash.Hash
	sum     [4]uint64
}

// NewDigest makes a digest for a type, as TYPE names it.
func NewDigest(kind string) *Digest {
	return &Digest{inOrder: kind != "set" && kind != "hash", running: sha256.New()}
}

// Add takes in one element, for instance a field of a hash with its value.
func (d *Digest) Add(row []string) {
	d.rows++
	if !d.inOrder {
		d.running.Reset()
	}
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(row)))
	d.running.Write(length[:])
	for _, part := range row {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		d.running.Write(length[:])
		d.running.Write([]byte(part))
	}
	if d.inOrder {
		return
	}
	sum := d.running.Sum(nil)
	for i := range d.sum {
		d.sum[i] += binary.BigEndian.Uint64(sum[8*i:])
	}
}

// Rows is the number of elements so far.
func (d *Digest) Rows() int64 { return d.rows }

// Sum is the digest of all elements so far.
func (d *Digest) Sum() [32]byte {
	if d.inOrder {
		return [32]byte(d.running.Sum(nil))
	}
	var sum [32]byte
	for i, part := range d.sum {
		binary.BigEndian.PutUint64(sum[8*i:], part)
	}
	return sum
}
