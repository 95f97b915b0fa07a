package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// segments writes the log of a partition as a broker does, for a broker that is
// stopped: it builds its indexes anew at the start. A million transactions take
// a broker half an hour, because a coordinator ends some hundred a second.
type segments struct {
	dir        string
	limit      int // segment.bytes
	compressor kgo.Compressor

	file  *os.File
	out   *bufio.Writer
	size  int   // of the present segment
	total int64 // of all
	next  int64 // offset
	// As under KIP-890, every transaction has an epoch of its own, and an id
	// is left when its epochs are used up.
	id    int64
	epoch int16

	records, batch []byte // used again
	compressed     bytes.Buffer
}

// lastEpoch is the last one that a producer id is used with.
const lastEpoch = 32766

// Attributes of a batch.
const (
	transactional = 0x10
	control       = 0x20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newSegments replaces the log of a partition that nothing was written to.
func newSegments(dir string, limit int, firstProducerID int64, compressor kgo.Compressor) (*segments, error) {
	old, err := filepath.Glob(filepath.Join(dir, "0*"))
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	if len(old) == 0 {
		return nil, fmt.Errorf("no log in %s", dir)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove segment: %w", err)
		}
	}
	return &segments{dir: dir, limit: limit, id: firstProducerID, compressor: compressor}, nil
}

// commit appends a committed transaction of one batch.
func (s *segments) commit(at time.Time, records []kmsg.Record) error {
	s.records = s.records[:0]
	for i := range records {
		r := &records[i]
		r.OffsetDelta = int32(i)
		s.records = appendRecord(s.records, r)
	}
	attributes, body := int16(transactional), s.records
	if s.compressor != nil {
		s.compressed.Reset()
		if small, codec := s.compressor.Compress(&s.compressed, body); len(small) < len(body) {
			attributes, body = attributes|int16(codec), small
		}
	}
	if err := s.append(at, attributes, 0, len(records), body); err != nil {
		return err
	}
	s.epoch++                                                                       // the marker's epoch is the next transaction's
	marker := kmsg.Record{Key: []byte{0, 0, 0, 1}, Value: []byte{0, 0, 0, 0, 0, 0}} // versions 0; commit, by coordinator epoch 0
	s.records = appendRecord(s.records[:0], &marker)
	if err := s.append(at, transactional|control, -1, 1, s.records); err != nil {
		return err
	}
	if s.epoch >= lastEpoch {
		s.id, s.epoch = s.id+1, 0
	}
	return nil
}

// appendRecord sets the record's length as well.
func appendRecord(b []byte, r *kmsg.Record) []byte {
	before := len(b)
	r.Length = 0
	b = r.AppendTo(b)
	r.Length = int32(len(b) - before - 1) //nolint:gosec // without the one byte of the length 0
	return r.AppendTo(b[:before])
}

func (s *segments) append(at time.Time, attributes int16, sequence int32, records int, body []byte) error {
	batch := kmsg.RecordBatch{
		FirstOffset: s.next, Length: int32(49 + len(body)), Magic: 2, Attributes: attributes, //nolint:gosec // small
		LastOffsetDelta: int32(records - 1), FirstTimestamp: at.UnixMilli(), MaxTimestamp: at.UnixMilli(), //nolint:gosec // small
		ProducerID: s.id, ProducerEpoch: s.epoch, FirstSequence: sequence, NumRecords: int32(records), Records: body, //nolint:gosec // small
	}
	s.batch = batch.AppendTo(s.batch[:0])
	binary.BigEndian.PutUint32(s.batch[17:], crc32.Checksum(s.batch[21:], castagnoli))
	if s.file == nil || s.size+len(s.batch) > s.limit {
		if err := s.roll(); err != nil {
			return err
		}
	}
	if _, err := s.out.Write(s.batch); err != nil {
		return fmt.Errorf("write segment: %w", err)
	}
	s.size += len(s.batch)
	s.total += int64(len(s.batch))
	s.next += int64(records)
	return nil
}

func (s *segments) roll() error {
	if err := s.close(); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprintf("%020d.log", s.next)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create segment: %w", err)
	}
	s.file, s.out, s.size = file, bufio.NewWriterSize(file, 1<<20), 0
	return nil
}

func (s *segments) close() error {
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.out.Flush(), s.file.Close())
	s.file = nil
	if err != nil {
		return fmt.Errorf("close segment: %w", err)
	}
	return nil
}
