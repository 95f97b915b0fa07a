package lab

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a broker that answers each line with itself and tells what it took.
func echo(t *testing.T) (addr string, took chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	took = make(chan string, 16)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				lines := bufio.NewReader(conn)
				for {
					line, err := lines.ReadString('\n')
					if err != nil {
						took <- "end"
						return
					}
					took <- line
					if _, err := io.WriteString(conn, line); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String(), took
}

func proxied(t *testing.T) (p *proxy, conn net.Conn, took chan string) {
	t.Helper()
	addr, took := echo(t)
	p, err := newProxy(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p, dial(t, p), took
}

func dial(t *testing.T, p *proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(conn, line); err != nil {
		t.Fatal(err)
	}
}

// answer reads for at most d: "" is none.
func answer(t *testing.T, conn net.Conn, d time.Duration) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 64)
	n, err := conn.Read(got)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return "end"
	}
	return string(got[:n])
}

const (
	soon    = 100 * time.Millisecond // nothing comes in it
	patient = 10 * time.Second       // what comes does so in it
)

func TestProxyForwards(t *testing.T) {
	t.Parallel()
	_, conn, took := proxied(t)
	send(t, conn, "fair\n")
	if got := answer(t, conn, patient); got != "fair\n" {
		t.Errorf("answer %q", got)
	}
	<-took
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-took; got != "end" {
		t.Errorf("the broker took %q", got)
	}
}

func TestProxyCuts(t *testing.T) {
	t.Parallel()
	p, conn, took := proxied(t)
	send(t, conn, "before\n")
	<-took
	_ = answer(t, conn, patient)
	p.set(weather{refused: true})
	if got := answer(t, conn, patient); got != "end" {
		t.Errorf("the old connection says %q", got)
	}
	// A new one is refused at once or right after.
	if conn, err := net.Dial("tcp", p.addr()); err == nil {
		if got := answer(t, conn, patient); got != "end" {
			t.Errorf("a new connection says %q", got)
		}
	}
	p.set(weather{})
	again := dial(t, p)
	send(t, again, "after\n")
	if got := answer(t, again, patient); got != "after\n" {
		t.Errorf("after it cleared up: %q", got)
	}
}

// A request that was held reaches the broker when it clears up, though its
// sender has gone: it is what a fence must stop.
func TestProxyDeliversLate(t *testing.T) {
	t.Parallel()
	p, conn, took := proxied(t)
	p.set(weather{holdRequests: true})
	send(t, conn, "late\n")
	select {
	case got := <-took:
		t.Fatalf("the broker took %q", got)
	case <-time.After(soon):
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	p.set(weather{})
	if got := <-took; got != "late\n" {
		t.Errorf("the broker took %q", got)
	}
}

// Applied, and the answer does not come.
func TestProxyHoldsAnswers(t *testing.T) {
	t.Parallel()
	p, conn, took := proxied(t)
	p.set(weather{holdAnswers: true})
	send(t, conn, "applied\n")
	if got := <-took; got != "applied\n" {
		t.Errorf("the broker took %q", got)
	}
	if got := answer(t, conn, soon); got != "" {
		t.Errorf("answer %q", got)
	}
	p.set(weather{})
	if got := answer(t, conn, patient); got != "applied\n" {
		t.Errorf("answer %q", got)
	}
}

func TestProxyDelays(t *testing.T) {
	t.Parallel()
	p, conn, _ := proxied(t)
	p.set(weather{delay: soon})
	began := time.Now()
	send(t, conn, "slow\n")
	if got := answer(t, conn, patient); got != "slow\n" || time.Since(began) < 2*soon {
		t.Errorf("%q after %s", got, time.Since(began))
	}
}
