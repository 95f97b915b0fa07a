package scr_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

// guideRows is guide 4.1 to 4.5 typed off a second time, without the texts:
// row | status | type as Classify gives it | sub statuses | reasons. A leading
// ? marks sub statuses that may be missing.
const guideRows = `
autoid.started              | started          |              |                         |
autoid.review_pending       | review pending   | notification |                         |
autoid.incomplete           | incomplete       | notification | 80 81 82 83 85 86 87 97 | 800 801 802 803 804 805 806 807 808 809 810 811 817 818 819 820 821 822 823 824 825 826 827 828 829 831 832 833 834 973 974
autoid.cancelled            | cancelled        | cancelled    | 94                      | 900
autoid.success              | success          | final        |                         |
autoid.declined.fraud       | declined         | final        | 11                      | 830 110 111 113 119
autoid.declined.abuse       | declined         | final        | 15                      | 815
autoid.declined.other       | declined         | final        | 84                      | 814 816
autoid.declined.expired     | declined         | final        | 12                      |
basic.started               | started          |              |                         |
basic.coupon_requested      | coupon requested | notification |                         |
basic.incomplete            | incomplete       |              | 53 54 70 71 97 98       |
basic.review_pending        | review pending   | preliminary  |                         |
basic.success               | success          | final        |                         |
basic.declined.fraud        | declined         | final        | 11                      | 115 116
basic.declined.abnormal     | declined         | final        | 16                      | 114 117 112 113 123
basic.declined.data_problem | declined         | final        | 17                      | 118
basic.declined.expired      | declined         | final        | 12                      |
eid.started                 | started          |              |                         |
eid.incomplete              | incomplete       |              | 53 54 59 60 61 62 63 64 97 98 99 | 591 592 600 610 611 612 613 614 620 621 622 623 630 631 640 973 974 975 996 998
eid.success                 | success          | final        |                         |
eid.declined.fraud          | declined         | final        | 11                      | 122
eid.declined.expired        | declined         | final        | 12                      |
photo.started               | started          |              |                         |
photo.review_pending        | review pending   | notification |                         |
photo.incomplete            | incomplete       | notification | 31 32 33 34             |
photo.success               | success          | final        |                         |
photo.declined.fraud        | declined         | final        | 11                      |
photo.declined.abuse        | declined         | final        | 15                      |
photo.declined.expired      | declined         | final        | 12                      |
video.started               | started          |              |                         |
video.incomplete            | incomplete       |              | 51 52 53 54 55 56 57 58 97 98 99 | 200 201 202 203 204 205 206 207 520 523 525 550 570 971 972 973 974 980 981 982 985 986 987 988 989 990 991 992 998
video.review_pending        | review pending   | preliminary  | ? 11 15                 |
video.success               | success          | final        |                         |
video.declined.fraud        | declined         | final        | 11                      | 110 111 112 113 119 121
video.declined.abuse        | declined         | final        | 15                      |
video.declined.other        | declined         | final        | 19 99                   |
video.declined.expired      | declined         | final        | 12                      | 120
`

func formatRow(r scr.StatusRow) string {
	codes := func(cs []scr.Code) string {
		var s []string
		for _, c := range cs {
			s = append(s, fmt.Sprint(c.Code))
		}
		return strings.Join(s, " ")
	}
	sub := codes(r.SubStatus)
	if r.SubStatusOptional {
		sub = "? " + sub
	}
	return strings.Join([]string{r.ID, r.Status, string(r.Type), sub, codes(r.Reasons)}, "|")
}

func TestStatusRowsAreThoseOfGuide4(t *testing.T) {
	t.Parallel()
	var want []string
	for line := range strings.Lines(strings.TrimSpace(guideRows)) {
		var cells []string
		for cell := range strings.SplitSeq(line, "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		want = append(want, strings.Join(cells, "|"))
	}
	var got []string
	for _, r := range scr.StatusRows() {
		got = append(got, formatRow(r))
		if method, _, _ := strings.Cut(r.ID, "."); method != r.Method {
			t.Errorf("row %s has method %q", r.ID, r.Method)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-guide +got):\n%s", diff)
	}
}

// rawModel is the table as the file has it, read without the package's code.
type rawModel struct {
	Methods map[string]struct {
		Rows []struct {
			RowID           string    `json:"rowId"`
			Status          string    `json:"status"`
			StatusType      string    `json:"statusType"`
			SubStatus       []rawCode `json:"subStatus"`
			SubStatusReason []rawCode `json:"subStatusReason"`
		} `json:"rows"`
	} `json:"methods"`
}

type rawCode struct {
	Code int `json:"code"`
}

func readRawModel(t *testing.T) rawModel {
	t.Helper()
	var m rawModel
	if err := json.Unmarshal(scr.StatusJSON, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestClassifyEveryRowAndCodeOfTheTable(t *testing.T) {
	t.Parallel()
	rows, entries, distinct := 0, 0, map[int]bool{}
	for method, m := range readRawModel(t).Methods {
		for _, row := range m.Rows {
			rows++
			want := scr.StatusType(strings.TrimPrefix(row.StatusType, "-"))
			if row.RowID == "autoid.review_pending" {
				want = scr.Notification // C5
			}
			known := scr.Classification{Type: want, Known: true}
			check := func(sub, reason *int) {
				t.Helper()
				entries++
				if got := scr.Classify(method, row.Status, sub, reason); got != known {
					t.Errorf("Classify(%s, %s, %v, %v) = %+v, want %+v", method, row.Status, sub, reason, got, known)
				}
			}
			if got := scr.Classify(method, row.Status, nil, nil); got != known {
				t.Errorf("Classify(%s, %s) = %+v, want %+v", method, row.Status, got, known)
			}
			for _, c := range row.SubStatus {
				check(&c.Code, nil)
				distinct[c.Code] = true
			}
			for _, c := range row.SubStatusReason {
				check(nil, &c.Code)
				distinct[c.Code] = true
			}
		}
	}
	// What status-model.json holds, by facts 9.
	if rows != 38 || entries != 166 || len(distinct) != 132 {
		t.Errorf("%d rows, %d entries, %d distinct codes; want 38, 166, 132", rows, entries, len(distinct))
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	n := func(i int) *int { return &i }
	tests := map[string]struct {
		method, status string
		sub, reason    *int
		want           scr.Classification
	}{
		"C5 autoid review pending is a notification":      {"autoid", "review pending", nil, nil, scr.Classification{Type: scr.Notification, Known: true}},
		"C6 declined 12 is final without a result":        {"basic", "declined", n(12), nil, scr.Classification{Type: scr.Final, Known: true}},
		"C7 11 under review pending is preliminary":       {"video", "review pending", n(11), nil, scr.Classification{Type: scr.Preliminary, Known: true}},
		"C7 11 under declined is final":                   {"video", "declined", n(11), nil, scr.Classification{Type: scr.Final, Known: true}},
		"C7 99 under incomplete has no type":              {"video", "incomplete", n(99), nil, scr.Classification{Known: true}},
		"C7 99 under declined is final":                   {"video", "declined", n(99), nil, scr.Classification{Type: scr.Final, Known: true}},
		"C8 112 under video's 11":                         {"video", "declined", n(11), n(112), scr.Classification{Type: scr.Final, Known: true}},
		"C8 112 under basic's 16":                         {"basic", "declined", n(16), n(112), scr.Classification{Type: scr.Final, Known: true}},
		"C8 a pair that makes no sense is not refused":    {"eid", "incomplete", n(64), n(591), scr.Classification{Known: true}},
		"C10 120 under 12":                                {"video", "declined", n(12), n(120), scr.Classification{Type: scr.Final, Known: true}},
		"C10 120 under 19":                                {"video", "declined", n(19), n(120), scr.Classification{Type: scr.Final, Known: true}},
		"C27 autoid cancelled has its own type":           {"autoid", "cancelled", n(94), n(900), scr.Classification{Type: scr.Cancelled, Known: true}},
		"4.2 the struck-out 115 is still listed":          {"basic", "declined", n(11), n(115), scr.Classification{Type: scr.Final, Known: true}},
		"2.6 incomplete is a notification for photo":      {"photo", "incomplete", n(31), nil, scr.Classification{Type: scr.Notification, Known: true}},
		"2.6 incomplete has no type for basic":            {"basic", "incomplete", n(53), nil, scr.Classification{Known: true}},
		"unknown sub status keeps the type":               {"video", "success", n(11), nil, scr.Classification{Type: scr.Final}},
		"unknown reason keeps the type":                   {"basic", "declined", n(11), n(120), scr.Classification{Type: scr.Final}},
		"a code of another method is unknown":             {"basic", "incomplete", n(80), nil, scr.Classification{}},
		"a sub status is no reason":                       {"autoid", "declined", nil, n(11), scr.Classification{Type: scr.Final}},
		"a status of another method is unknown":           {"basic", "cancelled", nil, nil, scr.Classification{}},
		"eid has no review pending":                       {"eid", "review pending", nil, nil, scr.Classification{}},
		"unknown status":                                  {"video", "escalated", nil, nil, scr.Classification{}},
		"unknown method":                                  {"wallet", "success", nil, nil, scr.Classification{}},
		"the wire's spelling is exact":                    {"Video", "Success", nil, nil, scr.Classification{}},
		"an identification without method":                {"", "success", nil, nil, scr.Classification{}},
		"8.6.1 level 2 and 3 are optional on every state": {"autoid", "declined", nil, nil, scr.Classification{Type: scr.Final, Known: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := scr.Classify(tt.method, tt.status, tt.sub, tt.reason); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestRankOrdersByProgress(t *testing.T) {
	t.Parallel()
	// C25: what may be resumed ranks below what may not, review pending between.
	order := [][]string{
		{"escalated", "", "Success"},
		{scr.StatusStarted},
		{scr.StatusCouponRequested},
		{scr.StatusIncomplete},
		{scr.StatusReviewPending},
		{scr.StatusCancelled},
		{scr.StatusDeclined, scr.StatusSuccess},
	}
	for i, same := range order {
		for _, s := range same {
			if got := scr.Rank(s); got != i-1 {
				t.Errorf("Rank(%q) = %d, want %d", s, got, i-1)
			}
		}
	}
}

func TestStatusRowsBelongToTheCaller(t *testing.T) {
	t.Parallel()
	mine := scr.StatusRows()
	i := slices.IndexFunc(mine, func(r scr.StatusRow) bool { return r.ID == "video.declined.fraud" })
	mine[i].SubStatus[0].Code, mine[i].Reasons[0].Code = -1, -1
	again := scr.StatusRows()
	if again[i].SubStatus[0].Code != 11 || again[i].Reasons[0].Code != 110 {
		t.Error("writing to the rows changed the table")
	}
}

func TestParseModelRefusesABrokenTable(t *testing.T) {
	t.Parallel()
	const head = `{"identificationMethods":["video"],"methods":{"video":{"rows":[`
	tests := map[string]string{
		"no JSON":          `{`,
		"a foreign type":   head + `{"rowId":"a","status":"x","statusType":"Final"}]}}}`,
		"no type":          head + `{"rowId":"a","status":"x"}]}}}`,
		"two types of one": head + `{"rowId":"a","status":"x","statusType":"-"},{"rowId":"b","status":"x","statusType":"final"}]}}}`,
	}
	for name, table := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := scr.ParseModel([]byte(table)); err == nil {
				t.Error("accepted")
			}
		})
	}
}
