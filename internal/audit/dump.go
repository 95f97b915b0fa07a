package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/right"
	"postident-bridge/schemas"
)

// topicsOf names the topics that a bridge with this prefix uses.
func topicsOf(prefix string) topics {
	return topics{
		inbox: prefix + "inbox", caseState: prefix + "case-state", status: prefix + "status.v1", deadLetter: prefix + "dead-letter",
		result: prefix + "result.v1", pollCursor: prefix + "poll-cursor",
	}
}

type topics struct{ inbox, caseState, status, deadLetter, result, pollCursor string }

// always are those that every bridge has.
func (t topics) always() []string { return []string{t.inbox, t.caseState, t.status, t.deadLetter} }

// maybe are those that some have: where results are published, where lists are
// swept.
func (t topics) maybe() []string { return []string{t.result, t.pollCursor} }

// Dump is whole topics as they stood: every record with all that the broker
// tells of it, aborted ones and the markers of transactions included.
type Dump struct {
	Topics []TopicDump
}

// TopicDump is one topic of a Dump.
type TopicDump struct {
	Name       string
	Partitions []PartitionDump
}

// PartitionDump is one partition, its records by offset.
type PartitionDump struct {
	Partition int32
	// Start is where the log begins, Stable where a read-committed reader stops
	// (a transaction is open there, or it is the end), End where the log ends.
	Start, Stable, End int64
	Records            []Record
}

// Record is one record of a Dump.
type Record struct {
	Offset        int64
	Timestamp     time.Time
	LogAppendTime bool // the timestamp is the broker's
	Key, Value    []byte
	Headers       []kgo.RecordHeader
	ProducerID    int64
	ProducerEpoch int16
	Transactional bool
	// Control is the marker at the end of a transaction; its key says which.
	Control bool
	// Visible says that a read-committed reader was shown the record.
	Visible bool
}

// TakeDump reads the topics of a bridge up to where they end when the call is
// made; those of results and of sweeps are in the dump if there are any. Whatever cannot be read in full is an error, never a shorter result.
func TakeDump(ctx context.Context, opts []kgo.Opt, prefix string) (Dump, error) {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return Dump{}, fmt.Errorf("open kafka client: %w", err)
	}
	defer client.Close()
	var d Dump
	names := topicsOf(prefix)
	for _, name := range slices.Concat(names.always(), names.maybe()) {
		t, err := dumpTopic(ctx, client, name)
		if slices.Contains(names.maybe(), name) && errors.Is(err, kerr.UnknownTopicOrPartition) {
			continue
		}
		if err != nil {
			return Dump{}, fmt.Errorf("dump topic %s: %w", name, right.Missing(err, right.OnTopic(right.Read, name)))
		}
		d.Topics = append(d.Topics, t)
	}
	return d, nil
}

// dumpTopic reads a topic twice: first as a read-committed reader, so that the
// end of every transaction that showed is in the second reading.
func dumpTopic(ctx context.Context, client *kgo.Client, name string) (TopicDump, error) {
	type place struct {
		partition int32
		offset    int64
	}
	visible := make(map[place]bool)
	committed := &topicReader{client: client, admin: kadm.NewClient(client), topic: name, level: kgo.ReadCommitted()}
	stable, err := committed.read(ctx, func(r *kgo.Record) error {
		visible[place{r.Partition, r.Offset}] = true
		return nil
	})
	if err != nil {
		return TopicDump{}, err
	}
	records := make(map[int32][]Record)
	whole := &topicReader{client: client, admin: kadm.NewClient(client), topic: name, level: kgo.ReadUncommitted(), control: true}
	ends, err := whole.read(ctx, func(r *kgo.Record) error {
		at := place{r.Partition, r.Offset}
		records[r.Partition] = append(records[r.Partition], recordOf(r, visible[at]))
		delete(visible, at)
		return nil
	})
	if err != nil {
		return TopicDump{}, err
	}
	t := TopicDump{Name: name}
	for i, b := range ends {
		if i >= len(stable) || stable[i].partition != b.partition {
			return TopicDump{}, errors.New("partitions were added while reading")
		}
		t.Partitions = append(t.Partitions, PartitionDump{
			Partition: b.partition, Start: b.start, Stable: stable[i].end, End: b.end, Records: records[b.partition],
		})
	}
	return t, nil
}

func recordOf(r *kgo.Record, visible bool) Record {
	return Record{
		Offset: r.Offset, Timestamp: r.Timestamp, LogAppendTime: r.Attrs.TimestampType() == 1,
		Key: r.Key, Value: r.Value, Headers: r.Headers,
		ProducerID: r.ProducerID, ProducerEpoch: r.ProducerEpoch,
		Transactional: r.Attrs.IsTransactional(), Control: r.Attrs.IsControl(),
		Visible: visible,
	}
}

// topic is the topic of that name, nil when the dump has none.
func (d *Dump) topic(name string) *TopicDump {
	for i := range d.Topics {
		if d.Topics[i].Name == name {
			return &d.Topics[i]
		}
	}
	return nil
}

// each visits every record.
func (t *TopicDump) each(visit func(p *PartitionDump, r *Record)) {
	for i := range t.Partitions {
		p := &t.Partitions[i]
		for j := range p.Records {
			visit(p, &p.Records[j])
		}
	}
}

func place(topic string, partition int32, offset int64) string {
	return topic + "/" + strconv.Itoa(int(partition)) + "@" + strconv.FormatInt(offset, 10)
}

// events decodes what read-committed readers of a status topic see. Values that
// are not ours are findings.
func (t *TopicDump) events(ctx context.Context, dec *schemas.StatusDecoder) (events []Published, unreadable []Finding, err error) {
	t.each(func(p *PartitionDump, r *Record) {
		if !r.Visible || err != nil {
			return
		}
		e := Published{
			Topic: t.Name, Partition: p.Partition, Offset: r.Offset, Timestamp: r.Timestamp,
			Key: r.Key, Headers: r.Headers, Value: r.Value,
		}
		var fault error
		e.Event, fault = dec.Decode(ctx, r.Value)
		if corrupt, ok := errors.AsType[*schemas.CorruptError](fault); ok {
			unreadable = append(unreadable, Finding{Kind: Unreadable, Where: e.Where(), Detail: corrupt.Error()})
			return
		}
		if fault != nil {
			err = fmt.Errorf("decode %s: %w", e.Where(), fault)
			return
		}
		events = append(events, e)
	})
	return events, unreadable, err
}

// ending is how the transaction of a record ended.
type ending int

const (
	endNone ending = iota // no transaction
	endOpen               // no marker follows
	endCommit
	endAbort
)

// endings says of each record how its transaction ended, by the markers behind
// it: what the log itself says, whatever a broker shows.
func (p *PartitionDump) endings() []ending {
	out := make([]ending, len(p.Records))
	open := make(map[int64][]int) // by producer id
	for i := range p.Records {
		r := &p.Records[i]
		switch {
		case r.Control:
			end, ok := markerOf(r.Key)
			if !ok {
				continue // a control record of another kind
			}
			for _, at := range open[r.ProducerID] {
				out[at] = end
			}
			delete(open, r.ProducerID)
		case r.Transactional:
			out[i] = endOpen
			open[r.ProducerID] = append(open[r.ProducerID], i)
		}
	}
	return out
}

// markerOf reads the key of a control record: its version and its type, 0 for
// an abort and 1 for a commit.
func markerOf(key []byte) (ending, bool) {
	if len(key) < 4 {
		return endNone, false
	}
	switch binary.BigEndian.Uint16(key[2:]) {
	case 0:
		return endAbort, true
	case 1:
		return endCommit, true
	default:
		return endNone, false
	}
}
