package publish

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/producer"
)

// newKafkaStage is a stage on Apache Kafka, the broker that the tests share.
func newKafkaStage(t *testing.T) *stage {
	t.Helper()
	return newStageOn(t, counterpart.SharedKafka(t).Seeds())
}

func newStageOn(t *testing.T, seeds []string) *stage {
	t.Helper()
	prefix := "test." + uuid.NewString() + "."
	s := &stage{
		t: t, seeds: seeds, prefix: prefix, source: newSource(), log: testLog(t),
		topics: Topics{Inbox: prefix + "inbox", CaseState: prefix + "case-state", Status: prefix + "status.v1", DeadLetter: prefix + "dead-letter"},
	}
	s.client = s.newClient()
	created, err := kadm.NewClient(s.client).CreateTopics(t.Context(), testPartitions, 1, nil,
		s.topics.Inbox, s.topics.CaseState, s.topics.Status, s.topics.DeadLetter)
	if err := errors.Join(err, created.Error()); err != nil {
		t.Fatal(err)
	}
	return s
}

// onBoth runs a test on kfake and on Apache Kafka, which differ in what a stale
// epoch may do and in how long a transaction takes to end.
func onBoth(t *testing.T, test func(s *stage)) {
	t.Helper()
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		test(newStage(t, kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "100"})))
	})
	t.Run("Apache Kafka", func(t *testing.T) {
		t.Parallel()
		test(newKafkaStage(t))
	})
}

// worker runs a worker on one partition without asking the group: what a
// predecessor does that does not know yet that it is one. The returned function
// ends it like a stop, and gives its error.
func (s *stage) worker(cfg Config, partition int32) (ended <-chan error, stop func() error) {
	s.t.Helper()
	p, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	p.stop = func() {}
	p.shared = s.newClient(append(p.base(), sharedOpts()...)...)
	p.onward = producer.New(p.shared, p.cfg.Topics.Inbox, p.cfg.Logger)
	s.t.Cleanup(p.onward.Close)
	seen, err := p.awaitTopics(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	p.count, p.stateID = seen.partitions, seen.stateID
	p.group = s.newClient(p.base()...) // of no group: the position is followed nowhere
	done := make(chan error, 2)
	go func() {
		err := p.runWorker(ctx, &owner{partition: partition}, &suspects{})
		done <- err
		done <- err
	}()
	stop = sync.OnceValue(func() error { cancel(errStopped); return <-done })
	s.t.Cleanup(func() { _ = stop() })
	return done, stop
}

func (s *stage) admin() *kadm.Client { return kadm.NewClient(s.client) }

// inPartition names n cases of one partition.
func inPartition(partition int32, n int) []string {
	var names []string
	for i := 0; len(names) < n; i++ {
		if partitionOf(caseName(i), testPartitions) == partition {
			names = append(names, caseName(i))
		}
	}
	return names
}

// until waits for something that nothing tells of.
func (s *stage) until(what string, condition func() bool) {
	s.t.Helper()
	tick, limit := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-limit:
			s.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// exactly checks that the cases have so many events each, and that no more comes
// once a case that is moved now has its own.
func (s *stage) exactly(perCase int, cases ...string) {
	s.t.Helper()
	// One case for each partition, whose event comes after whatever is to come.
	last := make(map[string]bool)
	for partition := range int32(testPartitions) {
		for i := 0; ; i++ {
			id := strings.ToUpper(uuid.NewString()[:8]) + "LAST"
			if partitionOf(id, testPartitions) == partition {
				last[id] = true
				s.source.show(id, 1)
				s.hook(id)
				break
			}
		}
	}
	byCase := s.eventsUntil(func(seen map[string]int) bool {
		for id := range last {
			if seen[id] == 0 {
				return false
			}
		}
		for _, id := range cases {
			if seen[id] < perCase {
				return false
			}
		}
		return true
	})
	for _, id := range cases {
		if n := len(byCase[id]); n != perCase {
			s.t.Errorf("case %s has %d events, want %d", id, n, perCase)
		}
	}
}

// wire stands between a client and its brokers. It sees each request's kind, and
// may hold requests or answers back, or cut everything.
type wire struct {
	mu    sync.Mutex
	holds map[kmsg.Key]*hold // guarded by mu
	sent  map[kmsg.Key]int   // guarded by mu: requests that were written
	conns map[net.Conn]bool  // guarded by mu
	dead  bool               // guarded by mu: cut off for good
	lies  int                // guarded by mu: so many answers to EndTxn will name an error
}

// hold keeps one kind of request, or its answers, back until it is released.
type hold struct {
	answers bool
	after   int // so many pass first
	reached chan struct{}
	release chan struct{}
	once    sync.Once
}

func newWire() *wire {
	return &wire{holds: make(map[kmsg.Key]*hold), sent: make(map[kmsg.Key]int), conns: make(map[net.Conn]bool)}
}

// holdRequests keeps back the requests of a kind, but for the first after of
// them; holdAnswers lets them through and keeps the answers.
func (w *wire) holdRequests(t *testing.T, key kmsg.Key, after int) *hold {
	t.Helper()
	return w.hold(t, key, &hold{after: after})
}

func (w *wire) holdAnswers(t *testing.T, key kmsg.Key, after int) *hold {
	t.Helper()
	return w.hold(t, key, &hold{after: after, answers: true})
}

func (w *wire) hold(t *testing.T, key kmsg.Key, h *hold) *hold {
	t.Helper()
	h.reached, h.release = make(chan struct{}), make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds[key] = h
	t.Cleanup(func() { w.letGo(key) })
	return h
}

// letGo ends the hold of a kind.
func (w *wire) letGo(key kmsg.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.holds[key]; h != nil {
		close(h.release)
		delete(w.holds, key)
	}
}

// cut ends all connections for good: to the brokers, a kill -9.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	for conn := range w.conns {
		_ = conn.Close()
	}
}

// lie puts an error in place of the broker's word on the next n transactions.
func (w *wire) lie(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lies = n
}

// lied says whether all lies were told.
func (w *wire) lied() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lies == 0
}

func (w *wire) count(key kmsg.Key) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[key]
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		_ = conn.Close()
		return nil, errSabotage
	}
	w.conns[conn] = true
	return &wiredConn{Conn: conn, wire: w}, nil
}

// passes notes a request, and gives the hold that is to keep it back.
func (w *wire) passes(request []byte) *hold {
	if len(request) < 6 {
		return nil
	}
	key := kmsg.Key(binary.BigEndian.Uint16(request[4:]))
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.holds[key]
	if h == nil || h.after > 0 {
		if h != nil {
			h.after--
		}
		w.sent[key]++
		return nil
	}
	h.once.Do(func() { close(h.reached) })
	if h.answers {
		w.sent[key]++
	}
	return h
}

type wiredConn struct {
	net.Conn
	wire *wire
	mu   sync.Mutex
	held *hold            // guarded by mu: keeps the next answer back
	ends map[[4]byte]bool // guarded by mu: correlation ids of EndTxn under way
}

func (c *wiredConn) Write(request []byte) (int, error) {
	if len(request) >= 12 && kmsg.Key(binary.BigEndian.Uint16(request[4:])) == kmsg.EndTxn {
		c.mu.Lock()
		if c.ends == nil {
			c.ends = make(map[[4]byte]bool)
		}
		c.ends[[4]byte(request[8:12])] = true
		c.mu.Unlock()
	}
	if h := c.wire.passes(request); h != nil {
		if !h.answers {
			<-h.release
		} else {
			c.mu.Lock()
			c.held = h
			c.mu.Unlock()
		}
	}
	return c.Conn.Write(request)
}

func (c *wiredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	h := c.held
	c.held = nil
	c.mu.Unlock()
	if h != nil {
		<-h.release
	}
	if err == nil {
		c.distort(p[:n])
	}
	return n, err
}

// distort has answers to EndTxn name an error, if a lie is wanted. Each begins
// with its length, the correlation id, no tags, the throttle time, and the
// error's code. What is read begins with an answer: those of a connection that
// transactions end on are short.
func (c *wiredConn) distort(read []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(read) >= 15 {
		id := [4]byte(read[4:])
		if c.ends[id] {
			delete(c.ends, id)
			c.wire.mu.Lock()
			if c.wire.lies > 0 {
				c.wire.lies--
				binary.BigEndian.PutUint16(read[13:], 0xffff) // UNKNOWN_SERVER_ERROR
			}
			c.wire.mu.Unlock()
		}
		length := 4 + int(binary.BigEndian.Uint32(read))
		read = read[min(length, len(read)):]
	}
}

func (c *wiredConn) Close() error {
	c.wire.mu.Lock()
	delete(c.wire.conns, c.Conn)
	c.wire.mu.Unlock()
	return c.Conn.Close()
}

// through is a configuration whose clients go through the wire.
func (w *wire) through(cfg Config) Config {
	cfg.Kafka = append(slices.Clip(cfg.Kafka), kgo.Dialer(w.dial), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }))
	return cfg
}
