package scrsim

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"time"
)

// Faults are the faults that are switched on, replaced as a whole at run time.
type Faults struct {
	// All applies to accounts that Accounts does not name.
	All FaultSet `json:"all,omitzero"`
	// Accounts has the faults of single accounts by clientId.
	Accounts map[string]FaultSet `json:"accounts,omitempty"`
}

// FaultSet gives each fault a probability from 0 to 1, where 1 is always. The
// faults of answers exclude each other for one answer, so their sum is at most
// 1; so do those of webhooks. All durations are real time.
type FaultSet struct {
	// Unauthorised answers 401 although the credentials are right.
	Unauthorised float64 `json:"unauthorised,omitempty"`
	// RateLimited answers 429; RetryAfter is its header, left out when 0.
	RateLimited float64  `json:"rateLimited,omitempty"`
	RetryAfter  Duration `json:"retryAfter,omitempty"`
	// ServerError answers ServerErrorStatus, 0 meaning 503.
	ServerError       float64 `json:"serverError,omitempty"`
	ServerErrorStatus int     `json:"serverErrorStatus,omitempty"`
	// Slow holds the answer back for SlowBy.
	Slow   float64  `json:"slow,omitempty"`
	SlowBy Duration `json:"slowBy,omitempty"`
	// Cut breaks the connection in the middle of the answer.
	Cut float64 `json:"cut,omitempty"`
	// Truncated ends the encrypted body early, in a complete HTTP answer.
	Truncated float64 `json:"truncated,omitempty"`
	// WrongKey encrypts for another key.
	WrongKey float64 `json:"wrongKey,omitempty"`
	// PlainJSON does not encrypt at all.
	PlainJSON float64 `json:"plainJson,omitempty"`
	// WrongAlg uses RSA1_5, which no client should take.
	WrongAlg float64 `json:"wrongAlg,omitempty"`

	// NotYet hides a case after one of its webhooks was due: 404 for the next
	// NotYetReads single reads, and for NotYetFor; lists leave it out meanwhile.
	NotYet      float64  `json:"notYet,omitempty"`
	NotYetReads int      `json:"notYetReads,omitempty"`
	NotYetFor   Duration `json:"notYetFor,omitempty"`
	// Stale shows the case after one of its webhooks as it was before, likewise
	// for StaleReads and StaleFor.
	Stale      float64  `json:"stale,omitempty"`
	StaleReads int      `json:"staleReads,omitempty"`
	StaleFor   Duration `json:"staleFor,omitempty"`

	// The faults of results and records do not exclude each other, nor those
	// above. Each befalls answers with the field or the record in question.

	// Forbidden sends what the account's class or the method must not have, too, as
	// Wire.Forbidden does always.
	Forbidden float64 `json:"forbidden,omitempty"`
	// PDFLate leaves the result PDF of a case out after its identification has
	// become final, or in every other case its documentData: from the next
	// PDFLateReads single reads that ask for it, and for PDFLateFor.
	PDFLate      float64  `json:"pdfLate,omitempty"`
	PDFLateReads int      `json:"pdfLateReads,omitempty"`
	PDFLateFor   Duration `json:"pdfLateFor,omitempty"`
	// ChangedRecords gives records other content than before, of the same size.
	ChangedRecords float64 `json:"changedRecords,omitempty"`
	// BadBase64 puts a character that base64 has not into the first record's
	// documentData. An answer with this fault counts as faulted, see Change.Seen.
	BadBase64 float64 `json:"badBase64,omitempty"`
	// SlowRecords writes an answer with content of records so slowly that it takes
	// SlowRecordsBy.
	SlowRecords   float64  `json:"slowRecords,omitempty"`
	SlowRecordsBy Duration `json:"slowRecordsBy,omitempty"`

	// HookLost never sends the webhook.
	HookLost float64 `json:"hookLost,omitempty"`
	// HookDoubled sends it twice at once.
	HookDoubled float64 `json:"hookDoubled,omitempty"`
	// HookReordered holds it back until the next webhook of the same case has
	// gone out, HookLateBy at most.
	HookReordered float64 `json:"hookReordered,omitempty"`
	// HookLate holds it back for HookLateBy.
	HookLate   float64  `json:"hookLate,omitempty"`
	HookLateBy Duration `json:"hookLateBy,omitempty"`
}

// answerFault is what befalls one answer.
type answerFault int

const (
	faultNone answerFault = iota
	faultUnauthorised
	faultRateLimited
	faultServerError
	faultSlow
	faultCut
	faultTruncated
	faultWrongKey
	faultPlainJSON
	faultWrongAlg
)

// hookFault is what befalls one webhook.
type hookFault int

const (
	hookIntact hookFault = iota
	hookLost
	hookDoubled
	hookReordered
	hookLate
)

func (f FaultSet) answers() []float64 {
	return []float64{
		f.Unauthorised, f.RateLimited, f.ServerError, f.Slow, f.Cut,
		f.Truncated, f.WrongKey, f.PlainJSON, f.WrongAlg,
	}
}

func (f FaultSet) hooks() []float64 {
	return []float64{f.HookLost, f.HookDoubled, f.HookReordered, f.HookLate}
}

func (f FaultSet) visibility() []float64 { return []float64{f.NotYet, f.Stale} }

// alone are those that exclude no other.
func (f FaultSet) alone() []float64 {
	return []float64{f.Forbidden, f.PDFLate, f.ChangedRecords, f.BadBase64, f.SlowRecords}
}

// pick maps a draw of [0,1) to one more than the index of the fault it hits, 0
// when it hits none.
func pick(draw float64, probabilities []float64) int {
	for i, p := range probabilities {
		if draw < p {
			return i + 1
		}
		draw -= p
	}
	return 0
}

// answer draws the fault of one answer.
func (f FaultSet) answer(rng *rand.Rand) answerFault {
	return answerFault(pick(rng.Float64(), f.answers()))
}

// hook draws the fault of one webhook.
func (f FaultSet) hook(rng *rand.Rand) hookFault { return hookFault(pick(rng.Float64(), f.hooks())) }

func (f FaultSet) check() error {
	var errs []error
	groups := [][]float64{f.answers(), f.hooks(), f.visibility()}
	for _, p := range f.alone() {
		groups = append(groups, []float64{p})
	}
	for _, group := range groups {
		var sum float64
		for _, p := range group {
			if !(p >= 0 && p <= 1) {
				errs = append(errs, fmt.Errorf("probability %v is not from 0 to 1", p))
			}
			sum += p
		}
		if sum > 1+1e-9 {
			errs = append(errs, fmt.Errorf("probabilities of faults that exclude each other add up to %v", sum))
		}
	}
	errs = append(errs, f.checkEffects()...)
	for _, d := range []Duration{f.RetryAfter, f.SlowBy, f.NotYetFor, f.StaleFor, f.HookLateBy, f.PDFLateFor, f.SlowRecordsBy} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("duration %v is negative", time.Duration(d)))
		}
	}
	if f.NotYetReads < 0 || f.StaleReads < 0 || f.PDFLateReads < 0 {
		errs = append(errs, errors.New("reads must not be negative"))
	}
	if s := f.ServerErrorStatus; s != 0 && (s < http.StatusInternalServerError || s > 599) {
		errs = append(errs, fmt.Errorf("server error status %d is no 5xx", s))
	}
	return errors.Join(errs...)
}

// checkEffects finds faults that would do nothing.
func (f FaultSet) checkEffects() []error {
	var errs []error
	for _, e := range []struct {
		on     bool
		effect bool
		text   string
	}{
		{f.Slow > 0, f.SlowBy > 0, "slow needs slowBy"},
		{f.NotYet > 0, f.NotYetReads > 0 || f.NotYetFor > 0, "notYet needs notYetReads or notYetFor"},
		{f.Stale > 0, f.StaleReads > 0 || f.StaleFor > 0, "stale needs staleReads or staleFor"},
		{f.PDFLate > 0, f.PDFLateReads > 0 || f.PDFLateFor > 0, "pdfLate needs pdfLateReads or pdfLateFor"},
		{f.SlowRecords > 0, f.SlowRecordsBy > 0, "slowRecords needs slowRecordsBy"},
		{f.HookLate > 0 || f.HookReordered > 0, f.HookLateBy > 0, "hookLate and hookReordered need hookLateBy"},
	} {
		if e.on && !e.effect {
			errs = append(errs, errors.New(e.text))
		}
	}
	return errs
}

func (f Faults) check() error {
	errs := []error{f.All.check()}
	for id, set := range f.Accounts {
		if err := set.check(); err != nil {
			errs = append(errs, fmt.Errorf("account %q: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (f Faults) of(clientID string) FaultSet {
	if set, ok := f.Accounts[clientID]; ok {
		return set
	}
	return f.All
}

func (f Faults) clone() Faults { return Faults{All: f.All, Accounts: maps.Clone(f.Accounts)} }
