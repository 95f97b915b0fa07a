package schemas

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every decoder, on any bytes: a value, or a CorruptError; never a panic. A
// value is one that can be written and read again.

func FuzzDecodeTrigger(f *testing.F) { fuzzDecode(f, recordTrigger, DecodeTrigger, EncodeTrigger) }

func FuzzDecodeCaseState(f *testing.F) {
	fuzzDecode(f, recordCaseState, DecodeCaseState, EncodeCaseState)
}

func FuzzDecodePosition(f *testing.F) { fuzzDecode(f, recordPosition, DecodePosition, EncodePosition) }

func FuzzDecodePollCursor(f *testing.F) {
	fuzzDecode(f, recordPollCursor, DecodePollCursor, EncodePollCursor)
}

func FuzzDecodeBarrier(f *testing.F) { fuzzDecode(f, recordBarrier, DecodeBarrier, EncodeBarrier) }

func FuzzDecodeStatusChanged(f *testing.F) {
	decoder := NewStatusDecoder(lookupToday)
	decode := func(b []byte) (StatusChanged, error) { return decoder.Decode(context.Background(), b) }
	for _, event := range []StatusChanged{fullStatusChanged(), leastStatusChanged()} {
		value, err := NewConfluentStatusEncoder(7).Encode(event)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	fuzzDecode(f, recordStatusChanged, decode, NewConfluentStatusEncoder(7).Encode)
}

func FuzzDecodeIdentificationResult(f *testing.F) {
	decoder := NewResultDecoder(lookupTodaysResult)
	decode := func(b []byte) (IdentificationResult, error) {
		if len(b) > MaxResultBytes { // read, but never written
			return IdentificationResult{}, &CorruptError{Record: recordIdentificationResult, Reason: CorruptTooLarge}
		}
		v, err := decoder.Decode(context.Background(), b)
		v.Nonce = make([]byte, NonceBytes) // a reader takes any, the writer one of this length
		return v, err
	}
	encode := func(v IdentificationResult) ([]byte, error) {
		value, _, err := NewConfluentResultEncoder(7).Encode(v)
		return value, err
	}
	for _, result := range []IdentificationResult{fullIdentificationResult(), leastIdentificationResult()} {
		value, err := encode(result)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	fuzzDecode(f, recordIdentificationResult, decode, encode)
}

func fuzzDecode[T any](f *testing.F, record string, decode func([]byte) (T, error), encode func(T) ([]byte, error)) {
	f.Helper()
	seeds := 0
	for _, release := range releases(f) {
		for _, path := range goldens(f, release, record) {
			b, err := os.ReadFile(filepath.Clean(path))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
			seeds++
		}
	}
	if seeds == 0 {
		f.Fatalf("no golden bytes of %s", record)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Record != record || corrupt.Reason == "" {
				t.Fatalf("%v, want a CorruptError", err)
			}
			return
		}
		first, err := encode(v)
		if err != nil {
			t.Fatalf("read, but not written: %v", err)
		}
		again, err := decode(first)
		if err != nil {
			t.Fatalf("written, but not read: %v", err)
		}
		second, err := encode(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("written twice (%v):\n%x\n%x", err, first, second)
		}
	})
}

// The seeds reach what they are meant for: each is read.
func TestFuzzSeedsAreRead(t *testing.T) {
	t.Parallel()
	decode := decoders()
	for _, release := range releases(t) {
		for _, r := range records() {
			for _, path := range goldens(t, release, r.name) {
				if err := decode[r.name](readFile(t, path)); err != nil {
					t.Errorf("%s: %v", strings.TrimPrefix(path, historyDir), err)
				}
			}
		}
	}
}
