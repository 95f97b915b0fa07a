package sabotage

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn is one connection of a process. kgo hands each request to Write as a
// whole; Read takes the answers apart, so that the struck request's own answer
// is the one that is lost.
type conn struct {
	net.Conn
	process *Process
	kept    bool   // guarded by process.mu: Kill leaves it open
	buf     []byte // of the answer that is being delivered; owned by the reader

	mu       sync.Mutex
	expected *int32 // guarded by mu: the answer that the fault waits for
	mute     bool   // guarded by mu: what is written goes nowhere
	deaf     bool   // guarded by mu: answers go nowhere
}

// Write sends one request.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.process.gate(); err != nil {
		return 0, err
	}
	req, correlation := Decode(b)
	if c.process.strikes(req) {
		return c.strike(b, correlation)
	}
	c.mu.Lock()
	mute := c.mute
	c.mu.Unlock()
	if mute {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *conn) strike(b []byte, correlation int32) (int, error) {
	p := c.process
	if p.fault == Applied || p.fault == Unanswered && p.fate == Zombie {
		c.mu.Lock()
		c.expected = &correlation
		c.mu.Unlock()
		return c.Conn.Write(b) // Read goes on with it
	}
	switch p.fate {
	case Same:
		return c.strikeSame(b)
	case New:
		return c.strikeDead(b)
	case Zombie:
	}
	p.freeze()
	p.noteStruck()
	if err := p.gate(); err != nil {
		return 0, err
	}
	if p.fault == NotApplied {
		_ = c.Conn.Close()
		return 0, ErrBroken
	}
	_ = c.Conn.SetDeadline(time.Time{}) // its time stood still
	return c.Conn.Write(b)
}

func (c *conn) strikeSame(b []byte) (int, error) {
	defer c.process.noteStruck()
	if c.process.fault == NotApplied {
		_ = c.Conn.Close()
		return 0, ErrBroken
	}
	c.mu.Lock()
	c.mute, c.deaf = true, true
	c.mu.Unlock()
	if c.process.fault == Held {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *conn) strikeDead(b []byte) (int, error) {
	p := c.process
	defer p.noteStruck()
	if p.fault == NotApplied {
		p.Kill()
		return 0, ErrDead
	}
	b = append([]byte(nil), b...)
	p.mu.Lock()
	c.kept = true
	if p.fault == Held {
		p.late = append(p.late, func() {
			_ = c.Conn.SetDeadline(time.Time{})
			_, _ = c.Conn.Write(b)
		})
	}
	p.mu.Unlock()
	go func() { _, _ = io.Copy(io.Discard, c.Conn) }() // nobody of the process reads the answer
	var err error
	if p.fault == Unanswered {
		_, err = c.Conn.Write(b)
	}
	p.Kill()
	_ = c.Conn.SetDeadline(time.Time{})
	if err != nil {
		return 0, err
	}
	return 0, ErrDead
}

// Read delivers answers.
func (c *conn) Read(b []byte) (int, error) {
	for len(c.buf) == 0 {
		if err := c.process.gate(); err != nil {
			return 0, err
		}
		answer, err := c.readAnswer()
		if gone := c.process.gate(); gone != nil {
			return 0, gone
		}
		if err != nil {
			return 0, err
		}
		deliver, err := c.judge(answer)
		if err != nil {
			return 0, err
		}
		if deliver {
			c.buf = answer
		}
	}
	n := copy(b, c.buf)
	c.buf = c.buf[n:]
	return n, nil
}

func (c *conn) readAnswer() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, 4+binary.BigEndian.Uint32(size[:]))
	copy(answer, size[:])
	_, err := io.ReadFull(c.Conn, answer[4:])
	return answer, err
}

// judge says what becomes of an answer.
func (c *conn) judge(answer []byte) (deliver bool, err error) {
	c.mu.Lock()
	deaf, expected := c.deaf, c.expected
	c.mu.Unlock()
	if deaf {
		return false, nil
	}
	//nolint:gosec // a correlation id is an int32 on the wire
	if expected == nil || len(answer) < 8 || int32(binary.BigEndian.Uint32(answer[4:])) != *expected {
		return true, nil
	}
	c.mu.Lock()
	c.expected = nil
	c.mu.Unlock()
	p := c.process
	switch p.fate {
	case New:
		p.Kill()
		p.noteStruck()
		return false, ErrDead
	case Zombie:
		p.freeze()
		p.noteStruck()
		if err := p.gate(); err != nil {
			return false, err
		}
		if p.fault == Unanswered {
			return true, nil
		}
	case Same:
		p.noteStruck()
	}
	_ = c.Conn.Close()
	return false, ErrBroken
}

// Close is a step, too: a broker that is paused does not let it end in time.
func (c *conn) Close() error {
	var err error
	if fault := c.process.Step(context.Background(), "close", func() { err = c.closeInner() }); fault != nil {
		return fault
	}
	return err
}

func (c *conn) closeInner() error {
	c.process.mu.Lock()
	kept := c.kept
	c.process.mu.Unlock()
	if kept {
		return nil
	}
	return c.Conn.Close()
}

// SetDeadline and its like move no clock of a connection that only a held-back
// request keeps.
func (c *conn) SetDeadline(t time.Time) error {
	return c.unlessKept(func() error { return c.Conn.SetDeadline(t) })
}

// SetReadDeadline bounds Read.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.unlessKept(func() error { return c.Conn.SetReadDeadline(t) })
}

// SetWriteDeadline bounds Write.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.unlessKept(func() error { return c.Conn.SetWriteDeadline(t) })
}

func (c *conn) unlessKept(set func() error) error {
	c.process.mu.Lock()
	kept := c.kept
	c.process.mu.Unlock()
	if kept {
		return nil
	}
	return set()
}

// Decode reads a request as it goes over the wire; nil when it is none.
func Decode(b []byte) (req kmsg.Request, correlation int32) {
	if len(b) < 14 {
		return nil, 0
	}
	//nolint:gosec // these are the wire's own types
	key, version, correlation, client := int16(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:])),
		int32(binary.BigEndian.Uint32(b[8:])), int(int16(binary.BigEndian.Uint16(b[12:])))
	req = kmsg.RequestForKey(key)
	if req == nil || 14+max(client, 0) > len(b) {
		return nil, correlation
	}
	req.SetVersion(version)
	body := b[14+max(client, 0):]
	if req.IsFlexible() && len(body) > 0 {
		body = body[1:] // kgo sends no tags
	}
	if err := req.ReadFrom(body); err != nil {
		return nil, correlation
	}
	return req, correlation
}
