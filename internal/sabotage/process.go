package sabotage

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Errors that a process meets at a fault, of the kind that the network gives: a
// client retries after them with back-off.
var (
	ErrBroken error = &net.OpError{Op: "write", Net: "tcp", Err: errors.New("connection broken on purpose")}
	ErrDead   error = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("process is dead")}
)

// Dial connects to a broker.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Process is a process as the world sees it: its connections, and the steps
// that a test passes through Step. At most one of its steps is struck.
type Process struct {
	dial Dial

	fault Fault
	fate  Fate
	match func(kmsg.Request) bool // called for each request, in order, under mu; nil: none
	hook  string                  // the Step to strike, "" for none

	mu     sync.Mutex
	armed  bool          // guarded by mu
	struck chan struct{} // closed when the fault has struck
	frozen chan struct{} // guarded by mu: closed when the process wakes up; nil: awake
	dead   bool          // guarded by mu
	let    chan struct{} // closed by Release
	late   []func()      // guarded by mu: what Release lets arrive
	conns  map[*conn]bool
	wakes  int // guarded by mu: requests since it woke up
	woken  bool
}

// NewProcess is a process that nothing happens to until a step is armed.
func NewProcess(dial Dial) *Process {
	return &Process{dial: dial, struck: make(chan struct{}), let: make(chan struct{}), conns: make(map[*conn]bool)}
}

// ArmRequest has the first request for which match is true fail. match sees
// every request of the process, in the order in which they are sent.
func (p *Process) ArmRequest(fault Fault, fate Fate, match func(kmsg.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.fate, p.match, p.armed = fault, fate, match, true
}

// ArmStep has the next Step of this name fail.
func (p *Process) ArmStep(fault Fault, fate Fate, hook string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.fate, p.hook, p.armed = fault, fate, hook, true
}

// Struck is closed when the fault has struck: the process is dead or frozen by
// then, or about to meet its error.
func (p *Process) Struck() <-chan struct{} { return p.struck }

// Dial is the process's kgo.Dialer.
func (p *Process) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := p.gate(); err != nil {
		return nil, err
	}
	inner, err := p.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, process: p}
	p.mu.Lock()
	p.conns[c] = true
	p.mu.Unlock()
	if err := p.gate(); err != nil {
		_ = inner.Close()
		return nil, err
	}
	return c, nil
}

// Kill ends the process as kill -9 does: its connections are closed, and
// nothing of it is heard again but what Held holds back.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
	for c := range p.conns {
		if !c.kept {
			_ = c.Conn.Close()
		}
	}
}

// Release wakes the process up, or lets arrive what was held back of it.
func (p *Process) Release() {
	p.mu.Lock()
	select {
	case <-p.let:
	default:
		close(p.let)
	}
	if p.frozen != nil {
		close(p.frozen)
		p.frozen, p.woken = nil, true
	}
	late := p.late
	p.late = nil
	p.mu.Unlock()
	for _, f := range late {
		f()
	}
}

// Close releases and ends everything: the end of the test.
func (p *Process) Close() {
	p.Release()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
	for c := range p.conns {
		_ = c.Conn.Close()
	}
}

// WentOn says whether the process sent anything since it woke up.
func (p *Process) WentOn() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wakes > 0
}

func (p *Process) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil && !p.dead {
		p.frozen = make(chan struct{})
	}
}

// gate holds whoever passes while the process is frozen, and fails when it is
// dead.
func (p *Process) gate() error {
	for {
		p.mu.Lock()
		frozen, dead := p.frozen, p.dead
		p.mu.Unlock()
		if dead {
			return ErrDead
		}
		if frozen == nil {
			return nil
		}
		<-frozen
	}
}

// strikes says whether this request is the one to fail.
func (p *Process) strikes(req kmsg.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.woken {
		p.wakes++
	}
	if req == nil || p.match == nil || !p.match(req) || !p.armed {
		return false
	}
	p.armed = false
	return true
}

func (p *Process) noteStruck() { close(p.struck) }

// Step is an outside step that is no request to a broker: apply does it. The
// error is that of the fault; ctx bounds the wait for an answer that never
// comes.
func (p *Process) Step(ctx context.Context, hook string, apply func()) error {
	if err := p.gate(); err != nil {
		return err
	}
	p.mu.Lock()
	hit := p.armed && p.hook == hook
	if hit {
		p.armed = false
	}
	p.mu.Unlock()
	if !hit {
		apply()
		return p.gate()
	}
	if p.fault == Applied || p.fault == Unanswered {
		apply()
	}
	switch p.fate {
	case New:
		p.Kill()
		p.noteStruck()
		return ErrDead
	case Zombie:
		p.freeze()
		p.noteStruck()
		if err := p.gate(); err != nil {
			return err
		}
		switch p.fault {
		case NotApplied, Applied:
			return ErrBroken
		case Held:
			apply()
		case Unanswered:
		}
		return nil
	case Same:
	}
	p.noteStruck()
	if p.fault == NotApplied || p.fault == Applied {
		return ErrBroken
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.let:
		return ErrBroken
	}
}
