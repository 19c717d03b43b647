package agent

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// speaker is a Redis or Sentinel that answers commands by their first words.
type speaker struct {
	addr     netip.AddrPort
	answers  map[string]string
	computed map[string]func(command string) string

	mu       sync.Mutex
	commands []string
}

func (s *speaker) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

// answerFromNowOn changes what it answers to a command.
func (s *speaker) answerFromNowOn(command, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = maps.Clone(s.answers)
	s.answers[command] = text
}

// answerBy has a function answer a command from now on.
func (s *speaker) answerBy(start string, answer func(command string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.computed = map[string]func(string) string{start: answer}
}

func speak(t *testing.T, answers map[string]string) *speaker {
	t.Helper()
	return speakAt(t, "127.0.0.1:0", answers)
}

func speakAt(t *testing.T, address string, answers map[string]string) *speaker {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	s := &speaker{addr: netip.MustParseAddrPort(listener.Addr().String()), answers: answers}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go s.serve(conn)
		}
	}()
	return s
}

func (s *speaker) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	line := func() string {
		text, err := in.ReadString('\n')
		if err != nil {
			return ""
		}
		return strings.TrimSpace(text)
	}
	for {
		header := line()
		if header == "" {
			return
		}
		count, _ := strconv.Atoi(header[1:])
		var words []string
		for range count {
			line()
			words = append(words, line())
		}
		command := strings.Join(words, " ")
		answer := "-ERR unknown command\r\n"
		s.mu.Lock()
		for start, text := range s.answers {
			if strings.HasPrefix(command, start) {
				answer = text
			}
		}
		for start, compute := range s.computed {
			if strings.HasPrefix(command, start) {
				answer = compute(command)
			}
		}
		s.commands = append(s.commands, command)
		s.mu.Unlock()
		_, _ = io.WriteString(conn, answer)
	}
}

// A view is some time old when it is acted on: the sentinel may have replaced
// the dead master meanwhile, and would replace its healthy successor.
func TestFailoverIsNotCommandedToASentinelThatNamesAnotherMasterByNow(t *testing.T) {
	const master = "10.0.0.1"
	for name, now := range map[string]string{
		"which it has replaced":  masterReply("10.0.0.2", "master"),
		"which it is replacing":  masterReply(master, "master,failover_in_progress"),
		"which it has forgotten": "-ERR No such master with that name\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			view, s := sentinelAt(t, "first", master, map[string]string{"SENTINEL MASTER": now})
			other, untold := sentinelAt(t, "second", master, nil)
			_, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []sentinelView{view, other}, netip.MustParseAddr(master), nil)
			require.ErrorIs(t, err, errFailoverRunning)
			require.False(t, commanded(s))
			require.False(t, commanded(untold), "nor to another, whose view may be behind")
		})
	}
}

// masterReply is what a sentinel says of the master that it names.
func masterReply(ip, flags string) string {
	words := []string{"name", "mymaster", "ip", ip, "port", "6379", "flags", flags, "config-epoch", "1"}
	reply := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		reply += text(word)
	}
	return reply
}

func text(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// sentinelAt is a sentinel that names a master; changes replace answers.
func sentinelAt(t *testing.T, name, master string, changes map[string]string) (sentinelView, *speaker) {
	answers := map[string]string{"INFO sentinel": text("sentinel_tilt:0\r\n"), "SENTINEL FAILOVER": "+OK\r\n"}
	for command, answer := range changes {
		answers[command] = answer
	}
	s := speak(t, answers)
	l := newLinks("")
	view := role.View{Reach: role.Answered, HasMaster: true, Master: netip.MustParseAddr(master)}
	return sentinelView{pod: kube.Pod{Name: name}, node: l.to(s.addr.Addr(), int(s.addr.Port())), View: view}, s
}

func commanded(s *speaker) bool {
	return strings.Contains(strings.Join(s.heard(), "\n"), "SENTINEL FAILOVER mymaster")
}

func TestFailoverIsCommandedToOneSentinelThatCanDoIt(t *testing.T) {
	const master = "10.0.0.1"
	tilted := map[string]string{"INFO sentinel": text("sentinel_tilt:1\r\n")}
	refuses := map[string]string{"SENTINEL FAILOVER": "-NOGOODSLAVE No suitable replica to promote\r\n"}
	silent := map[string]string{"SENTINEL FAILOVER": ""}
	for name, c := range map[string]struct {
		first   map[string]string
		master  string // that the first names
		told    string
		second  bool // whether the second is told
		problem string
	}{
		"the first does it":                             {nil, master, "first", false, ""},
		"the next where the first is in TILT":           {tilted, master, "second", true, ""},
		"the next where the first has no good replica":  {refuses, master, "second", true, ""},
		"the next where the first has another master":   {nil, "10.0.0.9", "second", true, ""},
		"no other where the first may have obeyed":      {silent, master, "", false, "no sentinel replaces the master: sentinel first: "},
		"no other where the first names another, alone": {nil, "10.0.0.9", "second", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			first, _ := sentinelAt(t, "first", c.master, c.first)
			second, other := sentinelAt(t, "second", master, nil)
			told, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []sentinelView{first, second}, netip.MustParseAddr(master), nil)
			require.Equal(t, c.told, told)
			require.Equal(t, c.second, commanded(other))
			if c.problem == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.problem)
			}
		})
	}
}

func TestNoSecondFailoverIsCommandedWhileOneIsGoingOn(t *testing.T) {
	first, speaker := sentinelAt(t, "first", "10.0.0.1", nil)
	second := sentinelView{View: role.View{Reach: role.Answered, HasMaster: true, FailingOver: true}}
	_, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []sentinelView{first, second}, first.Master, nil)
	require.ErrorIs(t, err, errFailoverRunning)
	require.Empty(t, speaker.heard())
}

// Each of two sentinels that are told would take the next epoch, and that is the same one.
func TestSentinelThatHasBegunAFailoverMeanwhileIsNotFollowedByTheNext(t *testing.T) {
	const master = "10.0.0.1"
	first, _ := sentinelAt(t, "first", master, map[string]string{"SENTINEL FAILOVER": "-INPROG Failover already in progress\r\n"})
	second, untold := sentinelAt(t, "second", master, nil)
	told, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []sentinelView{first, second}, first.Master, nil)
	require.ErrorIs(t, err, errFailoverRunning)
	require.ErrorContains(t, err, "sentinel first")
	require.Empty(t, told)
	require.False(t, commanded(untold))
}

func TestSentinelThatIsPassedOverIsNamedWithItsReason(t *testing.T) {
	const master = "10.0.0.1"
	for name, c := range map[string]struct{ info, want string }{
		"TILT":      {text("sentinel_tilt:1\r\n"), "no sentinel replaces the master: sentinel first is in TILT"},
		"an error":  {"-LOADING it starts\r\n", "sentinel first does not answer: INFO at "},
		"no answer": {"", "sentinel first does not answer: INFO at "},
	} {
		t.Run(name, func(t *testing.T) {
			first, s := sentinelAt(t, "first", master, map[string]string{"INFO sentinel": c.info})
			_, err := commandFailover(t.Context(), config.Config{MasterName: "mymaster"}, []sentinelView{first}, first.Master, nil)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "nil")
			require.False(t, commanded(s))
		})
	}
}

func TestErrorInReplyTellsNothingAboutRoles(t *testing.T) {
	s := speak(t, map[string]string{"INFO": "-BUSY a script runs\r\n"})
	_, err := newLinks("").to(s.addr.Addr(), int(s.addr.Port())).Info(t.Context())
	require.Equal(t, role.Unknown, reach(err))
	require.Equal(t, role.Answered, reach(nil))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := netip.MustParseAddrPort(listener.Addr().String())
	require.NoError(t, listener.Close())
	_, err = newLinks("").to(addr.Addr(), int(addr.Port())).Info(t.Context())
	require.Equal(t, role.Refused, reach(err))
}

func TestConnectionsToAddressesOfNobodyAreDropped(t *testing.T) {
	l := newLinks("")
	kept, dropped := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	one := l.to(kept, 1)
	two := l.to(dropped, 1)
	require.Same(t, one, l.to(kept, 1))
	require.NotSame(t, one, l.to(kept, 2))
	l.keep(map[netip.Addr]bool{kept: true})
	require.Same(t, one, l.to(kept, 1))
	require.NotSame(t, two, l.to(dropped, 1))
}

func TestEveryElementIsAskedAtOnce(t *testing.T) {
	var meet sync.WaitGroup
	numbers := []int{1, 2, 3}
	meet.Add(len(numbers))
	each(numbers, func(n *int) { meet.Done(); meet.Wait(); *n *= 10 })
	require.Equal(t, []int{10, 20, 30}, numbers)
}
