// Package fakeredis is a Redis or a sentinel for tests. It answers each command with a prepared text.
package fakeredis

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// unknown is the answer to a command for which nothing is prepared.
const unknown = "-ERR unknown command\r\n"

// Server is a process that speaks the protocol of Redis. It is safe for concurrent use.
type Server struct {
	Addr netip.AddrPort

	mu       sync.Mutex
	answers  map[string]func(command string) string
	commands []string
}

// Start starts a server at a free port of 127.0.0.1. The keys of answers are the first words of the commands, and the values are the
// answers in the words of the protocol; see Text and Master. The longest key that fits a command counts. An empty answer means that
// the server stays silent. The server ends with the test.
func Start(t testing.TB, answers map[string]string) *Server {
	t.Helper()
	return StartAt(t, "127.0.0.1:0", answers)
}

// StartAt is Start at an address, host:port.
func StartAt(t testing.TB, address string, answers map[string]string) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s := &Server{Addr: netip.MustParseAddrPort(listener.Addr().String()), answers: map[string]func(string) string{}}
	for start, answer := range answers {
		s.Answer(start, answer)
	}
	go s.accept(t, listener)
	return s
}

// Answer changes what the server answers to commands that begin with start.
func (s *Server) Answer(start, answer string) {
	s.AnswerBy(start, func(string) string { return answer })
}

// AnswerBy has a function answer commands that begin with start from now on. The calls come one at a time.
func (s *Server) AnswerBy(start string, answer func(command string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[start] = answer
}

// Heard gives the commands that have come, one line each.
func (s *Server) Heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// accept serves connections until the test ends.
func (s *Server) accept(t testing.TB, listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = conn.Close() })
		go s.serve(conn)
	}
}

// serve answers the commands of one connection.
func (s *Server) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		command, ok := readCommand(in)
		if !ok {
			return
		}
		_, _ = io.WriteString(conn, s.answer(command))
	}
}

// answer notes a command and gives the answer.
func (s *Server) answer(command string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, command)
	longest, found := "", false
	for start := range s.answers {
		if strings.HasPrefix(command, start) && (!found || len(start) > len(longest)) {
			longest, found = start, true
		}
	}
	if !found {
		return unknown
	}
	return s.answers[longest](command)
}

// readCommand reads a command, which comes as an array of bulk strings. ok is false when the connection has ended.
func readCommand(in *bufio.Reader) (command string, ok bool) {
	line := func() string {
		text, err := in.ReadString('\n')
		if err != nil {
			return ""
		}
		return strings.TrimSpace(text)
	}
	header := line()
	if header == "" {
		return "", false
	}
	count, _ := strconv.Atoi(header[1:])
	var words []string
	for range count {
		line() // the length of the word
		words = append(words, line())
	}
	return strings.Join(words, " "), true
}

// Text is a text as an answer, as to INFO.
func Text(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// List is a list of texts as an answer.
func List(words ...string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "*%d\r\n", len(words))
	for _, word := range words {
		out.WriteString(Text(word))
	}
	return out.String()
}

// Master is the answer of a sentinel to the question for the master that it names. flags are those that Sentinel gives the master, as
// "master,s_down". more are further names and values.
func Master(ip, flags string, more ...string) string {
	return List(append([]string{"name", "mymaster", "ip", ip, "port", "6379", "flags", flags, "config-epoch", "1"}, more...)...)
}
