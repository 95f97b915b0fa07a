package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ioLimit bounds the write of a request and the wait for its answer. The webhook
// answers within 2 s, whatever happens.
const ioLimit = 10 * time.Second

// load sends prebuilt requests over keep-alive connections. It shares the cores
// with what it measures, so it does as little as it can: the bytes of a request
// are ready, and of an answer it looks at the status and the length.
type load struct {
	addr     string
	requests [][]byte // sent in turn; not changed
	conns    int
	warmup   time.Duration // not counted, after connecting
	duration time.Duration // counted
}

// closed sends on every connection the next request once the one before is
// answered, and gives the answers of 200 a second.
func (l load) closed(ctx context.Context) (rate float64, err error) {
	var answered atomic.Int64
	begin := time.Now().Add(l.warmup)
	end := begin.Add(l.duration)
	err = l.each(ctx, func(ctx context.Context, first int, c *caller) error {
		n := int64(0)
		defer func() { answered.Add(n) }()
		for i := first; ctx.Err() == nil; i++ {
			accepted, err := c.call(l.requests[i%len(l.requests)])
			if err != nil {
				return err
			}
			switch now := time.Now(); {
			case !now.Before(end):
				return nil
			case accepted && now.After(begin):
				n++
			}
		}
		return ctx.Err()
	})
	return float64(answered.Load()) / l.duration.Seconds(), err
}

// open sends requests at a rate, whether or not those before are answered, and
// gives how long each took from when it was due: one that waits because all
// connections are taken, or because the machine is slow, counts as slow. So does
// one that was refused.
func (l load) open(ctx context.Context, rate float64) ([]time.Duration, error) {
	var (
		turn      atomic.Int64
		mu        sync.Mutex
		latencies []time.Duration // guarded by mu
	)
	start := time.Now()
	begin, end := start.Add(l.warmup), start.Add(l.warmup+l.duration)
	err := l.each(ctx, func(ctx context.Context, _ int, c *caller) error {
		var own []time.Duration
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, own...)
		}()
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			i := turn.Add(1) - 1
			due := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
			if !due.Before(end) {
				return nil
			}
			if err := awaitTime(ctx, timer, due); err != nil {
				return err
			}
			accepted, err := c.call(l.requests[int(i)%len(l.requests)])
			if err != nil {
				return err
			}
			took := time.Since(due)
			if !accepted {
				took = max(took, ioLimit)
			}
			if !due.Before(begin) {
				own = append(own, took)
			}
		}
	})
	return latencies, err
}

func awaitTime(ctx context.Context, timer *time.Timer, due time.Time) error {
	wait := time.Until(due)
	if wait <= 0 {
		return nil
	}
	timer.Reset(wait)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// each runs do on every connection, and ends all with the first error. First is
// a different place among the requests for each.
func (l load) each(ctx context.Context, do func(ctx context.Context, first int, c *caller) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i := range l.conns {
		wg.Go(func() {
			c, err := dial(ctx, l.addr)
			if err == nil {
				err = errors.Join(do(ctx, i*len(l.requests)/l.conns, c), c.conn.Close())
			}
			if err != nil {
				cancel(fmt.Errorf("send to %s: %w", l.addr, err))
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// caller is one connection.
type caller struct {
	conn net.Conn
	buf  []byte
}

func dial(ctx context.Context, addr string) (*caller, error) {
	dialer := net.Dialer{Timeout: ioLimit}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, buf: make([]byte, 4<<10)}, nil
}

// call sends a request and reads its answer: accepted is 200, not accepted 503.
// Anything else is an error, since nothing is measured then.
func (c *caller) call(request []byte) (accepted bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(ioLimit)); err != nil {
		return false, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return false, err
	}
	n := 0
	for {
		read, err := c.conn.Read(c.buf[n:])
		n += read
		if status, ok, err := parseAnswer(c.buf[:n]); ok || err != nil {
			return status == http.StatusOK, err
		}
		switch {
		case errors.Is(err, io.EOF):
			return false, io.ErrUnexpectedEOF
		case err != nil:
			return false, err
		case n == len(c.buf):
			return false, errors.New("answer is too long")
		}
	}
}

var (
	accepted200   = []byte("HTTP/1.1 200 ")
	refused503    = []byte("HTTP/1.1 503 ")
	contentLength = []byte("\r\nContent-Length: ")
	headerEnd     = []byte("\r\n\r\n")
	lineEnd       = []byte("\r\n")
)

// parseAnswer gives the status of an answer; ok says that all of it is there.
func parseAnswer(b []byte) (status int, ok bool, err error) {
	head := bytes.Index(b, headerEnd)
	if head < 0 {
		return 0, false, nil
	}
	switch {
	case bytes.HasPrefix(b, accepted200):
		status = http.StatusOK
	case bytes.HasPrefix(b, refused503):
		status = http.StatusServiceUnavailable
	default:
		line, _, _ := bytes.Cut(b, lineEnd)
		return 0, false, fmt.Errorf("answer is %q", line)
	}
	_, rest, found := bytes.Cut(b[:head+len(lineEnd)], contentLength)
	digits, _, _ := bytes.Cut(rest, lineEnd)
	length, err := strconv.Atoi(string(digits))
	if !found || err != nil {
		return 0, false, errors.New("answer's Content-Length is missing or no number")
	}
	have := len(b) - head - len(headerEnd)
	if have > length {
		return 0, false, errors.New("answer is longer than its Content-Length")
	}
	return status, have == length, nil
}
