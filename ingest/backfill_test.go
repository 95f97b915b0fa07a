package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/ingest"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// backfill makes one of the account ACME over the last thirty days.
func (r *pollRig) backfill(api *lists, change func(*ingest.BackfillConfig)) *ingest.Backfill {
	r.t.Helper()
	kafka := []kgo.Opt{kgo.SeedBrokers(r.rig.cluster.ListenAddrs()...), kgo.Dialer(r.rig.net.DialContext)}
	client, err := kgo.NewClient(append(ingest.ProducerOpts(), kafka...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	inbox, err := ingest.NewInbox(client, inboxTopic)
	if err != nil {
		r.t.Fatal(err)
	}
	cursors, err := ingest.NewCursors(client, kafka, cursorTopic, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	cfg := ingest.BackfillConfig{
		Account: ingest.PollAccount{ClientID: "ACME", List: api.list}, Inbox: inbox, Cursors: cursors,
		From: r.begin.Add(-30 * 24 * time.Hour), Until: r.begin,
	}
	if change != nil {
		change(&cfg)
	}
	b, err := ingest.NewBackfill(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// pastCases is an account with n closed cases within thirty days.
func (r *pollRig) pastCases(n int) *lists {
	api := &lists{limit: 100}
	for i := range n {
		at := r.begin.Add(-30 * 24 * time.Hour).Add(time.Duration(i) * 30 * 24 * time.Hour / time.Duration(n))
		api.set(fmt.Sprintf("CASE%04d", i), scr.CaseClosed, scr.StatusSuccess, at, at.Add(time.Hour))
	}
	return api
}

// backfilled are the cases in the inbox, each as often as it stands there.
func (r *pollRig) backfilled() map[string]int {
	r.t.Helper()
	cases := make(map[string]int)
	for _, trigger := range r.rig.triggers(r.t) {
		if trigger.Source != schemas.SourceBackfill || trigger.Observation == nil {
			r.t.Errorf("trigger of %s has source %s", trigger.CaseID, trigger.Source)
		}
		cases[trigger.CaseID]++
	}
	return cases
}

func TestBackfillListsEveryCaseOnce(t *testing.T) {
	t.Parallel()
	for _, newestFirst := range []bool{false, true} {
		t.Run(fmt.Sprintf("newest=%t", newestFirst), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newPollRig(t)
				api := r.pastCases(1500)
				var first schemas.Backfill
				status, err := r.backfill(api, func(cfg *ingest.BackfillConfig) {
					cfg.NewestFirst = newestFirst
					cfg.Tell = func(s ingest.BackfillStatus) {
						if first.Requests == 0 {
							first = s.Backfill
						}
					}
				}).Run(t.Context())
				if err != nil || status.EndedAt == nil || status.Cases < 1500 || status.Holes > 0 || status.Covered != 1 {
					t.Errorf("status %+v, error %v", status, err)
				}
				if cases := r.backfilled(); len(cases) != 1500 {
					t.Errorf("%d cases in the inbox", len(cases))
				}
				if newest := first.Next.Equal(r.begin.UTC().Truncate(time.Second)); first.Requests == 0 || newest != newestFirst {
					t.Errorf("after the first answer it goes on at %v", first.Next)
				}
				// A second one has nothing to do.
				asked := len(api.asked(r.begin))
				status, err = r.backfill(api, func(cfg *ingest.BackfillConfig) { cfg.NewestFirst = newestFirst }).Run(t.Context())
				if err != nil || !status.Resumed || status.EndedAt == nil || len(api.asked(r.begin)) != asked {
					t.Errorf("the second run: %+v, error %v, %d more requests", status, err, len(api.asked(r.begin))-asked)
				}
			})
		})
	}
}

// One whose span was not over yet is no good later on: what was created since it
// ended has not been listed.
func TestBackfillIntoTheFutureIsNotDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := r.pastCases(10)
		ahead := func(cfg *ingest.BackfillConfig) { cfg.Until = r.begin.Add(24 * time.Hour) }
		if status, err := r.backfill(api, ahead).Run(t.Context()); err != nil || status.EndedAt == nil {
			t.Fatalf("status %+v, error %v", status, err)
		}
		at := time.Now().Add(time.Hour)
		api.set("CASELATE", scr.CaseClosed, scr.StatusSuccess, at, at)
		<-time.After(48 * time.Hour)
		status, err := r.backfill(api, ahead).Run(t.Context())
		if err != nil || status.Resumed || r.backfilled()["CASELATE"] != 1 {
			t.Errorf("status %+v, error %v, and a case that was created meanwhile is missing", status, err)
		}
		if status, err = r.backfill(api, ahead).Run(t.Context()); err != nil || !status.Resumed {
			t.Errorf("status %+v, error %v, and the span is over", status, err)
		}
	})
}

// One that was interrupted, whenever, goes on where its last acknowledged answer
// ended; what it lists again is one window.
func TestBackfillGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := r.pastCases(1000)
		for stops := range 5 {
			ctx, cancel := context.WithCancelCause(t.Context())
			answers := 0
			status, err := r.backfill(api, func(cfg *ingest.BackfillConfig) {
				cfg.Tell = func(ingest.BackfillStatus) {
					if answers++; answers == 9+stops {
						cancel(errors.New("interrupted"))
					}
				}
			}).Run(ctx)
			cancel(nil)
			if err == nil || status.Resumed != (stops > 0) {
				t.Fatalf("run %d: %+v, error %v", stops, status, err)
			}
		}
		status, err := r.backfill(api, nil).Run(t.Context())
		if err != nil || status.EndedAt == nil || !status.Resumed {
			t.Errorf("the last run: %+v, error %v", status, err)
		}
		cases := r.backfilled()
		var twice int
		for _, n := range cases {
			if n > 1 {
				twice++
			}
		}
		if len(cases) != 1000 || twice > 600 {
			t.Errorf("%d cases in the inbox, %d of them more than once", len(cases), twice)
		}
	})
}

// A trigger that Kafka refuses ends the backfill, and the next run brings it: its
// progress is not behind what was not written.
func TestBackfillEndsForARefusedTrigger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := r.pastCases(1000)
		answers := 0
		status, err := r.backfill(api, func(cfg *ingest.BackfillConfig) {
			cfg.Tell = func(ingest.BackfillStatus) {
				if answers++; answers == 9 {
					r.rig.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: inboxTopic, Err: kerr.MessageTooLarge, Count: 1})
				}
			}
		}).Run(t.Context())
		if !errors.Is(err, kerr.MessageTooLarge) || status.EndedAt != nil || answers < 9 {
			t.Fatalf("status %+v after %d answers, error %v", status, answers, err)
		}
		status, err = r.backfill(api, nil).Run(t.Context())
		if err != nil || status.EndedAt == nil || !status.Resumed {
			t.Errorf("the second run: %+v, error %v", status, err)
		}
		if cases := r.backfilled(); len(cases) != 1000 {
			t.Errorf("%d cases in the inbox", len(cases))
		}
	})
}

// One second that is too large is a hole, and does not end the backfill.
func TestBackfillPassesASecondThatIsTooLarge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := r.pastCases(300)
		api.refusing(func(page []scr.Case) error {
			if slices.ContainsFunc(page, func(c scr.Case) bool { return c.CaseID == "CASE0100" }) {
				return &scr.RejectedError{Reason: scr.RejectedTooLarge}
			}
			return nil
		})
		status, err := r.backfill(api, nil).Run(t.Context())
		if err != nil || status.EndedAt == nil || status.Holes < 1 || status.Holes > 2 {
			t.Errorf("status %+v, error %v", status, err)
		}
		if cases := r.backfilled(); len(cases) != 299 {
			t.Errorf("%d cases in the inbox", len(cases))
		}
	})
}

func TestBackfillDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := r.pastCases(300)
		status, err := r.backfill(api, func(cfg *ingest.BackfillConfig) { cfg.Inbox, cfg.Cursors = nil, nil }).Run(t.Context())
		if err != nil || status.Cases < 300 || status.EndedAt == nil {
			t.Errorf("status %+v, error %v", status, err)
		}
		if cases := r.backfilled(); len(cases) > 0 {
			t.Errorf("%d cases in the inbox", len(cases))
		}
	})
}

// Whoever works the inbox off is not drowned: the backfill waits while much
// waits, and goes on at the rate at which it is worked off.
func TestBackfillKeepsThePaceOfTheInbox(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := r.pastCases(20_000)
		const rate = 500 // a second
		var written, most int64
		status, err := r.backfill(api, func(cfg *ingest.BackfillConfig) {
			cfg.Tell = func(s ingest.BackfillStatus) { written = s.Cases }
			cfg.Waiting = func(context.Context) (ingest.Backlog, error) {
				done := min(written, int64(time.Since(r.begin).Seconds()*rate))
				most = max(most, written-done)
				return ingest.Backlog{Done: done, Written: written}, nil
			}
		}).Run(t.Context())
		if err != nil || status.EndedAt == nil {
			t.Fatalf("status %+v, error %v", status, err)
		}
		if most > 2100 {
			t.Errorf("%d triggers waited at once", most)
		}
		if took := time.Since(r.begin); took > 45*time.Second {
			t.Errorf("it took %v, the inbox was worked off in 40 s", took)
		}
	})
}

func TestBackfillEndsForRefusedCredentials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := &lists{err: &scr.UnauthorisedError{Status: 401}}
		_, err := r.backfill(api, nil).Run(t.Context())
		if refused := (*scr.UnauthorisedError)(nil); !errors.As(err, &refused) || len(api.asked(r.begin)) != 1 {
			t.Errorf("error %v after %d requests", err, len(api.asked(r.begin)))
		}
	})
}

func TestBackfillWaitsForTheAPI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := r.pastCases(50)
		api.fail(&scr.UnavailableError{Status: 503})
		time.AfterFunc(time.Minute, func() { api.fail(nil) })
		status, err := r.backfill(api, nil).Run(t.Context())
		if err != nil || status.Cases != 50 {
			t.Errorf("status %+v, error %v", status, err)
		}
		if n := len(api.asked(r.begin)); n > 10 {
			t.Errorf("%d requests in a minute of outage", n)
		}
	})
}

func TestNewBackfillReportsEveryMistake(t *testing.T) {
	t.Parallel()
	if _, err := ingest.NewBackfill(ingest.BackfillConfig{Inbox: &ingest.Inbox{}}); err == nil {
		t.Error("an empty configuration is taken")
	}
}
