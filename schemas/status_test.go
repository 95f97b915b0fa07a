package schemas

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lookupToday knows today's schema under every id.
func lookupToday(context.Context, int) (string, error) { return StatusChangedSchema() }

func TestStatusFramings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		encoder     *StatusEncoder
		contentType string
		prefix      []byte
	}{
		{NewConfluentStatusEncoder(0x01020304), "application/avro; framing=confluent", []byte{0x00, 0x01, 0x02, 0x03, 0x04}},
		// The pinned fingerprint, low byte first.
		{NewSingleObjectStatusEncoder(), "application/avro; framing=single-object", []byte{0xC3, 0x01, 0x58, 0xd5, 0x60, 0xd3, 0x40, 0x2e, 0x5f, 0xc9}},
	}
	var data [][]byte
	for _, tt := range tests {
		if got := tt.encoder.ContentType(); got != tt.contentType {
			t.Errorf("content type %q, want %q", got, tt.contentType)
		}
		value, err := tt.encoder.Encode(fullStatusChanged())
		if err != nil {
			t.Fatal(err)
		}
		datum, ok := bytes.CutPrefix(value, tt.prefix)
		if !ok {
			t.Errorf("%s starts with %x, want %x", tt.contentType, value[:10], tt.prefix)
		}
		data = append(data, datum)
		got, err := NewStatusDecoder(lookupToday).Decode(t.Context(), value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fullStatusChanged(), got); diff != "" {
			t.Errorf("%s (-written +read):\n%s", tt.contentType, diff)
		}
	}
	if !bytes.Equal(data[0], data[1]) {
		t.Error("the datum depends on the framing")
	}
}

func TestStatusDecoderLooksUpAnIDOnce(t *testing.T) {
	t.Parallel()
	var asked []int
	decoder := NewStatusDecoder(func(_ context.Context, id int) (string, error) {
		asked = append(asked, id)
		return StatusChangedSchema()
	})
	for range 3 {
		for _, id := range []int{7, 9} {
			value, err := NewConfluentStatusEncoder(id).Encode(fullStatusChanged())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := decoder.Decode(t.Context(), value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := []int{7, 9}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}

func TestStatusDecoderIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	decoder := NewStatusDecoder(lookupToday)
	encoder := NewConfluentStatusEncoder(7)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				value, err := encoder.Encode(fullStatusChanged())
				if err == nil {
					_, err = decoder.Decode(t.Context(), value)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestStatusDecoderTriesAFailedLookupAgain(t *testing.T) {
	t.Parallel()
	down := errors.New("registry is down")
	fail := true
	decoder := NewStatusDecoder(func(context.Context, int) (string, error) {
		if fail {
			return "", down
		}
		return StatusChangedSchema()
	})
	value, err := NewConfluentStatusEncoder(7).Encode(leastStatusChanged())
	if err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := decoder.Decode(t.Context(), value); !errors.Is(err, down) || errors.As(err, &corrupt) {
		t.Errorf("%v, want the registry's error", err)
	}
	fail = false
	if _, err := decoder.Decode(t.Context(), value); err != nil {
		t.Error(err)
	}
}

// A reader resolves what the bridge of another release wrote: fields and
// symbols that it does not know, and fields that were not there yet.
func TestStatusDecoderResolvesOtherReleases(t *testing.T) {
	t.Parallel()
	schema, err := StatusChangedSchema()
	if err != nil {
		t.Fatal(err)
	}
	without := strings.Replace(schema, `"name":"resultDigest"`, `"name":"somethingElse"`, 1)
	newSymbol := strings.Replace(schema, `"webhook","sweep"`, `"telegram","webhook","sweep"`, 1)
	if without == schema || newSymbol == schema {
		t.Fatal("the schema is not changed: the test is off")
	}
	value, err := NewConfluentStatusEncoder(7).Encode(fullStatusChanged())
	if err != nil {
		t.Fatal(err)
	}
	want := fullStatusChanged()
	decode := func(writer string) StatusChanged {
		t.Helper()
		d := NewStatusDecoder(func(context.Context, int) (string, error) { return writer, nil })
		got, err := d.Decode(t.Context(), value)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	want.ResultDigest = nil
	if diff := cmp.Diff(want, decode(without)); diff != "" {
		t.Errorf("writer without resultDigest (-want +read):\n%s", diff)
	}
	// The bytes say index 1, which that writer calls telegram.
	want = fullStatusChanged()
	want.ObservedBy = SourceUnknown
	if diff := cmp.Diff(want, decode(newSymbol)); diff != "" {
		t.Errorf("writer with a new symbol (-want +read):\n%s", diff)
	}
}

func TestStatusDecoderRefusesForeignSchemas(t *testing.T) {
	t.Parallel()
	value, err := NewConfluentStatusEncoder(7).Encode(fullStatusChanged())
	if err != nil {
		t.Fatal(err)
	}
	for name, schema := range map[string]string{
		"not Avro":       `syntax = "proto3";`,
		"another record": `{"type":"record","name":"Other","fields":[]}`,
		"a bare type":    `"string"`,
	} {
		_, err := NewStatusDecoder(func(context.Context, int) (string, error) { return schema, nil }).Decode(t.Context(), value)
		t.Log(name)
		wantCorrupt(t, err, recordStatusChanged, CorruptUnknownSchema)
	}
}

func TestStatusDecoderOnConfluentBytesThatAreNotOurs(t *testing.T) {
	t.Parallel()
	good, err := NewConfluentStatusEncoder(7).Encode(fullStatusChanged())
	if err != nil {
		t.Fatal(err)
	}
	decoder := NewStatusDecoder(lookupToday)
	for reason, value := range map[CorruptReason][]byte{
		CorruptHeader:   good[:4],
		CorruptBody:     good[:len(good)-1],
		CorruptTrailing: append(slices.Clone(good), 0),
		CorruptTooLarge: append(slices.Clone(good), make([]byte, MaxBytes)...),
	} {
		_, err := decoder.Decode(t.Context(), value)
		wantCorrupt(t, err, recordStatusChanged, reason)
	}
	// Without a registry the bytes may be fine: not corrupt, and not read.
	var corrupt *CorruptError
	if _, err := NewStatusDecoder(nil).Decode(t.Context(), good); err == nil || errors.As(err, &corrupt) {
		t.Errorf("no registry: %v", err)
	}
}
