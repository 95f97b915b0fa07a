package schemas

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// What is written is read back, and written alike the second time.

func TestRoundTripTrigger(t *testing.T) {
	t.Parallel()
	roundTrip(t, EncodeTrigger, DecodeTrigger)
}

func TestRoundTripCaseState(t *testing.T) {
	t.Parallel()
	roundTrip(t, EncodeCaseState, DecodeCaseState)
}

func TestRoundTripPosition(t *testing.T) {
	t.Parallel()
	roundTrip(t, EncodePosition, DecodePosition)
}

func TestRoundTripPollCursor(t *testing.T) {
	t.Parallel()
	roundTrip(t, EncodePollCursor, DecodePollCursor)
}

func TestRoundTripBarrier(t *testing.T) {
	t.Parallel()
	roundTrip(t, EncodeBarrier, DecodeBarrier)
}

func TestRoundTripStatusChanged(t *testing.T) {
	t.Parallel()
	decoder := NewStatusDecoder(lookupToday)
	for _, encoder := range []*StatusEncoder{NewSingleObjectStatusEncoder(), NewConfluentStatusEncoder(7)} {
		roundTrip(t, encoder.Encode, func(b []byte) (StatusChanged, error) { return decoder.Decode(t.Context(), b) })
	}
}

func TestRoundTripIdentificationResult(t *testing.T) {
	t.Parallel()
	decoder := NewResultDecoder(lookupTodaysResult)
	for _, encoder := range []*ResultEncoder{NewSingleObjectResultEncoder(), NewConfluentResultEncoder(7)} {
		encode := func(v IdentificationResult) ([]byte, error) {
			value, cut, err := encoder.Encode(v)
			if cut > 0 {
				t.Errorf("%d unknown fields were left out", cut)
			}
			return value, err
		}
		roundTrip(t, encode, func(b []byte) (IdentificationResult, error) { return decoder.Decode(t.Context(), b) })
	}
}

func roundTrip[T any](t *testing.T, encode func(T) ([]byte, error), decode func([]byte) (T, error)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		want := draw[T](t)
		first, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		again, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, again) {
			t.Fatalf("one value, two encodings:\n%x\n%x", first, again)
		}
		got, err := decode(first)
		if err != nil {
			t.Fatal(err)
		}
		// Avro does not tell a nil array from an empty one.
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("-written +read:\n%s", diff)
		}
	})
}

// draw makes any value of a record that its schema can hold.
func draw[T any](t *rapid.T) T {
	var v T
	fill(t, reflect.ValueOf(&v).Elem())
	return v
}

func fill(t *rapid.T, v reflect.Value) {
	typ := v.Type()
	if symbols, ok := enums[typ]; ok {
		v.SetString(rapid.SampledFrom(symbols).Draw(t, typ.Name()))
		return
	}
	if typ == reflect.TypeFor[time.Time]() {
		// The years that RFC 3339 can write, so the only ones that the API can.
		millis := rapid.Int64Range(-62167219200000, 253402300799999).Draw(t, "millis")
		v.Set(reflect.ValueOf(time.UnixMilli(millis).UTC()))
		return
	}
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			if typ.Field(i).Tag.Get("avro") == "nonce" {
				v.Field(i).SetBytes(rapid.SliceOfN(rapid.Byte(), NonceBytes, NonceBytes).Draw(t, "nonce"))
				continue
			}
			fill(t, v.Field(i))
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "set") {
			v.Set(reflect.New(typ.Elem()))
			fill(t, v.Elem())
		}
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			v.SetBytes(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
			return
		}
		// More than one block holds (100 items) now and then.
		n := rapid.OneOf(rapid.IntRange(0, 3), rapid.SampledFrom([]int{100, 101})).Draw(t, "items")
		if typ.Elem().Kind() == reflect.Struct {
			n = min(n, 3)
		}
		v.Set(reflect.MakeSlice(typ, n, n))
		for i := range n {
			fill(t, v.Index(i))
		}
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "string"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	default:
		t.Fatalf("no values of %s", typ)
	}
}

func TestTimesAreReadAsUTCMilliseconds(t *testing.T) {
	t.Parallel()
	now := time.Now()
	berlin := time.FixedZone("CET", 3600)
	tests := map[string]struct{ in, want time.Time }{
		"zone":              {time.Date(2026, 1, 2, 4, 4, 5, 0, berlin), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		"cut to millis":     {time.Date(2026, 1, 2, 3, 4, 5, 6_999_999, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)},
		"before 1970":       {time.Date(1969, 12, 31, 23, 59, 59, 999_000_000, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999_000_000, time.UTC)},
		"zero":              {time.Time{}, time.Time{}},
		"no monotonic part": {now, time.UnixMilli(now.UnixMilli()).UTC()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := EncodeBarrier(Barrier{OpenedAt: tt.in})
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeBarrier(b)
			if err != nil {
				t.Fatal(err)
			}
			if got.OpenedAt != tt.want { // location and all: UTC
				t.Errorf("%v, want %v", got.OpenedAt, tt.want)
			}
		})
	}
}

func TestEncodeRefusesWhatTheSchemaCannotHold(t *testing.T) {
	t.Parallel()
	if b, err := EncodeTrigger(Trigger{Source: "hearsay"}); err == nil {
		t.Errorf("unknown symbol: wrote %x", b)
	}
	// The writer that failed is not used again.
	if _, err := EncodeTrigger(leastTrigger()); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
	for _, id := range []int{-1, 0, 1 << 31} {
		if b, err := NewConfluentStatusEncoder(id).Encode(fullStatusChanged()); err == nil {
			t.Errorf("schema id %d: wrote %x", id, b)
		}
		if b, _, err := NewConfluentResultEncoder(id).Encode(fullIdentificationResult()); err == nil {
			t.Errorf("schema id %d: wrote %x", id, b)
		}
	}
}
