package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
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
func (j *judgement) checkStates(t *TopicDump, events []Published, results *resultJudge) {
	states := j.readStates(t)
	told := make(map[caseKey]*toldCase)
	newest := make(map[string]caseKey) // a caseId may be used again: the last case of it counts
	for _, p := range inTopicOrder(events) {
		k := eventCase(&p.Event)
		if told[k] == nil {
			told[k] = &toldCase{byIdent: map[identKey]*Published{}, completed: map[int64]bool{}}
		}
		told[k].add(p)
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
		k, ok := newest[key]
		if ok {
			p = told[k].last
		}
		j.checkState(states[key], p)
		if s := states[key]; ok && s != nil && s.state.Sequence == p.Event.Sequence {
			j.checkOutputs(s, told[k], results)
		}
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
	for i := range c.Identifications {
		if pending := c.Identifications[i].RecordsPending; pending != nil {
			j.verdict.Pending++
			if j.e.Options.Settled {
				j.foundCase(Unfinished, c.ClientID, c.CaseID, s.where, "the records of event %d are pending", pending.Sequence)
			}
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

// toldCase is what the events told of a case.
type toldCase struct {
	last      *Published
	byIdent   map[identKey]*Published // the newest change of each identification
	completed map[int64]bool          // sequences of events whose records came later
}

func (t *toldCase) add(p *Published) {
	e := &p.Event
	t.last = p
	switch {
	case e.StatusType == schemas.StatusTypeRecordsAvailable:
		if e.Completes != nil {
			t.completed[*e.Completes] = true
		}
	case e.Identification != nil:
		t.byIdent[eventState(e).ident] = p
	}
}

// checkOutputs compares what the state says went out for each final state with
// what stands on the topics.
func (j *judgement) checkOutputs(s *storedState, told *toldCase, results *resultJudge) {
	c := &s.state
	for i := range c.Identifications {
		id := &c.Identifications[i]
		p := told.byIdent[identKey{id.Method, id.Created.UnixMilli()}]
		if p == nil || p.Event.StatusType != schemas.StatusTypeFinal || !slices.Contains(id.Outputs, schemas.OutputStatus) {
			continue
		}
		for _, detail := range j.outputMismatches(id, p, told, results) {
			j.foundCase(StateDiffers, c.ClientID, c.CaseID, s.where, "%s: %s", p.Where(), detail)
		}
	}
}

func (j *judgement) outputMismatches(id *schemas.IdentificationState, p *Published, told *toldCase, results *resultJudge) []string {
	e := &p.Event
	var out []string
	completed := told.completed[e.Sequence]
	switch pending := isPending(e) && !completed; {
	case pending != (id.RecordsPending != nil):
		out = append(out, fmt.Sprintf("its records are pending: %t, and the state says %t", pending, id.RecordsPending != nil))
	case pending && id.RecordsPending.Sequence != e.Sequence:
		out = append(out, fmt.Sprintf("the state has the records of event %d pending", id.RecordsPending.Sequence))
	}
	stored := isSettled(e) || completed
	if says := slices.Contains(id.Outputs, schemas.OutputRecords); says != stored && e.RecordsState != nil {
		out = append(out, fmt.Sprintf("its records were told: %t, and the state says %t", stored, says))
	}
	has := e.ResultDigest != nil || results.alone[stateOf(e)] != nil
	if says := slices.Contains(id.Outputs, schemas.OutputResult); says != has {
		out = append(out, fmt.Sprintf("its result was published: %t, and the state says %t", has, says))
	}
	return out
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
