package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/ingest"
	"postident-bridge/schemas"
)

// A redriven trigger names its letter, and has the case read: what a list showed
// back then would be taken for what the case is now.
func TestRedriveOfALetter(t *testing.T) {
	t.Parallel()
	reference, trace := "R-1", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	letter := schemas.Trigger{
		ClientID: "ACME", CaseID: "CASE1", ReferenceID: &reference, Source: schemas.SourceSweep, ReceivedAt: stamp.Add(-time.Hour),
		Traceparent: &trace, Observation: &schemas.Observation{CaseStatus: "closed"},
	}
	want := ingest.Hint{
		Trigger: schemas.Trigger{
			ClientID: "ACME", CaseID: "CASE1", ReferenceID: &reference, Source: schemas.SourceRedrive, ReceivedAt: stamp, Traceparent: &trace,
		},
		Headers: []kgo.RecordHeader{
			{Key: "postident.redrive.topic", Value: []byte("p.dead-letter")},
			{Key: "postident.redrive.partition", Value: []byte("3")},
			{Key: "postident.redrive.offset", Value: []byte("1024")},
		},
	}
	if diff := cmp.Diff(want, ingest.RedriveOf(letter, "p.dead-letter", 3, 1024, stamp)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = ingest.Hint{Trigger: schemas.Trigger{ClientID: "ACME", CaseID: "CASE1", Source: schemas.SourceRedrive, ReceivedAt: stamp}}
	if diff := cmp.Diff(want, ingest.LookAgain("ACME", "CASE1", stamp)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPutPacedKeepsItsRate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		triggers, rate int
		want           time.Duration // the last one goes at once
	}{
		{100, 50, 1900 * time.Millisecond},
		{3, 2, time.Second},
		{5, 1000, 0},
		{0, 1, 0},
	} {
		t.Run(fmt.Sprint(tt.triggers, " at ", tt.rate), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigOption{virtual: true})
				inbox := newInbox(t, r)
				hints := make([]ingest.Hint, tt.triggers)
				for i := range hints {
					hints[i] = hintOf(fmt.Sprintf("CASE%08d", i))
				}
				told := 0
				began := time.Now()
				written, err := inbox.PutPaced(t.Context(), hints, tt.rate, func(n int) { told = n })
				if took := time.Since(began); err != nil || took.Round(100*time.Millisecond) != tt.want || written != tt.triggers || told != written {
					t.Errorf("%d written, %d told, after %v: %v", written, told, took, err)
				}
				if got := len(r.written(t)); got != tt.triggers {
					t.Errorf("%d in the inbox", got)
				}
			})
		})
	}
}

// An operator does not wait for a Kafka that is away, and learns how far it got.
func TestPutPacedGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOption{virtual: true})
		inbox := newInbox(t, r)
		began := time.Now()
		written, err := inbox.PutPaced(t.Context(), []ingest.Hint{hintOf("CASE1"), hintOf("CASE2")}, 1, func(int) { r.paused.Store(true) })
		if took := time.Since(began).Round(time.Second); err == nil || written != 1 || took != 31*time.Second {
			t.Errorf("%d written after %v: %v", written, took, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := inbox.PutPaced(ctx, []ingest.Hint{hintOf("CASE1")}, 1, func(int) {}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if _, err := inbox.PutPaced(ctx, nil, 0, func(int) {}); err == nil {
			t.Error("no rate: no error")
		}
		r.paused.Store(false)
	})
}
