package schemas

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The fields that Read spells out are those of one schema. When it changes,
// change Read, and then the fingerprint.
func TestViewKnowsTodaysSchema(t *testing.T) {
	t.Parallel()
	c, err := caseStateCodec()
	if err != nil {
		t.Fatal(err)
	}
	if c.header != plainCaseState || c.previous.header != plainPrevious {
		t.Errorf("CaseStateView.Read knows the schemas %x and %x, those written are %x and %x: every state is read the long way",
			plainCaseState[2:], plainPrevious[2:], c.header[2:], c.previous.header[2:])
	}
}

// Whatever this release writes, Read reads as DecodeCaseState does.
func TestViewReadsWhatIsWritten(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]CaseState{"full": fullCaseState(), "least": leastCaseState()} {
		var v CaseStateView
		if value, err := EncodeCaseState(state); err != nil {
			t.Fatal(err)
		} else if !v.Read(value) {
			t.Errorf("%s: not read", name)
		}
	}
	headers := map[header]int{}
	defer func() { // what is new is drawn often enough
		if headers[plainCaseState] == 0 || headers[plainPrevious] == 0 {
			t.Errorf("values by schema: %v", headers)
		}
	}()
	var v CaseStateView // used again, as a restore does
	rapid.Check(t, func(t *rapid.T) {
		value, err := EncodeCaseState(drawCaseState(t))
		if err != nil {
			t.Fatal(err)
		}
		if !v.Read(value) {
			t.Fatalf("not read: %x", value)
		}
		headers[header(value)]++
		checkView(t, &v, value)
		// Cut, and with something behind it, it is no value.
		for _, odd := range [][]byte{value[:rapid.IntRange(0, len(value)-1).Draw(t, "cut")], append(slices.Clip(value), 0)} {
			if v.Read(odd) {
				t.Fatalf("read: %x", odd)
			}
		}
	})
}

// On any bytes: what Read takes, DecodeCaseState takes, and gives the same.
func FuzzCaseStateView(f *testing.F) {
	for _, state := range []CaseState{fullCaseState(), leastCaseState()} {
		value, err := EncodeCaseState(state)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value[len(plainCaseState):])
	}
	var v CaseStateView
	f.Fuzz(func(t *testing.T, datum []byte) {
		for _, schema := range []header{plainCaseState, plainPrevious} {
			value := append(schema[:], datum...)
			if v.Read(value) {
				checkView(t, &v, value)
			}
		}
	})
}

func checkView(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, v *CaseStateView, value []byte,
) {
	t.Helper()
	want, err := DecodeCaseState(value)
	if err != nil {
		t.Fatalf("read, but it is not to be decoded: %v", err)
	}
	if got := stateOfView(v); !reflect.DeepEqual(got, want) {
		t.Fatalf("read\n%+v\ndecoded\n%+v", got, want)
	}
}

// stateOfView makes of a view what DecodeCaseState gives.
func stateOfView(v *CaseStateView) CaseState {
	s := CaseState{
		ClientID: string(v.ClientID), CaseID: string(v.CaseID), Created: timeOf(v.Created), Sequence: v.Sequence,
		CaseStatus: string(v.CaseStatus), CaseModified: timeOf(v.CaseModified), ValidUntil: timeOf(v.ValidUntil),
		Identifications: []IdentificationState{}, LastReadAt: timeOf(v.LastReadAt),
		UpdatedAt: time.UnixMilli(v.UpdatedAt).UTC(), CaseIDReused: v.CaseIDReused, HooksDue: []HookDue{}, Archived: v.Archived,
	}
	if v.ReferenceID != nil {
		s.ReferenceID = new(string(v.ReferenceID))
	}
	if v.LastEventHash != nil {
		s.LastEventHash = new(append([]byte{}, v.LastEventHash...))
	}
	for _, id := range v.Identifications {
		s.Identifications = append(s.Identifications, IdentificationState{
			Method: string(id.Method), Created: time.UnixMilli(id.Created).UTC(), Modified: time.UnixMilli(id.Modified).UTC(),
			Status: string(id.Status), SubStatus: intOf(id.SubStatus), SubStatusReason: intOf(id.SubStatusReason),
			IdentificationTime: timeOf(id.IdentificationTime), Outputs: append([]Output{}, id.Outputs...), WasFinal: id.WasFinal, RecordsPending: pendingOf(id.RecordsPending),
		})
	}
	if r := v.Retry; r != nil {
		s.Retry = &Retry{
			Kind: r.Kind, Attempt: int(r.Attempt), NotBefore: time.UnixMilli(r.NotBefore).UTC(), Reason: string(r.Reason),
			FirstFailed: time.UnixMilli(r.FirstFailed).UTC(), Partition: int(r.Partition), Offset: r.Offset,
			Trigger: append([]byte{}, r.Trigger...), Faults: int(r.Faults), Hooks: []time.Time{},
		}
		for _, at := range r.Hooks {
			s.Retry.Hooks = append(s.Retry.Hooks, time.UnixMilli(at).UTC())
		}
	}
	for _, d := range v.HooksDue {
		s.HooksDue = append(s.HooksDue, HookDue{
			StatusType: d.StatusType, Modified: time.UnixMilli(d.Modified).UTC(), Until: time.UnixMilli(d.Until).UTC(),
		})
	}
	if d := v.DeadLettered; d != nil {
		s.DeadLettered = &DeadLetterMark{At: time.UnixMilli(d.At).UTC(), Reason: string(d.Reason)}
	}
	return s
}

func timeOf(l OptionalLong) *time.Time {
	if !l.Set {
		return nil
	}
	return new(time.UnixMilli(l.Value).UTC())
}

func pendingOf(p PendingView) *PendingRecords {
	if !p.Set {
		return nil
	}
	return &PendingRecords{Sequence: p.Sequence, Since: time.UnixMilli(p.Since).UTC(), Attempts: p.Attempts}
}

func intOf(l OptionalLong) *int {
	if !l.Set {
		return nil
	}
	return new(int(l.Value))
}

func drawCaseState(t *rapid.T) CaseState {
	text := rapid.String()
	instant := rapid.Custom(func(t *rapid.T) time.Time { return time.UnixMilli(rapid.Int64().Draw(t, "ms")).UTC() })
	code := rapid.Ptr(rapid.Int(), true)
	pending := rapid.Custom(func(t *rapid.T) PendingRecords {
		return PendingRecords{Sequence: rapid.Int64().Draw(t, "pending"), Since: instant.Draw(t, "since"), Attempts: rapid.Int64().Draw(t, "attempts")}
	})
	s := CaseState{
		ClientID: text.Draw(t, "client"), CaseID: text.Draw(t, "case"), Created: rapid.Ptr(instant, true).Draw(t, "created"),
		ReferenceID: rapid.Ptr(text, true).Draw(t, "reference"), Sequence: rapid.Int64().Draw(t, "sequence"),
		LastEventHash: rapid.Ptr(rapid.SliceOfN(rapid.Byte(), 0, 40), true).Draw(t, "hash"), CaseStatus: text.Draw(t, "status"),
		CaseModified: rapid.Ptr(instant, true).Draw(t, "modified"), ValidUntil: rapid.Ptr(instant, true).Draw(t, "until"),
		LastReadAt: rapid.Ptr(instant, true).Draw(t, "read"), UpdatedAt: instant.Draw(t, "updated"), CaseIDReused: rapid.Bool().Draw(t, "reused"),
		Archived: rapid.Bool().Draw(t, "archived"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "identifications") {
		s.Identifications = append(s.Identifications, IdentificationState{
			Method: text.Draw(t, "method"), Created: instant.Draw(t, "created"), Modified: instant.Draw(t, "modified"),
			Status: text.Draw(t, "status"), SubStatus: code.Draw(t, "sub"), SubStatusReason: code.Draw(t, "reason"),
			IdentificationTime: rapid.Ptr(instant, true).Draw(t, "time"), WasFinal: rapid.Bool().Draw(t, "final"),
			Outputs:        rapid.SliceOfN(rapid.SampledFrom(outputSymbols[:]), 0, 5).Draw(t, "outputs"),
			RecordsPending: rapid.Ptr(pending, true).Draw(t, "records"),
		})
	}
	if rapid.Bool().Draw(t, "retry") {
		s.Retry = &Retry{
			Kind: rapid.SampledFrom(retryKindSymbols[:]).Draw(t, "kind"), Attempt: rapid.Int().Draw(t, "attempt"),
			NotBefore: instant.Draw(t, "not before"), Reason: text.Draw(t, "reason"), FirstFailed: instant.Draw(t, "first"),
			Partition: rapid.Int().Draw(t, "partition"), Offset: rapid.Int64().Draw(t, "offset"),
			Trigger: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "trigger"), Faults: rapid.Int().Draw(t, "faults"),
			Hooks: rapid.SliceOfN(instant, 0, 3).Draw(t, "hooks"),
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "hooks due") {
		s.HooksDue = append(s.HooksDue, HookDue{
			StatusType: rapid.SampledFrom(statusTypeSymbols[:]).Draw(t, "type"), Modified: instant.Draw(t, "modified"), Until: instant.Draw(t, "until"),
		})
	}
	if rapid.Bool().Draw(t, "letter") {
		s.DeadLettered = &DeadLetterMark{At: instant.Draw(t, "at"), Reason: text.Draw(t, "reason")}
	}
	return s
}
