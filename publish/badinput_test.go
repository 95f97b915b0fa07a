package publish

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// Design 8, "API: 401": the account is parked, and there is no hot loop, because
// accounts lock.
func TestDesign8RefusedCredentialsParkTheAccount(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.source.setFault(func(string, int) error { return &scr.UnauthorisedError{Status: 401} })
	const cases = 50
	for i := range cases {
		s.hook(caseName(i))
	}
	cfg := s.config()
	s.run(cfg)
	parked := make(map[string]schemas.Retry)
	s.read(s.topics.CaseState, func(recs []*kgo.Record) bool {
		for _, rec := range recs {
			if state, err := schemas.DecodeCaseState(rec.Value); err == nil && state.Retry != nil {
				parked[state.CaseID] = *state.Retry
			}
		}
		return len(parked) == cases
	})
	for id, retry := range parked {
		if retry.Kind != schemas.RetryParked || retry.Faults != 0 || retry.Attempt != 0 {
			t.Errorf("case %s waits as %s with %d faults, attempt %d", id, retry.Kind, retry.Faults, retry.Attempt)
		}
	}
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	total := 0
	for _, reads := range s.source.reads {
		total += reads
	}
	if most := 8; total > most { // what was under way when the first 401 came
		t.Errorf("%d reads with refused credentials, at most %d are under way at once", total, most)
	}
}

// Design 8, "API: JWE with an alg or enc not allowed, …": refused, retried, dead
// letter with alg and enc, never with content.
func TestDesign8UnreadableAnswersGoToTheDeadLetters(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.source.setFault(func(string, int) error {
		return &scr.RejectedError{Reason: scr.RejectedAlgorithm, Status: 200, Alg: "RSA1_5", Enc: "A128GCM"}
	})
	s.hook(caseName(1))
	s.run(s.config())
	letter := s.read(s.topics.DeadLetter, count(1))[0]
	message := header(letter, "__connect.errors.exception.message")
	if !strings.Contains(message, "RSA1_5") || !strings.Contains(message, "A128GCM") ||
		header(letter, "postident.error.reason") != "rejected_algorithm" {
		t.Errorf("reason %q, message %q", header(letter, "postident.error.reason"), message)
	}
}

// Design 8, "API: unknown status or code": published raw and flagged.
func TestDesign8UnknownStatusIsPublishedRawAndFlagged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.source.show(caseName(1), 1)
	s.source.mu.Lock()
	s.source.cases[caseName(1)].Identifications[0].Status = "under the microscope"
	s.source.mu.Unlock()
	s.hook(caseName(1))
	s.run(s.config())
	e := s.events(1)[caseName(1)][0]
	if e.Status != schemas.StatusUnknown || e.StatusText == nil || *e.StatusText != "under the microscope" ||
		e.StatusType != schemas.StatusTypeProgress || e.Anomaly == nil || *e.Anomaly != schemas.AnomalyUnknownCode {
		t.Errorf("published %+v", e)
	}
}

// Design 8, "API: 429, 5xx, timeout, broken connection": back-off behind the
// account's breaker, and then everything goes on.
func TestDesign8UnavailableAPIIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]error{
		"429":               &scr.UnavailableError{Status: 429},
		"503":               &scr.UnavailableError{Status: 503},
		"broken connection": &scr.UnavailableError{Err: errSabotage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			faults := 0 // guarded by the source
			s.source.setFault(func(string, int) error {
				if faults++; faults <= 3 {
					return fault
				}
				return nil
			})
			const cases = 10
			for i := range cases {
				s.source.show(caseName(i), 1)
				s.hook(caseName(i))
			}
			s.run(s.config())
			s.events(cases)
		})
	}
}
