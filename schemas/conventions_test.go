package schemas

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
)

// The house rules of a schema: see breaches.
func TestSchemasFollowTheConventions(t *testing.T) {
	t.Parallel()
	for _, r := range records() {
		for _, breach := range breaches(avro.MustParse(string(readFile(t, r.name+".avsc"))).Root(), "") {
			t.Errorf("%s.avsc: %s", r.name, breach)
		}
	}
}

// breaches lists what a schema does that ours do not: a name without doc or in
// a foreign namespace, an enum without the default unknown, a nullable field
// that is not ["null", X] with default null, a union of anything else, a map
// (its bytes have no order), and types that we have no use for.
func breaches(n *avro.SchemaNode, path string) []string {
	var all []string
	breach := func(format string, args ...any) {
		all = append(all, strings.TrimPrefix(path, ".")+": "+fmt.Sprintf(format, args...))
	}
	switch n.Type {
	case "record":
		path += "(" + n.Name + ")"
		if n.Doc == "" {
			breach("record without doc")
		}
		if n.Namespace != "de.postident.bridge" {
			breach("namespace %q", n.Namespace)
		}
		for i := range n.Fields {
			all = append(all, fieldBreaches(&n.Fields[i], path+"."+n.Fields[i].Name)...)
		}
	case "enum":
		if n.Doc == "" {
			breach("enum without doc")
		}
		if n.EnumDefault != "unknown" || n.Symbols[0] != "unknown" {
			breach("enum without the default unknown")
		}
	case "union":
		if len(n.Branches) != 2 || n.Branches[0].Type != "null" {
			breach("a union that is not [null, X]")
			return all
		}
		all = append(all, breaches(&n.Branches[1], path)...)
	case "array":
		all = append(all, breaches(n.Items, path+"[]")...)
	case "long":
		if n.LogicalType != "" && n.LogicalType != "timestamp-millis" {
			breach("logical type %s", n.LogicalType)
		}
	case "string", "bytes", "boolean":
		if n.LogicalType != "" {
			breach("logical type %s", n.LogicalType)
		}
	case "int", "float", "double", "map", "fixed":
		breach("type %s", n.Type)
	default: // a name defined before
	}
	return all
}

func fieldBreaches(f *avro.SchemaField, path string) []string {
	var all []string
	if f.Doc == "" {
		all = append(all, path+": field without doc")
	}
	if f.Type.Type == "union" && (!f.HasDefault || f.Default != nil) {
		all = append(all, path+": nullable field without default null")
	}
	return append(all, breaches(&f.Type, path)...)
}

// The rules above find what they are for.
func TestConventionsFindBreaches(t *testing.T) {
	t.Parallel()
	const field = `{"type":"record","name":"R","namespace":"de.postident.bridge","doc":"d","fields":[{"name":"a","doc":"d","type":%s}]}`
	tests := map[string]string{
		"field without doc":                   `{"type":"record","name":"R","namespace":"de.postident.bridge","doc":"d","fields":[{"name":"a","type":"string"}]}`,
		"record without doc":                  `{"type":"record","name":"R","namespace":"de.postident.bridge","fields":[]}`,
		"namespace":                           `{"type":"record","name":"R","namespace":"other","doc":"d","fields":[]}`,
		"enum without doc":                    fmt.Sprintf(field, `{"type":"enum","name":"E","symbols":["unknown"],"default":"unknown"}`),
		"enum without the default unknown":    fmt.Sprintf(field, `{"type":"enum","name":"E","doc":"d","symbols":["unknown"]}`),
		"nullable field without default null": fmt.Sprintf(field, `["null","string"]`),
		"a union that is not [null, X]":       fmt.Sprintf(field, `["null","string","long"]`),
		"type int":                            fmt.Sprintf(field, `"int"`),
		"type map":                            fmt.Sprintf(field, `{"type":"array","items":{"type":"map","values":"string"}}`),
		"logical type timestamp-micros":       fmt.Sprintf(field, `{"type":"long","logicalType":"timestamp-micros"}`),
	}
	for want, schema := range tests {
		found := strings.Join(breaches(avro.MustParse(schema).Root(), ""), "\n")
		if !strings.Contains(found, want) {
			t.Errorf("%s: not found in %q", want, found)
		}
	}
}

// The encoder writes a schema's default for a field that the struct lacks, and
// leaves out one that the schema lacks: both would lose data without an error.
func TestStructsAndSchemasHaveTheSameFields(t *testing.T) {
	t.Parallel()
	for name, typ := range map[string]reflect.Type{
		recordTrigger:              reflect.TypeFor[Trigger](),
		recordCaseState:            reflect.TypeFor[CaseState](),
		recordPosition:             reflect.TypeFor[Position](),
		recordPollCursor:           reflect.TypeFor[PollCursor](),
		recordBarrier:              reflect.TypeFor[Barrier](),
		recordStatusChanged:        reflect.TypeFor[StatusChanged](),
		recordIdentificationResult: reflect.TypeFor[IdentificationResult](),
	} {
		root := avro.MustParse(string(readFile(t, name+".avsc"))).Root().ExpandReferences()
		if diff := cmp.Diff(schemaFields(root, ""), structFields(typ, "")); diff != "" {
			t.Errorf("%s (-schema +struct):\n%s", name, diff)
		}
	}
}

func schemaFields(n *avro.SchemaNode, path string) []string {
	switch n.Type {
	case "union":
		return schemaFields(&n.Branches[1], path)
	case "array":
		return schemaFields(n.Items, path)
	case "record":
		var all []string
		for _, f := range n.Fields {
			all = append(all, path+f.Name)
			all = append(all, schemaFields(&f.Type, path+f.Name+".")...)
		}
		return all
	default:
		return nil
	}
}

func structFields(typ reflect.Type, path string) []string {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() {
		return nil
	}
	var all []string
	for f := range typ.Fields() {
		name := f.Tag.Get("avro")
		all = append(all, path+name)
		all = append(all, structFields(f.Type, path+name+".")...)
	}
	return all
}

// enums gives the symbols that the constants of records.go stand for, in the
// order of the schemas.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[Source]():          symbols(SourceUnknown, SourceWebhook, SourceSweep, SourceBackfill, SourceRedrive),
	reflect.TypeFor[Method]():          symbols(MethodUnknown, MethodNone, MethodAutoID, MethodBasic, MethodEID, MethodPhoto, MethodVideo),
	reflect.TypeFor[RegulatoryClass](): symbols(RegulatoryClassUnknown, RegulatoryClassGwG, RegulatoryClassTKG, RegulatoryClassEIDAS, RegulatoryClassStandard, RegulatoryClassMobility),
	reflect.TypeFor[StatusType]():      symbols(StatusTypeUnknown, StatusTypeNotification, StatusTypePreliminary, StatusTypeFinal, StatusTypeCancelled, StatusTypeProgress, StatusTypeRecordsAvailable),
	reflect.TypeFor[Status]():          symbols(StatusUnknown, StatusNone, StatusStarted, StatusCouponRequested, StatusIncomplete, StatusReviewPending, StatusCancelled, StatusDeclined, StatusSuccess),
	reflect.TypeFor[CaseProgress]():    symbols(CaseProgressUnknown, CaseProgressNew, CaseProgressInProgress, CaseProgressClosed),
	reflect.TypeFor[Anomaly]():         symbols(AnomalyUnknown, AnomalyAfterFinal, AnomalyUnknownCode, AnomalyCaseIDReused),
	reflect.TypeFor[Output]():          symbols(OutputUnknown, OutputStatus, OutputResult, OutputRecords),
	reflect.TypeFor[RetryKind]():       symbols(RetryUnknown, RetryFault, RetryParked, RetryRecheck, RetryRecords),
	reflect.TypeFor[RecordsState]():    symbols(RecordsStateUnknown, RecordsStateNone, RecordsStatePending, RecordsStateStored),
	reflect.TypeFor[ResultStatus]():    symbols(ResultStatusUnknown, ResultStatusNew, ResultStatusMatch, ResultStatusChange, ResultStatusUnchecked),
}

func symbols[S ~string](all ...S) []string {
	var s []string
	for _, symbol := range all {
		s = append(s, string(symbol))
	}
	return s
}

func TestConstantsAreTheSchemasSymbols(t *testing.T) {
	t.Parallel()
	found := map[string][]string{}
	for _, r := range records() {
		collectEnums(avro.MustParse(string(readFile(t, r.name+".avsc"))).Root(), found)
	}
	want := map[string][]string{}
	for typ, all := range enums {
		want[typ.Name()] = all
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("-constants +schemas:\n%s", diff)
	}
}

func collectEnums(n *avro.SchemaNode, into map[string][]string) {
	switch n.Type {
	case "enum":
		into[n.Name] = n.Symbols
	case "union":
		for i := range n.Branches {
			collectEnums(&n.Branches[i], into)
		}
	case "array":
		collectEnums(n.Items, into)
	case "record":
		for i := range n.Fields {
			collectEnums(&n.Fields[i].Type, into)
		}
	}
}

// One name means one thing: a type that two files define has the same
// definition in both, so that consumers can hold both in one registry context
// or one generated package.
func TestSharedTypesAreDefinedAlike(t *testing.T) {
	t.Parallel()
	defined := map[string]string{}
	shared := 0
	for _, r := range records() {
		root := avro.MustParse(string(readFile(t, r.name+".avsc"))).Root()
		for name, definition := range definitions(t, root) {
			before, ok := defined[name]
			if ok && before != definition {
				t.Errorf("%s is defined differently in %s:\n%s\n%s", name, r.name, before, definition)
			}
			if ok {
				shared++
			}
			defined[name] = definition
		}
	}
	if shared == 0 {
		t.Error("no shared type was found: the comparison compares nothing")
	}
}

func definitions(t *testing.T, n *avro.SchemaNode) map[string]string {
	t.Helper()
	all := map[string]string{}
	var walk func(n *avro.SchemaNode)
	walk = func(n *avro.SchemaNode) {
		if slices.Contains([]string{"record", "enum"}, n.Type) {
			s, err := n.Schema()
			if err != nil {
				t.Fatal(err)
			}
			all[n.Name] = string(s.Canonical())
		}
		for i := range n.Fields {
			walk(&n.Fields[i].Type)
		}
		for i := range n.Branches {
			walk(&n.Branches[i])
		}
		if n.Items != nil {
			walk(n.Items)
		}
	}
	walk(n)
	return all
}
