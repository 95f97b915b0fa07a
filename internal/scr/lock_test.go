package scr_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"postident-bridge/internal/scr"
)

// answering is a transport whose answers the test gives.
type answering struct {
	status atomic.Int32
	hold   chan struct{} // not nil: an answer waits until it can receive
	asked  atomic.Int32
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked.Add(1)
	if a.hold != nil {
		select {
		case <-a.hold:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	status := int(a.status.Load())
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	body := "[]"
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
}

// lockedClient is a client behind answering, in a bubble of synctest.
func lockedClient(t *testing.T, a *answering, change func(*scr.ClientConfig)) *scr.Client {
	t.Helper()
	cfg := testConfig("https://postident.example")
	cfg.Key, cfg.Encryption, cfg.Transport = nil, scr.EncryptionOptional, a
	if change != nil {
		change(&cfg)
	}
	return newClient(t, cfg)
}

// ask asks by the operation of the turn: the lock is one for all.
func ask(ctx context.Context, c *scr.Client, turn int) error {
	var err error
	switch turn % 3 {
	case 0:
		_, err = c.Cases(ctx, scr.Filter{}, func(scr.Listed) {})
	case 1:
		_, err = c.Archive(ctx, []string{"A"})
	default:
		_, err = c.Case(ctx, "A")
	}
	return err
}

// elapse lets the clock of a bubble run on.
func elapse(d time.Duration) { <-time.After(d) }

func wantUnauthorised(t *testing.T, err error, want scr.UnauthorisedError) {
	t.Helper()
	var got *scr.UnauthorisedError
	if !errors.As(err, &got) || *got != want {
		t.Errorf("got %#v (%v), want %#v", err, err, want)
	}
}

func TestLockKeepsStillAfterARefusal(t *testing.T) {
	t.Parallel()
	for _, status := range []int32{401, 403} {
		synctest.Test(t, func(t *testing.T) {
			api := &answering{}
			client := lockedClient(t, api, nil)
			api.status.Store(status)
			for round := range int32(3) {
				wantUnauthorised(t, ask(t.Context(), client, []int{0, 2, 0}[round]), scr.UnauthorisedError{Status: int(status)})
				for second := range 300 {
					err := ask(t.Context(), client, second)
					wantUnauthorised(t, err, scr.UnauthorisedError{Status: int(status), Held: true, RetryAfter: time.Duration(300-second) * time.Second})
					elapse(time.Second)
				}
				if asked := api.asked.Load(); asked != round+1 {
					t.Fatalf("%d requests in %d times five minutes", asked, round+1)
				}
			}
			api.status.Store(200)
			for turn := range 2 {
				if err := ask(t.Context(), client, turn); err != nil {
					t.Errorf("mended: %v", err)
				}
			}
		})
	}
}

// Only the probe goes out, whoever asks beside it, and only its outcome counts.
func TestLockLetsOneProbeThrough(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int32 // of the probe; 0: broken
		cancel bool
		free   bool // afterwards
	}{
		"a good answer":               {status: 200, free: true},
		"404 proves the credentials":  {status: 404, free: true},
		"so does 400":                 {status: 400, free: true},
		"refused again":               {status: 401},
		"5xx proves nothing":          {status: 503},
		"429 proves nothing":          {status: 429},
		"nor does a broken line":      {status: 0},
		"nor one whom nobody awaited": {cancel: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api := &answering{}
				client := lockedClient(t, api, nil)
				api.status.Store(401)
				_ = ask(t.Context(), client, 0)
				elapse(5 * time.Minute)

				api.status.Store(tt.status)
				api.hold = make(chan struct{})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var wg sync.WaitGroup
				wg.Go(func() { _ = ask(ctx, client, 0) })
				synctest.Wait()
				for turn := range 3 {
					wantUnauthorised(t, ask(t.Context(), client, turn), scr.UnauthorisedError{Status: 401, Held: true, RetryAfter: time.Second})
				}
				elapse(time.Second)
				if tt.cancel {
					cancel()
				} else {
					close(api.hold)
				}
				wg.Wait()
				api.hold = nil
				api.status.Store(200)
				err := ask(t.Context(), client, 0)
				if tt.free {
					if err != nil {
						t.Errorf("locked: %v", err)
					}
					return
				}
				// Counted from when the probe was sent: it was one second under way.
				wantUnauthorised(t, err, scr.UnauthorisedError{Status: 401, Held: true, RetryAfter: 5*time.Minute - time.Second})
				elapse(5*time.Minute - time.Second)
				if err := ask(t.Context(), client, 0); err != nil {
					t.Errorf("still locked: %v", err)
				}
			})
		})
	}
}

// That an account may not archive says nothing of its credentials: reads go on.
func TestForbiddenArchivingLocksNothing(t *testing.T) {
	t.Parallel()
	a := &answering{}
	c := lockedClient(t, a, nil)
	a.status.Store(http.StatusForbidden)
	if _, err := c.Archive(t.Context(), []string{"ABCDEF123456"}); err == nil {
		t.Fatal("no error of a 403")
	}
	a.status.Store(http.StatusOK)
	if _, err := c.Cases(t.Context(), scr.Filter{}, func(scr.Listed) {}); err != nil {
		t.Errorf("a list after it: %v", err)
	}
	a.status.Store(http.StatusUnauthorized)
	if _, err := c.Archive(t.Context(), []string{"ABCDEF123456"}); err == nil {
		t.Fatal("no error of a 401")
	}
	if _, err := c.Cases(t.Context(), scr.Filter{}, func(scr.Listed) {}); err == nil || a.asked.Load() != 3 {
		t.Errorf("after a 401 %d requests went out, error %v", a.asked.Load(), err)
	}
}

// Nor does it say anything for them.
func TestForbiddenArchivingOpensNoLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &answering{}
		client := lockedClient(t, api, nil)
		list, archive := 0, 1 // see ask
		api.status.Store(403)
		wantUnauthorised(t, ask(t.Context(), client, list), scr.UnauthorisedError{Status: 403})
		elapse(5 * time.Minute)
		wantUnauthorised(t, ask(t.Context(), client, archive), scr.UnauthorisedError{Status: 403})
		wantUnauthorised(t, ask(t.Context(), client, list), scr.UnauthorisedError{Status: 403, Held: true, RetryAfter: 5 * time.Minute})
	})
}

// Requests that were under way when the first refusal came change nothing, good
// or bad: a refusal that comes late must not put off the probe.
func TestLockIgnoresRequestsFromBefore(t *testing.T) {
	t.Parallel()
	for _, status := range []int32{200, 401} {
		synctest.Test(t, func(t *testing.T) {
			api := &answering{hold: make(chan struct{})}
			client := lockedClient(t, api, nil)
			api.status.Store(401)
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { _ = ask(t.Context(), client, 0) })
			}
			synctest.Wait()
			api.hold <- struct{}{}
			synctest.Wait()
			elapse(3 * time.Second)
			api.status.Store(status)
			api.hold <- struct{}{}
			wg.Wait()
			wantUnauthorised(t, ask(t.Context(), client, 0), scr.UnauthorisedError{Status: 401, Held: true, RetryAfter: 297 * time.Second})
		})
	}
}

func TestLockNeedsAnOpenContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &answering{}
		client := lockedClient(t, api, nil)
		api.status.Store(401)
		_ = ask(t.Context(), client, 0)
		elapse(5 * time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantCallersEnd(t, ask(ctx, client, 0), context.Canceled)
		wantUnauthorised(t, ask(t.Context(), client, 0), scr.UnauthorisedError{Status: 401}) // the probe was not used up
	})
}

func TestLockForIsConfigured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &answering{}
		api.status.Store(401)
		clock := time.Now()
		off := lockedClient(t, api, func(cfg *scr.ClientConfig) { cfg.LockFor = -1 })
		for turn := range 3 {
			wantUnauthorised(t, ask(t.Context(), off, turn), scr.UnauthorisedError{Status: 401})
		}
		short := lockedClient(t, api, func(cfg *scr.ClientConfig) {
			cfg.LockFor, cfg.Now = time.Minute, func() time.Time { return clock }
		})
		_ = ask(t.Context(), short, 0)
		clock = clock.Add(time.Minute - 1)
		wantUnauthorised(t, ask(t.Context(), short, 0), scr.UnauthorisedError{Status: 401, Held: true, RetryAfter: 1})
		clock = clock.Add(1)
		wantUnauthorised(t, ask(t.Context(), short, 0), scr.UnauthorisedError{Status: 401})
	})
}

func TestLockTelemetry(t *testing.T) {
	t.Parallel()
	cfg := testConfig(serve(t, statusOnly(http.StatusUnauthorized)))
	reader, recorder := instrument(&cfg)
	client := newClient(t, cfg)
	for range 2 {
		_, _ = client.Case(t.Context(), sampleID)
	}
	for i, want := range []string{"401", "held"} {
		wantAttrs(t, "span", attribute.NewSet(recorder.Ended()[i].Attributes()...), map[attribute.Key]string{"error.type": want})
	}
	if data, ok := histogram(t, reader).Data.(metricdata.Histogram[float64]); !ok || len(data.DataPoints) != 1 || data.DataPoints[0].Count != 1 {
		t.Errorf("exchanges %+v, but one was made", data)
	}
}
