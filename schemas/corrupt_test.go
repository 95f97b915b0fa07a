package schemas

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// decoders reads any record's bytes and keeps the error only.
func decoders() map[string]func([]byte) error {
	status, result := NewStatusDecoder(lookupToday), NewResultDecoder(lookupTodaysResult)
	return map[string]func([]byte) error{
		recordTrigger:    func(b []byte) error { _, err := DecodeTrigger(b); return err },
		recordCaseState:  func(b []byte) error { _, err := DecodeCaseState(b); return err },
		recordPollCursor: func(b []byte) error { _, err := DecodePollCursor(b); return err },
		recordPosition:   func(b []byte) error { _, err := DecodePosition(b); return err },
		recordBarrier:    func(b []byte) error { _, err := DecodeBarrier(b); return err },
		recordStatusChanged: func(b []byte) error {
			_, err := status.Decode(context.Background(), b)
			return err
		},
		recordIdentificationResult: func(b []byte) error {
			_, err := result.Decode(context.Background(), b)
			return err
		},
	}
}

func wantCorrupt(t *testing.T, err error, record string, reason CorruptReason) {
	t.Helper()
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) {
		t.Errorf("%s: %v, want a CorruptError", record, err)
		return
	}
	if corrupt.Record != record || corrupt.Reason != reason {
		t.Errorf("%s: %s, %s; want %s: %v", record, corrupt.Record, corrupt.Reason, reason, err)
	}
}

// Design 8: bytes that are not ours, in every record and every way.
func TestBytesThatAreNotOurs(t *testing.T) {
	t.Parallel()
	decode := decoders()
	for _, r := range records() {
		good, err := r.samples["full"].encode()
		if err != nil {
			t.Fatal(err)
		}
		foreign := slices.Clone(good)
		foreign[5] ^= 0xFF
		tests := []struct {
			name   string
			bytes  []byte
			reason CorruptReason
		}{
			{"nothing (a tombstone)", nil, CorruptHeader},
			{"one byte", []byte{0xC3}, CorruptHeader},
			{"text", []byte("hello, this is no Avro"), CorruptHeader},
			{"JSON", []byte(`{"caseId":"7F3KQ2ZP"}`), CorruptHeader},
			{"cut in the header", good[:9], CorruptHeader},
			{"another version of the marker", append([]byte{0xC3, 0x02}, good[2:]...), CorruptHeader},
			{"a schema that is not ours", foreign, CorruptUnknownSchema},
			{"header alone", good[:10], CorruptBody},
			{"one byte left over", append(slices.Clone(good), 0), CorruptTrailing},
			{"two values", append(slices.Clone(good), good...), CorruptTrailing},
			{"too large", append(slices.Clone(good), make([]byte, MaxBytes)...), CorruptTooLarge},
		}
		for _, tt := range tests {
			t.Run(r.name+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				wantCorrupt(t, decode[r.name](tt.bytes), r.name, tt.reason)
			})
		}
	}
}

func TestBytesOfAnotherRecordAreCorrupt(t *testing.T) {
	t.Parallel()
	decode := decoders()
	for _, written := range records() {
		b, err := written.samples["full"].encode()
		if err != nil {
			t.Fatal(err)
		}
		for read, decode := range decode {
			if read != written.name {
				wantCorrupt(t, decode(b), read, CorruptUnknownSchema)
			}
		}
	}
}

func TestBytesCutAnywhereAreCorrupt(t *testing.T) {
	t.Parallel()
	decode := decoders()
	for _, r := range records() {
		for name, s := range r.samples {
			good, err := s.encode()
			if err != nil {
				t.Fatal(err)
			}
			for cut := 10; cut < len(good); cut++ {
				var corrupt *CorruptError
				if err := decode[r.name](good[:cut]); !errors.As(err, &corrupt) || corrupt.Reason != CorruptBody {
					t.Errorf("%s.%s cut at %d of %d: %v", r.name, name, cut, len(good), err)
				}
			}
		}
	}
}

// stateUpTo gives a CaseState whose datum ends where its identifications
// begin.
func stateUpTo(t *testing.T) []byte {
	t.Helper()
	b, err := EncodeCaseState(CaseState{})
	if err != nil {
		t.Fatal(err)
	}
	// header; clientId, caseId, created, referenceId, sequence, lastEventHash,
	// caseStatus, caseModified, validUntil: one zero byte each.
	return slices.Clone(b[:10+9])
}

func TestHostileCountsAreCorrupt(t *testing.T) {
	t.Parallel()
	huge := []byte{0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01} // 2^63-1
	lowest := []byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}
	million := []byte{0x80, 0x89, 0x7A}
	tests := map[string][]byte{
		"array of 2^63-1 items":       append(stateUpTo(t), huge...),
		"array of -2^63 items":        append(stateUpTo(t), lowest...),
		"array of a million items":    append(stateUpTo(t), million...),
		"count that never ends":       append(stateUpTo(t), bytes.Repeat([]byte{0xFF}, 20)...),
		"negative count without size": append(stateUpTo(t), 0x01),
		"string of 2^63-1 bytes":      append(stateUpTo(t)[:10], huge...),
		"string of -1 bytes":          append(stateUpTo(t)[:10], 0x01),
		"union branch 2":              append(stateUpTo(t)[:12], 0x04),
		"union branch -1":             append(stateUpTo(t)[:12], 0x01),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := DecodeCaseState(b)
			wantCorrupt(t, err, recordCaseState, CorruptBody)
		})
	}
}

func TestEnumIndexOutOfRangeIsCorrupt(t *testing.T) {
	t.Parallel()
	b, err := EncodeTrigger(leastTrigger())
	if err != nil {
		t.Fatal(err)
	}
	// clientId and caseId with their lengths, referenceId null, then source.
	at := 10 + 1 + len("TESTCLIENT") + 1 + len("7F3KQ2ZP") + 1
	for _, index := range []byte{0x0A, 0x01, 0x7E} { // 5, -1, 63
		b[at] = index
		_, err := DecodeTrigger(b)
		wantCorrupt(t, err, recordTrigger, CorruptBody)
	}
}

// The longest value that passes, made to cost the most: an array of one-byte
// items becomes strings. The factor is fixed, the length is bounded, so is the
// memory.
//
//nolint:paralleltest // reads the process's allocation counter
func TestMemoryOfHostileBytesIsBounded(t *testing.T) {
	value := stateUpTo(t)
	value = append(value, 0x02)               // one identification
	value = append(value, make([]byte, 4)...) // method, created, modified, status
	value = append(value, make([]byte, 3)...) // subStatus, subStatusReason, identificationTime
	value = append(value, 0x80, 0x80, 0x7E)   // outputs: a count just under what is left
	value = append(value, make([]byte, MaxBytes-len(value))...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := DecodeCaseState(value)
	runtime.ReadMemStats(&after)
	wantCorrupt(t, err, recordCaseState, CorruptTrailing)
	const limit = 40 * MaxBytes
	if spent := after.TotalAlloc - before.TotalAlloc; spent > limit {
		t.Errorf("decoding %d bytes allocated %d, more than %d", len(value), spent, limit)
	}
}

func TestTooLargeValuesAreNotWritten(t *testing.T) {
	t.Parallel()
	var large *TooLargeError
	_, err := EncodeBarrier(Barrier{OpeningID: strings.Repeat("x", MaxBytes)})
	if !errors.As(err, &large) || large.Record != recordBarrier || large.Size <= MaxBytes {
		t.Errorf("%v, want a TooLargeError", err)
	}
	// What fits exactly is written and read.
	rest := MaxBytes - (10 + 3 + 6) // header, length of the id, openedAt
	b, err := EncodeBarrier(Barrier{OpeningID: strings.Repeat("x", rest), OpenedAt: at(0)})
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != MaxBytes {
		t.Fatalf("%d bytes: the test is off", len(b))
	}
	if _, err := DecodeBarrier(b); err != nil {
		t.Error(err)
	}
}

// P5: whatever is wrong with a value, the error does not repeat it.
func TestErrorsHoldNoContent(t *testing.T) {
	t.Parallel()
	const canary = "CANARY-MUSTERMANN"
	trigger := leastTrigger()
	trigger.ReferenceID = new(canary)
	trigger.CaseID = canary
	good, err := EncodeTrigger(trigger)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for i := range good {
		for _, flip := range []byte{0x01, 0x80, 0xFF} {
			b := slices.Clone(good)
			b[i] ^= flip
			if _, err := DecodeTrigger(b); err != nil {
				failed++
				if strings.Contains(err.Error(), canary[:6]) {
					t.Fatalf("byte %d: %v", i, err)
				}
			}
		}
	}
	if failed == 0 {
		t.Error("no change of a byte was found")
	}
	trigger.Observation = &Observation{CaseStatus: canary}
	trigger.Source = "hearsay"
	if _, err := EncodeTrigger(trigger); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("encode: %v", err)
	}
}
