package publish

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

const (
	// archiveBatch is how many cases one request archives; the API allows 10,000.
	archiveBatch = 500
	// archiveRound is how often the table is searched for cases to archive, at
	// least four times in ArchiveAfter.
	archiveRound = time.Hour
	// archiveStep is the pause between two parts of that search, a chunk each: the
	// loop has other things to do.
	archiveStep = 10 * time.Millisecond
	// archiveRest is how long an account is left alone whose request failed, or
	// ArchiveAfter where that is shorter.
	archiveRest = 5 * time.Minute
)

// archiver archives the closed cases of a partition whose events are out. Its
// owner does it, who alone knows what is published. Owned by the worker's
// goroutine, but for answers; in memory only: what is archived stands in the
// states.
type archiver struct {
	next    time.Time // of the search
	chunk   int       // where it goes on
	found   []string  // state keys, to be asked for
	asking  bool      // a request is under way: one at a time
	answers chan archiveAnswer
	done    []string               // archived at the source, to be noted
	rest    map[*account]time.Time // until when an account is left alone
}

// archiveAnswer is how a request ended.
type archiveAnswer struct {
	account   *account
	keys      []string
	confirmed int
	err       error
}

func newArchiver() archiver {
	return archiver{answers: make(chan archiveAnswer), rest: make(map[*account]time.Time)}
}

// archivable says whether a case is done with here, and may be archived: closed,
// nothing waits, nothing went to the dead letters, what has an event has it on the
// topic, and what owes a result or records has given them. P4 would not survive
// less: an archived case shows in no sweep.
func archivable(s *schemas.CaseState, r rules) bool {
	if s.Archived || s.CaseStatus != scr.CaseClosed || s.Sequence == 0 || s.Retry != nil || s.DeadLettered != nil {
		return false
	}
	return !slices.ContainsFunc(s.Identifications, func(id schemas.IdentificationState) bool {
		kind := typeOf(id.Method, id.Status)
		return kind != schemas.StatusTypeProgress && !slices.Contains(id.Outputs, schemas.OutputStatus) ||
			kind == schemas.StatusTypeFinal && r.Results && !slices.Contains(id.Outputs, schemas.OutputResult) ||
			r.Records && id.RecordsPending != nil
	})
}

// startArchiving goes on with the search, or asks for what it found.
func (w *worker) startArchiving() {
	if !w.archives() || w.archive.asking {
		return
	}
	now := w.p.cfg.Now()
	if len(w.archive.found) == 0 {
		if now.Before(w.archive.next) {
			return
		}
		w.searchArchivable(now)
	}
	a, keys := w.takeArchivable(now)
	if len(keys) == 0 {
		return
	}
	w.archive.asking = true
	w.spawn(func(ctx context.Context) {
		answer := w.askToArchive(ctx, a, keys)
		select {
		case w.archive.answers <- answer:
		case <-ctx.Done():
		}
	})
}

// archives says whether any account wants it.
func (w *worker) archives() bool {
	for _, a := range w.p.accounts {
		if a.Archive != nil {
			return true
		}
	}
	return false
}

// searchArchivable searches the next part of the table.
func (w *worker) searchArchivable(now time.Time) {
	in := &w.archive
	in.found, in.chunk = w.table.closedIn(in.chunk, now.Add(-w.p.cfg.ArchiveAfter),
		func(status string) bool { return status == scr.CaseClosed }, markRetry|markDeadLettered|markArchived)
	slices.Sort(in.found) // by account: a request is of one
	in.next = now.Add(archiveStep)
	if in.chunk < 0 {
		in.chunk, in.next = 0, now.Add(min(archiveRound, max(w.p.cfg.ArchiveAfter/4, time.Second)))
	}
}

// takeArchivable takes cases of one account out of what was found. Those of an
// account that is held back, or rests, are left to the next round.
func (w *worker) takeArchivable(now time.Time) (a *account, keys []string) {
	in := &w.archive
	for len(in.found) > 0 && len(keys) < archiveBatch {
		key := in.found[0]
		owner := w.p.accounts[clientOf(key)]
		if a != nil && owner != a {
			break
		}
		in.found = in.found[1:]
		if owner == nil || owner.Archive == nil || now.Before(in.rest[owner]) || w.running[key] {
			continue
		}
		if _, open := owner.blocked(now); open {
			continue
		}
		if state := w.table.get(key); state != nil && archivable(state, owner.rules(w.p.cfg.PublishProgress)) {
			a, keys = owner, append(keys, key)
		}
	}
	return a, keys
}

// askToArchive makes the request, as one of the account's reads.
func (w *worker) askToArchive(ctx context.Context, a *account, keys []string) archiveAnswer {
	ctx, cancel := context.WithTimeoutCause(ctx, w.p.cfg.ReadDeadline, errDeadline)
	defer cancel()
	answer := archiveAnswer{account: a, keys: keys}
	if answer.err = a.gate.enter(ctx, waitingLine); answer.err != nil {
		return answer
	}
	defer a.leave()
	ids := make([]string, len(keys))
	for i, key := range keys {
		ids[i] = caseOf(key)
	}
	// Crash point "archive": the cases are archived, or not, and the states do not
	// say so: they are asked for once more, which does no harm.
	confirmed, err := a.Archive(ctx, ids)
	answer.confirmed, answer.err = len(confirmed), err
	// What the breaker hears of it is what the reads need to know. That an account
	// may not archive (403) is none of it.
	if f := classify(err); err == nil || f.accountDown && !forbidden(err) {
		w.report(ctx, a, archiveKey, f, err)
	}
	return answer
}

// archiveKey stands for a case where failures of reads are counted by case.
const archiveKey = "archive"

// forbidden says that the account is known, and may not do this.
func forbidden(err error) bool {
	unauthorised, ok := errors.AsType[*scr.UnauthorisedError](err)
	return ok && unauthorised.Status == http.StatusForbidden
}

// archiveAnswered takes the end of a request.
func (w *worker) archiveAnswered(ctx context.Context, r archiveAnswer) {
	in, now := &w.archive, w.p.cfg.Now()
	in.asking = false
	w.p.metrics.archived(ctx, r)
	if r.err != nil {
		in.rest[r.account] = now.Add(spread(min(archiveRest, w.p.cfg.ArchiveAfter)))
		if reason := failureOf(r.err); !reason.interrupted {
			w.log.WarnContext(ctx, "cases not archived", "client_id", r.account.ClientID, "cases", len(r.keys), "reason", reason.reason, "error", r.err)
		}
		return
	}
	in.done = append(in.done, r.keys...)
}

// noteArchived has the states of at most limit cases say that they are archived.
// What has changed since the request is left to the next round.
func (w *worker) noteArchived(b *batch, limit int) {
	in := &w.archive
	for len(in.done) > 0 && len(b.states) < limit {
		key := in.done[0]
		in.done = in.done[1:]
		state, owner := w.table.get(key), w.p.accounts[clientOf(key)]
		if state == nil || w.running[key] || !archivable(state, owner.rules(w.p.cfg.PublishProgress)) || w.hold.refuses(key, w.p.cfg.Now) {
			continue
		}
		state.Archived = true // UpdatedAt stays: nobody has looked at the case
		b.states = append(b.states, stateChange{key: key, next: state})
	}
}
