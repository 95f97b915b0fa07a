package scrsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"postident-bridge/internal/scr"
)

// History is a past of an account: cases that were created at even intervals from
// From until Until and are closed, each five minutes later with a success of one
// of the account's methods in turn.
//
// They are made up when an answer shows them: a million of them take less than a
// megabyte, and a list costs what its window holds. For that they are plain: no
// personal data and, without Results, none of the account's switches of Wire but
// Bounds and StatusIdentifications, no webhooks, no faults of visibility, and no
// part in Truth; HistoryTruth has theirs. They can be read, listed and archived, and are
// deleted when the account's retention is over.
type History struct {
	ClientID string `json:"clientId"`
	Cases    int    `json:"cases"`
	// From and Until are simulated time, in whole seconds; Until lies far enough
	// back for all cases to be closed.
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// Results has the cases come with results and records, personal data included,
	// as any other case of the account. A list then takes some ten times as long.
	Results bool `json:"results,omitempty"`
}

// historyLasts is how long a case of a history is open. It is the same for all, so
// that they close in the order in which they were created.
const historyLasts = 5 * time.Minute

// history is a History with what has happened to its cases.
type history struct {
	History

	acct   *account
	prefix string // of its case ids
	serial int    // of the case before its first, with Results

	archived bitSet // by index, guarded by Simulator.mu
	seen     bitSet // by index, guarded by Simulator.mu
}

// AddHistory gives an account a past.
func (s *Simulator) AddHistory(h History) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	acct, ok := s.accounts[h.ClientID]
	if !ok {
		return fmt.Errorf("add history: %w", ErrNoAccount)
	}
	h.From, h.Until = h.From.UTC().Round(0), h.Until.UTC().Round(0)
	if err := h.check(s.clock.now()); err != nil {
		return fmt.Errorf("add history: %w", err)
	}
	if len(s.histories) == maxHistories {
		return errors.New("add history: there are too many")
	}
	made := &history{
		History: h, acct: acct, prefix: fmt.Sprintf("H%02d", len(s.histories)),
		archived: newBitSet(h.Cases), seen: newBitSet(h.Cases),
	}
	if h.Results {
		made.serial = s.serial
		s.serial += h.Cases
	}
	s.histories = append(s.histories, made)
	acct.histories = append(acct.histories, made)
	return nil
}

// maxHistories is what the prefix of a case id can tell apart.
const maxHistories = 100

const maxHistoryCases = 100_000_000

func (h History) check(now time.Time) error {
	var errs []error
	if h.Cases < 1 || h.Cases > maxHistoryCases {
		errs = append(errs, fmt.Errorf("cases: want 1 to %d", maxHistoryCases))
	}
	if !h.From.Truncate(time.Second).Equal(h.From) || !h.Until.Truncate(time.Second).Equal(h.Until) {
		errs = append(errs, errors.New("from, until: want whole seconds"))
	}
	if !h.From.Before(h.Until) {
		errs = append(errs, errors.New("from, until: want from before until"))
	}
	if h.Until.Add(historyLasts).After(now) {
		errs = append(errs, fmt.Errorf("until: want at least %v ago", historyLasts))
	}
	return errors.Join(errs...)
}

// created is when case i was created, in whole seconds as the API has them.
func (h *history) created(i int) time.Time {
	seconds := int64(h.Until.Sub(h.From) / time.Second)
	return h.From.Add(time.Duration(seconds*int64(i)/int64(h.Cases)) * time.Second)
}

func (h *history) closed(i int) time.Time { return h.created(i).Add(historyLasts) }

func (h *history) method(i int) string { return h.acct.Methods[i%len(h.acct.Methods)] }

// A case id of a history is the history's prefix and its index in digits.
const (
	historyDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	idDigits      = 9
)

func (h *history) id(i int) string {
	id := append(make([]byte, 0, 16), h.prefix...)
	id = append(id, "000000000"...) // idDigits
	for at := len(id) - 1; i > 0; at, i = at-1, i/len(historyDigits) {
		id[at] = historyDigits[i%len(historyDigits)]
	}
	return string(id)
}

// inHistory finds a case of a history, nil when there is none with the id.
func (s *Simulator) inHistory(id string) (*history, int) {
	for _, h := range s.histories {
		digits, ok := strings.CutPrefix(id, h.prefix)
		if !ok {
			continue
		}
		i, err := strconv.ParseInt(digits, len(historyDigits), 64)
		if err == nil && i >= 0 && i < int64(h.Cases) && h.id(int(i)) == id {
			return h, int(i)
		}
	}
	return nil, 0
}

// firstKept is the index of the oldest case that is not deleted at the simulated
// time now (guide 7.6).
func (h *history) firstKept(now time.Time) int {
	return sort.Search(h.Cases, func(i int) bool {
		return !now.After(h.created(i).Add(time.Duration(h.acct.Retention)))
	})
}

// matching is the indexes of the cases that a list holds, up to one more than its
// limit. s.mu is held.
func (h *history) matching(f filter, now time.Time) []int {
	if !f.closed {
		return nil
	}
	from := max(
		h.firstKept(now),
		sort.Search(h.Cases, func(i int) bool { return f.created.begun(h.created(i)) }),
		sort.Search(h.Cases, func(i int) bool { return f.closedAt.begun(h.closed(i)) }),
	)
	until := min(
		sort.Search(h.Cases, func(i int) bool { return f.created.over(h.created(i)) }),
		sort.Search(h.Cases, func(i int) bool { return f.closedAt.over(h.closed(i)) }),
	)
	var found []int
	for i := from; i < until && len(found) <= f.limit; i++ {
		if f.archived || !h.archived.has(i) {
			found = append(found, i)
		}
	}
	return found
}

// past is a case of a history as an answer shows it.
type past struct {
	*history

	index    int
	archived bool
}

// at takes a case of a history. s.mu is held.
func (h *history) at(i int) past { return past{history: h, index: i, archived: h.archived.has(i)} }

// view is the case as one of those that walk, with results.
func (p past) view() view {
	id, created, closed := p.id(p.index), p.created(p.index), p.closed(p.index)
	c := &simCase{acct: p.acct, id: id, serial: p.serial + 1 + p.index, reference: id, caseChange: -1}
	return view{
		c: c, status: scr.CaseClosed, archived: p.archived, created: created, modified: closed, caseChange: -1,
		validUntil: created.Add(time.Duration(p.acct.Validity)),
		idents: []ident{{
			method: p.method(p.index), status: scr.StatusSuccess, created: created, modified: closed,
			identificationTime: closed, change: -1,
		}},
	}
}

// pastLen is about how long a case of a history is.
const pastLen = 640

// appendTo writes the case in its wire form (guide 8.2) after b.
func (p past) appendTo(b []byte, o rendering) []byte {
	id, created, closed := p.id(p.index), wireTimestamp(p.created(p.index)), wireTimestamp(p.closed(p.index))
	b = joined(b, `{"caseId":"`, id, `","caseStatus":`)
	b = p.appendStatus(b, created, closed)
	if !o.status {
		b = joined(b, `,"orderData":{"processData":{"targetCountry":"DEU","preferredLanguage":"DE_DE","referenceId":"`, id, `"}}`) // facts 2.6
	}
	before, after := `,"primaryIdent":`, ``
	if o.all || o.status && p.acct.Wire.StatusIdentifications {
		before, after = `,"identifications":[`, `]`
	}
	return joined(b, before, `{"identificationMethod":"`, p.method(p.index), `","identificationStatus":{"status":"success","created":"`, created,
		`","modified":"`, closed, `","identificationTime":"`, closed, `"}}`, after, `,"accountingData":{"accountingNumber":"77777777173701"}}`)
}

// status is the case's guide 8.3.
func (p past) status() json.RawMessage {
	return p.appendStatus(nil, wireTimestamp(p.created(p.index)), wireTimestamp(p.closed(p.index)))
}

func (p past) appendStatus(b []byte, created, closed string) []byte {
	validUntil := wireTimestamp(p.created(p.index).Add(time.Duration(p.acct.Validity)))
	return joined(b, `{"status":"closed","archived":`, strconv.FormatBool(p.archived), `,"validUntil":"`, validUntil,
		`","created":"`, created, `","modified":"`, closed, `"}`)
}

// joined is b with parts after it.
func joined(b []byte, parts ...string) []byte {
	for _, part := range parts {
		b = append(b, part...)
	}
	return b
}

// HistoryTruth returns the one change of every case of every history, as Truth
// does for the others. With a million cases it takes a few hundred megabytes.
func (s *Simulator) HistoryTruth() []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Change
	for _, h := range s.histories {
		all = slices.Grow(all, h.Cases)
		for i := range h.Cases {
			all = append(all, Change{
				ClientID: h.ClientID, CaseID: h.id(i), CaseCreated: h.created(i),
				Method: h.method(i), IdentCreated: h.created(i), Status: scr.StatusSuccess,
				IdentificationTime: h.closed(i), Modified: h.closed(i),
				StatusType: string(scr.Final), Seen: h.seen.has(i),
			})
		}
	}
	return all
}

// bitSet is a set of small numbers.
type bitSet []uint64

func newBitSet(n int) bitSet { return make(bitSet, (n+63)/64) }

func (b bitSet) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

func (b bitSet) size() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// add reports whether i is new.
func (b bitSet) add(i int) bool {
	isNew := !b.has(i)
	b[i/64] |= 1 << (i % 64)
	return isNew
}
