package scrsim

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"postident-bridge/internal/scr"
)

// Facts 2: a case that a client starts, as the client of the real API sees it.
func TestStartOfACase(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	client := newAPI(t, sim)
	a := client.do(http.MethodPost, "", `{
		"processData": {"targetCountry": "DEU", "preferredLanguage": "EN_UK", "referenceId": "REF_0001",
			"webHookUrl": "https://bank.test/hook", "webHookUrlPartner": "https://partner.test/hook",
			"callbackUrlSuccess": {"webUrl": "https://bank.test/done"}},
		"contactDataProvided": {"firstName": "Erika", "lastName": "Mustermann"},
		"customData": {"custom1": "REF_101485489"}
	}`).wants(http.StatusCreated)
	var started struct {
		CaseID     string    `json:"caseId"`
		ValidUntil time.Time `json:"validUntil"`
		WebStart   struct {
			CaseURL string `json:"caseURL"`
		} `json:"webStart"`
		IOSStart struct {
			CaseURLScheme string `json:"caseUrlScheme"`
		} `json:"iosStart"`
		AndroidStart struct {
			PackageName string `json:"packageName"`
		} `json:"androidStart"`
	}
	if err := json.Unmarshal(a.body, &started); err != nil {
		t.Fatal(err)
	}
	if !caseIDPattern.MatchString(started.CaseID) || !started.ValidUntil.After(sim.Now()) ||
		!strings.Contains(started.WebStart.CaseURL, started.CaseID) || started.IOSStart.CaseURLScheme == "" ||
		started.AndroidStart.PackageName == "" {
		t.Errorf("got %s", a.body)
	}
	c := decode[map[string]any](t, client.get("/"+started.CaseID))
	order := c["orderData"].(map[string]any)
	process := order["processData"].(map[string]any)
	if process["referenceId"] != "REF_0001" || process["webHookUrl"] != "https://bank.test/hook" ||
		process["preferredLanguage"] != "EN_UK" || process["callbackUrlSuccess"] == nil {
		t.Errorf("processData %v", process)
	}
	if order["customData"].(map[string]any)["custom1"] != "REF_101485489" ||
		order["contactDataProvided"].(map[string]any)["lastName"] != "Mustermann" {
		t.Errorf("orderData %v", order)
	}
	// It walks by Advance, in a plan that begins online.
	advance(t, sim, started.CaseID)
}

// Facts 2.6: without a referenceId it is the caseId; it is unique per clientId.
func TestReferenceID(t *testing.T) {
	t.Parallel()
	other := testAccount("ACCT0002", scr.ClassTKG)
	sim := newSim(t, Config{Accounts: []Account{testAccount("ACCT0001", scr.ClassGwG), other}})
	client := newAPI(t, sim)
	with := `{"processData":{"referenceId":"REF_0001"}}`
	client.do(http.MethodPost, "", with).wants(http.StatusCreated)
	client.do(http.MethodPost, "/", with).wants(http.StatusConflict)
	client.clientID = "ACCT0002"
	client.do(http.MethodPost, "", with).wants(http.StatusCreated)
	var started struct {
		CaseID string `json:"caseId"`
	}
	if err := json.Unmarshal(client.do(http.MethodPost, "", `{}`).wants(http.StatusCreated).body, &started); err != nil {
		t.Fatal(err)
	}
	info, err := sim.Case(started.CaseID)
	if err != nil || info.ReferenceID != started.CaseID {
		t.Errorf("referenceId %q of case %q, %v", info.ReferenceID, started.CaseID, err)
	}
}

// Facts 2.4, guide 5: what a start is refused for. No refusal repeats content.
func TestStartRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 501)
	client := newAPI(t, newSim(t, Config{}))
	for name, body := range map[string]string{
		"no JSON":                         `secret`,
		"no object":                       `["secret"]`,
		"referenceId too long":            `{"processData":{"referenceId":"secret-secret-1"}}`,
		"referenceId no text":             `{"processData":{"referenceId":4711}}`,
		"webHookUrl with GET parameters":  `{"processData":{"webHookUrl":"https://secret.test/?ref=123"}}`,
		"webHookUrl not absolute":         `{"processData":{"webHookUrl":"secret"}}`,
		"webHookUrl of another scheme":    `{"processData":{"webHookUrl":"ftp://secret.test/"}}`,
		"webHookUrl too long":             `{"processData":{"webHookUrl":"https://secret.test/` + long + `"}}`,
		"webHookUrlPartner likewise":      `{"processData":{"webHookUrlPartner":"https://secret.test/?a"}}`,
		"callback URL too long":           `{"processData":{"callbackUrlDeclined":{"webUrl":"https://secret.test/` + long + `"}}}`,
		"callback URL no object":          `{"processData":{"callbackUrlDeclined":"https://secret.test/"}}`,
		"custom data over 100 characters": `{"customData":{"custom1":"secret` + long + `"}}`,
		"custom6":                         `{"customData":{"custom6":"secret"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := client.do(http.MethodPost, "", body).wants(http.StatusBadRequest)
			if strings.Contains(string(a.body), "secret") {
				t.Errorf("repeats content: %s", a.body)
			}
		})
	}
	client.do(http.MethodPost, "", `"`+strings.Repeat("x", maxStartBody)+`"`).wants(http.StatusRequestEntityTooLarge)
	plain := newAPI(t, client.sim)
	plain.header.Set("Content-Type", "text/plain")
	plain.do(http.MethodPost, "", `{}`).wants(http.StatusUnsupportedMediaType)
}

func FuzzStart(f *testing.F) {
	f.Add([]byte(`{"processData":{"referenceId":"A","webHookUrl":"https://a.test/"},"customData":{"custom1":"x"}}`))
	f.Add([]byte(`{"contactDataProvided":null,"processData":{"callbackUrlSuccess":{}}}`))
	sim, err := New(Config{Accounts: []Account{testAccount("ACCT0001", scr.ClassGwG)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a := newAPI(t, sim).do(http.MethodPost, "", string(body))
		switch a.status {
		case http.StatusCreated:
			var started struct {
				CaseID string `json:"caseId"`
			}
			if err := json.Unmarshal(a.body, &started); err != nil {
				t.Fatal(err)
			}
			if _, err := scr.ParseCase(newAPI(t, sim).get("/" + started.CaseID).wants(http.StatusOK).body); err != nil {
				t.Fatal(err)
			}
			if err := sim.Remove(started.CaseID); err != nil {
				t.Fatal(err)
			}
		case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		default:
			t.Fatalf("status %d: %s", a.status, a.body)
		}
	})
}
