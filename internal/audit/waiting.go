package audit

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// WaitingCase is a case that waits for another look, by the retry slot of its
// state.
type WaitingCase struct {
	ClientID    string            `json:"clientId"`
	CaseID      string            `json:"caseId"`
	Kind        schemas.RetryKind `json:"kind"`
	Reason      string            `json:"reason"`
	Attempts    int               `json:"attempts"` // used up, of the kind; a parked case uses up none
	FirstFailed time.Time         `json:"firstFailed"`
	// NotBefore is when the next look is due. Of a parked case it says nothing: that
	// one is looked at when its account answers.
	NotBefore time.Time `json:"notBefore"`
}

// WaitingFilter chooses waiting cases. A field without a value chooses all.
type WaitingFilter struct {
	Accounts, Cases, Reasons []string
	Kinds                    []schemas.RetryKind
}

// Matches says whether the filter chooses a case.
func (f *WaitingFilter) Matches(c *WaitingCase) bool {
	return chosen(f.Accounts, c.ClientID) && chosen(f.Cases, c.CaseID) && chosen(f.Reasons, c.Reason) && chosen(f.Kinds, c.Kind)
}

func chosen[T comparable](among []T, v T) bool { return len(among) == 0 || slices.Contains(among, v) }

// Waiting is what ReadWaiting found.
type Waiting struct {
	Cases []WaitingCase // those that the filter chooses, by account, the longest waiting first
	// Unreadable counts states that this release cannot read: their cases may wait
	// or not. The bridge has quarantined them.
	Unreadable int
	Hidden     []Hidden
}

// ReadWaiting reads case-state and gives the cases that wait.
func ReadWaiting(ctx context.Context, s Scan, f WaitingFilter) (Waiting, error) {
	cases, unreadable := make(map[string]WaitingCase), make(map[string]bool)
	view := new(schemas.CaseStateView)
	_, hidden, err := s.read(ctx, nil, func(r *kgo.Record) error {
		if isMark(r.Key) {
			return nil
		}
		key := string(r.Key)
		delete(cases, key)
		delete(unreadable, key)
		if r.Value == nil || view.Read(r.Value) && view.Retry == nil {
			return nil // as a rule
		}
		state, err := schemas.DecodeCaseState(r.Value)
		switch {
		case err != nil:
			unreadable[key] = true
		case state.Retry != nil:
			if c := waitingOf(&state); f.Matches(&c) {
				cases[key] = c
			}
		}
		return nil
	})
	if err != nil {
		return Waiting{}, err
	}
	w := Waiting{Cases: slices.Collect(maps.Values(cases)), Unreadable: len(unreadable), Hidden: hidden}
	slices.SortFunc(w.Cases, func(a, b WaitingCase) int {
		return cmp.Or(cmp.Compare(a.ClientID, b.ClientID), a.FirstFailed.Compare(b.FirstFailed), cmp.Compare(a.CaseID, b.CaseID))
	})
	return w, nil
}

// isMark says whether a key of case-state is that of no case.
func isMark(key []byte) bool {
	return string(key) == schemas.BarrierKey || string(key) == schemas.PositionKey
}

func waitingOf(s *schemas.CaseState) WaitingCase {
	return WaitingCase{
		ClientID: s.ClientID, CaseID: s.CaseID, Kind: s.Retry.Kind, Reason: s.Retry.Reason, Attempts: s.Retry.Attempt,
		FirstFailed: s.Retry.FirstFailed, NotBefore: s.Retry.NotBefore,
	}
}

// ParkedAccount is an account that cases wait for, because it is down.
type ParkedAccount struct {
	ClientID string    `json:"clientId"`
	Reason   string    `json:"reason"`
	Cases    int       `json:"cases"`
	Since    time.Time `json:"since"` // when the first of them failed
}

// consequences are reasons of parked cases that say why they were not read, not
// why their account is down: its breaker was open, its reads were taken, or the
// process stopped.
var consequences = []string{"held_back", "busy", "interrupted"}

// ParkedAccounts sums up the parked ones of some cases, by account. The reason is
// the one that most of them have, but for those that only follow from another.
func ParkedAccounts(cases []WaitingCase) []ParkedAccount {
	accounts, reasons := make(map[string]*ParkedAccount), make(map[string]map[string]int)
	for i := range cases {
		c := &cases[i]
		if c.Kind != schemas.RetryParked {
			continue
		}
		a := accounts[c.ClientID]
		if a == nil {
			a = &ParkedAccount{ClientID: c.ClientID, Since: c.FirstFailed}
			accounts[c.ClientID], reasons[c.ClientID] = a, make(map[string]int)
		}
		a.Cases++
		reasons[c.ClientID][c.Reason]++
		if c.FirstFailed.Before(a.Since) {
			a.Since = c.FirstFailed
		}
	}
	var out []ParkedAccount
	for _, id := range slices.Sorted(maps.Keys(accounts)) {
		counts := reasons[id]
		accounts[id].Reason = slices.MaxFunc(slices.Collect(maps.Keys(counts)), func(a, b string) int {
			return cmp.Or(
				-compareBool(slices.Contains(consequences, a), slices.Contains(consequences, b)),
				cmp.Compare(counts[a], counts[b]),
				cmp.Compare(b, a),
			)
		})
		out = append(out, *accounts[id])
	}
	return out
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}
