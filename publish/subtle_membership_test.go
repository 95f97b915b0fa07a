package publish

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// soon are timings under which a dead process is noticed as soon as Apache Kafka
// allows: its shortest session time-out is 6 s.
func (s *stage) soon() timings {
	t := defaultTimings()
	t.sessionTimeout, t.heartbeatInterval = 6*time.Second, 200*time.Millisecond
	if s.cluster != nil {
		t.sessionTimeout, t.heartbeatInterval = 500*time.Millisecond, 50*time.Millisecond
	}
	return t
}

// P2, P3 hold with static and dynamic members and with every balancer: a
// graceful stop, a scale-out, a kill and what comes after each.
func TestEveryBalancerAndMembershipHandsOver(t *testing.T) {
	t.Parallel()
	balancers := []func() kgo.GroupBalancer{
		kgo.CooperativeStickyBalancer, kgo.StickyBalancer, kgo.RangeBalancer, kgo.RoundRobinBalancer,
	}
	for _, balancer := range balancers {
		for _, static := range []bool{false, true} {
			name := fmt.Sprintf("%s, static %t", balancer().ProtocolName(), static)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				onBoth(t, func(s *stage) { s.handOver(balancer(), static) })
			})
		}
	}
}

func (s *stage) handOver(balancer kgo.GroupBalancer, static bool) {
	s.t.Helper()
	start := func(instance string) (*wire, func() error) {
		w := newWire()
		cfg := w.through(s.config())
		cfg.balancer, cfg.timings = balancer, s.soon()
		if static {
			// Only a return as the same instance may end the wait after a kill, and only
			// leaving as this instance the one after a stop.
			cfg.InstanceID, cfg.timings.sessionTimeout = instance, time.Minute
		}
		_, stop := s.run(cfg)
		return w, stop
	}
	const n = 30
	cases := make([]string, n)
	for i := range cases {
		cases[i] = caseName(i)
	}
	moved := 0
	move := func(state int) {
		for _, id := range cases {
			s.source.show(id, state)
			s.hook(id)
		}
		moved += n
		s.events(moved)
	}
	_, stopA := start("a")
	wireB, stopB := start("b")
	move(1)
	if err := stopA(); err != nil {
		s.t.Fatal(err)
	}
	s.exactly(1, cases...) // one case in each partition: all were handed over
	moved += testPartitions
	start("c")
	wireB.cut()
	s.t.Cleanup(func() { _ = stopB() })
	if static {
		start("b") // comes back as itself
	}
	move(2)
	for _, id := range cases {
		s.hook(id) // what was seen before is no news
	}
	s.exactly(2, cases...)
}

// KIP-345: of two processes with one instance id the older is fenced. It says so
// and ends; it does not fight for the place.
func TestSecondProcessWithOneInstanceIDEndsTheFirst(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		t := s.t
		w := newWire()
		cfg := w.through(s.config())
		cfg.InstanceID, cfg.timings = "one", s.soon()
		// On a busy machine a heartbeat may be late: nobody's session ends here.
		cfg.timings.sessionTimeout = time.Minute
		first, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- first.Run(t.Context()) }()
		s.source.show(caseName(1), 1)
		s.hook(caseName(1))
		s.events(1)
		w2 := newWire()
		second := w2.through(s.config())
		second.InstanceID, second.timings = cfg.InstanceID, cfg.timings
		p2, _ := s.run(second)
		var member string
		s.until("the second is a member", func() bool {
			if group := p2.groupClient(); group != nil {
				member, _ = group.GroupMetadata()
			}
			return member != ""
		})
		select {
		case err := <-ended:
			if refused := (*RefusedError)(nil); !errors.As(err, &refused) {
				t.Fatalf("the first ended with %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the first goes on")
		}
		s.source.show(caseName(1), 2)
		s.hook(caseName(1))
		s.exactly(2, caseName(1))
		asked := w2.count(kmsg.Heartbeat)
		s.until("the second has asked the group", func() bool { return w2.count(kmsg.Heartbeat) > asked+2 })
		if now, _ := p2.groupClient().GroupMetadata(); now != member {
			s.t.Error("the first threw the second out when it left")
		}
	})
}

// Design 2: a fence does not prove that ownership was lost, and so the owner asks
// the group. It counts here: whoever initialised the owner's transactional id was
// a stranger, and the owner takes over again, however often.
func TestStrayInitialisationCostsNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		cfg := s.config()
		cfg.timings = s.soon()
		s.run(cfg)
		cases := make([]string, 30)
		for i := range cases {
			cases[i] = caseName(i)
			s.source.show(cases[i], 1)
			s.hook(cases[i])
			if i%3 == 0 {
				s.stray(partitionOf(cases[i], testPartitions))
			}
		}
		s.exactly(1, cases...)
	})
}

// Design 2: an owner that was fenced and does not count in the group any more
// must not open its producer: it would only fence its successor.
func TestFencedOwnerThatDoesNotCountOpensNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		t := s.t
		w := newWire()
		cfg := w.through(s.config())
		cfg.timings = s.soon()
		// It does not hear of its end by itself, and cannot join anew.
		cfg.timings.heartbeatInterval, cfg.timings.sessionTimeout = time.Minute, 2*time.Minute
		// Of a cooperative balancer kgo sends a first heartbeat half a second after the
		// assignment, whatever the interval.
		cfg.balancer = kgo.RangeBalancer()
		p, _ := s.run(cfg)
		s.source.show(caseName(1), 1)
		s.hook(caseName(1))
		s.events(1)
		s.until("all partitions are owned and work", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			works := 0
			for _, o := range p.owners {
				if o.works() {
					works++
				}
			}
			return works == testPartitions
		})
		// An offset committed by one who is no member has the client rejoin, and what
		// is held back holds back what comes behind it: it must have been committed.
		partition := partitionOf(caseName(1), testPartitions)
		s.until("the group's offset has followed", func() bool {
			at, err := s.admin().FetchOffsets(t.Context(), s.prefix+"process")
			if err != nil {
				return false
			}
			offset, _ := at.Lookup(s.topics.Inbox, partition)
			return offset.At == s.end(s.topics.Inbox, partition)
		})
		w.holdRequests(t, kmsg.JoinGroup, 0)
		s.throwOut(p)
		opened, asked := w.count(kmsg.InitProducerID), w.count(kmsg.Heartbeat)
		s.stray(partition)
		s.source.show(caseName(1), 2)
		s.hook(caseName(1))
		s.until("the owner has asked the group a few times", func() bool { return w.count(kmsg.Heartbeat) >= asked+4 })
		if now := w.count(kmsg.InitProducerID); now != opened {
			t.Errorf("a member that does not count opened its producer %d times", now-opened)
		}
		s.run(s.config()) // its successor
		s.exactly(2, caseName(1))
	})
}

// throwOut takes a publisher's membership away.
func (s *stage) throwOut(p *Publisher) {
	s.t.Helper()
	member, _ := p.groupClient().GroupMetadata()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = s.prefix + "process"
	leaving := kmsg.NewLeaveGroupRequestMember()
	leaving.MemberID = member
	req.Members = append(req.Members, leaving)
	resp, err := req.RequestWith(s.t.Context(), s.client)
	if err != nil || resp.ErrorCode != 0 || len(resp.Members) != 1 || resp.Members[0].ErrorCode != 0 {
		s.t.Fatalf("throw out: %v, %+v", err, resp)
	}
}

// stray initialises the transactional id of a partition as a stranger would.
func (s *stage) stray(partition int32) {
	s.t.Helper()
	stray := s.newClient(kgo.TransactionalID(fmt.Sprintf("%sprocess-%d", s.prefix, partition)))
	defer stray.Close()
	if _, _, err := stray.ProducerID(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// The group may assign a partition while the process waits for its owners to end:
// nobody would end an owner that began then.
func TestNoOwnerStartsWhileTheProcessLeaves(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p, stop := s.run(s.config())
	s.source.show(caseName(1), 1)
	s.hook(caseName(1))
	s.events(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	p.assigned(t.Context(), nil, map[string][]int32{s.topics.Inbox: {0, 1, 2}})
	if owned := p.owned(); len(owned) > 0 {
		t.Errorf("owners of %v began after the end", owned)
	}
}
