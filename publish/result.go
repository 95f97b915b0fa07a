package publish

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// publishOutputs seals the events and adds their records, and those of the results
// that go out with them or alone. It says how many results there are.
func (w *worker) publishOutputs(ctx context.Context, b *batch, r result, prev, next *schemas.CaseState, out outputs) (results int, err error) {
	var records []*kgo.Record
	withResult := make(map[string]*kgo.Record) // results by the id of their event
	sealed, sequence, hash, err := seal(prev, out.events, func(e schemas.StatusChanged) ([]byte, error) {
		if i := slices.IndexFunc(out.results, func(o owed) bool { return o.event >= 0 && o.base.EventID == e.EventID }); i >= 0 {
			rec, err := w.resultRecord(ctx, &r, out.results[i], &e)
			if err != nil {
				return nil, err
			}
			if rec != nil {
				withResult[e.EventID] = rec
				e.ResultDigest = new(schemas.ResultDigest(rec.Value))
			}
		}
		return w.p.cfg.Encoder.Encode(e)
	})
	if err != nil {
		return 0, err
	}
	if len(sealed) > 0 {
		next.Sequence, next.LastEventHash = sequence, &hash
	}
	for _, o := range out.pending {
		next.Identifications[o.at].RecordsPending.Sequence = sealed[o.event].Event.Sequence
	}
	for _, e := range sealed {
		records = append(records, &kgo.Record{
			Topic: w.p.cfg.Topics.Status, Key: []byte(e.Event.CaseID), Value: e.Value,
			Headers: eventHeaders(e.Event, w.p.cfg.Encoder.ContentType(), r.traceparent()),
		})
		if rec := withResult[e.Event.EventID]; rec != nil {
			records = append(records, rec)
		}
	}
	alone, err := w.resultsAlone(ctx, &r, out)
	if err != nil {
		return 0, err
	}
	records = append(records, alone...)
	b.events = append(b.events, records...)
	return len(records) - len(sealed), nil
}

// resultsAlone are the records of results whose status event went out before.
func (w *worker) resultsAlone(ctx context.Context, r *result, out outputs) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for _, o := range out.results {
		if o.event >= 0 {
			continue
		}
		rec, err := w.resultRecord(ctx, r, o, nil)
		if err != nil {
			return nil, err
		}
		if rec != nil {
			records = append(records, rec)
		}
	}
	return records, nil
}

// resultRecord is the record of a result; e is the status event that goes out with
// it, numbered, nil for a result alone. A result too large for its topic gives
// none: the status event must not wait for what never fits. It is counted, and
// whoever raises nothing can still read the case at its source.
func (w *worker) resultRecord(ctx context.Context, r *result, o owed, e *schemas.StatusChanged) (*kgo.Record, error) {
	if r.full == nil {
		return nil, errNoAnswer // a read without results is no answer for an account that wants them
	}
	v := identificationResult(r.full, o.base)
	if e != nil {
		v.Sequence = &e.Sequence
	}
	v.Nonce = schemas.NewNonce()
	value, cut, err := w.p.cfg.ResultEncoder.Encode(v)
	if tooLarge, ok := errors.AsType[*schemas.TooLargeError](err); ok {
		w.p.metrics.resultLeftOut(ctx, r.account.ClientID)
		w.log.ErrorContext(ctx, "result is too large for its topic, left out", "client_id", r.account.ClientID, "case_id", caseOf(r.key), "size", tooLarge.Size)
		return nil, nil //nolint:nilnil // none
	}
	if err != nil {
		return nil, err
	}
	if cut > 0 {
		w.log.WarnContext(ctx, "unknown fields do not fit into the result", "client_id", r.account.ClientID, "case_id", caseOf(r.key), "left_out", cut)
	}
	return &kgo.Record{
		Topic: w.p.cfg.Topics.Result, Key: []byte(o.base.CaseID), Value: value,
		Headers: eventHeaders(o.base, w.p.cfg.ResultEncoder.ContentType(), r.traceparent()),
	}, nil
}

// identificationResult is the result of the identification that a status event is
// of, but for sequence and nonce.
func identificationResult(full *scr.Result, base schemas.StatusChanged) schemas.IdentificationResult {
	v := schemas.IdentificationResult{
		EventID: base.EventID, ClientID: base.ClientID, CaseID: base.CaseID, ReferenceID: base.ReferenceID,
		Method: base.Method, MethodText: base.MethodText, RegulatoryClass: base.RegulatoryClass,
		StatusType: base.StatusType, Status: base.Status, StatusText: base.StatusText,
		SubStatus: base.SubStatus, SubStatusReason: base.SubStatusReason, Identification: base.Identification,
		CaseStatus: base.CaseStatus, AccountingData: base.AccountingData,
		RecordsState: base.RecordsState, ObservedAt: base.ObservedAt, ObservedBy: base.ObservedBy, Anomaly: base.Anomaly,

		OrderData:              orderData(full.OrderData),
		ContactData:            contactData(full.ContactData),
		UnknownFieldsTruncated: full.UnknownTruncated,
		UnknownFields: each(full.Unknown, func(f scr.UnknownField) schemas.UnknownField {
			return schemas.UnknownField{Path: f.Path, JSON: f.JSON}
		}),
	}
	at := slices.IndexFunc(full.Case.Identifications, func(i scr.Identification) bool { return isOf(&base, &i) })
	if at < 0 || at >= len(full.Identifications) {
		return v
	}
	id := &full.Identifications[at]
	v.IdentificationDocument, v.DrivingLicence = document(id.Document), licence(id.DrivingLicence)
	v.AdditionalDataBasic, v.AdditionalDataEid, v.AdditionalDataVideo = additionalBasic(id.Basic), additionalEID(id.EID), additionalVideo(id.Video)
	v.Records = each(id.Records, func(r scr.RecordResult) schemas.ResultRecord {
		return schemas.ResultRecord{Metadata: metadataOf(&base, r), ValidationRemark: textOrNil(r.ValidationRemark)}
	})
	return v
}

// isOf says whether an event is of an identification.
func isOf(e *schemas.StatusChanged, i *scr.Identification) bool {
	return e.Identification != nil && methodText(e) == i.Method && e.Identification.Created.Equal(wireTime(i.Created))
}

// methodText is the API's own text of an event's method.
func methodText(e *schemas.StatusChanged) string {
	if e.MethodText != nil {
		return *e.MethodText
	}
	return string(e.Method)
}

// metadataOf is a record as the result has it, with the reference of the status
// event. How it was validated makes no other record of it: the result has that of
// one method only.
func metadataOf(e *schemas.StatusChanged, r scr.RecordResult) schemas.RecordMetadata {
	record := scr.Record{ID: r.ID, BelongsTo: r.BelongsTo, Type: r.Type, MimeType: r.MimeType, FileName: r.FileName}
	m := schemas.RecordMetadata{
		RecordID: r.ID, BelongsTo: textOrNil(r.BelongsTo), Type: textOrNil(r.Type), MimeType: textOrNil(r.MimeType), FileName: textOrNil(r.FileName),
	}
	for i := range e.Records {
		of := recordOf(&e.Records[i])
		of.ValidationStatus, of.ValidationSubStatus = "", ""
		if of == record {
			m = e.Records[i]
			break
		}
	}
	m.ValidationStatus, m.ValidationSubStatus = textOrNil(r.ValidationStatus), textOrNil(r.ValidationSubStatus)
	return m
}
