package scr_test

import (
	"errors"
	"strings"
	"testing"

	"postident-bridge/internal/scr"
)

func TestParseWebhook(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body   string
		want   scr.Webhook
		reason string // of the error, "" when there is none
	}{
		"guide 5 both ids":                  {body: `{"caseId": "YR9W91GEZK24", "referenceId": "REF_101485489"}`, want: scr.Webhook{CaseID: "YR9W91GEZK24", ReferenceID: "REF_101485489"}},
		"guide 5 no referenceId configured": {body: `{"caseId":"YR9W91GEZK24"}`, want: scr.Webhook{CaseID: "YR9W91GEZK24"}},
		"facts 4 referenceId null":          {body: `{"caseId":"YR9W91GEZK24","referenceId":null}`, want: scr.Webhook{CaseID: "YR9W91GEZK24"}},
		"facts 4 customData of old":         {body: `{"customData":{"custom1":["a",{"b":1}]},"caseId":"YR9W91GEZK24"}`, want: scr.Webhook{CaseID: "YR9W91GEZK24"}},
		"guide 8.1 unknown fields":          {body: `{"caseId":"YR9W91GEZK24","caseID":"OTHER","x":true,"y":1.5e9}`, want: scr.Webhook{CaseID: "YR9W91GEZK24"}},
		"white space around":                {body: "\r\n\t {\"caseId\":\"YR9W91GEZK24\"} \n", want: scr.Webhook{CaseID: "YR9W91GEZK24"}},
		"escaped letters":                   {body: `{"caseId":"\u0059R9W91GEZK24"}`, want: scr.Webhook{CaseID: "YR9W91GEZK24"}},
		"referenceId as a number":           {body: `{"caseId":"A","referenceId":42}`, want: scr.Webhook{CaseID: "A", ReferenceID: "42"}},
		"empty":                             {body: ``, reason: scr.WebhookJSON},
		"cut short":                         {body: `{"caseId":"YR9W91GEZK24"`, reason: scr.WebhookJSON},
		"trailing garbage":                  {body: `{"caseId":"YR9W91GEZK24"}}`, reason: scr.WebhookJSON},
		"two objects":                       {body: `{"caseId":"YR9W91GEZK24"}{"caseId":"OTHER"}`, reason: scr.WebhookJSON},
		"a name twice":                      {body: `{"caseId":"YR9W91GEZK24","caseId":"OTHER"}`, reason: scr.WebhookJSON},
		"a list":                            {body: `[{"caseId":"YR9W91GEZK24"}]`, reason: scr.WebhookJSON},
		"a text":                            {body: `"YR9W91GEZK24"`, reason: scr.WebhookJSON},
		"null":                              {body: `null`, reason: scr.WebhookJSON},
		"a form":                            {body: `caseId=YR9W91GEZK24`, reason: scr.WebhookJSON},
		"caseId a list":                     {body: `{"caseId":["YR9W91GEZK24"]}`, reason: scr.WebhookJSON},
		"referenceId an object":             {body: `{"caseId":"YR9W91GEZK24","referenceId":{"id":"x"}}`, reason: scr.WebhookJSON},
		"no caseId":                         {body: `{"referenceId":"x"}`, reason: scr.WebhookCaseID},
		"caseId null":                       {body: `{"caseId":null}`, reason: scr.WebhookCaseID},
		"caseId empty":                      {body: `{"caseId":""}`, reason: scr.WebhookCaseID},
		"caseId with a path":                {body: `{"caseId":"../../v1/X/cases"}`, reason: scr.WebhookCaseID},
		"caseId in other case of letters":   {body: `{"caseid":"YR9W91GEZK24"}`, reason: scr.WebhookCaseID},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := scr.ParseWebhook([]byte(tt.body))
			if tt.reason == "" {
				if err != nil || got != tt.want {
					t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
				}
				return
			}
			var refused *scr.WebhookError
			if !errors.As(err, &refused) || refused.Reason != tt.reason {
				t.Errorf("got %+v, %v; want reason %s", got, err, tt.reason)
			}
		})
	}
}

func TestValidCaseID(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{
		"YR9W91GEZK24": true, "a": true, "a-B_9": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a/b": false, "a.b": false, "a%2Fb": false,
		"a\n": false, "ä": false, "a\x00": false, "..": false,
	}
	for id, want := range tests {
		if got := scr.ValidCaseID(id); got != want {
			t.Errorf("ValidCaseID(%q) = %t, want %t", id, got, want)
		}
	}
}
