package scrsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"postident-bridge/internal/scr"
)

// Limits of POST /cases (facts 2.3, 2.4).
const (
	maxStartBody = 256 << 10
	maxReference = 14
	maxCustom    = 100
)

// startBody is the body of POST /cases, known only from a public client (facts
// 2.3): what is not named here is kept, not refused.
type startBody struct {
	ProcessData                    map[string]json.RawMessage `json:"processData"`
	ContactDataProvided            json.RawMessage            `json:"contactDataProvided"`
	IdentificationDocumentProvided json.RawMessage            `json:"identificationDocumentProvided"`
	DrivingLicenceProvided         json.RawMessage            `json:"drivingLicenceProvided"`
	CustomData                     map[string]string          `json:"customData"`
}

// postCase starts a case (facts 2).
func (s *Simulator) postCase(r *http.Request, c *call) (reply, error) {
	req, err := parseStart(r)
	if err != nil {
		return reply{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := c.acct.references[req.reference]; taken && req.reference != "" {
		return reply{}, refuse(http.StatusConflict, "processData.referenceId", "is not unique")
	}
	// Whoever starts a case online does not come with a paper coupon.
	plan := s.manual.planner.draw(c.acct.nextMethod(), c.acct.Methods)
	for plan.Offline {
		plan = s.manual.planner.draw(scr.MethodBasic, c.acct.Methods)
	}
	made := s.add(c.acct, s.manual, plan, "", &req)
	if s.cfg.Walk != nil {
		s.letWalk(made, nil, *s.cfg.Walk, time.Now())
		s.wakePlayer()
	}
	return reply{code: http.StatusCreated, body: map[string]any{
		"caseId":     made.id,
		"validUntil": wireTimestamp(made.validUntil),
		"webStart":   map[string]any{"caseURL": "https://postident.deutschepost.de/user-portal/identconfiguration/index.html#/?vorgangsnummer=" + made.id},
		"iosStart": map[string]any{
			"caseUrlScheme": "postident://start?caseId=" + made.id, "packageName": "de.deutschepost.postident",
		},
		"androidStart": map[string]any{
			"caseUrlScheme": "postident://start?caseId=" + made.id, "packageName": "de.deutschepost.postident",
		},
	}}, nil
}

func parseStart(r *http.Request) (startRequest, error) {
	if err := needJSON(r); err != nil {
		return startRequest{}, err
	}
	raw, err := readBody(r, maxStartBody)
	if err != nil {
		return startRequest{}, err
	}
	var body startBody
	if err := json.Unmarshal(raw, &body); err != nil {
		return startRequest{}, refuse(http.StatusBadRequest, "body", "is not the JSON of a case")
	}
	return body.request()
}

// request checks the fields; a refusal names the field and never its content.
func (b startBody) request() (startRequest, error) {
	req := startRequest{order: order{
		given: true, process: b.ProcessData, contact: b.ContactDataProvided,
		identDocument: b.IdentificationDocumentProvided, drivingLicence: b.DrivingLicenceProvided,
	}}
	for _, f := range []struct {
		name string
		to   *string
		max  int
	}{
		{"referenceId", &req.reference, maxReference},
		{"webHookUrl", &req.hookURL, maxURL},
		{"webHookUrlPartner", &req.partnerURL, maxURL},
	} {
		if err := textField(b.ProcessData, f.name, f.to, f.max); err != nil {
			return startRequest{}, err
		}
	}
	for name, u := range map[string]string{"webHookUrl": req.hookURL, "webHookUrlPartner": req.partnerURL} {
		if err := checkHookURL(u); err != nil {
			return startRequest{}, refuse(http.StatusBadRequest, "processData."+name, err.Error())
		}
	}
	if err := b.checkCallbacks(); err != nil {
		return startRequest{}, err
	}
	var err error
	req.order.custom, err = b.custom()
	return req, err
}

func (b startBody) checkCallbacks() error {
	for name, raw := range b.ProcessData {
		if !strings.HasPrefix(name, "callbackUrl") {
			continue
		}
		var urls map[string]string // webUrl, iOSUrl, androidUrl
		err := json.Unmarshal(raw, &urls)
		for _, u := range urls {
			if len(u) > maxURL {
				err = errors.New("too long")
			}
		}
		if err != nil {
			return refuse(http.StatusBadRequest, "processData."+name, "is no object of URLs of at most 500")
		}
	}
	return nil
}

var customField = regexp.MustCompile(`^custom[1-5]$`)

func (b startBody) custom() (json.RawMessage, error) {
	if len(b.CustomData) == 0 {
		return nil, nil
	}
	for name, value := range b.CustomData {
		if !customField.MatchString(name) || utf8.RuneCountInString(value) > maxCustom {
			return nil, refuse(http.StatusBadRequest, "customData", "is not custom1 to custom5 of at most 100 characters")
		}
	}
	return marshal(b.CustomData)
}

func textField(from map[string]json.RawMessage, name string, to *string, longest int) error {
	raw, ok := from[name]
	if !ok || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	if err := json.Unmarshal(raw, to); err != nil || utf8.RuneCountInString(*to) > longest {
		return refuse(http.StatusBadRequest, "processData."+name, "is no text of at most the length allowed")
	}
	return nil
}

// maxArchive is the most cases that one request may archive (guide 7.6).
const (
	maxArchive     = 10_000
	maxArchiveBody = 1 << 20
)

// patchArchive marks closed cases as archived and answers with those it has
// marked (guide 7.6): others, and those marked before, are left out.
func (s *Simulator) patchArchive(r *http.Request, c *call) (reply, error) {
	if err := needJSON(r); err != nil {
		return reply{}, err
	}
	raw, err := readBody(r, maxArchiveBody)
	if err != nil {
		return reply{}, err
	}
	var ids []string
	if err := json.Unmarshal(raw, &ids); err != nil || ids == nil {
		return reply{}, refuse(http.StatusBadRequest, "body", "is no array of case ids")
	}
	if len(ids) > maxArchive {
		return reply{}, refuse(http.StatusBadRequest, "body", "holds more than 10000 case ids")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body := make([]map[string]any, 0, len(ids))
	for _, id := range ids {
		if h, i := s.inHistory(id); h != nil && h.acct == c.acct && i >= h.firstKept(s.clock.now()) {
			if h.archived.add(i) {
				body = append(body, map[string]any{"caseId": id, "caseStatus": h.at(i).status()})
			}
			continue
		}
		found := s.cases[id]
		if found == nil || found.acct != c.acct || found.status != scr.CaseClosed || found.archived {
			continue
		}
		found.archived = true
		if c.acct.Wire.ArchiveModifies {
			found.touch(s.clock.now())
		}
		v := found.view()
		body = append(body, map[string]any{"caseId": id, "caseStatus": v.caseStatus()})
	}
	return reply{code: http.StatusOK, body: body}, nil
}

// touch modifies the case without a status change. s.mu is held.
func (c *simCase) touch(now time.Time) {
	if t := now.Truncate(time.Second); t.After(c.modified) {
		c.modified, c.last.newest = t, t
	}
}

// needJSON asks for the Content-Type that guide 7.2.5 makes mandatory, where
// there is content.
func needJSON(r *http.Request) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, "Content-Type", "is not application/json")
	}
	return nil
}

func readBody(r *http.Request, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, refuse(http.StatusRequestEntityTooLarge, "body", "is too large")
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "body", "ends early")
	}
	return raw, nil
}
