package scrsim

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"postident-bridge/internal/scr"
)

// reasonParentsJSON pairs the reasons of the three rows for which the guide
// gives no pairing (facts C8). It is inferred: fit for a simulator, never for a
// client.
//
//go:embed reason-parents.json
var reasonParentsJSON []byte

// codes is one sub status with one reason; either may be absent.
type codes struct{ subStatus, reason *int }

// modelRow is a row of the status model with every pair of codes it is
// simulated with.
type modelRow struct {
	scr.StatusRow

	pairs []codes
}

// descriptionKey finds a description: one code has several texts (facts C11).
type descriptionKey struct {
	method, status string
	reason         bool // a subStatusReason, else a subStatus
	code           int
}

// modelTable is immutable once built.
type modelTable struct {
	rows         map[string]modelRow // by row id
	descriptions map[descriptionKey]string
}

// model panics only if the embedded table is broken, which the tests rule out.
var model = sync.OnceValue(func() modelTable {
	m, err := newModel(scr.StatusRows(), reasonParentsJSON)
	if err != nil {
		panic(err)
	}
	return m
})

func newModel(rows []scr.StatusRow, reasonParents []byte) (modelTable, error) {
	var inferred struct {
		Methods map[string]struct {
			RowID   string           `json:"rowId"`
			Parents map[string][]int `json:"parents"`
		} `json:"methods"`
	}
	if err := json.Unmarshal(reasonParents, &inferred); err != nil {
		return modelTable{}, fmt.Errorf("read reason parents: %w", err)
	}
	parents := make(map[string]map[string][]int)
	for _, m := range inferred.Methods {
		parents[m.RowID] = m.Parents
	}
	m := modelTable{rows: make(map[string]modelRow), descriptions: make(map[descriptionKey]string)}
	for _, r := range rows {
		m.rows[r.ID] = modelRow{StatusRow: r, pairs: pairs(r, parents[r.ID])}
		for _, c := range r.SubStatus {
			m.descriptions[descriptionKey{r.Method, r.Status, false, c.Code}] = c.Description
		}
		for _, c := range r.Reasons {
			m.descriptions[descriptionKey{r.Method, r.Status, true, c.Code}] = c.Description
		}
	}
	return m, nil
}

// pairs lists what a row is simulated with: the inferred pairing where there is
// one, else each sub status with each reason of the row.
func pairs(r scr.StatusRow, parents map[string][]int) []codes {
	var out []codes
	if len(r.SubStatus) == 0 || r.SubStatusOptional {
		out = append(out, codes{})
	}
	for _, sub := range r.SubStatus {
		var reasons []int
		switch {
		case parents != nil:
			reasons = parents[strconv.Itoa(sub.Code)]
		case r.ID == rowVideoOther && sub.Code == 19:
			// Reason 120, a faulty recording, is listed with 12 alone; the
			// simulator has it with both (facts C10).
			out = append(out, codes{&sub.Code, nil})
			reasons = []int{120}
		default:
			for _, c := range r.Reasons {
				reasons = append(reasons, c.Code)
			}
		}
		if len(reasons) == 0 || r.ID == rowVideoExpired {
			out = append(out, codes{&sub.Code, nil})
		}
		for _, reason := range reasons {
			out = append(out, codes{&sub.Code, &reason})
		}
	}
	return out
}

// describe gives a code the guide's text, or "" when the guide has none.
func describe(method, status string, reason bool, code *int) *scr.Code {
	if code == nil {
		return nil
	}
	return &scr.Code{Code: *code, Description: model().descriptions[descriptionKey{method, status, reason, *code}]}
}
