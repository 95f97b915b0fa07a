package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/scr"
)

// letterDocument is a dead letter as JSON has it. It holds no content of bytes
// that are no trigger.
type letterDocument struct {
	Letter       string           `json:"letter"` // PARTITION/OFFSET
	WrittenAt    time.Time        `json:"writtenAt"`
	Reason       string           `json:"reason"`
	Error        string           `json:"error"`
	ErrorClass   string           `json:"errorClass,omitempty"`
	Attempts     int              `json:"attempts"`
	FirstFailed  *time.Time       `json:"firstFailed,omitempty"`
	Inbox        *audit.Place     `json:"inbox,omitempty"`
	RedrivenFrom *audit.Place     `json:"redrivenFrom,omitempty"`
	ClientID     string           `json:"clientId,omitempty"`
	CaseID       string           `json:"caseId,omitempty"`
	Source       string           `json:"source,omitempty"`
	Trigger      *triggerDocument `json:"trigger,omitempty"`
	Bytes        int              `json:"bytes"`                // of the value
	Unreadable   string           `json:"unreadable,omitempty"` // why the value is no trigger
	OtherHeaders int              `json:"otherHeaders"`         // not shown: anybody's
}

// triggerDocument is the rest of what a trigger says.
type triggerDocument struct {
	ReferenceID *string              `json:"referenceId"`
	ReceivedAt  time.Time            `json:"receivedAt"`
	Traceparent *string              `json:"traceparent"`
	Observation *observationDocument `json:"observation"`
}

// observationDocument is what a list showed of the case.
type observationDocument struct {
	ObservedAt      time.Time `json:"observedAt"`
	CaseStatus      string    `json:"caseStatus"`
	Modified        time.Time `json:"modified"`
	Identifications int       `json:"identifications"`
}

func letterDocuments(letters []audit.Letter) []letterDocument {
	out := make([]letterDocument, len(letters))
	for i := range letters {
		out[i] = documentOf(&letters[i])
	}
	return out
}

// documentOf shows of keys and ids only what can be one: bytes that are not ours
// may be anything.
func documentOf(l *audit.Letter) letterDocument {
	doc := letterDocument{
		Letter: strconv.Itoa(int(l.Partition)) + "/" + strconv.FormatInt(l.Offset, 10), WrittenAt: l.At.UTC(),
		Reason: l.Reason, Error: l.ErrorText, ErrorClass: l.ErrorClass, Attempts: l.Attempts,
		Inbox: l.Inbox, RedrivenFrom: l.RedrivenFrom, Bytes: l.Size, OtherHeaders: l.Others,
	}
	if !l.FirstSeen.IsZero() {
		doc.FirstFailed = &l.FirstSeen
	}
	caseID := string(l.Key)
	if t := l.Trigger; t != nil {
		caseID = t.CaseID
		if clientIDPattern.MatchString(t.ClientID) {
			doc.ClientID = t.ClientID
		}
		doc.Source = string(t.Source)
		doc.Trigger = &triggerDocument{ReferenceID: t.ReferenceID, ReceivedAt: t.ReceivedAt.UTC(), Traceparent: t.Traceparent}
		if o := t.Observation; o != nil {
			doc.Trigger.Observation = &observationDocument{o.ObservedAt.UTC(), o.CaseStatus, o.Modified.UTC(), len(o.Identifications)}
		}
	} else {
		doc.Unreadable = l.Unreadable.Error()
	}
	if scr.ValidCaseID(caseID) {
		doc.CaseID = caseID
	}
	return doc
}

// printLetter prints a letter for people.
func (d *desk) printLetter(letter *audit.Letter, older int) error {
	doc := documentOf(letter)
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	moment := func(t time.Time) string { return t.UTC().Format(time.RFC3339) + ", " + d.age(t) + " ago" }
	line("letter", "%s", letter.Place)
	line("written", "%s", moment(doc.WrittenAt))
	line("reason", "%s", doc.Reason)
	line("error", "%s", doc.Error)
	line("tries", "%d", doc.Attempts)
	if doc.FirstFailed != nil {
		line("first failed", "%s", moment(*doc.FirstFailed))
	}
	if doc.RedrivenFrom != nil {
		line("redriven from", "%s", doc.RedrivenFrom)
	}
	if doc.Inbox != nil {
		line("trigger at", "%s", doc.Inbox)
	}
	if letter.Bare {
		line("", "a broker refused the letter whole: the trigger stands only there")
	}
	line("case", "%s", shownOr(doc.CaseID, "not named, or malformed"))
	if t := doc.Trigger; t != nil {
		line("account", "%s", shownOr(doc.ClientID, "malformed"))
		line("source", "%s", doc.Source)
		line("received", "%s", moment(t.ReceivedAt))
		if t.ReferenceID != nil {
			line("referenceId", "%s", *t.ReferenceID)
		}
		if t.Traceparent != nil {
			line("traceparent", "%s", *t.Traceparent)
		}
		if o := t.Observation; o != nil {
			line("list showed", "%s, modified %s, %s", o.CaseStatus, o.Modified.Format(time.RFC3339), plural(o.Identifications, "identification"))
		}
	} else {
		line("value", "%d bytes that are no trigger: %s", doc.Bytes, doc.Unreadable)
	}
	if doc.OtherHeaders > 0 {
		line("headers", "%d others, not shown: they are not the bridge's", doc.OtherHeaders)
	}
	if older > 0 {
		line("older", "%s of this case", plural(older, "letter"))
	}
	_, err := fmt.Fprint(d.main.Stdout, b.String())
	return err
}

func shownOr(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}
