package publish

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"postident-bridge/schemas"
)

// second is a time of the tables below.
func second(s float64) time.Time { return epoch.Add(time.Duration(s * float64(time.Second))) }

func seconds(all ...float64) []time.Time {
	times := make([]time.Time, len(all))
	for i, s := range all {
		times[i] = second(s)
	}
	return times
}

// dueAt is the due of a change, which ends after 80 minutes.
func dueAt(modified ...float64) []schemas.HookDue {
	var dues []schemas.HookDue
	for _, s := range modified {
		dues = append(dues, schemas.HookDue{StatusType: schemas.StatusTypeFinal, Modified: second(s), Until: second(s + 4800)})
	}
	return dues
}

// P4: what a webhook told of is told by when it came, and by nothing else.
func TestSettleHooks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dues, told []float64 // modified
		hooks      []float64 // when they came
		again      bool      // another look follows
		left       []float64 // dues that are left
		open       []float64 // hooks that are left
	}{
		"nothing is due":                                    {told: []float64{0}, hooks: []float64{1}},
		"no webhook came":                                   {dues: []float64{0}, left: []float64{0}},
		"a webhook a moment after its change":               {dues: []float64{0}, hooks: []float64{0.4}},
		"within the second of its change":                   {dues: []float64{0}, hooks: []float64{0}},
		"the sender was busy for a minute":                  {dues: []float64{0}, hooks: []float64{59}},
		"its clock is ahead of ours":                        {dues: []float64{0}, hooks: []float64{-4}},
		"a webhook from before the change told of another":  {dues: []float64{0}, hooks: []float64{-30}, left: []float64{0}},
		"the second retry":                                  {dues: []float64{0}, hooks: []float64{904}},
		"the last retry":                                    {dues: []float64{0}, hooks: []float64{4509}},
		"after the last retry and in time":                  {dues: []float64{0}, hooks: []float64{4790}},
		"too late":                                          {dues: []float64{0}, hooks: []float64{4801}, left: []float64{0}},
		"a doubled webhook settles its own due, once":       {dues: []float64{0}, hooks: []float64{0.3, 2.3}},
		"and not that of an older change":                   {dues: []float64{0, 40}, hooks: []float64{40.3, 42.3}, left: []float64{0}},
		"nor of one that is younger":                        {dues: []float64{0, 40}, hooks: []float64{0.3, 2.3}, left: []float64{40}},
		"a repeat for what was told already":                {dues: []float64{0}, told: []float64{40}, hooks: []float64{41}, left: []float64{0}},
		"its retry, too":                                    {dues: []float64{0}, told: []float64{40}, hooks: []float64{943}, left: []float64{0}},
		"two changes, one lost: the older":                  {dues: []float64{0, 300}, hooks: []float64{300.5}, left: []float64{0}},
		"two changes, one lost: the younger":                {dues: []float64{0, 300}, hooks: []float64{0.5}, left: []float64{300}},
		"two changes, the retry of the older":               {dues: []float64{0, 300}, hooks: []float64{901}, left: []float64{300}},
		"two changes, the retry of the younger":             {dues: []float64{0, 300}, hooks: []float64{1201}, left: []float64{0}},
		"two changes within 900 s of one another's retries": {dues: []float64{0, 900}, hooks: []float64{900.5, 903}, left: []float64{0}},
		"two changes, both told, in any order":              {dues: []float64{0, 20}, hooks: []float64{20.4, 0.4}},
		"two identifications in one second, two webhooks":   {dues: []float64{0, 0}, hooks: []float64{0.4, 0.5}},
		"two identifications in one second, one webhook":    {dues: []float64{0, 0}, hooks: []float64{0.4}, left: []float64{0}},
		"one of them was told: the other's":                 {dues: []float64{0}, told: []float64{0}, hooks: []float64{0.5}},
		"no try fits: the newest that can be":               {dues: []float64{0, 300, 700}, hooks: []float64{500}, left: []float64{0, 700}},
		"it is found out after all that fit":                {dues: []float64{0, 300}, hooks: []float64{600, 300.5}},
		"the case may not show yet what it told of":         {dues: []float64{0}, hooks: []float64{300}, again: true, left: []float64{0}, open: []float64{300}},
		"what fits is settled though a look follows":        {dues: []float64{0}, hooks: []float64{0.5, 300}, again: true, open: []float64{300}},
		"nothing is due yet, and a look follows":            {told: []float64{0}, hooks: []float64{0.5, 300}, again: true, open: []float64{300}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dues := dueAt(c.dues...)
			before := slices.Clone(dues)
			left, open := settleHooks(dues, seconds(c.told...), seconds(c.hooks...), !c.again)
			if diff := cmp.Diff(dueAt(c.left...), left, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("dues (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(seconds(c.open...), open, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("open webhooks (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, dues); diff != "" {
				t.Errorf("the old state was changed:\n%s", diff)
			}
		})
	}
}

// Whatever comes: no webhook settles two dues, what is left is a part of what was
// there in its order, and the last look leaves no webhook open.
func TestSettleHooksTakesOneDueAWebhook(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		moments := rapid.SliceOfN(rapid.Float64Range(-100, 6000), 0, 5)
		dues := dueAt(moments.Draw(t, "dues")...)
		hooks, last := seconds(moments.Draw(t, "hooks")...), rapid.Bool().Draw(t, "last")
		left, open := settleHooks(dues, seconds(moments.Draw(t, "told")...), hooks, last)
		if len(dues)-len(left) > len(hooks)-len(open) {
			t.Fatalf("%d dues settled by %d webhooks", len(dues)-len(left), len(hooks)-len(open))
		}
		if last && len(open) > 0 {
			t.Fatalf("%d webhooks open after the last look", len(open))
		}
		at := 0
		for _, d := range left {
			for at < len(dues) && dues[at] != d {
				at++
			}
			if at == len(dues) {
				t.Fatalf("%v was not due, or comes before its time", d)
			}
			at++
		}
	})
}

// P4: a due is noted for what a sweep saw first, if a webhook is sure to be sent.
func TestNoteHooksDue(t *testing.T) {
	t.Parallel()
	const within = 80 * time.Minute
	all := []schemas.StatusType{
		schemas.StatusTypeNotification, schemas.StatusTypePreliminary, schemas.StatusTypeFinal, schemas.StatusTypeCancelled,
	}
	final := schemas.StatusChanged{
		StatusType: schemas.StatusTypeFinal, Method: schemas.MethodVideo, Status: schemas.StatusSuccess, ObservedBy: schemas.SourceSweep,
		ObservedAt: second(60), Identification: &schemas.Identification{Modified: second(0)},
	}
	change := func(f func(e *schemas.StatusChanged)) schemas.StatusChanged {
		e := final
		f(&e)
		return e
	}
	for name, c := range map[string]struct {
		event schemas.StatusChanged
		types []schemas.StatusType
		fresh bool    // nothing was known of the case
		until float64 // 0: no due
	}{
		"a final that a sweep saw":               {event: final, types: all, until: 60 + 4800},
		"webhooks are off":                       {event: final},
		"webhooks of other types are on":         {event: final, types: all[:2]},
		"a webhook told":                         {event: change(func(e *schemas.StatusChanged) { e.ObservedBy = schemas.SourceWebhook }), types: all},
		"a backfill brought it":                  {event: change(func(e *schemas.StatusChanged) { e.ObservedBy = schemas.SourceBackfill }), types: all},
		"a redrive brought it":                   {event: change(func(e *schemas.StatusChanged) { e.ObservedBy = schemas.SourceRedrive }), types: all},
		"a state without a type":                 {event: change(func(e *schemas.StatusChanged) { e.StatusType = schemas.StatusTypeProgress }), types: all},
		"its clock is ahead of ours":             {event: change(func(e *schemas.StatusChanged) { e.ObservedAt = second(-30) }), types: all, until: 4800},
		"an old change of a case that was known": {event: change(func(e *schemas.StatusChanged) { e.ObservedAt = second(9000) }), types: all, until: 9000 + 4800},
		"an old change of one that was not":      {event: change(func(e *schemas.StatusChanged) { e.ObservedAt = second(9000) }), types: all, fresh: true},
		"a new change of one that was not":       {event: final, types: all, fresh: true, until: 60 + 4800},
		"AutoID's review pending (facts C5)": {event: change(func(e *schemas.StatusChanged) {
			e.Method, e.Status, e.StatusType = schemas.MethodAutoID, schemas.StatusReviewPending, schemas.StatusTypeNotification
		}), types: all},
		"AutoID's cancelled (facts C27)": {event: change(func(e *schemas.StatusChanged) {
			e.Method, e.Status, e.StatusType = schemas.MethodAutoID, schemas.StatusCancelled, schemas.StatusTypeCancelled
		}), types: all, until: 60 + 4800},
		"the review of another method has a hook": {event: change(func(e *schemas.StatusChanged) {
			e.Status, e.StatusType = schemas.StatusReviewPending, schemas.StatusTypePreliminary
		}), types: all, until: 60 + 4800},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := dueAt(-100)
			got := noteHooksDue(before, []schemas.StatusChanged{c.event}, c.types, !c.fresh, within)
			want := slices.Clone(before)
			if c.until != 0 {
				want = append(want, schemas.HookDue{StatusType: c.event.StatusType, Modified: second(0), Until: second(c.until)})
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("dues (-want +got):\n%s", diff)
			}
		})
	}
}

// The states that have a webhook are what one may have told of.
func TestToldChanges(t *testing.T) {
	t.Parallel()
	state := &schemas.CaseState{Identifications: []schemas.IdentificationState{
		{Method: "autoid", Status: "cancelled", Modified: second(1)},
		{Method: "video", Status: "started", Modified: second(2)},
		{Method: "basic", Status: "coupon requested", Modified: second(3)},
		{Method: "eid", Status: "success", Modified: second(4)},
		{Method: "telepathy", Status: "success", Modified: second(5)},
	}}
	types := []schemas.StatusType{schemas.StatusTypeCancelled, schemas.StatusTypeFinal}
	if diff := cmp.Diff(seconds(1, 4), toldChanges(state, types)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A slot remembers the newest of very many webhooks.
func TestWithHooksIsBounded(t *testing.T) {
	t.Parallel()
	slot := &schemas.Retry{Hooks: seconds(1, 2)}
	var joined []time.Time
	for i := range mostHooks {
		joined = append(joined, second(float64(10+i)))
	}
	if got := withHooks(slot, joined); !slices.Equal(got, joined) {
		t.Errorf("remembers %v", got)
	}
	if got := withHooks(slot, joined[:1]); fmt.Sprint(got) != fmt.Sprint(seconds(1, 2, 10)) {
		t.Errorf("remembers %v", got)
	}
	if got := withHooks(nil, nil); len(got) != 0 {
		t.Errorf("remembers %v", got)
	}
}

func TestEndedDues(t *testing.T) {
	t.Parallel()
	ended, left := endedDues(dueAt(0, 100, 50), second(4850))
	if diff := cmp.Diff(dueAt(0, 50), ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(dueAt(100), left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// A webhook after the end of its due was missed, though it came; and it stands for
// no other change.
func TestWebhookAfterItsDueSettlesNothing(t *testing.T) {
	t.Parallel()
	dues := dueAt(-100, 0)
	dues[1].Until = second(30)
	if left, open := settleHooks(dues, nil, seconds(40), true); !cmp.Equal(left, dues) || len(open) > 0 {
		t.Errorf("left %+v, open %v", left, open)
	}
}
