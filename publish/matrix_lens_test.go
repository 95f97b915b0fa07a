package publish

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/schemas"
)

// lens tells the steps of a publisher by what its requests say. It sees every
// request of a process, in order, from one goroutine at a time.
type lens struct {
	topics Topics
	names  map[[16]byte]string
	// barrier holds, by transactional id, whether its last produce was a barrier's.
	barrier    map[string]bool
	heartbeats int
	// positions holds, by transactional id, the position produced last; moved says
	// whether the transaction of the request looked at last moves it.
	positions map[string]int64
	moves     map[string]bool
	moved     bool
	// completes and completed are the same for an event that brings late records.
	completes map[string]bool
	completed bool
}

func newLens(topics Topics, names map[[16]byte]string) *lens {
	return &lens{
		topics: topics, names: names, barrier: make(map[string]bool), positions: make(map[string]int64),
		moves: make(map[string]bool), completes: make(map[string]bool),
	}
}

// look gives the name of the request's step, "" for none of ours.
func (l *lens) look(req kmsg.Request) string {
	switch req := req.(type) {
	case *kmsg.FindCoordinatorRequest:
		return "coordinator"
	case *kmsg.JoinGroupRequest:
		return "join"
	case *kmsg.SyncGroupRequest:
		return "assignment"
	case *kmsg.HeartbeatRequest:
		// Each owner asks once as it begins; kgo's own begin a second later.
		if l.heartbeats++; l.heartbeats > matrixPartitions {
			return "heartbeat"
		}
		return "membership"
	case *kmsg.LeaveGroupRequest:
		if len(req.Members) > 0 && req.Members[0].InstanceID != nil {
			return "leave as instance"
		}
		return "leave"
	case *kmsg.OffsetCommitRequest:
		return "note"
	case *kmsg.ListOffsetsRequest:
		return "list offsets"
	case *kmsg.MetadataRequest:
		if len(req.Topics) == 2 {
			return "inspect"
		}
	case *kmsg.InitProducerIDRequest:
		if req.TransactionalID != nil {
			return "open"
		}
	case *kmsg.AddPartitionsToTxnRequest:
		return "begin"
	case *kmsg.ProduceRequest:
		return l.lookProduce(req)
	case *kmsg.EndTxnRequest:
		if l.barrier[req.TransactionalID] {
			return "barrier end"
		}
		l.moved, l.completed = l.moves[req.TransactionalID], l.completes[req.TransactionalID]
		return "end"
	case *kmsg.FetchRequest:
		return l.lookFetch(req)
	}
	return ""
}

func (l *lens) lookProduce(req *kmsg.ProduceRequest) string {
	if req.TransactionID == nil {
		return "send on"
	}
	id, barrier := *req.TransactionID, false
	l.moved, l.completed = false, false
	for _, rec := range producedRecords(req) {
		barrier = barrier || string(rec.Key) == schemas.BarrierKey
		l.completed = l.completed || slices.ContainsFunc(rec.Headers, func(h kmsg.Header) bool {
			return h.Key == "status-type" && string(h.Value) == schemas.StatusTypeRecordsAvailable.HeaderText()
		})
		if position, err := schemas.DecodePosition(rec.Value); err == nil && string(rec.Key) == schemas.PositionKey {
			l.moved = position.Offset != l.positions[id]
			l.positions[id], l.moves[id] = position.Offset, l.moved
		}
	}
	l.barrier[id], l.completes[id] = barrier, l.completed
	if barrier {
		return "barrier"
	}
	return "produce"
}

func (l *lens) lookFetch(req *kmsg.FetchRequest) string {
	for i := range req.Topics {
		name := req.Topics[i].Topic
		if name == "" {
			name = l.names[req.Topics[i].TopicID]
		}
		switch {
		case name == l.topics.CaseState && req.MaxBytes == lookupBytes:
			return "look up"
		case name == l.topics.CaseState:
			return "restore"
		case name == l.topics.Inbox:
			return "fetch"
		}
	}
	return ""
}

// producedRecords are all records of a produce.
func producedRecords(req *kmsg.ProduceRequest) []kmsg.Record {
	var all []kmsg.Record
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			var batch kmsg.RecordBatch
			if batch.ReadFrom(req.Topics[i].Partitions[j].Records) != nil {
				continue
			}
			records := batch.Records
			if codec := kgo.CompressionCodecType(batch.Attributes & 7); codec != kgo.CodecNone {
				var err error
				if records, err = kgo.DefaultDecompressor().Decompress(records, codec); err != nil {
					continue
				}
			}
			for range batch.NumRecords {
				length, n := varint(records)
				if n <= 0 || n+length > len(records) {
					break
				}
				var rec kmsg.Record
				if rec.ReadFrom(records[:n+length]) != nil {
					break
				}
				all = append(all, rec)
				records = records[n+length:]
			}
		}
	}
	return all
}

// varint reads a zigzag varint and says how many bytes it has.
func varint(b []byte) (value, n int) {
	var u uint64
	for i := 0; i < len(b) && i < 10; i++ {
		u |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return int(u>>1) ^ -int(u&1), i + 1
		}
	}
	return 0, 0
}
