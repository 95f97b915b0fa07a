package publish

import (
	"os"
	"slices"
	"strings"
	"testing"

	"postident-bridge/internal/sabotage"
)

// A step without a row in the matrix, a row without a crash point in the
// sources, and an outside call in a function that names none: each fails.
func TestEveryStepHasItsRow(t *testing.T) {
	t.Parallel()
	points, err := sabotage.CrashPoints(".",
		[]string{"client", "shared", "group", "groupClient", "cl", "fresh", "stray"},
		// These ask nobody.
		[]string{"AddConsumePartitions", "RemoveConsumePartitions", "PauseFetchTopics", "GroupMetadata", "Broker"},
		[]string{
			"account.Read", "Account.Read", "a.Archive", "account.ReadResult", "Account.ReadResult", "a.ReadResult", "a.Read", "Records.Put",
		})
	if err != nil {
		t.Error(err)
	}
	var rows []string
	for _, row := range matrixRows() {
		rows = append(rows, row.step)
	}
	for _, point := range points {
		if !slices.Contains(rows, point) {
			t.Errorf("crash point %q has no row in the fault matrix", point)
		}
	}
	page, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if !slices.Contains(points, row) {
			t.Errorf("row %q of the fault matrix has no crash point in the sources", row)
		}
		if !strings.Contains(string(page), "`"+row+"`") {
			t.Errorf("row %q is not in the table of docs/architecture.md", row)
		}
	}
}
