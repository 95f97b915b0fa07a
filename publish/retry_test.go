package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

var (
	retryNow    = time.Date(2024, 5, 2, 10, 0, 0, 0, time.UTC)
	retryOrigin = origin{Partition: 3, Offset: 42, Value: []byte("trigger")}
)

// TestDefaultRetryPolicyOutlastsTheSender: hooks are repeated for 75 minutes
// (guide 5); the retries of a case go on for two hours, jitter or not.
func TestDefaultRetryPolicyOutlastsTheSender(t *testing.T) {
	t.Parallel()
	p := defaultRetryPolicy()
	for _, jitter := range []float64{0, 0.5, 0.999} {
		now, attempts := retryNow, 0
		var slot *schemas.Retry
		for {
			next, exhausted := p.afterFault(slot, now, "not_found", retryOrigin, jitter)
			attempts++
			if exhausted {
				if next.Faults != attempts || !next.FirstFailed.Equal(retryNow) {
					t.Errorf("exhausted with %d faults since %s", next.Faults, next.FirstFailed)
				}
				break
			}
			if !next.NotBefore.After(now) {
				t.Fatalf("attempt %d is due at once", attempts)
			}
			slot, now = next, next.NotBefore
		}
		if took := now.Sub(retryNow); attempts != 12 || took < 95*time.Minute || took > 150*time.Minute {
			t.Errorf("jitter %v: %d reads in %s", jitter, attempts, took)
		}
	}
	if p.zero() || !(retryPolicy{}).zero() {
		t.Error("zero is wrong")
	}
}

func TestAfterFault(t *testing.T) {
	t.Parallel()
	p := retryPolicy{Faults: []time.Duration{10 * time.Second, time.Minute}, Rechecks: []time.Duration{time.Second}}
	failed := retryNow.Add(-time.Hour)
	for _, tt := range []struct {
		name      string
		prev      *schemas.Retry
		jitter    float64
		want      schemas.Retry
		exhausted bool
	}{
		{"first, no jitter", nil, 0.5, schemas.Retry{Attempt: 1, Faults: 1, NotBefore: retryNow.Add(10 * time.Second), FirstFailed: retryNow}, false},
		{"least jitter", nil, 0, schemas.Retry{Attempt: 1, Faults: 1, NotBefore: retryNow.Add(8 * time.Second), FirstFailed: retryNow}, false},
		{"most jitter", nil, 1, schemas.Retry{Attempt: 1, Faults: 1, NotBefore: retryNow.Add(12 * time.Second), FirstFailed: retryNow}, false},
		{
			"second", &schemas.Retry{Kind: schemas.RetryFault, Attempt: 1, Faults: 1, FirstFailed: failed}, 0.5,
			schemas.Retry{Attempt: 2, Faults: 2, NotBefore: retryNow.Add(time.Minute), FirstFailed: failed},
			false,
		},
		{
			"after parking: faults count on", &schemas.Retry{Kind: schemas.RetryParked, Faults: 1, FirstFailed: failed}, 0.5,
			schemas.Retry{Attempt: 2, Faults: 2, NotBefore: retryNow.Add(time.Minute), FirstFailed: failed},
			false,
		},
		{
			"after rechecks: they are no faults", &schemas.Retry{Kind: schemas.RetryRecheck, Attempt: 3, FirstFailed: failed}, 0.5,
			schemas.Retry{Attempt: 1, Faults: 1, NotBefore: retryNow.Add(10 * time.Second), FirstFailed: failed},
			false,
		},
		{
			"exhausted", &schemas.Retry{Kind: schemas.RetryFault, Attempt: 2, Faults: 2, FirstFailed: failed}, 0.5,
			schemas.Retry{Attempt: 3, Faults: 3, NotBefore: retryNow, FirstFailed: failed},
			true,
		},
		{
			"exhausted under a policy that was cut", &schemas.Retry{Kind: schemas.RetryFault, Attempt: 9, Faults: 9, FirstFailed: failed}, 0.5,
			schemas.Retry{Attempt: 10, Faults: 10, NotBefore: retryNow, FirstFailed: failed},
			true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.want.Kind, tt.want.Reason = schemas.RetryFault, "not_found"
			tt.want.Partition, tt.want.Offset, tt.want.Trigger = 3, 42, []byte("trigger")
			next, exhausted := p.afterFault(tt.prev, retryNow, "not_found", retryOrigin, tt.jitter)
			if diff := cmp.Diff(&tt.want, next); diff != "" || exhausted != tt.exhausted {
				t.Errorf("exhausted %t, slot (-want +got):\n%s", exhausted, diff)
			}
		})
	}
}

// TestAfterUnavailableParksOnce: an outage writes each case once, and uses up
// nothing (P8).
func TestAfterUnavailableParksOnce(t *testing.T) {
	t.Parallel()
	p := defaultRetryPolicy()
	fault, _ := p.afterFault(nil, retryNow, "not_found", retryOrigin, 0.5)
	later := retryNow.Add(time.Minute)
	parked := p.afterUnavailable(fault, later, "timeout", retryOrigin)
	want := &schemas.Retry{
		Kind: schemas.RetryParked, NotBefore: later, Reason: "timeout", FirstFailed: retryNow,
		Partition: 3, Offset: 42, Trigger: []byte("trigger"), Faults: 1,
	}
	if diff := cmp.Diff(want, parked); diff != "" {
		t.Errorf("slot (-want +got):\n%s", diff)
	}
	if again := p.afterUnavailable(parked, later.Add(time.Hour), "connection", origin{Offset: 43}); again != parked {
		t.Errorf("parked again: %+v", again)
	}
}

// TestAfterUnchangedRechecksAHook after 2, 10 and 60 s, if nothing was read
// since it came.
func TestAfterUnchangedRechecksAHook(t *testing.T) {
	t.Parallel()
	p := defaultRetryPolicy()
	hook := retryNow.Add(-time.Second)
	for _, tt := range []struct {
		name     string
		prev     *schemas.Retry
		lastRead *time.Time
		attempt  int
		pause    time.Duration // 0: done
	}{
		{"never read before", nil, nil, 1, 2 * time.Second},
		{"read before the hook", nil, new(hook.Add(-time.Millisecond)), 1, 2 * time.Second},
		{"read as the hook came", nil, &hook, 0, 0},
		{"read since the hook", nil, new(hook.Add(time.Millisecond)), 0, 0},
		{"second", &schemas.Retry{Kind: schemas.RetryRecheck, Attempt: 1}, &retryNow, 2, 10 * time.Second},
		{"third", &schemas.Retry{Kind: schemas.RetryRecheck, Attempt: 2}, &retryNow, 3, 60 * time.Second},
		{"done", &schemas.Retry{Kind: schemas.RetryRecheck, Attempt: 3}, &retryNow, 0, 0},
		{"its account was down meanwhile", &schemas.Retry{Kind: schemas.RetryParked, Attempt: 2}, &retryNow, 3, 60 * time.Second},
		{"parked before it was ever read", &schemas.Retry{Kind: schemas.RetryParked}, nil, 1, 2 * time.Second},
		{"after a fault", &schemas.Retry{Kind: schemas.RetryFault, Attempt: 5, Faults: 5}, nil, 1, 2 * time.Second},
		{"the doubt is settled", &schemas.Retry{Kind: schemas.RetryRecheck, Reason: reasonTie}, &retryNow, 1, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			next := p.afterUnchanged(tt.prev, tt.lastRead, hook, retryNow, retryOrigin)
			if tt.pause == 0 {
				if next != nil {
					t.Errorf("slot %+v, want none", next)
				}
				return
			}
			if next == nil {
				t.Fatal("no slot")
			}
			if next.Kind != schemas.RetryRecheck || next.Attempt != tt.attempt || next.Reason != reasonUnchanged ||
				!next.NotBefore.Equal(retryNow.Add(tt.pause)) || tt.prev != nil && next.Faults != tt.prev.Faults {
				t.Errorf("slot %+v", next)
			}
			if confirms(next) {
				t.Error("a recheck settles no doubt")
			}
		})
	}
}

// TestRechecksSurviveAnOutage: what parks between two rechecks does not begin
// them anew.
func TestRechecksSurviveAnOutage(t *testing.T) {
	t.Parallel()
	p := defaultRetryPolicy()
	slot := p.afterUnchanged(nil, nil, retryNow, retryNow, retryOrigin)
	slot = p.afterUnchanged(slot, nil, retryNow, retryNow, retryOrigin)
	slot = p.afterUnavailable(slot, retryNow, "timeout", retryOrigin)
	slot = p.afterUnchanged(slot, nil, retryNow, retryNow, retryOrigin)
	if slot == nil || slot.Attempt != 3 {
		t.Fatalf("slot %+v, want the third recheck", slot)
	}
	if slot = p.afterUnchanged(slot, nil, retryNow, retryNow, retryOrigin); slot != nil {
		t.Errorf("slot %+v, want none", slot)
	}
}

func TestAfterDoubtConfirms(t *testing.T) {
	t.Parallel()
	slot := defaultRetryPolicy().afterDoubt(nil, retryNow, retryOrigin)
	if !confirms(slot) || !slot.NotBefore.Equal(retryNow.Add(2*time.Second)) || slot.Faults != 0 {
		t.Errorf("slot %+v", slot)
	}
	if at := (retryPolicy{}).afterDoubt(nil, retryNow, retryOrigin).NotBefore; !at.Equal(retryNow) {
		t.Errorf("without a pause it is due at %s", at)
	}
	if confirms(nil) {
		t.Error("no slot confirms nothing")
	}
	parked := defaultRetryPolicy().afterUnavailable(slot, retryNow, "timeout", retryOrigin)
	if confirms(parked) {
		t.Error("a doubt that waited out an outage is a doubt anew")
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		want failure
	}{
		{"none", nil, failure{}},
		{"404", &scr.NotYetError{}, failure{reason: "not_found"}},
		{"wrapped", fmt.Errorf("read case: %w", &scr.NotYetError{}), failure{reason: "not_found"}},
		{"401", &scr.UnauthorisedError{Status: 401}, failure{reason: "unauthorised", accountDown: true, unauthorised: true}},
		{"401, held back", &scr.UnauthorisedError{Status: 401, Held: true}, failure{reason: "unauthorised", accountDown: true, unauthorised: true, held: true}},
		{"403", &scr.UnauthorisedError{Status: 403}, failure{reason: "unauthorised", accountDown: true, unauthorised: true}},
		{"429", &scr.UnavailableError{Status: 429}, failure{reason: "rate_limited", accountDown: true, limited: true}},
		{"503", &scr.UnavailableError{Status: 503}, failure{reason: "server_error", accountDown: true}},
		{
			"503 with Retry-After", &scr.UnavailableError{Status: 503, RetryAfter: time.Second},
			failure{reason: "server_error", accountDown: true, limited: true},
		},
		{"broken connection", &scr.UnavailableError{Err: &net.OpError{Op: "read", Err: errors.New("reset")}}, failure{reason: "connection", accountDown: true}},
		{"no answer in time", &scr.UnavailableError{Err: os.ErrDeadlineExceeded}, failure{reason: "timeout", accountDown: true}},
		{"our deadline", &scr.UnavailableError{Err: context.DeadlineExceeded}, failure{reason: "timeout", accountDown: true}},
		{"bare deadline", fmt.Errorf("read case: %w", context.DeadlineExceeded), failure{reason: "timeout", accountDown: true}},
		{"we ended it", context.Canceled, failure{reason: "interrupted", accountDown: true, interrupted: true}},
		{"we ended it below", &scr.UnavailableError{Err: context.Canceled}, failure{reason: "interrupted", accountDown: true, interrupted: true}},
		{"status", &scr.RejectedError{Reason: scr.RejectedStatus, Status: 302}, failure{reason: "rejected_status"}},
		{"too large", &scr.RejectedError{Reason: scr.RejectedTooLarge}, failure{reason: "rejected_too_large"}},
		{"plain", &scr.RejectedError{Reason: scr.RejectedPlain}, failure{reason: "rejected_plain_json"}},
		{"algorithm", &scr.RejectedError{Reason: scr.RejectedAlgorithm, Alg: "none"}, failure{reason: "rejected_algorithm"}},
		{"decrypt", &scr.RejectedError{Reason: scr.RejectedDecrypt}, failure{reason: "rejected_decrypt"}},
		{"JSON", &scr.RejectedError{Reason: scr.RejectedJSON}, failure{reason: "rejected_json"}},
		{"case", &scr.RejectedError{Reason: scr.RejectedCase}, failure{reason: "rejected_case"}},
		{"a reason to come", &scr.RejectedError{Reason: "anything at all"}, failure{reason: "rejected"}},
		{"a mistake of ours", errors.New("anything at all"), failure{reason: "internal"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := classify(tt.err); got != tt.want {
				t.Errorf("%v is %+v, want %+v", tt.err, got, tt.want)
			}
		})
	}
}
