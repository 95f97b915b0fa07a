package audit

import (
	"fmt"

	"postident-bridge/schemas"
)

// checkLog judges a topic by what its log says of transactions: who wrote, in
// which producer epoch, and how it ended. It needs no truth.
func (j *judgement) checkLog(t *TopicDump) {
	for i := range t.Partitions {
		p := &t.Partitions[i]
		endings := p.endings()
		epochs := make(map[int64]int16)
		for at := range p.Records {
			r := &p.Records[at]
			where := place(t.Name, p.Partition, r.Offset)
			if epoch, known := epochs[r.ProducerID]; known && r.Transactional && r.ProducerEpoch < epoch {
				j.found(Unfenced, where, "written in epoch %d of producer %d, whose epoch %d had begun", r.ProducerEpoch, r.ProducerID, epoch)
			} else if r.Transactional {
				epochs[r.ProducerID] = r.ProducerEpoch
			}
			if r.Control {
				continue
			}
			if !r.Transactional {
				j.found(Unfenced, where, "written outside of a transaction")
			}
			j.checkEnding(t, p, r, endings[at])
		}
	}
}

// checkEnding compares how a record's transaction ended with whether the record
// shows.
func (j *judgement) checkEnding(t *TopicDump, p *PartitionDump, r *Record, end ending) {
	where := place(t.Name, p.Partition, r.Offset)
	switch {
	case end == endAbort && r.Visible:
		j.found(Aborted, where, "it shows read-committed, and its transaction was aborted")
	case end == endOpen && r.Visible && t.Name != j.topics.caseState:
		// Compaction removes the markers of what it has kept.
		j.found(Aborted, where, "it shows read-committed, and its transaction has no end")
	case end == endCommit && !r.Visible && r.Offset < p.Stable:
		j.found(Aborted, where, "it does not show read-committed, and its transaction was committed")
	case end == endOpen && !r.Visible:
		j.open++
		if j.e.Options.Settled {
			j.found(Unfinished, where, "its transaction is open")
		}
	}
}

// checkOpenings looks for writes of an owner whose successor had begun: between
// two barriers, every position is of the opening that wrote the first. Fencing
// by the epoch must see to it. And no owner moves the position back.
func (j *judgement) checkOpenings(t *TopicDump) {
	for i := range t.Partitions {
		p := &t.Partitions[i]
		o := openings{judgement: j}
		for at := range p.Records {
			r := &p.Records[at]
			switch where := place(t.Name, p.Partition, r.Offset); {
			case !r.Visible:
			case string(r.Key) == schemas.BarrierKey:
				o.barrier(where, r.Value)
			case string(r.Key) == schemas.PositionKey:
				o.position(where, r.Value)
			}
		}
		j.checkPosition(p.Partition, o.last)
	}
}

// openings follows who owns a partition.
type openings struct {
	*judgement
	current string            // the opening of the newest barrier
	last    *schemas.Position // the newest
}

func (o *openings) barrier(where string, value []byte) {
	barrier, err := schemas.DecodeBarrier(value)
	if err != nil {
		o.found(Unreadable, where, "barrier: %v", err)
		return
	}
	o.current = barrier.OpeningID
}

func (o *openings) position(where string, value []byte) {
	position, err := schemas.DecodePosition(value)
	if err != nil {
		o.found(Unreadable, where, "position: %v", err)
		return
	}
	if o.current != "" && position.OpeningID != o.current {
		o.found(Unfenced, where, "position of an owner whose successor had begun")
	}
	if last := o.last; last != nil && last.InboxTopicID == position.InboxTopicID && position.Offset < last.Offset {
		o.found(StateDiffers, where, "the position went back from %d to %d", last.Offset, position.Offset)
	}
	o.last = &position
}

// checkPosition counts what of the inbox partition is not done.
func (j *judgement) checkPosition(partition int32, last *schemas.Position) {
	inbox := j.dump.topic(j.topics.inbox)
	for i := range inbox.Partitions {
		p := &inbox.Partitions[i]
		if p.Partition != partition {
			continue
		}
		from := p.Start
		if last != nil {
			from = max(from, last.Offset)
		}
		waiting := 0
		for at := range p.Records {
			if p.Records[at].Offset >= from && !p.Records[at].Control {
				waiting++
			}
		}
		if waiting == 0 {
			return
		}
		j.waiting += waiting
		if j.e.Options.Settled {
			j.found(Unfinished, place(inbox.Name, partition, from), "%d triggers from here on are not done", waiting)
		}
	}
}

func (j *judgement) found(kind Kind, where, format string, args ...any) {
	j.verdict.Findings = append(j.verdict.Findings, Finding{Kind: kind, Where: where, Detail: fmt.Sprintf(format, args...)})
}

// foundCase is found for what is about a case.
func (j *judgement) foundCase(kind Kind, clientID, caseID, where, format string, args ...any) {
	j.verdict.Findings = append(j.verdict.Findings, Finding{
		Kind: kind, ClientID: clientID, CaseID: caseID, Where: where, Detail: fmt.Sprintf(format, args...),
	})
}
