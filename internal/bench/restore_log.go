package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/schemas"
)

// stateLog is what a restore reads: the states that a year of work left in
// case-state.
type stateLog struct {
	cases, partitions int
	dir               string // of the broker's logs
	topic             string
}

const (
	versions       = 3 // states that each case had
	mostCases      = 5 // in a transaction
	segmentBytes   = 16 << 20
	firstProducer  = 1 << 40 // a broker never gives one so high
	restoreClient  = "BENCH02"
	caseIDAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	shuffled       = 4096 // cases whose next states come in any order
)

// write writes all partitions, and gives the size of all.
func (l stateLog) write(ctx context.Context) (size int64, err error) {
	// What a worker's client uses.
	compressor, err := kgo.DefaultCompressor(kgo.SnappyCompression(), kgo.NoCompression())
	if err != nil {
		return 0, fmt.Errorf("make compressor: %w", err)
	}
	ids := l.caseIDs()
	var wg sync.WaitGroup
	sizes, errs := make([]int64, l.partitions), make([]error, l.partitions)
	turn := make(chan struct{}, 2)
	for p := range l.partitions {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			if ctx.Err() != nil {
				errs[p] = context.Cause(ctx)
				return
			}
			s, err := newSegments(filepath.Join(l.dir, fmt.Sprintf("%s-%d", l.topic, p)), segmentBytes, firstProducer+int64(p)<<20, compressor)
			if err != nil {
				errs[p] = err
				return
			}
			errs[p] = errors.Join(l.writePartition(s, ids[p], p), s.close())
			sizes[p] = s.total
		})
	}
	wg.Wait()
	for _, n := range sizes {
		size += n
	}
	return size, errors.Join(errs...)
}

// caseIDs draws the cases and puts them where their triggers would stand.
func (l stateLog) caseIDs() [][]string {
	partition := kgo.StickyKeyPartitioner(nil).ForTopic("")
	rng := rand.New(rand.NewPCG(1, uint64(l.cases))) //nolint:gosec // the same log each time
	ids := make([][]string, l.partitions)
	var rec kgo.Record
	for range l.cases {
		rec.Key = make([]byte, 12)
		for i := range rec.Key {
			rec.Key[i] = caseIDAlphabet[rng.IntN(len(caseIDAlphabet))]
		}
		p := partition.Partition(&rec, l.partitions)
		ids[p] = append(ids[p], string(rec.Key))
	}
	return ids
}

// writePartition lets all cases of a partition begin one after the other, and
// go on while others begin: a quarter of them are under way at any time.
func (l stateLog) writePartition(s *segments, ids []string, partition int) error {
	rng := rand.New(rand.NewPCG(2, uint64(partition))) //nolint:gosec // the same log each time
	order := rng.Perm(shuffled)
	pause := max(len(ids)/8, 2*mostCases)
	began := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
	w := stateWriter{log: s, rng: rng, partitions: l.partitions, at: began, step: 47 * time.Hour / time.Duration(versions*len(ids)+1)}
	for turn := range len(ids) + (versions-1)*pause {
		for version := range versions {
			i := turn - version*pause
			if i < 0 || i >= len(ids) {
				continue
			}
			if version > 0 && i|(shuffled-1) < len(ids) {
				i = i&^(shuffled-1) | order[(i+version)&(shuffled-1)]
			}
			if err := w.add(caseState(ids[i], version, w.at)); err != nil {
				return err
			}
		}
	}
	return w.commit()
}

// stateWriter puts states into transactions of 1 to 5 cases.
type stateWriter struct {
	log        *segments
	rng        *rand.Rand
	partitions int
	at         time.Time
	step       time.Duration
	batch      []kmsg.Record
	want       int
	position   int64
}

func (w *stateWriter) add(state schemas.CaseState) error {
	value, err := schemas.EncodeCaseState(state)
	if err != nil {
		return fmt.Errorf("encode case state: %w", err)
	}
	if w.want == 0 {
		w.want = 1 + w.rng.IntN(mostCases)
	}
	w.at = w.at.Add(w.step)
	w.position++
	w.batch = append(w.batch, kmsg.Record{Key: []byte(state.ClientID + "/" + state.CaseID), Value: value})
	if len(w.batch) < w.want {
		return nil
	}
	return w.commit()
}

// commit ends a transaction as a worker does, with the position.
func (w *stateWriter) commit() error {
	if len(w.batch) == 0 {
		return nil
	}
	value, err := schemas.EncodePosition(schemas.Position{
		InboxTopicID: "00000000-0000-4000-8000-000000000000", Partitions: w.partitions, Offset: w.position,
		OpeningID: "11111111-1111-4111-8111-111111111111", UpdatedAt: w.at,
	})
	if err != nil {
		return fmt.Errorf("encode position: %w", err)
	}
	w.batch = append(w.batch, kmsg.Record{Key: []byte(schemas.PositionKey), Value: value})
	err = w.log.commit(w.at, w.batch)
	w.batch, w.want = w.batch[:0], 0
	return err
}

// caseState is what a worker writes of a case at one of its changes: it begins,
// goes to review, ends. One in five switched its method in between.
func caseState(caseID string, version int, now time.Time) schemas.CaseState {
	rng := rand.New(rand.NewPCG(3, binary.BigEndian.Uint64([]byte(caseID)))) //nolint:gosec // the same case each time
	second := func(n int) time.Time {
		return now.Truncate(time.Second).Add(time.Duration(n) * time.Second)
	}
	created := second(-600 * version)
	started := created.Add(time.Duration(20+rng.IntN(100)) * time.Second)
	method := []string{"autoid", "video", "basic", "eid"}[rng.IntN(4)]
	reference := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", rng.Uint32(), rng.Uint32()>>16, rng.Uint32()>>20, rng.Uint32()>>20, rng.Uint64()>>16)
	s := schemas.CaseState{
		ClientID: restoreClient, CaseID: caseID, Created: &created, ReferenceID: &reference, Sequence: int64(version),
		CaseStatus: "in progress", CaseModified: new(second(-2)), ValidUntil: new(created.Add(90 * 24 * time.Hour)),
		LastReadAt: new(now.Add(-80 * time.Millisecond)), UpdatedAt: now,
	}
	if rng.IntN(5) == 0 {
		s.Identifications = append(s.Identifications, schemas.IdentificationState{
			Method: "photo", Created: created, Modified: started, Status: "cancelled", SubStatus: new(94),
			Outputs: []schemas.Output{schemas.OutputStatus},
		})
	}
	id := schemas.IdentificationState{Method: method, Created: started, Modified: second(-2), Status: "started", Outputs: []schemas.Output{}}
	if version > 0 {
		hash := make([]byte, 32)
		for i := 0; i < len(hash); i += 8 {
			binary.LittleEndian.PutUint64(hash[i:], rng.Uint64()+uint64(version))
		}
		s.LastEventHash = &hash
		id.Status, id.Outputs = "review pending", []schemas.Output{schemas.OutputStatus}
		id.SubStatus = new(30)
	}
	if version > 1 {
		s.CaseStatus, id.Status, id.WasFinal = "closed", "success", true
		id.SubStatus, id.SubStatusReason, id.IdentificationTime = new(1), new(100), new(second(-30))
	}
	s.Identifications = append(s.Identifications, id)
	return s
}
