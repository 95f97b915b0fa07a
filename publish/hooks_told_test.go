package publish

import (
	"testing"
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// A look tells of more when the hooks that it answers for outnumber what it
// shows, while the case is open.
func TestTellsOfMore(t *testing.T) {
	t.Parallel()
	hook := trigger{Trigger: schemas.Trigger{Source: schemas.SourceWebhook}}
	sweep := trigger{Trigger: schemas.Trigger{Source: schemas.SourceSweep}}
	event := schemas.StatusChanged{StatusType: schemas.StatusTypeNotification}
	progress := schemas.StatusChanged{StatusType: schemas.StatusTypeProgress}
	recheck, parked := &schemas.Retry{Kind: schemas.RetryRecheck}, &schemas.Retry{Kind: schemas.RetryParked}
	for name, c := range map[string]struct {
		triggers []trigger
		ofSlot   bool
		slot     *schemas.Retry
		events   []schemas.StatusChanged
		status   string
		want     bool
	}{
		"one hook, one change":            {triggers: []trigger{hook}, events: []schemas.StatusChanged{event}},
		"two hooks, one change":           {triggers: []trigger{hook, hook}, events: []schemas.StatusChanged{event}, want: true},
		"two hooks, two changes":          {triggers: []trigger{hook, hook}, events: []schemas.StatusChanged{event, event}},
		"what sends no hook answers none": {triggers: []trigger{hook}, events: []schemas.StatusChanged{progress}, want: true},
		"a slot waits for a hook too":     {triggers: []trigger{hook}, slot: recheck, events: []schemas.StatusChanged{event}, want: true},
		"a sweep is no hook":              {triggers: []trigger{hook, sweep}, events: []schemas.StatusChanged{event}},
		"a recheck's own look":            {ofSlot: true, slot: recheck, events: []schemas.StatusChanged{event}, want: true},
		"a parked slot's own look":        {ofSlot: true, slot: parked, events: []schemas.StatusChanged{event}, want: true},
		"a closed case":                   {triggers: []trigger{hook, hook}, events: []schemas.StatusChanged{event}, status: scr.CaseClosed},
	} {
		r := result{job: job{triggers: c.triggers, slot: c.ofSlot}, origin: hook}
		d := decision{Events: c.events}
		d.State.CaseStatus = scr.CaseInProgress
		if c.status != "" {
			d.State.CaseStatus = c.status
		}
		if got := tellsOfMore(r, c.slot, d); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestAfterTooFew(t *testing.T) {
	t.Parallel()
	p := retryPolicy{Rechecks: []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}}
	for name, c := range map[string]struct {
		prev *schemas.Retry
		want int // attempt, 0 for none
	}{
		"a trigger's look begins the rechecks": {nil, 1},
		"a recheck goes on with its own":       {&schemas.Retry{Kind: schemas.RetryRecheck, Attempt: 1}, 2},
		"the last recheck was the last":        {&schemas.Retry{Kind: schemas.RetryRecheck, Attempt: 3}, 0},
		"a slot that was parked has one more":  {&schemas.Retry{Kind: schemas.RetryParked}, 3},
		"and so has one after a fault":         {&schemas.Retry{Kind: schemas.RetryFault, Attempt: 2}, 3},
	} {
		attempt := 0
		if next := p.afterTooFew(c.prev, epoch, origin{}); next != nil {
			attempt = next.Attempt
		}
		if attempt != c.want {
			t.Errorf("%s: attempt %d, want %d", name, attempt, c.want)
		}
	}
}
