package ingest_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/scr"
)

// refuseIDs has the broker refuse producer ids for as long as the switch is on.
func (r *rig) refuseIDs(code int16) *atomic.Bool {
	on := new(atomic.Bool)
	on.Store(true)
	r.cluster.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		if !on.Load() {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = code
		return resp, nil, true
	})
	return on
}

// P1, P10: a broker that refuses a producer id, for lack of a right or for trouble of
// its own, is asked again. The webhook is not ready meanwhile, also where the broker
// tells no rights, and needs neither a restart nor another webhook to be ready again.
func TestP10WebhookOutlivesARefusedProducerID(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		code int16
		says string
	}{
		"no right":   {kerr.ClusterAuthorizationFailed.Code, "needs Write on topic " + inboxTopic},
		"no success": {kerr.UnknownServerError.Code, "UNKNOWN_SERVER_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newVirtualRig(t, rigOption{})
				t.Cleanup(r.Close)
				refused := r.refuseIDs(tt.code)
				r.refuse(t, "REFUSED", "produce")
				r.refuse(t, "REFUSED", "produce")
				eventually(t, time.Second, "it says why it is not ready", func() bool {
					err := r.Ready(t.Context())
					return err != nil && strings.Contains(err.Error(), tt.says)
				})
				<-time.After(time.Minute) // of the bubble
				r.refuse(t, "REFUSED", "produce")
				if err := r.Ready(t.Context()); err == nil {
					t.Error("ready, and takes nothing")
				}
				refused.Store(false)
				eventually(t, 3*time.Second, "it is ready", func() bool { return r.Ready(t.Context()) == nil })
				r.accept(t, "TAKEN")

				// The one that took the place of the first outlives a refusal too: its record
				// is refused alone, and its id is at hand.
				refused.Store(true)
				r.accept(t, "GOESON")
				if got := r.caseIDs(t); len(got) != 2 || got["TAKEN"] != 1 || got["GOESON"] != 1 {
					t.Errorf("in the inbox: %v", got)
				}
			})
		})
	}
}

// P10: the poll role says why nothing can be written, and goes on once Kafka gives
// producer ids.
func TestP10PollerSaysThatItIsRefusedAProducerID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		refused := r.rig.refuseIDs(kerr.ClusterAuthorizationFailed.Code)
		l := &lists{}
		l.set("OPEN", scr.CaseInProgress, scr.StatusStarted, time.Now().Add(-time.Hour), time.Now())
		p, stop := r.start(map[string]*lists{"ACME": l})
		eventually(t, time.Minute, "it says why it is not ready", func() bool {
			err := p.Ready(t.Context())
			return err != nil && strings.Contains(err.Error(), "needs Write on topic "+inboxTopic)
		})
		<-time.After(time.Minute) // of the bubble
		if err := p.Ready(t.Context()); err == nil {
			t.Error("ready, and can write nothing")
		}
		refused.Store(false)
		eventually(t, 3*time.Second, "it is ready", func() bool { return p.Ready(t.Context()) == nil })
		eventually(t, 10*time.Minute, "it writes", func() bool { return len(r.written()) == 1 })
		stop()
	})
}

// An error of a record says nothing about the client.
func TestARefusedRecordIsNoRefusedProducer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newVirtualRig(t, rigOption{})
		t.Cleanup(r.Close)
		r.accept(t, "BEFORE")
		r.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			resp := req.ResponseKind().(*kmsg.ProduceResponse)
			for _, topic := range req.(*kmsg.ProduceRequest).Topics {
				answer := kmsg.NewProduceResponseTopic()
				answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
				for _, p := range topic.Partitions {
					refused := kmsg.NewProduceResponseTopicPartition()
					refused.Partition, refused.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
					answer.Partitions = append(answer.Partitions, refused)
				}
				resp.Topics = append(resp.Topics, answer)
			}
			return resp, nil, true
		})
		r.refuse(t, "REFUSED", "produce")
		synctest.Wait()
		r.accept(t, "AFTER")
		if err := r.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A webhook that is closed while it is refused leaves nothing behind, whoever
// closes first.
func TestCloseWhileRefused(t *testing.T) {
	t.Parallel()
	for _, clientFirst := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			r.refuseIDs(kerr.ClusterAuthorizationFailed.Code)
			r.refuse(t, "REFUSED", "produce")
			eventually(t, time.Second, "it is refused", func() bool { return r.Ready(t.Context()) != nil })
			if clientFirst {
				r.client.Close()
			}
			r.Close()
			r.Close()
			if w := r.serve(post(t.Context(), "ACME", goodBody)); w.Code != http.StatusServiceUnavailable {
				t.Errorf("code %d", w.Code)
			}
		})
	}
}
