package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strconv"

	"postident-bridge/schemas"
)

// storedState is a case as case-state has it.
type storedState struct {
	where     string
	partition int32
	state     schemas.CaseState
}

// checkStates compares case-state with the events: both are written in the same
// transactions, so what state says of a case must be its last event. A case that
// waits for another look is counted.
func (j *judgement) checkStates(t *TopicDump, events []Published) {
	states := j.readStates(t)
	last := make(map[caseKey]*Published)
	newest := make(map[string]caseKey) // a caseId may be used again: the last case of it counts
	for _, p := range inTopicOrder(events) {
		k := eventCase(&p.Event)
		last[k] = p
		newest[k.clientID+"/"+k.caseID] = k
	}
	keys := slices.Collect(maps.Keys(states))
	for key := range newest {
		if _, ok := states[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		var p *Published
		if k, ok := newest[key]; ok {
			p = last[k]
		}
		j.checkState(states[key], p)
	}
}

// readStates takes the newest record of each case that shows.
func (j *judgement) readStates(t *TopicDump) map[string]*storedState {
	states := make(map[string]*storedState)
	t.each(func(p *PartitionDump, r *Record) {
		key := string(r.Key)
		if !r.Visible || key == schemas.BarrierKey || key == schemas.PositionKey {
			return
		}
		where := place(t.Name, p.Partition, r.Offset)
		if before := states[key]; before != nil && before.partition != p.Partition {
			j.found(Misplaced, where, "the state of its key stands in partition %d already", before.partition)
		}
		if r.Value == nil {
			delete(states, key)
			return
		}
		state, err := schemas.DecodeCaseState(r.Value)
		switch {
		case err != nil:
			j.found(Unreadable, where, "case state: %v", err)
		case state.ClientID+"/"+state.CaseID != key:
			j.foundCase(StateDiffers, state.ClientID, state.CaseID, where, "it stands under another key than its case has")
		default:
			states[key] = &storedState{where: where, partition: p.Partition, state: state}
		}
	})
	return states
}

// checkState compares the state of a case with its last event; either may be
// missing.
func (j *judgement) checkState(s *storedState, p *Published) {
	if s == nil {
		j.foundCase(StateDiffers, p.Event.ClientID, p.Event.CaseID, p.Where(), "the case has events and no state")
		return
	}
	c := &s.state
	if n := j.partitions(); n > 0 && murmur2Partition([]byte(c.CaseID), n) != int(s.partition) {
		j.foundCase(Misplaced, c.ClientID, c.CaseID, s.where, "murmur2 puts the triggers of its case in another partition")
	}
	if c.Retry != nil {
		j.verdict.Retries++
		if j.e.Options.Settled {
			j.foundCase(Unfinished, c.ClientID, c.CaseID, s.where, "it waits for another look: %s, %s", c.Retry.Kind, c.Retry.Reason)
		}
	}
	switch {
	case p == nil && c.Sequence != 0:
		j.foundCase(StateDiffers, c.ClientID, c.CaseID, s.where, "it has sequence %d, and the case has no event", c.Sequence)
	case p == nil:
	case c.Sequence == 0 && c.CaseIDReused:
		// The caseId belongs to a new case, of which nothing was published yet.
	case c.Sequence != p.Event.Sequence:
		j.foundCase(StateDiffers, c.ClientID, c.CaseID, s.where, "it has sequence %d, the last event has %d at %s",
			c.Sequence, p.Event.Sequence, p.Where())
	case c.LastEventHash == nil:
		j.foundCase(StateDiffers, c.ClientID, c.CaseID, s.where, "it has no hash of the last event at %s", p.Where())
	default:
		if sum := sha256.Sum256(p.Value); !bytes.Equal(sum[:], *c.LastEventHash) {
			j.foundCase(StateDiffers, c.ClientID, c.CaseID, s.where, "its hash is not that of the last event at %s", p.Where())
		}
	}
}

// partitions is how many partitions the inbox and case-state have.
func (j *judgement) partitions() int { return len(j.dump.topic(j.topics.inbox).Partitions) }

// checkInbox looks for webhooks that were answered 200 and have no trigger (P1),
// and for triggers that are not where their case is.
func (j *judgement) checkInbox(t *TopicDump) {
	type hooked struct{ clientID, caseID string }
	triggers := make(map[hooked]int)
	t.each(func(_ *PartitionDump, r *Record) {
		if r.Control || !r.Visible {
			return
		}
		trigger, err := schemas.DecodeTrigger(r.Value)
		if err == nil && trigger.Source == schemas.SourceWebhook {
			triggers[hooked{trigger.ClientID, trigger.CaseID}]++
		}
		// Bytes that are not ours are somebody else's; the bridge owes them a dead letter.
	})
	accepted := make(map[hooked]int)
	for _, w := range j.e.Webhooks {
		if w.Status != 200 {
			continue
		}
		j.verdict.Accepted++
		accepted[hooked{w.ClientID, w.CaseID}]++
	}
	for _, of := range slices.SortedFunc(maps.Keys(accepted), func(a, b hooked) int { return cmp.Compare(a.caseID, b.caseID) }) {
		if want, have := accepted[of], triggers[of]; have < want {
			j.foundCase(Unwritten, of.clientID, of.caseID, "", "%d webhooks were answered 200, and the inbox has %d triggers", want, have)
		}
	}
}

// checkLetters counts the dead letters. One is explained where its reason is
// expected, or where the truth knows no such case.
func (j *judgement) checkLetters(t *TopicDump) {
	known := make(map[string]bool)
	for i := range j.e.Truth {
		known[j.e.Truth[i].CaseID] = true
	}
	j.verdict.Letters = make(map[string]int)
	t.each(func(p *PartitionDump, r *Record) {
		if !r.Visible {
			return
		}
		text := func(name string) string {
			values := valuesOf(r.Headers, name)
			if len(values) == 0 {
				return ""
			}
			return string(values[len(values)-1])
		}
		reason := cmp.Or(text("postident.error.reason"), "none")
		j.verdict.Letters[reason]++
		trigger, err := schemas.DecodeTrigger(r.Value)
		if slices.Contains(j.e.Options.DeadLetters, reason) || err == nil && !known[trigger.CaseID] {
			return
		}
		j.foundCase(DeadLettered, trigger.ClientID, trigger.CaseID, place(t.Name, p.Partition, r.Offset),
			"reason %s after %s attempts: %s", reason, cmp.Or(text("postident.error.attempts"), "?"),
			strconv.Quote(text("__connect.errors.exception.message")))
	})
}

// search looks for canaries and secrets in every record and output.
func (j *judgement) search() error {
	if len(j.e.Canaries)+len(j.e.Secrets) == 0 {
		return nil
	}
	searched := int64(0)
	for _, s := range []struct {
		kind    Kind
		what    string
		needles []string
	}{{Leaked, "canary", j.e.Canaries}, {SecretShown, "secret", j.e.Secrets}} {
		if len(s.needles) == 0 {
			continue
		}
		forms, err := newForms(s.needles)
		if err != nil {
			return err
		}
		searched = j.searchTopics(forms, s.kind, s.what)
		for _, name := range slices.Sorted(maps.Keys(j.e.Outputs)) {
			searched += int64(len(j.e.Outputs[name]))
			for _, hit := range forms.in(j.e.Outputs[name]) {
				j.found(s.kind, name, "%s %d%s stands at byte %d", s.what, hit.needle, hit.form, hit.at)
			}
		}
	}
	j.verdict.Searched = searched
	if outputs := j.e.Outputs; len(outputs) > 0 && !slices.ContainsFunc(slices.Collect(maps.Values(outputs)), func(o []byte) bool { return len(o) > 0 }) {
		return errors.New("search: every output is empty, which proves nothing")
	}
	return nil
}

func (j *judgement) searchTopics(forms *forms, kind Kind, what string) (searched int64) {
	for i := range j.dump.Topics {
		t := &j.dump.Topics[i]
		t.each(func(p *PartitionDump, r *Record) {
			in := func(part string, data []byte) {
				searched += int64(len(data))
				for _, hit := range forms.in(data) {
					j.found(kind, place(t.Name, p.Partition, r.Offset), "%s %d%s stands in its %s", what, hit.needle, hit.form, part)
				}
			}
			in("key", r.Key)
			in("value", r.Value)
			for k, h := range r.Headers {
				// The name of a header is not repeated: it may be the leak.
				in("header name "+strconv.Itoa(k), []byte(h.Key))
				in("header value "+strconv.Itoa(k), h.Value)
			}
		})
	}
	return searched
}
