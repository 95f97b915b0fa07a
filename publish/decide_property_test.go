package publish

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postident-bridge/internal/observation"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// The truth of the properties below: the states that one caseId goes through at
// the source, of one case or of two after one another. A state becomes visible
// at an instant, and stamps what changed with the second of that instant, so
// that several states may share a second.

// truthState is one state of the source.
type truthState struct {
	life    int // which case
	visible time.Time
	shown   scr.Case
	changes []truthChange // against the state before, in the order of publishing
}

// truthChange is one change that deserves an event, known by its identity (facts
// 3.2, 6).
type truthChange struct {
	id        string
	life      int
	who       string // the identification, or the case
	modified  time.Time
	published bool // under the rules
}

// world makes truths. The statuses of an identification never come back with the
// same code: a look that misses what lay between could not know of it.
type world struct {
	t       *rapid.T
	rules   rules
	bumps   bool // the case's modified follows its identifications'
	now     time.Time
	life    int
	codes   int
	states  []truthState
	current scr.Case
}

var worldBegin = time.Date(2024, 5, 2, 10, 0, 0, 0, time.UTC)

func newWorld(t *rapid.T, bumps bool) *world {
	w := &world{t: t, bumps: bumps, now: worldBegin}
	w.rules = rules{Class: schemas.RegulatoryClassTKG, PublishProgress: rapid.Bool().Draw(t, "progress")}
	for lives := rapid.IntRange(1, 2).Draw(t, "lives"); w.life < lives; w.life++ {
		w.begin()
		for range rapid.IntRange(0, 8).Draw(t, "steps") {
			w.step()
		}
	}
	return w
}

func (w *world) second() time.Time { return w.now.Truncate(time.Second) }

// begin starts a case under the id; created tells it from the one before.
func (w *world) begin() {
	w.now = w.second().Add(time.Second)
	w.current = scr.Case{CaseID: "CASE00000001", Status: scr.CaseStatus{Status: scr.CaseNew, Created: w.now, Modified: w.now}}
	w.record(nil)
}

func (w *world) step() {
	w.now = w.now.Add(time.Duration(rapid.SampledFrom([]int{1, 200, 900, 1000, 2500}).Draw(w.t, "pause")) * time.Millisecond)
	next := w.current
	next.Identifications = slices.Clone(next.Identifications)
	before := next.Status
	var changed []int
	for range rapid.SampledFrom([]int{0, 1, 1, 1, 2}).Draw(w.t, "changes") {
		if i := w.change(&next, changed); i >= 0 {
			changed = append(changed, i)
		}
	}
	w.moveCase(&next, len(changed) > 0)
	if len(changed) == 0 && next.Status == before {
		return
	}
	w.current = next
	w.record(w.changesOf(&next, before.Status, changed))
}

// change gives one identification a new state, or adds one.
func (w *world) change(c *scr.Case, done []int) int {
	method := rapid.SampledFrom([]string{scr.MethodAutoID, scr.MethodBasic, scr.MethodVideo, "wallet"}).Draw(w.t, "method")
	status := rapid.SampledFrom([]string{
		scr.StatusStarted, scr.StatusCouponRequested, scr.StatusIncomplete, scr.StatusReviewPending,
		scr.StatusCancelled, scr.StatusDeclined, scr.StatusSuccess, "on hold",
	}).Draw(w.t, "status")
	i := rapid.IntRange(0, 3).Draw(w.t, "which")
	if i >= len(c.Identifications) {
		i = len(c.Identifications)
		taken := slices.ContainsFunc(c.Identifications, func(id scr.Identification) bool {
			return id.Method == method && id.Created.Equal(w.second())
		})
		if taken {
			return -1
		}
		c.Identifications = append(c.Identifications, scr.Identification{Method: method, Created: w.second()})
	}
	if slices.Contains(done, i) {
		return -1
	}
	id := &c.Identifications[i]
	id.Status, id.Modified, id.SubStatus = status, w.second(), nil
	if w.codes++; rapid.Bool().Draw(w.t, "coded") || w.returns(*id) {
		id.SubStatus = &scr.Code{Code: 1000 + w.codes}
	}
	return i
}

func (w *world) returns(id scr.Identification) bool {
	for _, s := range w.states {
		for _, other := range s.shown.Identifications {
			if s.life == w.life && other.Method == id.Method && other.Created.Equal(id.Created) && other.Status == id.Status {
				return true
			}
		}
	}
	return false
}

// moveCase closes the case, opens it again (which it should not do), or flips
// what is no event.
func (w *world) moveCase(c *scr.Case, changed bool) {
	stamp := changed && w.bumps
	switch rapid.SampledFrom([]string{"stay", "stay", "stay", "close", "open", "archive"}).Draw(w.t, "case") {
	case "close":
		stamp = stamp || c.Status.Status != scr.CaseClosed
		c.Status.Status = scr.CaseClosed
	case "open":
		// Not within the second in which it closed: a close, an opening and a close
		// in one second would be one identity.
		if c.Status.Status == scr.CaseNew || w.second().After(c.Status.Modified) {
			stamp = stamp || c.Status.Status != scr.CaseInProgress
			c.Status.Status = scr.CaseInProgress
		}
	case "archive":
		stamp = true
		c.Status.Archived = !c.Status.Archived
	}
	if stamp {
		c.Status.Modified = w.second()
	}
}

func (w *world) changesOf(c *scr.Case, caseBefore string, changed []int) []truthChange {
	var out []truthChange
	events := 0
	slices.SortFunc(changed, func(a, b int) int { // of one second: rank, created, method
		x, y := c.Identifications[a], c.Identifications[b]
		return cmp.Or(cmp.Compare(scr.Rank(x.Status), scr.Rank(y.Status)), x.Created.Compare(y.Created), cmp.Compare(x.Method, y.Method))
	})
	for _, i := range changed {
		id := c.Identifications[i]
		class := scr.Classify(id.Method, id.Status, codeNumber(id.SubStatus), nil)
		ch := truthChange{
			id: identity(w.life, id), life: w.life, who: id.Method + id.Created.String(), modified: id.Modified,
			published: class.Type != scr.None || !class.Known || w.rules.PublishProgress,
		}
		if ch.published {
			events++
		}
		out = append(out, ch)
	}
	if c.Status.Status == scr.CaseClosed && caseBefore != scr.CaseClosed {
		// Beside a change of an identification the closing is published only by a
		// look that came too late for that change.
		out = append(out, truthChange{
			id: caseIdentity(w.life, c.Status.Modified), life: w.life, who: "case", modified: c.Status.Modified, published: events == 0,
		})
	}
	return out
}

func (w *world) record(changes []truthChange) {
	w.states = append(w.states, truthState{life: w.life, visible: w.now, shown: w.current, changes: changes})
}

// truth lists what is to be published, in order.
func (w *world) truth() []truthChange {
	var out []truthChange
	for _, s := range w.states {
		for _, ch := range s.changes {
			if ch.published {
				out = append(out, ch)
			}
		}
	}
	return out
}

func codeNumber(c *scr.Code) *int {
	if c == nil {
		return nil
	}
	return &c.Code
}

func identity(life int, id scr.Identification) string {
	code := 0
	if id.SubStatus != nil {
		code = id.SubStatus.Code
	}
	return fmt.Sprintf("%d %s %s %q %d %s", life, id.Method, clock(id.Created), id.Status, code, clock(id.Modified))
}

func caseIdentity(life int, modified time.Time) string {
	return fmt.Sprintf("%d case closed %s", life, clock(modified))
}

// bridge looks at the world and keeps what decide gives it.
type bridge struct {
	*world
	cursor int  // the state that the source shows now
	newest int  // the newest state seen
	drifts bool // the source goes on between two looks that belong together
	state  *schemas.CaseState
	events []schemas.StatusChanged
	lives  []int // of the events
}

// clockAt is an instant at which state i is the current one.
func (b *bridge) clockAt(i int) time.Time {
	at := b.states[i].visible
	if i+1 < len(b.states) {
		return at.Add(time.Duration(rapid.Int64Range(0, int64(b.states[i+1].visible.Sub(at)-1)).Draw(b.t, "lag")))
	}
	return at.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(b.t, "lag")))
}

// read reads state i; in doubt it looks again, at what the source shows then.
func (b *bridge) read(i int) {
	confirm := false
	for b.take(b.look(i, true), i, confirm) == verdictDoubt {
		if confirm {
			b.t.Fatal("a confirmed look is in doubt")
		}
		confirm = true
		i = b.drift()
	}
}

// drift is the state that the next look shows.
func (b *bridge) drift() int {
	if b.drifts && b.cursor+1 < len(b.states) && rapid.Bool().Draw(b.t, "drift") {
		b.cursor++
	}
	return b.cursor
}

// observe delivers a list answer that showed state i, whenever that was; the
// request may have been on its way before the state was there.
func (b *bridge) observe(i int) {
	if b.take(b.look(i, false), i, false) == verdictNeedsRead {
		b.read(b.drift())
	}
}

func (b *bridge) look(i int, fromRead bool) snapshot {
	shown := b.states[i].shown
	shown.Identifications = rapid.Permutation(shown.Identifications).Draw(b.t, "answer")
	s := snapshotOfCase("ABCD1234", shown, schemas.SourceSweep, b.clockAt(i))
	if !fromRead {
		s.FromRead = false
		s.ObservedAt = s.ObservedAt.Add(-time.Duration(rapid.IntRange(0, 2000).Draw(b.t, "before")) * time.Millisecond)
	}
	return s
}

func (b *bridge) take(s snapshot, i int, confirm bool) verdict {
	d := decide(b.state, s, b.rules, confirm)
	if d.Verdict != verdictNeedsRead && d.Verdict != verdictDoubt {
		b.newest = max(b.newest, i)
	}
	sealed, sequence, hash, err := seal(b.state, d.Events, encoder.Encode)
	if err != nil {
		b.t.Fatal(err)
	}
	next := d.State
	if len(sealed) > 0 {
		next.Sequence, next.LastEventHash = sequence, &hash
	}
	b.state = &next
	for _, e := range sealed {
		b.events = append(b.events, e.Event)
		b.lives = append(b.lives, b.states[i].life)
	}
	return d.Verdict
}

func (b *bridge) published() []string {
	out := make([]string, len(b.events))
	for i, e := range b.events {
		if e.Identification == nil {
			out[i] = b.closing(b.lives[i], e.CaseStatus.Modified)
			continue
		}
		method, status := string(e.Method), blanks(string(e.Status))
		if e.MethodText != nil {
			method = *e.MethodText
		}
		if e.StatusText != nil {
			status = *e.StatusText
		}
		id := scr.Identification{Method: method, Status: status, Created: e.Identification.Created, Modified: e.Identification.Modified}
		if e.SubStatus != nil {
			id.SubStatus = &scr.Code{Code: e.SubStatus.Code}
		}
		out[i] = identity(b.lives[i], id)
	}
	return out
}

// closing is the closing that an event of the case alone tells of: it bears the
// case's modified at the time of the look, which may have moved on.
func (b *bridge) closing(life int, modified time.Time) string {
	id := "no closing"
	for _, s := range b.states {
		for _, ch := range s.changes {
			if ch.life == life && ch.who == "case" && !ch.modified.After(modified) {
				id = ch.id
			}
		}
	}
	return id
}

// check compares what was published with the truth: a subsequence, without
// repeats, in order, that ends in the newest state seen.
func (b *bridge) check() {
	var truth []truthChange
	position := make(map[string]int)
	for _, s := range b.states {
		for _, ch := range s.changes {
			if ch.published || ch.who == "case" {
				position[ch.id] = len(truth)
				truth = append(truth, ch)
			}
		}
	}
	published := b.published()
	ids := make(map[string]bool)
	last := -1
	for i, id := range published {
		at, ok := position[id]
		switch {
		case !ok:
			b.t.Fatalf("event %q is not in the truth", id)
		case ids[b.events[i].EventID]:
			b.t.Fatalf("event %q came twice", id)
		case last >= 0 && !inOrder(truth[last], truth[at], last, at):
			b.t.Fatalf("event %q after %q", id, truth[last].id)
		}
		ids[b.events[i].EventID] = true
		last = at
	}
	b.checkChain()
	b.checkEnd(published)
}

// inOrder: of different objects that changed in one second, nobody can tell
// which was first; they are published in an order by definition.
func inOrder(a, b truthChange, i, j int) bool {
	if i == j {
		return false
	}
	return i < j || a.life == b.life && a.who != b.who && a.modified.Equal(b.modified)
}

func (b *bridge) checkChain() {
	sequence := int64(0)
	for i, e := range b.events {
		if i == 0 || b.lives[i] != b.lives[i-1] {
			sequence = 0
		}
		sequence++
		if e.Sequence != sequence || (e.PreviousEventHash == nil) != (sequence == 1) {
			b.t.Fatalf("event %d of the case has sequence %d, previous hash %v", sequence, e.Sequence, e.PreviousEventHash)
		}
		reused := e.Anomaly != nil && *e.Anomaly == schemas.AnomalyCaseIDReused
		if want := b.state.CaseIDReused && sequence == 1 && b.lives[i] == b.states[b.newest].life; reused != want {
			b.t.Fatalf("event %d of the case says reused: %t", sequence, reused)
		}
	}
}

func (b *bridge) checkEnd(published []string) {
	seen := b.states[b.newest]
	if b.state.CaseStatus != seen.shown.Status.Status || !b.state.Created.Equal(seen.shown.Status.Created) {
		b.t.Fatalf("state is %q of %s, newest seen is %q of %s",
			b.state.CaseStatus, clock(*b.state.Created), seen.shown.Status.Status, clock(seen.shown.Status.Created))
	}
	observed := observation.Of(seen.shown, time.Time{}).Identifications
	for n, id := range seen.shown.Identifications {
		i := slices.IndexFunc(b.state.Identifications, func(st schemas.IdentificationState) bool {
			return st.Method == id.Method && st.Created.Equal(id.Created)
		})
		if i < 0 || b.state.Identifications[i].Status != id.Status || !sameCode(b.state.Identifications[i].SubStatus, observed[n].SubStatus) {
			b.t.Fatalf("newest state seen %q is not in the state", identity(seen.life, id))
		}
		wentOut := slices.Contains(published, identity(seen.life, id))
		if marked := slices.Contains(b.state.Identifications[i].Outputs, schemas.OutputStatus); marked != wentOut {
			b.t.Fatalf("state %q went out: %t, marked: %t", identity(seen.life, id), wentOut, marked)
		}
		class := scr.Classify(id.Method, id.Status, codeNumber(id.SubStatus), nil)
		if !wentOut && (class.Type != scr.None || !class.Known || b.rules.PublishProgress) {
			b.t.Fatalf("newest state seen %q was not published", identity(seen.life, id))
		}
	}
}

// TestDecideTellsASubsequenceOfTheTruth is P3 under any interleaving,
// repetition and delay of observations, and of reads that come one after another
// and show what is current.
func TestDecideTellsASubsequenceOfTheTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := &bridge{world: newWorld(t, rapid.Bool().Draw(t, "bumps")), newest: -1, drifts: true}
		for range rapid.IntRange(1, 20).Draw(t, "looks") {
			switch rapid.SampledFrom([]string{"advance", "advance", "read", "observe", "observe late"}).Draw(t, "op") {
			case "advance":
				b.cursor = min(b.cursor+rapid.IntRange(1, 3).Draw(t, "by"), len(b.states)-1)
			case "read":
				b.read(b.cursor)
			case "observe":
				b.observe(b.cursor)
			case "observe late":
				b.observe(rapid.IntRange(0, b.cursor).Draw(t, "state"))
			}
		}
		if b.state == nil {
			b.read(b.cursor)
		}
		b.check()
	})
}

// TestDecideTellsTheTruthIfAllIsSeen: every state is read while it is current;
// what else comes, late or twice, adds nothing.
func TestDecideTellsTheTruthIfAllIsSeen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := &bridge{world: newWorld(t, rapid.Bool().Draw(t, "bumps")), newest: -1}
		for b.cursor = range b.states {
			b.read(b.cursor)
			for range rapid.IntRange(0, 2).Draw(t, "more") {
				if rapid.Bool().Draw(t, "again") {
					b.read(b.cursor)
				} else {
					b.observe(rapid.IntRange(0, b.cursor).Draw(t, "state"))
				}
			}
		}
		b.check()
		truth := make([]string, 0, len(b.events))
		for _, ch := range b.truth() {
			truth = append(truth, ch.id)
		}
		if published := b.published(); !slices.Equal(truth, published) {
			t.Fatalf("published\n%q\nof\n%q", published, truth)
		}
	})
}

// TestDecideOutlivesStaleReads: reads may be answered late as well, by whole
// states that the case's modified shows to be older than the newest seen. Of one
// second a late read cannot be told from a new one (see verdictDoubt).
func TestDecideOutlivesStaleReads(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := &bridge{world: newWorld(t, true), newest: -1, drifts: true}
		for range rapid.IntRange(1, 20).Draw(t, "looks") {
			switch rapid.SampledFrom([]string{"advance", "advance", "read", "read late", "observe"}).Draw(t, "op") {
			case "advance":
				b.cursor = min(b.cursor+rapid.IntRange(1, 3).Draw(t, "by"), len(b.states)-1)
			case "read":
				b.read(b.cursor)
			case "read late":
				i := rapid.IntRange(0, b.cursor).Draw(t, "state")
				if b.newest >= 0 && b.olderThan(i, b.newest) {
					b.read(i)
				}
			case "observe":
				b.observe(rapid.IntRange(0, b.cursor).Draw(t, "state"))
			}
		}
		if b.state == nil {
			b.read(b.cursor)
		}
		b.check()
	})
}

func (b *bridge) olderThan(i, j int) bool {
	x, y := b.states[i], b.states[j]
	return x.life < y.life || x.shown.Status.Modified.Before(y.shown.Status.Modified)
}
