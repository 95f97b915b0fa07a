package scrsim

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/scr"
)

// The checker reads our truth as it stands: this is the conversion.
var _ = audit.Change(Change{})

// Whoever reads the whole case after each step sees the truth: one change each
// time, equal to the one that is written down, and every one marked as seen.
func TestTruthIsWhatAReaderSees(t *testing.T) {
	t.Parallel()
	for _, ties := range []bool{false, true} {
		accounts := ExampleAccounts("")
		for i := range accounts {
			accounts[i].Encryption = EncryptionOff
		}
		sim := newSim(t, Config{Seed: 17, Accounts: accounts, Ties: ties})
		for i := range 400 {
			acct := accounts[i%len(accounts)]
			info, err := sim.Create(NewCase{ClientID: acct.ClientID})
			if err != nil {
				t.Fatal(err)
			}
			client := newAPI(t, sim)
			client.clientID, client.username, client.password = acct.ClientID, acct.Credentials[0].Username, acct.Credentials[0].Password
			seen := make(map[string]Change)
			for {
				a, err := sim.Advance(info.CaseID)
				if errors.Is(err, ErrAtEnd) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				c, err := scr.ParseCase(client.get("/" + info.CaseID + "/full").wants(200).body)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff([]Change{a.Change}, changesSeen(acct.ClientID, c, seen)); d != "" {
					t.Fatalf("plan %+v, step %+v (-truth +seen):\n%s", info.Plan, a, d)
				}
			}
		}
		for i, c := range sim.Truth() {
			if !c.Seen {
				t.Errorf("change %d is not marked as seen", i)
			}
		}
	}
}

// changesSeen is what is new in c against what was seen before: the bridge's
// rule, written down a second time and as plainly as can be.
func changesSeen(clientID string, c scr.Case, seen map[string]Change) []Change {
	var changes []Change
	note := func(key string, ch Change) {
		ch.ClientID, ch.CaseID, ch.CaseCreated = clientID, c.CaseID, c.Status.Created.UTC()
		if ch.StatusType == "" {
			ch.StatusType = statusTypeProgress
		}
		before := seen[key]
		seen[key] = ch
		before.Modified = ch.Modified
		if !cmp.Equal(before, ch) {
			changes = append(changes, ch)
		}
	}
	for _, id := range c.Identifications {
		ch := Change{
			Method: id.Method, IdentCreated: id.Created.UTC(), Status: id.Status, IdentificationTime: id.IdentificationTime.UTC(),
			Modified: id.Modified.UTC(),
		}
		if id.SubStatus != nil {
			ch.SubStatus = &id.SubStatus.Code
		}
		if id.SubStatusReason != nil {
			ch.Reason = &id.SubStatusReason.Code
		}
		ch.StatusType = string(scr.Classify(id.Method, id.Status, ch.SubStatus, ch.Reason).Type)
		note(id.Method+ch.IdentCreated.String(), ch)
	}
	if _, told := seen["case"]; len(changes) == 0 && c.Status.Status == scr.CaseClosed && !told {
		note("case", Change{Modified: c.Status.Modified.UTC()})
	}
	return changes
}
