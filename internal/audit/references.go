package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/claim"
	"postident-bridge/schemas"
)

// RecordEvent is an event of a public topic, as far as it concerns the binary
// records of its case (P6).
type RecordEvent struct {
	Topic     string
	Partition int32
	Offset    int64

	ClientID, CaseID string

	created int64 // of the case, Unix ms
	// First says that it is the first event of its case (sequence 1): a topic that
	// holds it holds all status events of the case, for a topic loses its oldest
	// records first. False for a result.
	First bool
	// Unrecorded says that it is a final status event that says nothing of records,
	// because the bridge kept none then: a result that went out later may name them
	// alone.
	Unrecorded bool
	// References are those that the event has, malformed ones included; see
	// claim.Reference.Validate.
	References []claim.Reference
}

// Where names the record as topic/partition@offset.
func (e *RecordEvent) Where() string {
	return place(e.Topic, e.Partition, e.Offset)
}

// Owns reports whether an object is, by its name, of the event's case. One that
// has no name of ours is not.
func (e *RecordEvent) Owns(location string) bool {
	key, ok := claim.ParseName(ObjectName(location))
	return ok && caseOfObject(key) == e.caseKey()
}

func (e *RecordEvent) caseKey() caseKey { return caseKey{e.ClientID, e.CaseID, e.created} }

func caseOfObject(k claim.Key) caseKey {
	return caseKey{k.ClientID, k.CaseID, k.CaseCreated.UnixMilli()}
}

// RecordSources are the topics that can name objects, and how to read them.
type RecordSources struct {
	// Status and Result are read one after the other. A topic of results that is not
	// there is none that was forgotten: not every bridge has one.
	Status, Result Scan
	StatusDecoder  *schemas.StatusDecoder
	ResultDecoder  *schemas.ResultDecoder
}

// RecordReading is what ReadRecordEvents has to say beside the events.
type RecordReading struct {
	Events int64
	Hidden []Hidden
	// Unreadable are the places of values that are no events of ours; they may name
	// objects, or not. At most unreadableShown of them; UnreadableCount counts all.
	Unreadable      []string
	UnreadableCount int64
	// ResultsFromStart says that the topic of results is there and has lost none of
	// its records to retention.
	ResultsFromStart bool
}

// unreadableShown bounds what is kept of values that nobody can read.
const unreadableShown = 20

// ReadRecordEvents reads the topics, read-committed, from their starts to where
// they end when each is begun, and visits every event, those without records too.
// Nothing is kept of them.
//
// An error means that not all was read, but for what RecordReading tells.
func ReadRecordEvents(ctx context.Context, s RecordSources, visit func(*RecordEvent) error) (RecordReading, error) {
	var out RecordReading
	if _, err := out.read(ctx, &s.Status, visit, func(r *kgo.Record, e *RecordEvent) error {
		v, err := s.StatusDecoder.Decode(ctx, r.Value)
		if err == nil {
			e.ofStatus(&v)
		}
		return err
	}); err != nil {
		return out, err
	}
	all, err := out.read(ctx, &s.Result, visit, func(r *kgo.Record, e *RecordEvent) error {
		v, err := s.ResultDecoder.Decode(ctx, r.Value)
		if err == nil {
			e.ofResult(&v)
		}
		return err
	})
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return out, nil
	}
	out.ResultsFromStart = err == nil && !slices.ContainsFunc(all, func(b bounds) bool { return b.start > 0 })
	return out, err
}

// read reads one topic.
func (out *RecordReading) read(ctx context.Context, s *Scan, visit func(*RecordEvent) error, decode func(*kgo.Record, *RecordEvent) error) ([]bounds, error) {
	all, hidden, err := s.read(ctx, nil, func(r *kgo.Record) error {
		e := RecordEvent{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
		err := decode(r, &e)
		if corrupt := (*schemas.CorruptError)(nil); errors.As(err, &corrupt) {
			out.UnreadableCount++
			if len(out.Unreadable) < unreadableShown {
				out.Unreadable = append(out.Unreadable, e.Where())
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("decode %s: %w", e.Where(), err)
		}
		out.Events++
		return visit(&e)
	})
	out.Hidden = append(out.Hidden, hidden...)
	return all, err
}

func (e *RecordEvent) ofStatus(v *schemas.StatusChanged) {
	e.ClientID, e.CaseID, e.created = v.ClientID, v.CaseID, v.CaseStatus.Created.UnixMilli()
	e.First = v.Sequence == 1
	e.Unrecorded = v.StatusType == schemas.StatusTypeFinal && v.RecordsState == nil
	for i := range v.Records {
		e.refer(&v.Records[i])
	}
}

func (e *RecordEvent) ofResult(v *schemas.IdentificationResult) {
	e.ClientID, e.CaseID, e.created = v.ClientID, v.CaseID, v.CaseStatus.Created.UnixMilli()
	for i := range v.Records {
		e.refer(&v.Records[i].Metadata)
	}
}

// refer adds what a record's metadata say of its object. Metadata that say only
// half of it give a malformed reference, which somebody should see.
func (e *RecordEvent) refer(m *schemas.RecordMetadata) {
	if m.Reference == nil && m.SHA256 == nil && m.Size == nil && m.MediaType == nil {
		return
	}
	r := claim.Reference{Size: -1}
	if m.Reference != nil {
		r.Location = *m.Reference
	}
	if m.SHA256 != nil {
		r.SHA256 = hex.EncodeToString(*m.SHA256)
	}
	if m.Size != nil {
		r.Size = *m.Size
	}
	if m.MediaType != nil {
		r.MediaType = *m.MediaType
	}
	e.References = append(e.References, r)
}

// ObjectName is the part of a location that names the object: its last four parts,
// whatever store and prefix stand before. One store can have several locations, as
// a disk that is mounted here and there, so who asks whether an event names an
// object asks by this. It is "" if the location has no such name.
func ObjectName(location string) string {
	at := len(location)
	for range 4 {
		if at = strings.LastIndexByte(location[:max(at, 0)], '/'); at < 0 {
			return ""
		}
	}
	name := location[at+1:]
	if _, ok := claim.ParseName(name); !ok {
		return ""
	}
	return name
}

// References remembers which references were there, in some 40 bytes each: the
// first half of a SHA-256 of the object's name, and a short sum of the rest. Two
// names of 128 equal bits do not happen, not even on purpose. Its zero value is
// empty. It is for one goroutine.
type References struct {
	seen map[[16]byte]uint64
}

// Add remembers a reference, and says whether it is new: whether the one before,
// of the object's name, was not the same in all its parts.
func (s *References) Add(r claim.Reference) bool {
	if s.seen == nil {
		s.seen = make(map[[16]byte]uint64)
	}
	key := keyOfObject(nameOrLocation(r.Location))
	whole := sha256.Sum256([]byte(r.String()))
	sum := binary.BigEndian.Uint64(whole[:])
	if have, ok := s.seen[key]; ok && have == sum {
		return false
	}
	s.seen[key] = sum
	return true
}

// Names reports whether a reference to an object of that name was added, in
// whatever store.
func (s *References) Names(name string) bool {
	_, ok := s.seen[keyOfObject(name)]
	return ok
}

// Len is the number of objects that are named.
func (s *References) Len() int { return len(s.seen) }

// nameOrLocation is what references are told apart by: the object's name, or the whole
// location if it has none.
func nameOrLocation(location string) string {
	if name := ObjectName(location); name != "" {
		return name
	}
	return location
}

func keyOfObject(name string) [16]byte {
	sum := sha256.Sum256([]byte(name))
	return [16]byte(sum[:16])
}

// Candidates are objects that no event named when they were listed, and that an
// event may name all the same: it may have been committed since, or have expired.
// One more reading of the topics, begun after the listing, tells (Visit). It is for
// one goroutine.
type Candidates struct {
	objects map[string]claim.Listed // by name; not there once an event names it
	cases   map[caseKey]caseProof   // of the objects' cases
}

// Orphan is an object that no event names.
type Orphan struct {
	claim.Listed

	// Proven says that no event ever named the object. Without it one may have, and
	// have expired: the topics do not hold its case's first event, or have lost results
	// and the case is one whose records a result alone may have named.
	Proven bool
}

// caseProof is what the topics hold of a case.
type caseProof struct{ first, unrecorded bool }

// Add adds an object of the bridge's own.
func (c *Candidates) Add(l claim.Listed) {
	if c.objects == nil {
		c.objects, c.cases = make(map[string]claim.Listed), make(map[caseKey]caseProof)
	}
	c.objects[l.Name] = l
	c.cases[caseOfObject(l.Key)] = caseProof{}
}

// Len is the number of objects that no event is known to name.
func (c *Candidates) Len() int { return len(c.objects) }

// Visit takes an event into account.
func (c *Candidates) Visit(e *RecordEvent) {
	for _, r := range e.References {
		delete(c.objects, ObjectName(r.Location))
	}
	proof, ours := c.cases[e.caseKey()]
	if !ours {
		return
	}
	proof.first, proof.unrecorded = proof.first || e.First, proof.unrecorded || e.Unrecorded
	c.cases[e.caseKey()] = proof
}

// Orphans are the objects that no event names, by name, after all of the topics
// was visited; resultsFromStart is RecordReading's. What a killed upload left is
// always proven: no event ever names it.
func (c *Candidates) Orphans(resultsFromStart bool) []Orphan {
	out := make([]Orphan, 0, len(c.objects))
	for _, l := range c.objects {
		proof := c.cases[caseOfObject(l.Key)]
		out = append(out, Orphan{Listed: l, Proven: l.Leftover || proof.first && (resultsFromStart || !proof.unrecorded)})
	}
	slices.SortFunc(out, func(a, b Orphan) int { return strings.Compare(a.Name, b.Name) })
	return out
}
