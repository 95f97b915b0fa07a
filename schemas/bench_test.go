package schemas

import (
	"testing"
)

func BenchmarkEncodeTrigger(b *testing.B) { benchEncode(b, fullTrigger(), EncodeTrigger) }

// What a webhook costs: no observation.
func BenchmarkEncodeTriggerOfWebhook(b *testing.B) { benchEncode(b, leastTrigger(), EncodeTrigger) }

func BenchmarkDecodeTrigger(b *testing.B) {
	benchDecode(b, fullTrigger(), EncodeTrigger, DecodeTrigger)
}

func BenchmarkDecodeTriggerOfWebhook(b *testing.B) {
	benchDecode(b, leastTrigger(), EncodeTrigger, DecodeTrigger)
}

func BenchmarkEncodeCaseState(b *testing.B) { benchEncode(b, fullCaseState(), EncodeCaseState) }

func BenchmarkDecodeCaseState(b *testing.B) {
	benchDecode(b, fullCaseState(), EncodeCaseState, DecodeCaseState)
}

func BenchmarkReadCaseStateView(b *testing.B) {
	value, err := EncodeCaseState(fullCaseState())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	var v CaseStateView
	for b.Loop() {
		if !v.Read(value) {
			b.Fatal("not read")
		}
	}
}

func BenchmarkEncodeStatusChanged(b *testing.B) {
	benchEncode(b, fullStatusChanged(), NewConfluentStatusEncoder(7).Encode)
}

func BenchmarkDecodeStatusChanged(b *testing.B) {
	decoder := NewStatusDecoder(lookupToday)
	benchDecode(b, fullStatusChanged(), NewConfluentStatusEncoder(7).Encode, func(v []byte) (StatusChanged, error) {
		return decoder.Decode(b.Context(), v)
	})
}

func BenchmarkEncodeIdentificationResult(b *testing.B) {
	encoder := NewConfluentResultEncoder(7)
	benchEncode(b, fullIdentificationResult(), func(v IdentificationResult) ([]byte, error) {
		value, _, err := encoder.Encode(v)
		return value, err
	})
}

func BenchmarkDecodeIdentificationResult(b *testing.B) {
	decoder := NewResultDecoder(lookupTodaysResult)
	benchDecode(b, fullIdentificationResult(), encodeResult, func(v []byte) (IdentificationResult, error) {
		return decoder.Decode(b.Context(), v)
	})
}

func benchEncode[T any](b *testing.B, v T, encode func(T) ([]byte, error)) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(v); err != nil {
			b.Fatal(err)
		}
	}
}

func benchDecode[T any](b *testing.B, v T, encode func(T) ([]byte, error), decode func([]byte) (T, error)) {
	b.Helper()
	value, err := encode(v)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(value); err != nil {
			b.Fatal(err)
		}
	}
}
