package audit_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
)

// What was kept is what there was, byte by byte, and gets the same verdict.
func TestEvidenceIsKeptWithoutLoss(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	s.inbox[1].Headers = []kgo.RecordHeader{{Key: "\xff\x00", Value: []byte("\xfe")}, {Key: "<é\u2028>", Value: []byte{}}, {Key: "nil"}}
	s.inbox[2].Headers = []kgo.RecordHeader{{Key: "CANARY-x-1"}}
	s.inbox = append(s.inbox, &kgo.Record{Topic: "postident.inbox", Partition: 1, Key: nil, Value: []byte{}}, // not ours
		&kgo.Record{Topic: "postident.inbox", Partition: 1, Key: []byte{}, Value: nil})
	s.evidence.Outputs["old/bridge-1.log"] = []byte("before a restart\n")
	s.evidence.Dump = s.dump()
	dir := t.TempDir()
	if err := s.evidence.Save(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	kept, err := audit.LoadEvidence(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.evidence, kept, cmpopts.IgnoreFields(audit.Evidence{}, "Schema", "Kafka")); diff != "" {
		t.Errorf("kept (-was +is):\n%s", diff)
	}
	again, err := audit.Judge(t.Context(), kept)
	if err != nil {
		t.Fatal(err)
	}
	if first := s.judge(); !cmp.Equal(first, again) || first.Count(audit.Leaked) != 1 {
		t.Errorf("the verdict was %s, with the kept evidence it is %s", first.String(), again.String())
	}
}

// Evidence that is not whole gives no verdict.
func TestEvidenceThatIsNotWholeIsRefused(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	s.evidence.Dump = s.dump()
	for name, damage := range map[string]func(dir string) error{
		"no truth": func(dir string) error { return os.Remove(filepath.Join(dir, "truth.jsonl")) },
		"no topic": func(dir string) error { return os.Remove(filepath.Join(dir, "topics", "postident.inbox.jsonl.gz")) },
		"half a topic": func(dir string) error {
			return os.Truncate(filepath.Join(dir, "topics", "postident.status.v1.jsonl.gz"), 900)
		},
		"truth is no log": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "truth.jsonl"), []byte("{\"clientId\":"), 0o600)
		},
		"not there": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := s.evidence.Save(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := audit.LoadEvidence(dir); err == nil {
				t.Error("no error")
			}
		})
	}
}
