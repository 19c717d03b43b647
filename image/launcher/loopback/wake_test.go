package loopback

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

// wakeBound is how long a master that was replaced while it stood still may
// take writes after it has woken up: until its launcher has asked the sentinels.
const wakeBound = 2 * time.Second

// intruder writes to the redis of one pod, whatever its label is, as clients do
// that have kept its address.
type intruder struct {
	cluster  *cluster
	pod      *pod
	end      context.CancelFunc
	ended    chan struct{}
	accepted []time.Time
}

func (c *cluster) intrude(p *pod) *intruder {
	ctx, cancel := context.WithCancel(context.Background())
	i := &intruder{cluster: c, pod: p, end: cancel, ended: make(chan struct{})}
	c.t.Cleanup(func() { cancel(); <-i.ended })
	go func() {
		defer close(i.ended)
		for number := 0; ctx.Err() == nil; number++ {
			client := redis.NewClient(c.clientOptions(p.address()))
			if client.Set(ctx, fmt.Sprintf("intruder:%d", number), number, 0).Err() == nil {
				i.accepted = append(i.accepted, time.Now())
			}
			_ = client.Close()
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return i
}

// since ends the intruder and returns when the writes that were accepted after
// a moment were, counted from then.
func (i *intruder) since(moment time.Time) []time.Duration {
	i.end()
	<-i.ended
	var result []time.Duration
	for _, at := range i.accepted {
		if at.After(moment) {
			result = append(result, at.Sub(moment))
		}
	}
	return result
}

// patient opens connections to the master. Called, its result sends a write on
// each; the result of that waits for what is answered.
func (c *cluster) patient(n int) func() func() []string {
	c.t.Helper()
	var connections []net.Conn
	var readers []*bufio.Reader
	for range n {
		connection, reader, err := c.dial()
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { _ = connection.Close() })
		connections, readers = append(connections, connection), append(readers, reader)
	}
	return func() func() []string {
		for _, connection := range connections {
			_ = connection.SetDeadline(time.Now().Add(settle))
			if _, err := fmt.Fprintf(connection, "*3\r\n$3\r\nSET\r\n$7\r\npatient\r\n$1\r\n1\r\n"); err != nil {
				c.t.Error(err)
			}
		}
		return func() []string {
			var replies []string
			for _, reader := range readers {
				reply, err := reader.ReadString('\n')
				if err != nil {
					reply = err.Error()
				}
				replies = append(replies, strings.TrimSpace(reply))
			}
			return replies
		}
	}
}

// The whole pod stands still, as on a node that is paused, or its redis is busy
// with one command for longer than the sentinels are patient. When it goes on it
// believes that it is master: nobody who comes then may write.
func TestMasterThatWakesUpReplacedTakesNoWrites(t *testing.T) {
	t.Parallel()
	masterThatWakesUpReplacedTakesNoWrites(t, fakeauthority.Secret{})
}

// With TLS Redis reads what waits in its sockets in another order.
func TestEncryptedMasterThatWakesUpReplacedTakesNoWrites(t *testing.T) {
	t.Parallel()
	masterThatWakesUpReplacedTakesNoWrites(t, fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long))
}

func masterThatWakesUpReplacedTakesNoWrites(t *testing.T, secret fakeauthority.Secret) {
	t.Helper()
	for _, what := range []string{"the container is frozen", "redis is blocked by a command"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := start(t, options{extraConfig: debugConfig(t), secret: secret})
			w := c.write()
			w.advance(200)
			old := c.converge()
			patient := c.patient(5)
			begin, wakes := time.Now(), freezeFor
			if what == "the container is frozen" {
				old.freeze()
			} else {
				blocked := redis.NewClient(c.clientOptions(old.address()))
				defer blocked.Close()
				// Redis sleeps on although nobody waits for the answer.
				_ = blocked.Do(t.Context(), "DEBUG", "SLEEP", wakes.Seconds()).Err()
			}
			eventually(t, wakes, "another master before the old one wakes up", func() error { return c.checkMasterIsNot(old) })
			w.advance(100)
			i, replies := c.intrude(old), patient()
			time.Sleep(time.Until(begin.Add(wakes))) // the claim is about the length
			if what == "the container is frozen" {
				old.thaw()
			}
			woke := time.Now()
			took := eventually(t, wakeBound, "the old master to be a replica", func() error {
				n, err := c.info(old)
				if err == nil && n.role != "slave" {
					err = fmt.Errorf("%s is %s", old.name, n.role)
				}
				return err
			})
			if now := c.converge(); now == old {
				t.Errorf("%s is master again", old.name)
			}
			late := i.since(woke)
			t.Logf("a replica %v after it woke up; writes accepted at the old address: %v", took, late)
			// Redis carries out what waits in its sockets before anybody can stop it.
			t.Logf("clients that have waited for their answers all the time got %q", replies())
			if len(late) > 0 {
				t.Errorf("%d writes were accepted at the address of a master that had been replaced, the last %v after it woke up", len(late), late[len(late)-1])
			}
			w.requireLostAtMost(asyncTail)
			w.requireGapBelow(20 * time.Second)
		})
	}
}

// The sentinels have not seen the successor of a dead master as master when it
// stands still. They replace the dead one again, and the successor wakes up when
// another has just been promoted in its place.
func TestSuccessorThatWakesUpWhenAnotherWasPromotedTakesNoWrites(t *testing.T) {
	t.Parallel()
	c, w, old := startWritten(t, options{})
	slaves := c.slavesOf(old)
	old.hold()
	old.kill()
	var successor *pod
	eventually(t, settle, "a slave to be labelled master", func() error {
		for _, p := range c.labelled("master") {
			if slices.Contains(slaves, p) {
				successor = p
				return nil
			}
		}
		return errors.New("none is")
	})
	successor.freezeRedis()
	frozen := w.count()
	c.awaitPromotion(slices.DeleteFunc(slaves, func(p *pod) bool { return p == successor }))
	successor.thawRedis()
	old.run()
	c.converge() // whichever the sentinels hear of first
	w.advance(100)
	w.finish()
	// What it took before it stood still no replica may have got.
	if lost := c.missing(w.acknowledged[frozen:]); len(lost) > 1 {
		t.Errorf("%d writes are lost that were acknowledged when the successor had woken up, or later: %v", len(lost), lost)
	}
}
