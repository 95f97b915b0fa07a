package schemas

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
)

// A release writes only what the release before can read, and that one finds a
// value's schema by its fingerprint: so all that holds nothing new has the old
// one, and says the same there.

func TestPreviousReleaseReadsTriggers(t *testing.T) {
	t.Parallel()
	plain := fullTrigger()
	for i := range plain.Observation.Identifications[0].Records {
		r := &plain.Observation.Identifications[0].Records[i]
		r.SHA256, r.Size, r.MediaType = nil, nil, nil
	}
	previousReads(t, recordTrigger, plain, EncodeTrigger, DecodeTrigger)
	previousReads(t, recordTrigger, leastTrigger(), EncodeTrigger, DecodeTrigger)
	for name, add := range map[string]func(*RecordMetadata){
		"sha256":    func(r *RecordMetadata) { r.SHA256 = new([]byte{1}) },
		"size":      func(r *RecordMetadata) { r.Size = new(int64(1)) },
		"mediaType": func(r *RecordMetadata) { r.MediaType = new("image/jpeg") },
	} {
		v := leastTrigger()
		v.Observation = &Observation{Identifications: []ObservedIdentification{{}, {Records: []RecordMetadata{{}, {}}}}}
		add(&v.Observation.Identifications[1].Records[1])
		isOfToday(t, name, recordTrigger, v, EncodeTrigger)
	}
}

func TestPreviousReleaseReadsStates(t *testing.T) {
	t.Parallel()
	plain := fullCaseState()
	plain.Identifications[0].RecordsPending = nil
	previousReads(t, recordCaseState, plain, EncodeCaseState, DecodeCaseState)
	previousReads(t, recordCaseState, leastCaseState(), EncodeCaseState, DecodeCaseState)
	for name, add := range map[string]func(*CaseState){
		"records pending": func(s *CaseState) { s.Identifications[1].RecordsPending = &PendingRecords{} },
		"retry kind":      func(s *CaseState) { s.Retry.Kind = RetryRecords },
		"status type":     func(s *CaseState) { s.HooksDue[1].StatusType = StatusTypeRecordsAvailable },
	} {
		v := fullCaseState()
		v.Identifications[0].RecordsPending = nil
		add(&v)
		isOfToday(t, name, recordCaseState, v, EncodeCaseState)
	}
}

// previousReads decodes what is written of v with the previous release's schema
// alone.
func previousReads[T any](t *testing.T, record string, v T, encode func(T) ([]byte, error), decode func([]byte) (T, error)) {
	t.Helper()
	value, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	schema := avro.MustParse(string(readFile(t, filepath.Join(historyDir, previousRelease, record+".avsc"))))
	head := headerOf(schema)
	datum, ok := bytes.CutPrefix(value, head[:])
	if !ok {
		t.Fatalf("%s begins with %x, the previous release knows %x", record, value[:10], head)
	}
	var before T
	if rest, err := schema.Decode(datum, &before); err != nil || len(rest) > 0 {
		t.Fatalf("%s: %v, %d bytes left", record, err, len(rest))
	}
	today, err := decode(value)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, today); diff != "" {
		t.Errorf("%s (-previous release +today):\n%s", record, diff)
	}
}

func isOfToday[T any](t *testing.T, name, record string, v T, encode func(T) ([]byte, error)) {
	t.Helper()
	value, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	head := headerOf(avro.MustParse(string(readFile(t, record+".avsc"))))
	if !bytes.HasPrefix(value, head[:]) {
		t.Errorf("%s: begins with %x, want today's %x", name, value[:10], head)
	}
}

// The release before is the newest whose schema of the record is another one.
func TestPreviousReleaseIsTheNewestThatDiffers(t *testing.T) {
	t.Parallel()
	for _, record := range []string{recordTrigger, recordCaseState} {
		today := fingerprint(avro.MustParse(string(readFile(t, record+".avsc"))))
		newest := ""
		for _, release := range releases(t) {
			if s, ok := releasedSchema(t, release, record); ok && fingerprint(s) != today {
				newest = release
			}
		}
		if newest != previousRelease {
			t.Errorf("%s: written for %s, the release before is %s", record, previousRelease, newest)
		}
	}
}
