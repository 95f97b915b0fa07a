package lab

import (
	"context"
	"time"

	"postident-bridge/internal/scrsim"
)

// apiFaults are faults of the simulated API.
type apiFaults struct {
	sim    *scrsim.Simulator
	faults scrsim.Faults
}

// Durations of what the API does wrong.
const (
	retryAfter = 2 * time.Second
	// tooSlow is longer than a bridge waits for an answer.
	tooSlow = 11 * time.Second
	// hiddenFor and staleFor are shorter than the bridge goes on looking after a
	// webhook: 72 s together.
	hiddenFor = 6 * time.Second
	staleFor  = 4 * time.Second
	hookLate  = 2 * time.Second
	// slowRecords and pdfLate are longer than a bridge waits with a final event for
	// its records.
	slowRecords = 3 * time.Second
	pdfLate     = 4 * time.Second
)

// api makes the faults of the API. Refused credentials park an account for five
// minutes, so one account alone is refused.
func (w *world) api(f Fault) effect {
	a := &apiFaults{sim: w.sim}
	switch f.Kind {
	case KindAPIErrors:
		a.faults.All = scrsim.FaultSet{
			ServerError: 0.3, Cut: 0.1, RateLimited: 0.05, RetryAfter: scrsim.Duration(retryAfter),
			Slow: 0.05, SlowBy: scrsim.Duration(tooSlow), Truncated: 0.05, WrongKey: 0.05, PlainJSON: 0.05, WrongAlg: 0.05,
		}
	case KindAPIHidden:
		a.faults.All = scrsim.FaultSet{
			NotYet: 0.4, NotYetReads: 1, NotYetFor: scrsim.Duration(hiddenFor), Stale: 0.4, StaleReads: 1, StaleFor: scrsim.Duration(staleFor),
		}
	case KindUnauthorised:
		a.faults.Accounts = map[string]scrsim.FaultSet{w.accounts[f.Target].ClientID: {Unauthorised: 1}}
	case KindHooks:
		a.faults.All = scrsim.FaultSet{
			HookLost: 0.1, HookDoubled: 0.3, HookReordered: 0.2, HookLate: 0.2, HookLateBy: scrsim.Duration(hookLate),
		}
	case KindAPIRecords:
		a.faults.All = scrsim.FaultSet{
			SlowRecords: 0.4, SlowRecordsBy: scrsim.Duration(slowRecords), PDFLate: 0.3, PDFLateReads: 1, PDFLateFor: scrsim.Duration(pdfLate),
			BadBase64: 0.4, Forbidden: 0.5,
		}
	default:
	}
	return a
}

// Begin switches them on.
func (a *apiFaults) Begin(context.Context) error { return a.sim.SetFaults(a.faults) }

// Heal switches all of them off.
func (a *apiFaults) Heal(context.Context) error { return a.sim.SetFaults(scrsim.Faults{}) }

// clockSkewed sets the API's clock wrong.
type clockSkewed struct {
	sim  *scrsim.Simulator
	back bool
}

// skew is simulated time: more than the whole run takes.
const skew = 48 * time.Hour

// Begin sets it forward, or back.
func (c *clockSkewed) Begin(context.Context) error {
	if c.back {
		c.sim.SetSkew(-skew)
	} else {
		c.sim.SetSkew(skew)
	}
	return nil
}

// Heal sets it right.
func (c *clockSkewed) Heal(context.Context) error {
	c.sim.SetSkew(0)
	return nil
}
