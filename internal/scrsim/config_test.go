package scrsim

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

// Every mistake is reported, and at once.
func TestConfigReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := New(Config{
		TimeScale: -1,
		Accounts: []Account{
			{ClientID: "lower", Class: "none"},
			{
				ClientID: "ACCT0001", Class: scr.ClassGwG, Methods: []string{"hologram"}, Encryption: "maybe",
				Credentials: []Credential{{Username: "u", Access: "guest"}},
				Webhook:     Webhook{URL: "https://a.test/?ref=1", PartnerURL: "nowhere", Types: []scr.StatusType{"progress"}},
				Wire:        Wire{Alg: "dir", Enc: "none", Bounds: "upper"},
			},
			testAccount("ACCT0001", scr.ClassGwG),
		},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"time scale", `account "lower": clientId`, `class: "none"`, "credentials: none", `methods: "hologram"`, `encryption: "maybe"`,
		`access: "guest"`, "must not have query parameters", "not an absolute http or https URL", `webhook types: "progress"`,
		`alg: "dir"`, `enc: "none"`, `bounds: "upper"`, "given twice",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "none given") {
		t.Errorf("without accounts: %v", err)
	}
}

// The examples work, cover all classes and methods, and go through JSON, as the
// file of a command would.
func TestExampleAccounts(t *testing.T) {
	t.Parallel()
	accounts := ExampleAccounts("https://bridge.test")
	newSim(t, Config{Accounts: accounts})
	newSim(t, Config{Accounts: ExampleAccounts("")})
	methods, classes := make(map[string]bool), make(map[scr.RegulatoryClass]bool)
	for _, a := range accounts {
		classes[a.Class] = true
		for _, m := range DefaultMethods(a.Class) {
			methods[m] = true
		}
		if a.Webhook.URL != "https://bridge.test/webhooks/"+a.ClientID {
			t.Errorf("webhook %s", a.Webhook.URL)
		}
	}
	if len(methods) != 5 || len(classes) != 5 {
		t.Errorf("methods %v, classes %v", methods, classes)
	}
	var again []Account
	if err := json.Unmarshal(mustJSON(t, accounts), &again); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(accounts, again); d != "" {
		t.Errorf("through JSON:\n%s", d)
	}
}

// Printing or logging an account shows no secret.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	accounts := ExampleAccounts("https://bridge.test")
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("account", "account", accounts[0], "credential", accounts[0].Credentials[0])
	for _, s := range []string{fmt.Sprintf("%v %+v %#v", accounts, Config{Accounts: accounts}, accounts), logged.String()} {
		if strings.Contains(s, "sim-") {
			t.Errorf("shows a secret: %s", s)
		}
	}
}
