package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// proxy forwards TCP connections, as from one bridge process to one broker, and
// lets the connections suffer. Unlike a proxy that drops what it delays, it
// delivers held bytes when the fault heals, also to a peer whose other side has
// gone: the request of a zombie that arrives late is what a partition of the
// network makes, and what fencing is for.
type proxy struct {
	dial     func(context.Context) (net.Conn, error)
	listener net.Listener
	ended    chan struct{}
	tasks    sync.WaitGroup

	mu      sync.Mutex
	weather weather              // guarded by mu
	changed chan struct{}        // guarded by mu: closed when weather changes
	conns   map[net.Conn]*linked // guarded by mu: both ends of every connection
}

// linked is the pair of one forwarded connection.
type linked struct{ client, broker net.Conn }

// weather is what befalls the connections of a proxy. Its zero value is fair.
type weather struct {
	// refused closes the connections that there are, and every new one.
	refused bool
	// holdRequests and holdAnswers keep bytes on their way until it clears up.
	holdRequests, holdAnswers bool
	// delay holds back each piece of up to 32 KiB, in either direction.
	delay time.Duration
}

func newProxy(ctx context.Context, target string) (*proxy, error) {
	return newProxyBy(ctx, func(ctx context.Context) (net.Conn, error) { return dialSoon(ctx, target) })
}

// newProxyBy makes one that asks dial for the other end of each connection.
func newProxyBy(ctx context.Context, dial func(context.Context) (net.Conn, error)) (*proxy, error) {
	var conf net.ListenConfig
	listener, err := conf.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen as proxy: %w", err)
	}
	p := &proxy{
		dial: dial, listener: listener, ended: make(chan struct{}),
		changed: make(chan struct{}), conns: make(map[net.Conn]*linked),
	}
	p.tasks.Go(func() { p.accept(ctx) })
	return p, nil
}

// dialSoon gives up after 5 s.
func dialSoon(ctx context.Context, target string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return dialer.DialContext(ctx, "tcp", target)
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// set changes the weather for connections old and new.
func (p *proxy) set(w weather) {
	p.mu.Lock()
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	if w.refused {
		p.closeAll()
	}
}

func (p *proxy) close() error {
	close(p.ended)
	err := p.listener.Close()
	p.closeAll()
	p.tasks.Wait()
	return err
}

func (p *proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.conns {
		abort(l.client)
		abort(l.broker)
	}
}

// abort closes a connection by a reset, as a broken path does.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

func (p *proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.tasks.Go(func() { p.forward(ctx, client) })
	}
}

func (p *proxy) now() (weather, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weather, p.changed
}

// forward serves one connection to its end.
func (p *proxy) forward(ctx context.Context, client net.Conn) {
	w, _ := p.now()
	if w.refused {
		abort(client)
		return
	}
	broker, err := p.dial(ctx)
	if err != nil {
		abort(client)
		return
	}
	l := &linked{client: client, broker: broker}
	p.mu.Lock()
	p.conns[client] = l
	refused := p.weather.refused
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, client)
		p.mu.Unlock()
		_ = client.Close()
		_ = broker.Close()
	}()
	if refused { // it began between the two looks
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pipe(broker, client, func(w weather) bool { return w.holdRequests }) })
	both.Go(func() { p.pipe(client, broker, func(w weather) bool { return w.holdAnswers }) })
	both.Wait()
}

// pipe copies one direction. The end of the source is told to the sink behind
// everything that came before it; a sink that is gone ends the source too.
func (p *proxy) pipe(to, from net.Conn, held func(weather) bool) {
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if !p.pass(held) {
			return
		}
		if n > 0 {
			if _, err := to.Write(piece[:n]); err != nil {
				abort(from)
				return
			}
		}
		if err == nil {
			continue
		}
		if t, ok := to.(*net.TCPConn); ok && errors.Is(err, io.EOF) {
			_ = t.CloseWrite()
		} else {
			abort(to)
		}
		return
	}
}

// pass waits until a piece may go on. It is false when the proxy ends first.
func (p *proxy) pass(held func(weather) bool) bool {
	for {
		w, changed := p.now()
		if !held(w) {
			return w.delay == 0 || p.wait(w.delay)
		}
		select {
		case <-changed:
		case <-p.ended:
			return false
		}
	}
}

func (p *proxy) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ended:
		return false
	}
}
