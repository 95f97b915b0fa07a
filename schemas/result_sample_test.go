package schemas

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// lookupTodaysResult knows today's schema of results under every id.
func lookupTodaysResult(context.Context, int) (string, error) { return IdentificationResultSchema() }

func encodeResult(v IdentificationResult) ([]byte, error) {
	value, _, err := NewSingleObjectResultEncoder().Encode(v)
	return value, err
}

// fullIdentificationResult has every field set, texts to their own paths, so
// that two that change places are found out.
func fullIdentificationResult() IdentificationResult {
	var v IdentificationResult
	seconds := 0
	setAll(reflect.ValueOf(&v).Elem(), "", &seconds)
	v.Nonce = bytes.Repeat([]byte{0x42}, NonceBytes)
	return v
}

// setAll sets a value and all that it holds: lists to two items, enums to the
// first symbol that says something, times one second apart.
func setAll(v reflect.Value, path string, seconds *int) {
	typ := v.Type()
	*seconds++
	if symbols, ok := enums[typ]; ok {
		v.SetString(symbols[1])
		return
	}
	if typ == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(at(*seconds)))
		return
	}
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			setAll(v.Field(i), path+"/"+typ.Field(i).Tag.Get("avro"), seconds)
		}
	case reflect.Pointer:
		v.Set(reflect.New(typ.Elem()))
		setAll(v.Elem(), path, seconds)
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{0x00, byte(*seconds), 0xFF})
			return
		}
		v.Set(reflect.MakeSlice(typ, 2, 2))
		for i := range 2 {
			setAll(v.Index(i), fmt.Sprintf("%s/%d", path, i), seconds)
		}
	case reflect.String:
		v.SetString(path)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*seconds))
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic("no value of " + typ.String())
	}
}

// The sample is what its name says: no field of it is left out.
func TestFullResultLacksNothing(t *testing.T) {
	t.Parallel()
	set := 0
	var check func(v reflect.Value, path string)
	check = func(v reflect.Value, path string) {
		if v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 {
			t.Errorf("%s is not set", path)
			return
		}
		set++
		switch {
		case v.Kind() == reflect.Pointer:
			check(v.Elem(), path)
		case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
			check(v.Index(0), path)
		case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
			for i := range v.NumField() {
				check(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		}
	}
	check(reflect.ValueOf(fullIdentificationResult()), "result")
	if set < 300 {
		t.Errorf("%d values looked at: the test is off", set)
	}
}

func leastIdentificationResult() IdentificationResult {
	return IdentificationResult{
		EventID:         "6b0e2b0a-5c3e-5d0c-9a51-3d2f0a7c1e12",
		ClientID:        "TESTCLIENT",
		CaseID:          "7F3KQ2ZP",
		Method:          MethodEID,
		RegulatoryClass: RegulatoryClassGwG,
		StatusType:      StatusTypeFinal,
		Status:          StatusSuccess,
		CaseStatus:      CaseStatus{Status: CaseProgressClosed, Created: at(0), Modified: at(1)},
		ObservedAt:      at(2),
		ObservedBy:      SourceBackfill,
		Nonce:           bytes.Repeat([]byte{0x42}, NonceBytes),
	}
}
