package publish

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// P4: nothing is archived whose events are not all out, or that waits.
func TestArchivable(t *testing.T) {
	t.Parallel()
	out := []schemas.Output{schemas.OutputStatus}
	done := schemas.CaseState{
		CaseStatus: scr.CaseClosed, Sequence: 2,
		Identifications: []schemas.IdentificationState{
			{Method: scr.MethodVideo, Status: scr.StatusStarted},
			{Method: scr.MethodBasic, Status: scr.StatusSuccess, Outputs: out},
		},
	}
	if !archivable(&done, rules{}) {
		t.Error("a case that is done with is not archived")
	}
	for name, change := range map[string]func(s *schemas.CaseState){
		"archived already":                 func(s *schemas.CaseState) { s.Archived = true },
		"open":                             func(s *schemas.CaseState) { s.CaseStatus = scr.CaseInProgress },
		"nothing was told of it":           func(s *schemas.CaseState) { s.Sequence = 0 },
		"a trigger waits":                  func(s *schemas.CaseState) { s.Retry = &schemas.Retry{} },
		"a trigger is in the dead letters": func(s *schemas.CaseState) { s.DeadLettered = &schemas.DeadLetterMark{} },
		"the final event is not out":       func(s *schemas.CaseState) { s.Identifications[1].Outputs = nil },
	} {
		s := done
		s.Identifications = slices.Clone(done.Identifications)
		change(&s)
		if archivable(&s, rules{}) {
			t.Errorf("%s: archived", name)
		}
	}
}

// testArchive is how long a case has been told before it is archived here.
const testArchive = 20 * time.Minute

// archive is the source's side: which cases it was asked to archive, and what it
// answers.
type archive struct {
	mu    sync.Mutex
	asked [][]string // guarded by mu
	err   error      // guarded by mu
}

func (a *archive) take(_ context.Context, caseIDs []string) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, slices.Clone(caseIDs))
	if a.err != nil {
		return nil, a.err
	}
	return caseIDs, nil
}

// requests are how often it was asked, and for what.
func (a *archive) requests() (n int, cases []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked), slices.Sorted(slices.Values(slices.Concat(a.asked...)))
}

func (a *archive) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func (a *archive) on(cfg *Config) {
	cfg.ArchiveAfter = testArchive
	cfg.Accounts[0].Archive = a.take
}

// Closed cases are archived after a while, each once, over restarts; others are not.
// A look at an archived case gives no event.
func TestClosedCasesAreArchivedOnce(t *testing.T) {
	counterpart.SkipUnderRace(t)
	t.Parallel()
	onHookStage(t, func(s *hookStage) {
		var a archive
		stop := s.start(a.on)
		s.source.show(caseName(1), 2) // closed
		s.source.show(caseName(2), 1) // open
		s.hook(caseName(1))
		s.hook(caseName(2))
		s.events(2)
		looked := s.state(caseName(1)).UpdatedAt
		s.pass(testArchive - time.Minute)
		if n, cases := a.requests(); n != 0 {
			t.Fatalf("archived before its time: %v", cases)
		}
		s.pass(testArchive)
		if n, cases := a.requests(); n != 1 || !slices.Equal(cases, []string{caseName(1)}) {
			t.Errorf("%d requests for %v", n, cases)
		}
		if !s.state(caseName(1)).Archived || s.state(caseName(2)).Archived {
			t.Error("the states do not say what is archived")
		}
		if at := s.state(caseName(1)).UpdatedAt; !at.Equal(looked) {
			t.Errorf("by the state the last look was at %v, and it was at %v", at, looked)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		s.start(a.on)
		s.pass(testArchive)
		if n, _ := a.requests(); n != 1 {
			t.Errorf("%d requests after a restart", n)
		}
		s.source.mu.Lock()
		archived := s.source.cases[caseName(1)]
		archived.Status.Archived = true
		archived.Status.Modified = archived.Status.Modified.Add(time.Hour)
		s.source.cases[caseName(1)] = archived
		s.source.mu.Unlock()
		s.hook(caseName(1))
		s.source.show(caseName(2), 2)
		s.hook(caseName(2))
		if events := s.events(3); len(events[caseName(1)]) != 1 {
			t.Errorf("an archived case gave %d events", len(events[caseName(1)]))
		}
		if !s.state(caseName(1)).Archived {
			t.Error("a look forgot that the case is archived")
		}
	})
}

// The cases of several accounts lie in any order, and each account is asked once.
func TestArchivingAsksForManyAtOnce(t *testing.T) {
	counterpart.SkipUnderRace(t)
	t.Parallel()
	onHookStage(t, func(s *hookStage) {
		var one, other archive
		const second, cases = "TESTCLNT2", 20
		s.start(one.on, func(cfg *Config) {
			account := cfg.Accounts[0]
			account.ClientID, account.Archive = second, other.take
			cfg.Accounts = append(cfg.Accounts, account)
		})
		for i := range cases {
			s.source.show(caseName(i), 2)
			for _, client := range []string{testClient, second} {
				s.trigger(schemas.Trigger{ClientID: client, CaseID: caseName(i), Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
			}
		}
		s.pass(2 * testArchive)
		for _, a := range []*archive{&one, &other} {
			if n, asked := a.requests(); n > testPartitions || len(asked) != cases {
				t.Errorf("%d requests for %d cases of %d in %d partitions", n, len(asked), cases, testPartitions)
			}
		}
	})
}

// P8: an account that may not archive (403) is asked now and then, and its cases
// are read all the same; one that is held back is not asked at all.
func TestArchivingSparesItsAccount(t *testing.T) {
	counterpart.SkipUnderRace(t)
	t.Parallel()
	onHookStage(t, func(s *hookStage) {
		a := archive{err: &scr.UnauthorisedError{Status: 403}}
		s.start(a.on)
		s.source.show(caseName(1), 2)
		s.hook(caseName(1))
		s.events(1)
		s.pass(2 * testArchive)
		if n, _ := a.requests(); n == 0 || n > 5 {
			t.Errorf("%d requests that are forbidden in %v", n, testArchive)
		}
		s.source.show(caseName(2), 2)
		s.hook(caseName(2))
		s.events(2)

		a.fail(&scr.UnauthorisedError{Status: 401})
		s.pass(archiveRest)
		s.source.setFault(func(string, int) error { return &scr.UnauthorisedError{Status: 401} })
		s.source.show(caseName(3), 1)
		s.hook(caseName(3))
		s.pass(time.Minute)
		before, _ := a.requests()
		s.pass(testArchive) // a probe reads in vain every five minutes
		if n, _ := a.requests(); n != before {
			t.Errorf("%d requests while the account is held back", n-before)
		}
		a.fail(nil)
		s.source.setFault(nil)
		s.pass(2 * testArchive)
		if _, cases := a.requests(); !s.state(caseName(1)).Archived || !slices.Contains(cases, caseName(2)) {
			t.Errorf("not archived in the end: %v", cases)
		}
	})
}
