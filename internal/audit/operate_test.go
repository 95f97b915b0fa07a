package audit_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/schemas"
)

const (
	stateTopic  = "p.case-state"
	inboxTopic  = "p.inbox"
	letterTopic = "p.dead-letter"
)

// noon is of a day that is past, whenever the tests run: clocks play a part.
var noon = time.Date(2024, 11, 29, 12, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

func newOperated(t *testing.T) []kgo.Opt {
	t.Helper()
	_, opts := newCluster(t, kfake.SeedTopics(partitions, stateTopic, inboxTopic, letterTopic))
	return opts
}

func produce(t *testing.T, cl *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// inPartition puts a record where its case is.
func inPartition(caseID string, r *kgo.Record) *kgo.Record {
	r.Partition = int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(caseID)}, partitions))
	return r
}

func stateRecord(t *testing.T, caseID string, edit func(*schemas.CaseState)) *kgo.Record {
	t.Helper()
	state := schemas.CaseState{ClientID: "ACME", CaseID: caseID, UpdatedAt: noon}
	edit(&state)
	value, err := schemas.EncodeCaseState(state)
	if err != nil {
		t.Fatal(err)
	}
	return inPartition(caseID, &kgo.Record{Topic: stateTopic, Key: []byte("ACME/" + caseID), Value: value})
}

func waits(kind schemas.RetryKind, reason string, since int) func(*schemas.CaseState) {
	return func(s *schemas.CaseState) {
		s.Retry = &schemas.Retry{Kind: kind, Reason: reason, FirstFailed: minute(since), NotBefore: minute(since + 1), Attempt: 2}
	}
}

func nothing(*schemas.CaseState) {}

// The newest state of a case counts; what is no state of a case, or none of ours,
// stops nothing.
func TestReadWaitingKeepsTheNewestState(t *testing.T) {
	t.Parallel()
	opts := newOperated(t)
	cl := newClient(t, opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	position, err := schemas.EncodePosition(schemas.Position{InboxTopicID: "x", UpdatedAt: noon})
	if err != nil {
		t.Fatal(err)
	}
	produce(t, cl,
		stateRecord(t, "DONE", waits(schemas.RetryFault, "not_found", 1)),
		stateRecord(t, "DONE", nothing),
		stateRecord(t, "FORGOTTEN", waits(schemas.RetryFault, "not_found", 1)),
		inPartition("FORGOTTEN", &kgo.Record{Topic: stateTopic, Key: []byte("ACME/FORGOTTEN")}),
		stateRecord(t, "LATER", waits(schemas.RetryFault, "timeout", 9)),
		stateRecord(t, "FIRST", waits(schemas.RetryParked, "unauthorised", 3)),
		stateRecord(t, "CHANGED", waits(schemas.RetryParked, "unauthorised", 3)),
		stateRecord(t, "CHANGED", waits(schemas.RetryRecheck, "unchanged", 5)),
		inPartition("POISON", &kgo.Record{Topic: stateTopic, Key: []byte("ACME/POISON"), Value: []byte("not ours")}),
		inPartition("MENDED", &kgo.Record{Topic: stateTopic, Key: []byte("ACME/MENDED"), Value: []byte("not ours")}),
		stateRecord(t, "MENDED", nothing),
		&kgo.Record{Topic: stateTopic, Key: []byte(schemas.PositionKey), Value: position},
	)
	var read, total int64
	waiting, err := audit.ReadWaiting(t.Context(), audit.Scan{Kafka: opts, Topic: stateTopic, Progress: func(r, n int64) { read, total = r, n }}, audit.WaitingFilter{})
	if err != nil {
		t.Fatal(err)
	}
	want := []audit.WaitingCase{
		{ClientID: "ACME", CaseID: "FIRST", Kind: schemas.RetryParked, Reason: "unauthorised", Attempts: 2, FirstFailed: minute(3), NotBefore: minute(4)},
		{ClientID: "ACME", CaseID: "CHANGED", Kind: schemas.RetryRecheck, Reason: "unchanged", Attempts: 2, FirstFailed: minute(5), NotBefore: minute(6)},
		{ClientID: "ACME", CaseID: "LATER", Kind: schemas.RetryFault, Reason: "timeout", Attempts: 2, FirstFailed: minute(9), NotBefore: minute(10)},
	}
	if diff := cmp.Diff(audit.Waiting{Cases: want, Unreadable: 1}, waiting); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if read != total || total != 12 {
		t.Errorf("progress ended at %d of %d", read, total)
	}
	for name, f := range map[string]audit.WaitingFilter{
		"kind":   {Kinds: []schemas.RetryKind{schemas.RetryFault}},
		"reason": {Reasons: []string{"timeout", "other"}},
		"case":   {Cases: []string{"LATER"}, Accounts: []string{"ACME"}},
	} {
		got, err := audit.ReadWaiting(t.Context(), audit.Scan{Kafka: opts, Topic: stateTopic}, f)
		if err != nil || len(got.Cases) != 1 || got.Cases[0].CaseID != "LATER" {
			t.Errorf("by %s: %v, %v", name, got.Cases, err)
		}
	}
	if got, err := audit.ReadWaiting(t.Context(), audit.Scan{Kafka: opts, Topic: stateTopic}, audit.WaitingFilter{Accounts: []string{"OTHER"}}); err != nil || len(got.Cases) != 0 {
		t.Errorf("of another account: %v, %v", got.Cases, err)
	}
}

// A transaction that stays open hides what stands behind its beginning; reading
// ends all the same, and says so.
func TestReadWaitingSaysWhatAnOpenTransactionHides(t *testing.T) {
	t.Parallel()
	opts := newOperated(t)
	cl := newClient(t, opts, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("worker"))
	shown := stateRecord(t, "SHOWN", waits(schemas.RetryFault, "not_found", 1))
	hides := stateRecord(t, "HIDDEN", waits(schemas.RetryFault, "not_found", 1))
	hides.Partition = shown.Partition
	transact(t, cl, kgo.TryCommit, shown)
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, cl, hides)
	got, err := audit.ReadWaiting(t.Context(), audit.Scan{Kafka: opts, Topic: stateTopic}, audit.WaitingFilter{})
	if err != nil {
		t.Fatal(err)
	}
	want := []audit.Hidden{{Topic: stateTopic, Partition: shown.Partition, Offset: 2, Records: 1}}
	if diff := cmp.Diff(want, got.Hidden); diff != "" || len(got.Cases) != 1 || got.Cases[0].CaseID != "SHOWN" {
		t.Errorf("cases %v, hidden (-want +got):\n%s", got.Cases, diff)
	}
	if s := want[0].String(); s != "p.case-state/"+strconv.Itoa(int(shown.Partition))+": a transaction is open since offset 2: 1 records from there on are not seen" {
		t.Error(s)
	}
}

func TestParkedAccounts(t *testing.T) {
	t.Parallel()
	parked := func(account, reason string, since int) audit.WaitingCase {
		return audit.WaitingCase{ClientID: account, Kind: schemas.RetryParked, Reason: reason, FirstFailed: minute(since)}
	}
	got := audit.ParkedAccounts([]audit.WaitingCase{
		parked("B", "held_back", 4), parked("B", "held_back", 2), parked("B", "unauthorised", 3), parked("B", "busy", 9),
		parked("A", "timeout", 1), parked("A", "server_error", 1), parked("A", "timeout", 5), parked("C", "held_back", 1),
		{ClientID: "D", Kind: schemas.RetryFault, Reason: "not_found", FirstFailed: noon},
	})
	want := []audit.ParkedAccount{
		{ClientID: "A", Reason: "timeout", Cases: 3, Since: minute(1)},
		{ClientID: "B", Reason: "unauthorised", Cases: 4, Since: minute(2)},
		{ClientID: "C", Reason: "held_back", Cases: 1, Since: minute(1)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// letterRecord is a dead letter as the publisher writes it.
func letterRecord(t *testing.T, caseID string, at int, headers ...string) *kgo.Record {
	t.Helper()
	r := &kgo.Record{Topic: letterTopic, Key: []byte(caseID), Timestamp: minute(at)}
	var err error
	if r.Value, err = schemas.EncodeTrigger(schemas.Trigger{ClientID: "ACME", CaseID: caseID, Source: schemas.SourceWebhook, ReceivedAt: noon}); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

func redriveRecord(t *testing.T, caseID string, offset int64, at time.Time) *kgo.Record {
	t.Helper()
	letter := inPartition(caseID, &kgo.Record{})
	r := letterRecord(t, caseID, 0, schemas.HeaderRedriveTopic, letterTopic, schemas.HeaderRedrivePartition, strconv.Itoa(int(letter.Partition)),
		schemas.HeaderRedriveOffset, strconv.FormatInt(offset, 10))
	r.Topic, r.Timestamp = inboxTopic, at
	return r
}

func TestReadLettersReadsWhatHeadersSay(t *testing.T) {
	t.Parallel()
	opts := newOperated(t)
	cl := newClient(t, opts)
	produce(t, cl,
		letterRecord(t, "CASE1", 1,
			"of somebody", "x", "postident.error.reason", "a lie",
			schemas.HeaderRedriveTopic, letterTopic, schemas.HeaderRedrivePartition, "2", schemas.HeaderRedriveOffset, "77",
			"__connect.errors.topic", inboxTopic, "__connect.errors.partition", "1", "__connect.errors.offset", "42",
			"__connect.errors.exception.class.name", "*scr.NotYetError", "__connect.errors.exception.message", "case not found",
			"postident.error.reason", "not_found", "postident.error.attempts", "11", "postident.error.first-seen", "2026-11-29T10:00:00Z"),
		letterRecord(t, "CASE2", 5, "postident.error.reason", "timeout", "__connect.errors.exception.message", "slow"),
		&kgo.Record{Topic: letterTopic, Key: []byte("CASE1"), Value: []byte("Erika Mustermann"), Timestamp: minute(9), Headers: []kgo.RecordHeader{{Key: "postident.error.value", Value: []byte("refused")}}},
		letterRecord(t, "CASE1", 11, "postident.error.reason", "not_found", "__connect.errors.exception.message", "still not found"),
	)
	read := func(f audit.LetterFilter) (letters []audit.Letter, count audit.LetterCount) {
		t.Helper()
		if _, err := audit.ReadLetters(t.Context(), audit.Scan{Kafka: opts, Topic: letterTopic}, f, func(l audit.Letter) {
			letters = append(letters, l)
			count.Add(&l)
		}); err != nil {
			t.Fatal(err)
		}
		return letters, count
	}
	all, count := read(audit.LetterFilter{})
	want := []audit.LetterSummary{
		{Reason: "not_found", Letters: 2, Cases: 1, Oldest: minute(1), Newest: minute(11), FirstError: "case not found", LastError: "still not found"},
		{Reason: "none", Letters: 1, Oldest: minute(9), Newest: minute(9)},
		{Reason: "timeout", Letters: 1, Cases: 1, Oldest: minute(5), Newest: minute(5), FirstError: "slow", LastError: "slow"},
	}
	if diff := cmp.Diff(want, count.Summaries(), cmp.Transformer("utc", func(t time.Time) int64 { return t.UnixMilli() })); diff != "" || len(all) != 4 {
		t.Errorf("%d letters (-want +got):\n%s", len(all), diff)
	}
	first, _ := read(audit.LetterFilter{Cases: []string{"CASE1"}, Until: minute(2)})
	if len(first) != 1 {
		t.Fatalf("%d letters, want the first", len(first))
	}
	l := first[0]
	if *l.Inbox != (audit.Place{Topic: inboxTopic, Partition: 1, Offset: 42}) || *l.RedrivenFrom != (audit.Place{Topic: letterTopic, Partition: 2, Offset: 77}) ||
		l.Reason != "not_found" || l.Attempts != 11 || l.ErrorClass != "*scr.NotYetError" || l.FirstSeen.Hour() != 10 || l.Others != 1 || l.Bare {
		t.Errorf("letter %+v", l)
	}
	for name, tt := range map[string]struct {
		filter audit.LetterFilter
		want   int
	}{
		"account":                       {audit.LetterFilter{Accounts: []string{"ACME"}}, 3},
		"case, by the key too":          {audit.LetterFilter{Cases: []string{"CASE1"}}, 3},
		"reason":                        {audit.LetterFilter{Reasons: []string{"timeout", "none"}}, 2},
		"since, the time itself counts": {audit.LetterFilter{Since: minute(5)}, 3},
		"until, it does not":            {audit.LetterFilter{Until: minute(5)}, 1},
		"place":                         {audit.LetterFilter{At: &l.Place}, 1},
		"no such partition":             {audit.LetterFilter{At: &audit.Place{Partition: 99}}, 0},
	} {
		if got, _ := read(tt.filter); len(got) != tt.want {
			t.Errorf("by %s: %d letters, want %d", name, len(got), tt.want)
		}
	}
}

// What was redriven shows in the inbox; what the inbox has forgotten shows in
// case-state, of which only the partitions in question are read.
func TestPlanRedriveKnowsWhatIsDone(t *testing.T) {
	t.Parallel()
	opts := newOperated(t)
	cl := newClient(t, opts)
	states := newClient(t, opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	totals := make(map[string]int64) // records read, by topic
	plan := func(edit func(*audit.RedriveQuery)) (map[string]audit.Fate, []string) {
		t.Helper()
		fates := make(map[string]audit.Fate)
		var topics []string
		q := audit.RedriveQuery{
			Kafka: opts, DeadLetter: letterTopic, Inbox: inboxTopic, CaseState: stateTopic,
			ValidCase: func(id string) bool { return !strings.Contains(id, "/") },
			Progress: func(topic string) func(_, _ int64) {
				topics = append(topics, topic)
				return func(_, total int64) { totals[topic] = total }
			},
		}
		edit(&q)
		p, err := audit.PlanRedrive(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range p.Letters {
			fates[l.Trigger.CaseID] = l.Fate
		}
		return fates, topics
	}
	plain := func(*audit.RedriveQuery) {}
	// Cases of one partition, so that deleting there forgets all their redrives.
	cases := samePartition(5)
	for i, caseID := range cases {
		produce(t, cl, letterRecord(t, caseID, i, "postident.error.reason", "not_found"))
	}
	other := redriveRecord(t, cases[3], 3, minute(22))
	other.Headers[0].Value = []byte("another bridge's")
	produce(t, cl, redriveRecord(t, cases[0], 0, minute(20)), redriveRecord(t, cases[1], 1, minute(21)), other)
	got, topics := plan(plain)
	want := map[string]audit.Fate{cases[0]: audit.FateRedriven, cases[1]: audit.FateRedriven, cases[2]: audit.FateRedrive, cases[3]: audit.FateRedrive, cases[4]: audit.FateRedrive}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{letterTopic, inboxTopic}, topics); diff != "" {
		t.Errorf("case-state is read without need:\n%s", diff)
	}

	produce(t, cl, redriveRecord(t, "UNRELATED", 9, minute(30)), letterAsTrigger(t, cases[0], minute(40)))
	elsewhere := stateRecord(t, "ELSEWHERE", nothing)
	elsewhere.Partition = (inPartition(cases[0], &kgo.Record{}).Partition + 1) % partitions
	produce(t, states,
		stateRecord(t, cases[0], func(s *schemas.CaseState) { s.UpdatedAt = minute(22) }),
		stateRecord(t, cases[1], func(s *schemas.CaseState) {
			s.UpdatedAt = minute(22)
			s.DeadLettered = &schemas.DeadLetterMark{At: minute(22)}
		}),
		stateRecord(t, cases[2], func(s *schemas.CaseState) { at := minute(33); s.LastReadAt = &at }),
		stateRecord(t, cases[4], func(s *schemas.CaseState) { s.UpdatedAt = minute(22) }),
		inPartition(cases[4], &kgo.Record{Topic: stateTopic, Key: []byte("ACME/" + cases[4])}),
		elsewhere,
	)
	forget(t, opts, cases[0], 3)
	got, topics = plan(plain)
	want = map[string]audit.Fate{cases[0]: audit.FateDone, cases[1]: audit.FateRedrive, cases[2]: audit.FateDone, cases[3]: audit.FateRedrive, cases[4]: audit.FateRedrive}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("once the inbox has forgotten (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{letterTopic, inboxTopic, stateTopic}, topics); diff != "" {
		t.Errorf("topics read:\n%s", diff)
	}
	if totals[stateTopic] != 5 {
		t.Errorf("%d records of case-state read, want those of one partition", totals[stateTopic])
	}
	produce(t, cl, letterRecord(t, cases[3], 200, "postident.error.reason", "not_found"))
	if got, topics = plan(func(q *audit.RedriveQuery) { q.Filter.Since = minute(150) }); len(topics) != 2 || got[cases[3]] != audit.FateRedrive || totals[letterTopic] != 1 {
		t.Errorf("of a letter that the inbox reaches back to: %v, %v read, %d letters", got, topics, totals[letterTopic])
	}
	if got, _ = plan(func(q *audit.RedriveQuery) { q.Again = true }); got[cases[0]] != audit.FateRedrive {
		t.Errorf("again: %v", got)
	}
	if got, topics = plan(func(q *audit.RedriveQuery) { q.Filter.Reasons = []string{"none such"} }); len(got) != 0 || len(topics) != 1 {
		t.Errorf("of no letter: %v, %v read", got, topics)
	}
	if _, err := audit.PlanRedrive(t.Context(), audit.RedriveQuery{Kafka: opts}); err == nil {
		t.Error("a query without a rule for caseIds: no error")
	}
}

// letterAsTrigger is an ordinary trigger in the inbox.
func letterAsTrigger(t *testing.T, caseID string, at time.Time) *kgo.Record {
	t.Helper()
	r := letterRecord(t, caseID, 0)
	r.Topic, r.Timestamp = inboxTopic, at
	return r
}

// samePartition gives caseIds that murmur2 puts into one partition.
func samePartition(n int) []string {
	var out []string
	for i := 0; len(out) < n; i++ {
		if id := "CASE" + strconv.Itoa(i); inPartition(id, &kgo.Record{}).Partition == 0 {
			out = append(out, id)
		}
	}
	return out
}

// forget deletes the first records of a case's inbox partition, as retention does.
func forget(t *testing.T, opts []kgo.Opt, caseID string, records int64) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.AddOffset(inboxTopic, inPartition(caseID, &kgo.Record{}).Partition, records, -1)
	deleted, err := kadm.NewClient(newClient(t, opts)).DeleteRecords(t.Context(), offsets)
	if err != nil {
		t.Fatal(err)
	}
	if err := deleted.Error(); err != nil {
		t.Fatal(err)
	}
}
