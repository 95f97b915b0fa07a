package schemas

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestResultFramings(t *testing.T) {
	t.Parallel()
	fingerprint, err := hex.DecodeString(pinned["0.2.0/identification_result"])
	if err != nil {
		t.Fatal(err)
	}
	little := make([]byte, 0, 8) // low byte first
	for i := range fingerprint {
		little = append(little, fingerprint[len(fingerprint)-1-i])
	}
	tests := []struct {
		encoder     *ResultEncoder
		contentType string
		prefix      []byte
	}{
		{NewConfluentResultEncoder(0x01020304), "application/avro; framing=confluent", []byte{0x00, 0x01, 0x02, 0x03, 0x04}},
		{NewSingleObjectResultEncoder(), "application/avro; framing=single-object", append([]byte{0xC3, 0x01}, little...)},
	}
	var data [][]byte
	for _, tt := range tests {
		if got := tt.encoder.ContentType(); got != tt.contentType {
			t.Errorf("content type %q, want %q", got, tt.contentType)
		}
		value, cut, err := tt.encoder.Encode(fullIdentificationResult())
		if err != nil || cut != 0 {
			t.Fatal(cut, err)
		}
		datum, ok := bytes.CutPrefix(value, tt.prefix)
		if !ok {
			t.Errorf("%s starts with %x, want %x", tt.contentType, value[:10], tt.prefix)
		}
		data = append(data, datum)
		got, err := NewResultDecoder(lookupTodaysResult).Decode(t.Context(), value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fullIdentificationResult(), got); diff != "" {
			t.Errorf("%s (-written +read):\n%s", tt.contentType, diff)
		}
	}
	if !bytes.Equal(data[0], data[1]) {
		t.Error("the datum depends on the framing")
	}
}

// Facts C4: a field that was absent, one that was {}, one whose value was null,
// and one that was changed to "" are read as four different things.
func TestResultKeepsAbsentApartFromEmpty(t *testing.T) {
	t.Parallel()
	change := ResultStatusChange
	want := leastIdentificationResult()
	want.ContactData = &ContactData{
		FirstName: &ResultValue{},
		LastName:  &ResultValue{Status: &change},
		Email:     &ResultValue{Value: new(""), Status: &change},
		Epost:     &ResultValue{Value: new("e"), Status: new(ResultStatusUnknown), StatusText: new("guessed")},
		Address:   &Address{},
	}
	want.IdentificationDocument = &IdentificationDocument{}
	value, err := encodeResult(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewResultDecoder(nil).Decode(t.Context(), value)
	if err != nil {
		t.Fatal(err)
	}
	contact := got.ContactData
	if diff := cmp.Diff(want.ContactData, contact); diff != "" || contact.Title != nil || got.DrivingLicence != nil {
		t.Errorf("-written +read:\n%s", diff)
	}
	if got.IdentificationDocument == nil || got.IdentificationDocument.Address != nil {
		t.Errorf("an empty document: %+v", got.IdentificationDocument)
	}
}

func TestResultNonceIsOfOneLength(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, NonceBytes - 1, NonceBytes + 1} {
		v := leastIdentificationResult()
		v.Nonce = make([]byte, length)
		if value, err := encodeResult(v); err == nil {
			t.Errorf("nonce of %d bytes: wrote %x", length, value)
		}
	}
	a, b := NewNonce(), NewNonce()
	if len(a) != NonceBytes || len(b) != NonceBytes || bytes.Equal(a, b) {
		t.Errorf("nonces %x and %x", a, b)
	}
}

// The digest is that of the value as it stands on the topic, and says nothing
// without the nonce: one result, two nonces, two digests.
func TestResultDigest(t *testing.T) {
	t.Parallel()
	v := leastIdentificationResult()
	first, err := encodeResult(v)
	if err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(first); !bytes.Equal(ResultDigest(first), want[:]) {
		t.Errorf("%x, want %x", ResultDigest(first), want)
	}
	v.Nonce = bytes.Repeat([]byte{0x43}, NonceBytes)
	second, err := encodeResult(v)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(ResultDigest(first), ResultDigest(second)) {
		t.Error("the digest does not depend on the nonce")
	}
}

func unknownFields(lengths ...int) []UnknownField {
	var all []UnknownField
	for i, length := range lengths {
		all = append(all, UnknownField{Path: fmt.Sprintf("$.f%03d", i), JSON: strings.Repeat("1", length)})
	}
	return all
}

func TestWithoutLongest(t *testing.T) {
	t.Parallel()
	const overhead = len("$.f000") + 1 + 1 // path, and two lengths of one byte
	tests := []struct {
		name   string
		fields []UnknownField
		save   int
		want   []string
	}{
		{"nothing to save", unknownFields(5, 9), 0, []string{"$.f000", "$.f001"}},
		{"the longest", unknownFields(5, 9, 7), 1, []string{"$.f000", "$.f002"}},
		{"exactly the longest", unknownFields(5, 9, 7), 9 + overhead, []string{"$.f000", "$.f002"}},
		{"a byte more", unknownFields(5, 9, 7), 9 + overhead + 1, []string{"$.f000"}},
		{"of two of one length the later", unknownFields(9, 9, 5), 1, []string{"$.f000", "$.f002"}},
		{"all are not enough", unknownFields(1, 2), 1000, nil},
		{"there are none", nil, 1, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := append([]UnknownField(nil), tt.fields...)
			var got []string
			for _, f := range withoutLongest(tt.fields, tt.save) {
				got = append(got, f.Path)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +kept:\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.fields); diff != "" {
				t.Errorf("the argument was changed:\n%s", diff)
			}
		})
	}
}

// No value is longer than MaxResultBytes, whatever the unknown fields are, and
// none is left out that would have had room with the others.
func TestUnknownFieldsAreCutToFit(t *testing.T) {
	t.Parallel()
	decoder := NewResultDecoder(lookupTodaysResult)
	encoder := NewConfluentResultEncoder(7)
	rapid.Check(t, func(t *rapid.T) {
		v := fullIdentificationResult()
		v.UnknownFieldsTruncated = false
		v.UnknownFields = unknownFields(rapid.SliceOfN(rapid.IntRange(0, MaxResultBytes/2), 0, 12).Draw(t, "lengths")...)
		value, cut, err := encoder.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decoder.Decode(context.Background(), value)
		if err != nil {
			t.Fatal(err)
		}
		if len(value) > MaxResultBytes || cut != len(v.UnknownFields)-len(got.UnknownFields) || got.UnknownFieldsTruncated != (cut > 0) {
			t.Fatalf("%d bytes, %d cut, %d of %d read, truncated %v",
				len(value), cut, len(got.UnknownFields), len(v.UnknownFields), got.UnknownFieldsTruncated)
		}
		kept := map[string]bool{}
		for _, f := range got.UnknownFields {
			kept[f.Path] = true
		}
		shortest := MaxResultBytes // of what was left out
		for _, f := range v.UnknownFields {
			if !kept[f.Path] {
				shortest = min(shortest, f.encodedSize())
			}
		}
		if cut > 0 && len(value)+shortest+3 < MaxResultBytes { // 3: a longer count
			t.Fatalf("%d bytes, and one of %d was left out", len(value), shortest)
		}
		got.UnknownFields, got.UnknownFieldsTruncated = v.UnknownFields, false
		if diff := cmp.Diff(v, got); diff != "" {
			t.Fatalf("more than unknown fields was cut (-written +read):\n%s", diff)
		}
	})
}

// What is no unknown field goes whole or not at all.
func TestResultThatIsTooLargeWithoutUnknownFieldsIsRefused(t *testing.T) {
	t.Parallel()
	v := leastIdentificationResult()
	v.UnknownFields = unknownFields(10)
	v.OrderData = &OrderData{CustomData: &CustomData{Custom1: new(strings.Repeat("CANARY", MaxResultBytes/6))}}
	value, cut, err := NewSingleObjectResultEncoder().Encode(v)
	var large *TooLargeError
	if !errors.As(err, &large) || large.Record != recordIdentificationResult || large.Max != MaxResultBytes || large.Size <= large.Max {
		t.Errorf("%v, want a TooLargeError", err)
	}
	if value != nil || cut != 0 || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("%d bytes, %d cut, %v", len(value), cut, err)
	}
	// What fits exactly is written and read.
	rest := leastIdentificationResult()
	rest.OrderData = &OrderData{CustomData: &CustomData{Custom1: new("")}}
	base, err := encodeResult(rest)
	if err != nil {
		t.Fatal(err)
	}
	*rest.OrderData.CustomData.Custom1 = strings.Repeat("x", MaxResultBytes-len(base)-2) // its length takes two bytes more
	whole, err := encodeResult(rest)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole) != MaxResultBytes {
		t.Fatalf("%d bytes: the test is off", len(whole))
	}
	if _, err := NewResultDecoder(nil).Decode(t.Context(), whole); err != nil {
		t.Error(err)
	}
}

// A reader resolves what a bridge of another release wrote: symbols and fields
// that it does not know.
func TestResultDecoderResolvesOtherReleases(t *testing.T) {
	t.Parallel()
	schema, err := IdentificationResultSchema()
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(schema, `"name":"dkk"`, `"name":"somethingElse"`, 1)
	other = strings.Replace(other, `"new","match","change"`, `"older","new","match","change"`, 1)
	if strings.Count(other, "somethingElse")+strings.Count(other, "older") != 2 {
		t.Fatal("the schema is not changed: the test is off")
	}
	v := leastIdentificationResult()
	v.AdditionalDataEid = &AdditionalDataEid{DKK: new("BB30")}
	v.ContactData = &ContactData{Title: &ResultValue{Value: new("Dr."), Status: new(ResultStatusNew)}}
	value, _, err := NewConfluentResultEncoder(7).Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewResultDecoder(func(context.Context, int) (string, error) { return other, nil }).Decode(t.Context(), value)
	if err != nil {
		t.Fatal(err)
	}
	if got.AdditionalDataEid.DKK != nil || *got.ContactData.Title.Status != ResultStatusUnknown {
		t.Errorf("read %+v, %+v", got.AdditionalDataEid, got.ContactData.Title)
	}
}

// P5: the errors of a value with personal data do not repeat it, whatever is
// wrong with its bytes.
func TestResultErrorsHoldNoContent(t *testing.T) {
	t.Parallel()
	const canary = "CANARY-MUSTERMANN"
	v := leastIdentificationResult()
	v.ContactData = &ContactData{LastName: &ResultValue{Value: new(canary)}}
	v.UnknownFields = []UnknownField{{Path: "$." + canary, JSON: `"` + canary + `"`}}
	good, err := encodeResult(v)
	if err != nil {
		t.Fatal(err)
	}
	decoder := NewResultDecoder(nil)
	failed := 0
	for i := range good {
		for _, flip := range []byte{0x01, 0x80, 0xFF} {
			b := bytes.Clone(good)
			b[i] ^= flip
			if _, err := decoder.Decode(t.Context(), b); err != nil {
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
	v.RegulatoryClass = "hearsay"
	if _, err := encodeResult(v); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("encode: %v", err)
	}
}

func TestStatusTypeInHeaders(t *testing.T) {
	t.Parallel()
	for typ, want := range map[StatusType]string{StatusTypeFinal: "final", StatusTypeRecordsAvailable: "records-available"} {
		if got := typ.HeaderText(); got != want {
			t.Errorf("%s: %q, want %q", typ, got, want)
		}
	}
}

func TestRecordReference(t *testing.T) {
	t.Parallel()
	want := RecordReference{Location: "s3://bucket/key.pdf", SHA256: bytes.Repeat([]byte{7}, 32), Size: 20 << 20, MediaType: "application/pdf"}
	var m RecordMetadata
	if _, stored := m.StoredAs(); stored {
		t.Error("stored before it was")
	}
	m.SetReference(want)
	if got, stored := m.StoredAs(); !stored || !cmp.Equal(want, got) {
		t.Errorf("%+v, %v", got, stored)
	}
	for name, forget := range map[string]func(*RecordMetadata){
		"location":   func(m *RecordMetadata) { m.Reference = nil },
		"sha256":     func(m *RecordMetadata) { m.SHA256 = nil },
		"size":       func(m *RecordMetadata) { m.Size = nil },
		"media type": func(m *RecordMetadata) { m.MediaType = nil },
	} {
		part := m
		forget(&part)
		if _, stored := part.StoredAs(); stored {
			t.Errorf("stored without %s", name)
		}
	}
}
