package audit

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

const letterTopic = "p.dead-letter"

// letterAt is a letter that was written some minutes after noon.
func letterAt(partition int32, offset int64, caseID string, minutes int) Letter {
	return Letter{
		Place: Place{letterTopic, partition, offset}, At: noon.Add(time.Duration(minutes) * time.Minute), Reason: "not_found",
		Trigger: &schemas.Trigger{ClientID: "ACME", CaseID: caseID, Source: schemas.SourceWebhook},
	}
}

func redriveAt(partition int32, offset int64, minutes int) redrive {
	return redrive{letter: Place{letterTopic, partition, offset}, at: noon.Add(time.Duration(minutes) * time.Minute)}
}

func TestFateOfLetters(t *testing.T) {
	t.Parallel()
	touched := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	foreign := Letter{Place: Place{letterTopic, 0, 9}, At: noon, Key: []byte("CASE1"), Reason: "unreadable_trigger"}
	bare := letterAt(0, 9, "CASE1", 0)
	bare.Bare = true
	for name, tt := range map[string]struct {
		letters  []Letter
		redrives []redrive // of ACME/CASE1
		outcome  *outcome  // of ACME/CASE1
		again    bool
		want     []Fate
	}{
		"nothing happened since":            {letters: []Letter{letterAt(0, 1, "CASE1", 0)}, want: []Fate{FateRedrive}},
		"the newest of a case goes for all": {letters: []Letter{letterAt(0, 1, "CASE1", 0), letterAt(0, 2, "CASE2", 0), letterAt(0, 3, "CASE1", 9)}, want: []Fate{FateCovered, FateRedrive, FateRedrive}},
		"whatever order they come in":       {letters: []Letter{letterAt(0, 3, "CASE1", 9), letterAt(0, 1, "CASE1", 0)}, want: []Fate{FateCovered, FateRedrive}},
		"in two partitions the time counts": {letters: []Letter{letterAt(0, 7, "CASE1", 9), letterAt(1, 1, "CASE1", 0)}, want: []Fate{FateRedrive, FateCovered}},
		"it was redriven":                   {letters: []Letter{letterAt(0, 1, "CASE1", 0)}, redrives: []redrive{redriveAt(0, 1, 5)}, want: []Fate{FateRedriven}},
		"with a clock that is behind":       {letters: []Letter{letterAt(0, 1, "CASE1", 0)}, redrives: []redrive{redriveAt(0, 1, -5)}, want: []Fate{FateRedriven}},
		"a newer one was redriven":          {letters: []Letter{letterAt(0, 1, "CASE1", 0)}, redrives: []redrive{redriveAt(0, 4, 5)}, want: []Fate{FateRedriven}},
		"an older one was redriven":         {letters: []Letter{letterAt(0, 4, "CASE1", 0)}, redrives: []redrive{redriveAt(0, 1, 5)}, want: []Fate{FateRedrive}},
		"one of another partition, later":   {letters: []Letter{letterAt(1, 4, "CASE1", 0)}, redrives: []redrive{redriveAt(0, 1, 5)}, want: []Fate{FateRedriven}},
		"one of another partition, before":  {letters: []Letter{letterAt(1, 4, "CASE1", 9)}, redrives: []redrive{redriveAt(0, 1, 5)}, want: []Fate{FateRedrive}},
		"from a topic of that name before":  {letters: []Letter{letterAt(0, 1, "CASE1", 0)}, redrives: []redrive{redriveAt(0, 7, -90)}, want: []Fate{FateRedrive}},
		"another case was redriven":         {letters: []Letter{letterAt(0, 1, "CASE2", 0)}, redrives: []redrive{redriveAt(0, 1, 5)}, want: []Fate{FateRedrive}},
		"it failed again":                   {letters: []Letter{letterAt(0, 1, "CASE1", 0), letterAt(0, 8, "CASE1", 99)}, redrives: []redrive{redriveAt(0, 1, 5)}, want: []Fate{FateRedriven, FateRedrive}},
		"its case was read well since":      {letters: []Letter{letterAt(0, 1, "CASE1", 0)}, outcome: &outcome{touched: touched(1)}, want: []Fate{FateDone}},
		"its case was read before":          {letters: []Letter{letterAt(0, 1, "CASE1", 2)}, outcome: &outcome{touched: touched(1)}, want: []Fate{FateRedrive}},
		"its case is marked":                {letters: []Letter{letterAt(0, 1, "CASE1", 0)}, outcome: &outcome{touched: touched(1), marked: true}, want: []Fate{FateRedrive}},
		"its case waits":                    {letters: []Letter{letterAt(0, 1, "CASE1", 0)}, outcome: &outcome{touched: touched(1), waits: true}, want: []Fate{FateRedrive}},
		"again":                             {letters: []Letter{letterAt(0, 1, "CASE1", 0), letterAt(0, 2, "CASE1", 1)}, redrives: []redrive{redriveAt(0, 2, 5)}, again: true, want: []Fate{FateCovered, FateRedrive}},
		"bytes that are not ours":           {letters: []Letter{foreign}, again: true, want: []Fate{FateImpossible}},
		"refused whole by a broker":         {letters: []Letter{bare}, again: true, want: []Fate{FateImpossible}},
		"a malformed case id":               {letters: []Letter{letterAt(0, 1, "../CASE1", 0)}, again: true, want: []Fate{FateImpossible}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known := redriveKnowledge{
				redrives: map[string][]redrive{"ACME/CASE1": tt.redrives}, outcomes: make(map[string]outcome), again: tt.again,
				validCase: func(id string) bool { return !strings.Contains(id, "/") },
			}
			if tt.outcome != nil {
				known.outcomes["ACME/CASE1"] = *tt.outcome
			}
			var got []Fate
			for _, p := range known.plan(tt.letters) {
				got = append(got, p.Fate)
				if (p.Why != "") != (p.Fate == FateImpossible) {
					t.Errorf("fate %s because %q", p.Fate, p.Why)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever stands among the dead letters, reading it neither fails nor shows
// content of bytes that are not ours.
func FuzzLetterOf(f *testing.F) {
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: "ACME", CaseID: "CASE1", Source: schemas.SourceWebhook, ReceivedAt: noon})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("CASE1"), value, "postident.error.reason", "not_found", "3", "1024")
	f.Add([]byte("Erika"), []byte("Erika Mustermann"), "x", "Erika", "-1", "9223372036854775808")
	f.Fuzz(func(t *testing.T, key, value []byte, name, text, partition, offset string) {
		l := letterOf(&kgo.Record{
			Topic: letterTopic, Key: key, Value: value, Timestamp: noon,
			Headers: []kgo.RecordHeader{
				{Key: name, Value: []byte(text)},
				{Key: schemas.HeaderRedriveTopic, Value: []byte(letterTopic)},
				{Key: schemas.HeaderRedrivePartition, Value: []byte(partition)},
				{Key: schemas.HeaderRedriveOffset, Value: []byte(offset)},
			},
		})
		if (l.Trigger == nil) != (l.Unreadable != nil) || l.Reason == "" || l.Size != len(value) {
			t.Fatalf("letter %+v", l)
		}
		if (l.Trigger == nil) != (l.caseKey() == "") {
			t.Fatalf("case %q", l.caseKey())
		}
		if l.Trigger == nil && len(value) > 12 && strings.Contains(l.Unreadable.Error(), string(value)) {
			t.Fatalf("the error shows the value: %v", l.Unreadable)
		}
		(&redriveKnowledge{validCase: func(string) bool { return true }}).plan([]Letter{l, l})
	})
}
