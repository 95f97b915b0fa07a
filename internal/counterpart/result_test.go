package counterpart_test

import (
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// results hold every field once set and once null. Each text is its own path.
func results() []schemas.IdentificationResult {
	var whole schemas.IdentificationResult
	set(reflect.ValueOf(&whole).Elem(), "ä€𝄞")
	whole.ClientID, whole.CaseID, whole.Method = "TESTCLIENT", "7F3KQ2ZP", schemas.MethodVideo
	whole.RegulatoryClass, whole.StatusType, whole.Status = schemas.RegulatoryClassGwG, schemas.StatusTypeFinal, schemas.StatusSuccess
	whole.Nonce = make([]byte, schemas.NonceBytes)
	whole.Records[1].Metadata = schemas.RecordMetadata{RecordID: "2"}
	empty := whole
	empty.CaseID, empty.Sequence, empty.OrderData, empty.DrivingLicence = "EMPTY", nil, nil, nil
	empty.AdditionalDataBasic, empty.AdditionalDataEid, empty.AdditionalDataVideo = nil, &schemas.AdditionalDataEid{}, nil
	empty.IdentificationDocument, empty.UnknownFields, empty.RecordsState = &schemas.IdentificationDocument{}, nil, nil
	empty.ContactData = &schemas.ContactData{
		Title:    &schemas.ResultValue{},
		LastName: &schemas.ResultValue{Value: new(""), Status: new(schemas.ResultStatusChange)},
	}
	return []schemas.IdentificationResult{whole, empty}
}

// set sets a value and all that it holds: lists to two items, enums, which have
// types of their own, to the symbol that each of them has.
func set(v reflect.Value, path string) {
	typ := v.Type()
	if typ == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(at(len(path) % 60)))
		return
	}
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			set(v.Field(i), path+"/"+typ.Field(i).Tag.Get("avro"))
		}
	case reflect.Pointer:
		v.Set(reflect.New(typ.Elem()))
		set(v.Elem(), path)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(typ, 2, 2))
		for i := range 2 {
			set(v.Index(i), path+"/"+strconv.Itoa(i))
		}
	case reflect.String:
		if typ != reflect.TypeFor[string]() {
			path = "unknown"
		}
		v.SetString(path)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(0xfe)
	default:
		v.SetInt(1<<40 + int64(len(path))) // panics for what no schema holds
	}
}

func resultRecords(t *testing.T, topic string, id int, eventID string) []*kgo.Record {
	t.Helper()
	encoder := schemas.NewSingleObjectResultEncoder()
	if id > 0 {
		encoder = schemas.NewConfluentResultEncoder(id)
	}
	var records []*kgo.Record
	for _, result := range results() {
		result.EventID = idOr(eventID, result.EventID)
		value, cut, err := encoder.Encode(result)
		if err != nil || cut > 0 {
			t.Fatal(cut, err)
		}
		records = append(records, publicRecord(topic, value, encoder.ContentType(), schemas.StatusChanged{
			EventID: result.EventID, ClientID: result.ClientID, CaseID: result.CaseID, CaseStatus: result.CaseStatus,
			Method: result.Method, RegulatoryClass: result.RegulatoryClass, StatusType: result.StatusType,
		}))
	}
	return records
}

// idOr gives the one id if it is there, else the other.
func idOr(id, other string) string {
	if id != "" {
		return id
	}
	return other
}
