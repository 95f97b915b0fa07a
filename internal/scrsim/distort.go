package scrsim

import (
	"math/rand/v2"
	"time"
)

// distortion is what faults make of the results and records in one answer.
type distortion struct {
	forbidden bool
	badBase64 bool
	salt      uint64        // 0 leaves the content of records as it is
	slowBy    time.Duration // 0 is at full speed
}

// drawDistortion draws those of one answer. What is switched off draws nothing, so
// that the other faults of a seed are the same with and without it.
func (s *Simulator) drawDistortion(f FaultSet) distortion {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := distortion{forbidden: hits(s.rng, f.Forbidden), badBase64: hits(s.rng, f.BadBase64)}
	if hits(s.rng, f.ChangedRecords) {
		d.salt = s.rng.Uint64() | 1
	}
	if hits(s.rng, f.SlowRecords) {
		d.slowBy = time.Duration(f.SlowRecordsBy)
	}
	return d
}

func hits(rng *rand.Rand, probability float64) bool {
	return probability > 0 && rng.Float64() < probability
}

// pdfState is how much of the result PDF an answer gives.
type pdfState int

const (
	pdfThere  pdfState = iota
	pdfAbsent          // nothing
	pdfEmpty           // no documentData
)

// delayPDF lets the fault befall a case whose identification has become final. s.mu
// is held.
func (s *Simulator) delayPDF(c *simCase, f FaultSet) {
	if hits(s.rng, f.PDFLate) {
		c.pdfReads, c.pdfUntil = f.PDFLateReads, time.Now().Add(time.Duration(f.PDFLateFor))
	}
}

// latePDF is how much of the result PDF a read that asks for it gets at the real
// time now, and uses up one such read. s.mu is held.
func (c *simCase) latePDF(now time.Time) pdfState {
	if c.pdfReads <= 0 && !now.Before(c.pdfUntil) {
		return pdfThere
	}
	c.pdfReads = max(0, c.pdfReads-1)
	if c.serial%2 == 0 {
		return pdfEmpty
	}
	return pdfAbsent
}
