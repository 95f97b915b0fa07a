package ingest

import (
	"hash/maphash"
	"time"

	"postident-bridge/schemas"
)

// digests remember what a sweep last showed of a case and wrote to the inbox, so
// that a case that has not changed is written once and not every few minutes.
// They are in memory only: after a restart everything goes out once more, which
// is harmless.
type digests struct {
	seed  maphash.Seed
	known map[string]digest // by caseId
}

type digest struct {
	sum    uint64
	seenAt time.Time
}

func newDigests() *digests {
	return &digests{seed: maphash.MakeSeed(), known: make(map[string]digest)}
}

// sum is the digest of an observation, whenever it was made: everything in it
// counts, each modified above all.
func (d *digests) sum(caseID string, o schemas.Observation) (uint64, error) {
	o.ObservedAt = time.Unix(0, 0)
	value, err := schemas.EncodeTrigger(schemas.Trigger{
		CaseID: caseID, Source: schemas.SourceSweep, ReceivedAt: time.Unix(0, 0), Observation: &o,
	})
	return maphash.Bytes(d.seed, value), err
}

// same says whether the case was shown like that before, and notes that it is
// there still.
func (d *digests) same(caseID string, sum uint64, now time.Time) bool {
	known, ok := d.known[caseID]
	if !ok || known.sum != sum {
		return false
	}
	d.known[caseID] = digest{sum, now}
	return true
}

// note remembers what was acknowledged by the inbox.
func (d *digests) note(caseID string, sum uint64, now time.Time) { d.known[caseID] = digest{sum, now} }

// forget drops the cases that no answer has shown since: they were closed, or
// deleted at the source.
func (d *digests) forget(before time.Time) {
	for caseID, known := range d.known {
		if known.seenAt.Before(before) {
			delete(d.known, caseID)
		}
	}
}
