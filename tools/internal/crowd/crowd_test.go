package crowd

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestReportHasTheLongestGapOfEachClient(t *testing.T) {
	start := time.Unix(1800000000, 0)
	one := func(times ...time.Duration) *client {
		c := &client{firstTime: func() {}}
		for _, at := range times {
			c.acknowledged(start.Add(at))
		}
		return c
	}
	r := report([]*client{one(0, time.Second, 4*time.Second), one(0, time.Second, 2*time.Second), one(0, 3*time.Second)}, start.Add(4*time.Second))
	assert.Equal(t, []float64{3000, 3000, 3000}, []float64{r.MedianGapMS, r.P95GapMS, r.MaxGapMS})
	assert.Equal(t, 2000.0, report([]*client{one(0, time.Second, 2*time.Second)}, start.Add(4*time.Second)).MaxGapMS, "it still waits")
}

func TestEndOfAConnectionIsCountedOnce(t *testing.T) {
	c := &client{firstTime: func() {}}
	c.acknowledged(time.Now())
	c.failed(errors.New("EOF"))
	c.failed(errors.New("connection refused"))
	c.failed(&net.OpError{Op: "dial", Err: timeout{}})
	assert.Equal(t, []int{1, 1, 1}, []int{c.ended, c.failures, c.timeouts})
}

type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }
