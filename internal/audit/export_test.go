package audit

import "time"

// NewRecordEvent is an event of a case, as no topic has to be read for.
func NewRecordEvent(clientID, caseID string, created time.Time) *RecordEvent {
	return &RecordEvent{ClientID: clientID, CaseID: caseID, created: created.UnixMilli()}
}
