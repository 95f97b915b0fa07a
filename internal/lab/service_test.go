package lab

import (
	"net"
	"testing"
)

func TestServiceKeepsConnectionsWhereTheyAre(t *testing.T) {
	t.Parallel()
	first, tookFirst := echo(t)
	second, tookSecond := echo(t)
	s, err := NewService(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	connect := func() net.Conn { t.Helper(); return dial(t, s.proxy) }
	said := func(conn net.Conn, took chan string) {
		t.Helper()
		send(t, conn, "hello\n")
		if got := answer(t, conn, patient); got != "hello\n" || len(took) != 1 {
			t.Errorf("answer %q, and the endpoint took %d", got, len(took))
			return
		}
		<-took
	}
	refused := func() {
		t.Helper()
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			return // reset at once
		}
		defer conn.Close()
		if got := answer(t, conn, patient); got != "end" {
			t.Errorf("somebody answers: %q", got)
		}
	}
	refused() // there is no endpoint
	s.Add(first)
	s.Add(first) // known already
	early := connect()
	said(early, tookFirst)
	s.Add(second)
	s.Remove(first)
	said(early, tookFirst)
	for range 3 {
		said(connect(), tookSecond)
	}
	s.Add(first)
	for range 2 { // in turn, whoever is the next
		a, b := connect(), connect()
		send(t, a, "a\n")
		send(t, b, "b\n")
		if one, other := <-tookFirst, <-tookSecond; one == other {
			t.Errorf("both took %q", one)
		}
	}
	s.Remove(second)
	s.Remove(first)
	s.Add("127.0.0.1:1") // nobody listens
	refused()
	if refused, unserved := s.Refused(); refused != 1 || unserved != 1 {
		t.Errorf("%d refused, %d without an endpoint", refused, unserved)
	}
}
