package producer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "t"

// broker is one in the process that refuses producer ids for as long as refuses is
// on, and answers nothing while it is paused. It starts refusing.
type broker struct {
	t               *testing.T
	client          *kgo.Client
	refuses, paused atomic.Bool
	asked           atomic.Int64 // how often for an id
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	network := &kfake.VirtualNetwork{}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic), kfake.ListenFn(network.Listen), kfake.Ports(9092))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := &broker{t: t}
	b.refuses.Store(true)
	cluster.ControlKey(-1, func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		init, ok := req.(*kmsg.InitProducerIDRequest)
		if ok {
			b.asked.Add(1)
		}
		if b.paused.Load() {
			return nil, nil, true
		}
		if !ok || !b.refuses.Load() {
			return nil, nil, false
		}
		resp := init.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return resp, nil, true
	})
	if b.client, err = kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(network.DialContext), kgo.DefaultProduceTopic(topic)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	return b
}

// produce produces one record, and tells the producer if that failed.
func (b *broker) produce(p *Producer) error {
	client := p.Client()
	err := client.ProduceSync(b.t.Context(), kgo.StringRecord("x")).FirstErr()
	if err != nil {
		p.Failed(client, err)
	}
	return err
}

// refused is a producer that was refused its id.
func (b *broker) refused(logger *slog.Logger) *Producer {
	b.t.Helper()
	p := New(b.client, topic, logger)
	b.t.Cleanup(p.Close)
	if err := b.produce(p); !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		b.t.Fatalf("produced with %v", err)
	}
	synctest.Wait()
	if err := p.Refused(); err == nil || !strings.Contains(err.Error(), "needs Write on topic "+topic) {
		b.t.Fatalf("refused: %v", err)
	}
	return p
}

func TestAnotherClientTakesThePlaceOfARefusedOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		var logs bytes.Buffer
		p := b.refused(slog.New(slog.NewTextHandler(&logs, nil)))
		<-time.After(time.Minute) // of the bubble
		if err := b.produce(p); err == nil || p.Refused() == nil || p.Client() != b.client {
			t.Error("it is not refused any more")
		}
		b.refuses.Store(false)
		<-time.After(2 * identifyEvery)
		synctest.Wait() // for the last word in the log as well
		if err := errors.Join(p.Refused(), b.produce(p)); err != nil {
			t.Error(err)
		}
		for _, line := range []string{`level=WARN msg="kafka refuses a producer id"`, `level=INFO msg="kafka gives producer ids again"`} {
			if n := strings.Count(logs.String(), line); n != 1 {
				t.Errorf("%d times %s in:\n%s", n, line, &logs)
			}
		}
	})
}

func TestClientThatCannotBeMadeIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		p := b.refused(nil)
		var tries atomic.Int64
		p.open = func(opts ...kgo.Opt) (*kgo.Client, error) {
			if tries.Add(1) < 3 {
				return nil, errors.New("no")
			}
			return kgo.NewClient(opts...)
		}
		b.refuses.Store(false)
		<-time.After(2*identifyEvery + identifyEvery/2)
		if p.Refused() == nil {
			t.Error("not refused, and there is no other client")
		}
		<-time.After(identifyEvery)
		if err := errors.Join(p.Refused(), b.produce(p)); err != nil || tries.Load() != 3 {
			t.Errorf("after %d tries: %v", tries.Load(), err)
		}
	})
}

// A paused broker is asked one question at a time, and nobody waits for it.
func TestCloseDoesNotWaitForAQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		p := b.refused(nil)
		b.paused.Store(true)
		before := b.asked.Load()
		<-time.After(identifyEvery + identifyEvery/2)
		if asked := b.asked.Load() - before; asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		began := time.Now()
		p.Close()
		p.Close()
		if took := time.Since(began); took > 0 {
			t.Errorf("closing took %v", took)
		}
		if err := b.produce(p); err == nil || p.Client() != b.client {
			t.Error("another client after the end")
		}
	})
}

func TestSoleStaysWithItsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t)
		p := Sole(b.client)
		if err := b.produce(p); err == nil {
			t.Error("produced without an id")
		}
		b.refuses.Store(false)
		<-time.After(time.Minute)
		if err := b.produce(p); err == nil || p.Refused() != nil || p.Client() != b.client {
			t.Errorf("it does not stay: %v", err)
		}
		p.Close()
	})
}

func TestErrorsThatAreFinal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{kerr.ClusterAuthorizationFailed, true},
		{kerr.UnknownServerError, true},
		{kerr.NotLeaderForPartition, false},
		{kgo.ErrClientClosed, false},
		{context.DeadlineExceeded, false},
		{nil, false},
	} {
		if got := isFinal(tt.err); got != tt.want {
			t.Errorf("%v: %t", tt.err, got)
		}
	}
}
