package publish

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// faultMode is what goes wrong with one request to a broker.
type faultMode string

const (
	notApplied faultMode = "failed and not applied" // the connection breaks before the request is sent
	applied    faultMode = "failed but applied"     // the connection breaks when the answer arrives
)

// saboteur dials brokers and breaks the connection at chosen requests of one
// kind. It knows the protocol only by the api key in a request's header.
type saboteur struct {
	key   kmsg.Key
	mode  faultMode
	every int64 // break each time this many requests of the kind were sent …
	limit int64 // … this often at most
	sent  atomic.Int64
	broke atomic.Int64
}

func (s *saboteur) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &sabotagedConn{Conn: conn, saboteur: s}, nil
}

func (s *saboteur) strikes(request []byte) bool {
	if len(request) < 6 || int16(binary.BigEndian.Uint16(request[4:])) != s.key.Int16() {
		return false
	}
	if s.sent.Add(1)%s.every != 0 || s.broke.Load() >= s.limit {
		return false
	}
	s.broke.Add(1)
	return true
}

var errSabotage = errors.New("connection broken by the test")

type sabotagedConn struct {
	net.Conn
	saboteur *saboteur
	mu       sync.Mutex
	doomed   bool // guarded by mu: the next answer is lost
}

func (c *sabotagedConn) Write(request []byte) (int, error) {
	if c.saboteur.strikes(request) {
		if c.saboteur.mode == notApplied {
			_ = c.Close()
			return 0, errSabotage
		}
		c.mu.Lock()
		c.doomed = true
		c.mu.Unlock()
	}
	return c.Conn.Write(request)
}

func (c *sabotagedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && c.doomed {
		_ = c.Close()
		return 0, errSabotage
	}
	return n, err
}

// P2: every step that speaks to a broker × {failed and not applied, failed but
// applied}; and after it the same process goes on.
func TestEachChangeOneEventWhateverStepFails(t *testing.T) {
	t.Parallel()
	steps := []struct {
		step string
		key  kmsg.Key
	}{
		{"find the coordinator", kmsg.FindCoordinator},
		{"open the producer", kmsg.InitProducerID},
		{"join the group", kmsg.JoinGroup},
		{"take the assignment", kmsg.SyncGroup},
		{"heartbeat", kmsg.Heartbeat},
		{"inspect the topics", kmsg.Metadata},
		{"list offsets", kmsg.ListOffsets},
		{"read the inbox or case-state", kmsg.Fetch},
		{"produce in a transaction", kmsg.Produce},
		{"end a transaction", kmsg.EndTxn},
		{"note the progress for lag", kmsg.OffsetCommit},
	}
	for _, step := range steps {
		for _, mode := range []faultMode{notApplied, applied} {
			for _, every := range []int64{1, 3} {
				t.Run(fmt.Sprintf("%s/%s/every %d", step.step, mode, every), func(t *testing.T) {
					t.Parallel()
					s := newStage(t)
					bad := &saboteur{key: step.key, mode: mode, every: every, limit: 3}
					cfg := s.config()
					cfg.Kafka = append(cfg.Kafka, kgo.Dialer(bad.dial), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }))
					_, stop := s.run(cfg)
					const cases = 12
					for round := 1; round <= 2; round++ {
						for i := range cases {
							s.source.show(caseName(i), round)
							s.hook(caseName(i))
						}
						s.events(round * cases)
					}
					if err := stop(); err != nil {
						t.Fatal(err)
					}
					if bad.broke.Load() == 0 && every == 1 {
						t.Error("the step was never taken: the fault proves nothing")
					}
					// What a next process finds must be the whole truth too.
					s.run(s.config())
					s.source.show("LASTCASE", 1)
					s.hook("LASTCASE")
					for id, events := range s.events(2*cases + 1) {
						if id != "LASTCASE" && len(events) != 2 {
							t.Errorf("case %s has %d events", id, len(events))
						}
					}
				})
			}
		}
	}
}
