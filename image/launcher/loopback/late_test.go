package loopback

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"testing"
	"time"
)

// comeLate opens connections to the address of a pod whose Redis has died or handed over, which the launcher passes on. ended gets the
// time of each connection's end.
func (c *cluster) comeLate(p *pod, number int) (ended chan time.Time) {
	c.t.Helper()
	ended = make(chan time.Time, number)
	for range number {
		connection, reader := c.comeLateOnce(p)
		go func() {
			_ = connection.SetDeadline(time.Now().Add(settle))
			_, _ = reader.ReadByte()
			ended <- time.Now()
			_ = connection.Close()
		}()
	}
	return ended
}

func (c *cluster) comeLateOnce(p *pod) (connection net.Conn, reader *bufio.Reader) {
	c.t.Helper()
	eventually(c.t, settle, "a late connection to be passed on", func() (err error) {
		if connection, err = net.DialTimeout("tcp", p.address(), time.Second); err != nil {
			return err
		}
		if encryption := c.encryption(); encryption != nil {
			connection = tls.Client(connection, encryption)
		}
		reader = bufio.NewReader(connection)
		if reply, err := ask(connection, reader, "AUTH", c.password); err != nil || reply != "+OK" {
			_ = connection.Close()
			return errors.Join(err, errors.New("answered "+reply))
		}
		return nil
	})
	return connection, reader
}

// requireOneByOne checks that connections did not end at the same moment.
func requireOneByOne(t *testing.T, ended chan time.Time, number int, spread time.Duration) {
	t.Helper()
	var times []time.Time
	for range number {
		select {
		case at := <-ended:
			times = append(times, at)
		case <-time.After(settle):
			t.Fatalf("%d of %d late connections have not ended", number-len(times), number)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	if took := times[number-1].Sub(times[0]); took < spread {
		t.Errorf("%d late connections ended within %v: their clients come back all at once", number, took)
	}
}

// A pod that has handed over leaves when the connections that it passes on have ended, one after the other.
func TestLateConnectionsOfALeavingPodEndOneAfterTheOther(t *testing.T) {
	t.Parallel()
	const number = 100
	c, w, old := startWritten(t, options{})
	left := old.removeBeside()
	eventually(t, settle, "the hand-over", func() error { return says(old, "handed over") })
	ended := c.comeLate(old, number)
	requireOneByOne(t, ended, number, 200*time.Millisecond)
	eventually(t, settle, "the old master to have left", left)
	c.addServer().run()
	c.converge()
	w.requireNothingLost()
}

// The connections that the pod of a dead master passes on do not keep Redis from coming back there.
func TestRedisComesBackWhileLateConnectionsEnd(t *testing.T) {
	t.Parallel()
	const number = 200
	c, w, old := startWritten(t, options{})
	old.killRedis()
	ended := c.comeLate(old, number)
	if c.converge() == old {
		t.Error("the master was not replaced")
	}
	if says(old, "Could not create server TCP") == nil {
		t.Error("Redis did not get its port back at once")
	}
	requireOneByOne(t, ended, number, 200*time.Millisecond)
	w.requireNothingLost()
}
