package publish

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// filler gives every field of a value, however deep, a content of its own, and notes
// by it where it put it.
type filler struct {
	next int
	put  map[string]string // path by content, as leaves gives it
}

func (f *filler) fill(v reflect.Value, path string) {
	f.next++
	n := f.next
	note := func(content string) { f.put[content] = path }
	switch v.Interface().(type) {
	case time.Time:
		at := epoch.Add(time.Duration(n) * time.Hour)
		v.Set(reflect.ValueOf(at))
		note(at.Format(time.RFC3339))
		return
	case scr.RawJSON:
		v.SetString(fmt.Sprintf(`["raw %d"]`, n))
		note(v.String())
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			f.fill(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", n))
		if strings.Contains(path, "URL") {
			v.SetString(fmt.Sprintf("https://example.org/%d", n))
		}
		note(v.String())
	case reflect.Int64:
		v.SetInt(int64(1000 + n))
		note(fmt.Sprint(v.Int()))
	case reflect.Bool:
		// Two contents only: TestFlagsOfAResult tells them apart.
		v.SetBool(true)
	default:
		panic(path + ": a kind that the filler does not know")
	}
}

// leaves are the contents of a value.
func leaves(v reflect.Value, found map[string]bool) {
	if at, ok := reflect.TypeAssert[time.Time](v); ok {
		found[at.UTC().Format(time.RFC3339)] = true
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			leaves(v.Elem(), found)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			leaves(field, found)
		}
	case reflect.Slice:
		for i := range v.Len() {
			leaves(v.Index(i), found)
		}
	default:
		found[fmt.Sprint(v.Interface())] = true
	}
}

// filledResult is a result with everything in it, of one identification, and its status
// event.
func filledResult(f *filler) (*scr.Result, schemas.StatusChanged) {
	full := &scr.Result{}
	for name, part := range map[string]any{
		"OrderData": &full.OrderData, "ContactData": &full.ContactData, "Identifications": &full.Identifications,
		"Unknown": &full.Unknown, "UnknownTruncated": &full.UnknownTruncated,
	} {
		f.fill(reflect.ValueOf(part).Elem(), name)
	}
	full.Case.Identifications = []scr.Identification{
		{Method: scr.MethodVideo, Created: epoch}, {Method: scr.MethodVideo, Created: epoch.Add(time.Second)},
	}
	return full, schemas.StatusChanged{Method: schemas.MethodVideo, Identification: &schemas.Identification{Created: epoch}}
}

// Every field of guide 8 that package scr gives reaches the topic: one that is
// forgotten is found here.
func TestEveryFieldOfAResultReachesTheTopic(t *testing.T) {
	t.Parallel()
	f := &filler{put: make(map[string]string)}
	full, base := filledResult(f)
	found := make(map[string]bool)
	v := identificationResult(full, base)
	leaves(reflect.ValueOf(v), found)
	var lost []string
	of := 0
	for content, path := range f.put {
		if strings.HasPrefix(path, "Identifications[1]") {
			if found[content] {
				t.Errorf("%s is in the result of another identification", path)
			}
			continue
		}
		of++
		if !found[content] {
			lost = append(lost, path)
		}
	}
	slices.Sort(lost)
	if len(lost) > 0 {
		t.Errorf("not in the result: %s", strings.Join(lost, ", "))
	}
	if of < 150 {
		t.Errorf("only %d fields were filled", of)
	}
	// Nor is anything of the topic's parts left empty that the API could fill.
	for _, path := range empty(reflect.ValueOf(v), "") {
		if !slices.ContainsFunc([]string{
			".EventID", ".ClientID", ".CaseID", ".ReferenceID", ".Sequence", ".Method", ".RegulatoryClass", ".Status", ".SubStatus", ".CaseStatus",
			".AccountingData", ".Identification.", ".RecordsState", ".Observed", ".Anomaly", ".Nonce",
			".Records[0].Metadata.Reference", ".Records[0].Metadata.SHA256", ".Records[0].Metadata.Size", ".Records[0].Metadata.MediaType",
			".Records[1].Metadata.Reference", ".Records[1].Metadata.SHA256", ".Records[1].Metadata.Size", ".Records[1].Metadata.MediaType",
		}, func(status string) bool { return strings.HasPrefix(path, status) }) && path != ".MethodText" {
			t.Errorf("nothing fills %s", path)
		}
	}
	t.Logf("%d fields", of)
}

// empty are the paths of what is the zero value in v.
func empty(v reflect.Value, path string) []string {
	if v.IsZero() {
		return []string{path}
	}
	if _, ok := reflect.TypeAssert[time.Time](v); ok {
		return nil
	}
	var all []string
	switch v.Kind() {
	case reflect.Pointer:
		return empty(v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			all = append(all, empty(v.Field(i), path+"."+v.Type().Field(i).Name)...)
		}
	case reflect.Slice:
		for i := range v.Len() {
			all = append(all, empty(v.Index(i), fmt.Sprintf("%s[%d]", path, i))...)
		}
	default:
	}
	return all
}

// Each flag reaches its own place: they are set one at a time.
func TestFlagsOfAResult(t *testing.T) {
	t.Parallel()
	for i := range reflect.TypeFor[scr.AddressMatch]().NumField() {
		var in scr.AddressMatch
		name := reflect.TypeOf(in).Field(i).Name
		reflect.ValueOf(&in).Elem().Field(i).Set(reflect.ValueOf(new(true)))
		out := reflect.ValueOf(*addressMatch(&in))
		for k := range out.NumField() {
			if set := !out.Field(k).IsNil(); set != (out.Type().Field(k).Name == name) {
				t.Errorf("%s: %s is set: %t", name, out.Type().Field(k).Name, set)
			}
		}
	}
	for _, flag := range []bool{false, true} {
		if out := additionalVideo(&scr.AdditionalDataVideo{VideoRecordingDeliveryShaft: &flag}); *out.VideoRecordingDeliveryShaft != flag {
			t.Errorf("%t is %t", flag, *out.VideoRecordingDeliveryShaft)
		}
		if out := identificationResult(&scr.Result{UnknownTruncated: flag}, schemas.StatusChanged{}); out.UnknownFieldsTruncated != flag {
			t.Errorf("%t is %t", flag, out.UnknownFieldsTruncated)
		}
	}
}

// Facts C4: what is absent stays so, and is told from what changed to nothing, and a
// count of 0 from none.
func TestAbsentFieldsOfAResult(t *testing.T) {
	t.Parallel()
	var none schemas.IdentificationResult
	got := identificationResult(&scr.Result{Case: scr.Case{Identifications: make([]scr.Identification, 1)}}, schemas.StatusChanged{})
	if diff := cmp.Diff(none, got); diff != "" {
		t.Errorf("an empty result (-want +got):\n%s", diff)
	}
	if got := additionalBasic(&scr.AdditionalDataBasic{CouponDownloadCount: new(int64(0))}); *got.CouponDownloadCount != 0 || got.CouponByEmailRequestCount != nil {
		t.Errorf("counts %+v", got)
	}
	for _, tt := range []struct {
		in   *scr.ResultValue
		want *schemas.ResultValue
	}{
		{nil, nil},
		{&scr.ResultValue{Value: "x"}, &schemas.ResultValue{Value: new("x")}},
		{&scr.ResultValue{Status: "change"}, &schemas.ResultValue{Value: new(""), Status: new(schemas.ResultStatusChange)}},
		{&scr.ResultValue{Value: "x", Status: "new"}, &schemas.ResultValue{Value: new("x"), Status: new(schemas.ResultStatusNew)}},
		{&scr.ResultValue{Value: "x", Status: "match"}, &schemas.ResultValue{Value: new("x"), Status: new(schemas.ResultStatusMatch)}},
		{&scr.ResultValue{Value: "x", Status: "unchecked"}, &schemas.ResultValue{Value: new("x"), Status: new(schemas.ResultStatusUnchecked)}},
		{&scr.ResultValue{Value: "x", Status: "to come"}, &schemas.ResultValue{Value: new("x"), Status: new(schemas.ResultStatusUnknown), StatusText: new("to come")}},
		// The API's own text may be the name of our default symbol.
		{&scr.ResultValue{Value: "x", Status: "unknown"}, &schemas.ResultValue{Value: new("x"), Status: new(schemas.ResultStatusUnknown), StatusText: new("unknown")}},
	} {
		if diff := cmp.Diff(tt.want, resultValue(tt.in)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.in, diff)
		}
	}
}

// Addresses of the client's own systems go without credentials.
func TestAddressesGoWithoutCredentials(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                     "",
		"https://example.org/hook?x=1#y":       "https://example.org/hook?x=1#y",
		"https://user:secret@example.org/hook": "https://example.org/hook",
		"https://user@example.org":             "https://example.org",
		"app://user:secret@open/case":          "app://open/case",
		"https://user:sec ret@example.org":     "",
		"https://user:secret%zz@example.org":   "",
		"://user:secret@example.org":           "",
		"user:secret@example.org/hook":         "",
		"app:open/case?x=1":                    "app:open/case?x=1",
		"just a word":                          "just%20a%20word",
	} {
		got := address(in)
		if textOr(got) != want || (got == nil) != (want == "") {
			t.Errorf("%q is %q, want %q", in, textOr(got), want)
		}
		if strings.Contains(textOr(got), "secret") {
			t.Errorf("%q keeps its credentials: %q", in, *got)
		}
	}
}

// The result is that of the identification of its event, whatever others there are.
func TestResultIsOfItsIdentification(t *testing.T) {
	t.Parallel()
	of := func(method string, created time.Time, dkk string) (scr.Identification, scr.IdentificationResult) {
		return scr.Identification{Method: method, Created: created}, scr.IdentificationResult{EID: &scr.AdditionalDataEid{DKK: dkk}}
	}
	full := &scr.Result{}
	for _, add := range []struct {
		method  string
		created time.Time
		dkk     string
	}{
		{scr.MethodEID, epoch, "first"}, {scr.MethodEID, epoch.Add(time.Hour), "second"}, {scr.MethodVideo, epoch, "third"}, {"to come", epoch, "fourth"},
	} {
		id, r := of(add.method, add.created, add.dkk)
		full.Case.Identifications, full.Identifications = append(full.Case.Identifications, id), append(full.Identifications, r)
	}
	for _, tt := range []struct {
		method  schemas.Method
		text    *string
		created time.Time
		want    string
	}{
		{schemas.MethodEID, nil, epoch, "first"},
		{schemas.MethodEID, nil, epoch.Add(time.Hour), "second"},
		{schemas.MethodVideo, nil, epoch, "third"},
		{schemas.MethodUnknown, new("to come"), epoch, "fourth"},
	} {
		v := identificationResult(full, schemas.StatusChanged{Method: tt.method, MethodText: tt.text, Identification: &schemas.Identification{Created: tt.created}})
		if v.AdditionalDataEid == nil || *v.AdditionalDataEid.DKK != tt.want {
			t.Errorf("%s at %s has %+v", tt.method, tt.created, v.AdditionalDataEid)
		}
	}
	v := identificationResult(full, schemas.StatusChanged{Method: schemas.MethodBasic, Identification: &schemas.Identification{Created: epoch}})
	if v.AdditionalDataEid != nil {
		t.Error("it has the fields of another one")
	}
}

// A record in a result has the reference that the status event gives it, also where the
// method may not have its validation.
func TestRecordsOfAResultHaveTheirReferences(t *testing.T) {
	t.Parallel()
	ref := schemas.RecordReference{Location: "file:///x", SHA256: []byte("digest"), Size: 7, MediaType: "image/jpeg"}
	stored := schemas.RecordMetadata{RecordID: "1", Type: new("userface"), ValidationStatus: new("valid")}
	stored.SetReference(ref)
	e := &schemas.StatusChanged{Records: []schemas.RecordMetadata{{RecordID: "2", Type: new("userface")}, stored}}
	m := metadataOf(e, scr.RecordResult{ID: "1", Type: "userface"})
	if got, ok := m.StoredAs(); !ok || got.Location != ref.Location || m.ValidationStatus != nil {
		t.Errorf("record %+v", m)
	}
	for _, other := range []scr.RecordResult{{ID: "1", Type: "usersignature"}, {ID: "2", Type: "userface"}, {ID: "3"}} {
		m := metadataOf(e, other)
		if _, ok := m.StoredAs(); ok || m.RecordID != other.ID {
			t.Errorf("record %+v is %+v", other, m)
		}
	}
}
