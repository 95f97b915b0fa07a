package scrsim

import (
	"bufio"
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// apiPath is the real host's base path (guide 7.2.3).
const (
	accountPath = "/api/scr/v1/{clientId}"
	apiPath     = accountPath + "/cases"
)

// operation is one operation of the API.
type operation struct {
	status   bool // gives status data only, so partners may call it
	partner  bool // partners may call it although it gives none
	list     bool // shows many cases at once
	fullList bool // is the list of facts C15
	plain    bool // is never encrypted: POST and PATCH (facts 1.9)
	run      func(*http.Request, *call) (reply, error)
}

// call is one authenticated request.
type call struct {
	acct   *account
	cred   Credential
	status bool // give status data only

	distortion // of what the answer gives
}

// reply is what an operation answers before it is encoded. A body that is not
// rawJSON or pieces is encoded as JSON.
type reply struct {
	code   int
	body   any
	header http.Header
	shown  []shownChange
	past   []past // shown, too
}

// rawJSON is a body that is JSON already.
type rawJSON []byte

// apiError is an answer other than success.
type apiError struct {
	code   int
	key    string
	reason string
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.code, e.key, e.reason) }

func refuse(code int, key, reason string) error {
	return &apiError{code: code, key: key, reason: reason}
}

// routes is every path, each with and without a slash at its end (facts C13).
func (s *Simulator) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(method, path string, op operation) {
		serve := s.counted(method+" "+strings.TrimPrefix(path, accountPath), s.serve(op))
		mux.HandleFunc(method+" "+path, serve)
		mux.HandleFunc(method+" "+path+"/{$}", serve)
	}
	single := func(all, status bool) operation {
		return operation{status: status, run: func(r *http.Request, c *call) (reply, error) { return s.getCase(r, c, all) }}
	}
	list := func(all, status bool) operation {
		return operation{
			status: status, list: true, fullList: all && !status,
			run: func(r *http.Request, c *call) (reply, error) { return s.getCases(r, c, all) },
		}
	}
	handle("POST", apiPath, operation{partner: true, plain: true, run: s.postCase})
	handle("PATCH", apiPath+"/archive", operation{plain: true, run: s.patchArchive})
	handle("GET", apiPath, list(false, false))
	handle("GET", apiPath+"/full", list(true, false))
	handle("GET", apiPath+"/status", list(false, true))
	handle("GET", apiPath+"/status/full", list(true, true))
	handle("GET", apiPath+"/{caseId}", single(false, false))
	handle("GET", apiPath+"/{caseId}/full", single(true, false))
	handle("GET", apiPath+"/{caseId}/status", single(false, true))
	handle("GET", apiPath+"/{caseId}/status/full", single(true, true))
	s.controlRoutes(mux)
	return mux
}

// serve runs an operation behind authentication, access and faults.
func (s *Simulator) serve(op operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", s.clock.now().UTC().Format(http.TimeFormat))
		acct, cred, ok := s.authenticate(r)
		if !ok {
			writeUnauthorised(w)
			return
		}
		c := &call{acct: acct, cred: cred, status: op.status}
		if err := c.admit(op); err != nil {
			writeError(w, err)
			return
		}
		fault, faults := s.drawAnswerFault(acct)
		c.distortion = s.drawDistortion(faults)
		if s.preempt(w, r, fault, faults) {
			return
		}
		s.answer(w, r, c, op, fault)
	}
}

// answer runs the operation and writes what comes of it.
func (s *Simulator) answer(w http.ResponseWriter, r *http.Request, c *call, op operation, fault answerFault) {
	var to *recipient
	if !op.plain {
		var err error
		if to, err = s.recipientOf(c.acct, c.cred, r.Header); err != nil {
			writeError(w, refuse(c.acct.Wire.KeyRefusal, "encryption", err.Error()))
			return
		}
	}
	rep, err := op.run(r, c)
	if err != nil {
		writeError(w, err)
		return
	}
	fault = effective(fault, to)
	body, contentType, err := encode(rep.body, to, c.acct.Wire, fault)
	if err != nil {
		writeError(w, err)
		return
	}
	maps.Copy(w.Header(), rep.header)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.FormatInt(body.size, 10))
	w.WriteHeader(rep.code)
	if fault == faultCut {
		_ = body.first(body.size / 2).writeTo(w)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // the server then breaks the connection
	}
	out := io.Writer(w)
	if p, ok := rep.body.(pieces); ok && p.hasFiles() && c.slowBy > 0 {
		out = &pacedWriter{ctx: r.Context(), w: w, size: body.size, over: c.slowBy}
	}
	if !s.written(r.Context(), w, out, body) {
		return
	}
	if (fault == faultNone || fault == faultSlow) && !c.badBase64 {
		s.markSeen(rep, op.list)
	}
}

// written writes body through to the connection and reports whether all of it
// went out to someone who still waits.
func (*Simulator) written(ctx context.Context, w http.ResponseWriter, out io.Writer, body outgoing) bool {
	buffered := bufio.NewWriterSize(out, int(min(body.size, 1<<16)))
	if body.writeTo(buffered) != nil || buffered.Flush() != nil {
		return false
	}
	err := http.NewResponseController(w).Flush()
	return (err == nil || errors.Is(err, http.ErrNotSupported)) && ctx.Err() == nil
}

// authenticate checks Basic authentication; an unknown clientId is answered
// like a wrong password (guide 7.7).
func (s *Simulator) authenticate(r *http.Request) (*account, Credential, bool) {
	acct := s.accounts[r.PathValue("clientId")]
	user, password, ok := r.BasicAuth()
	if acct == nil || !ok {
		return nil, Credential{}, false
	}
	for _, c := range acct.Credentials {
		sameUser := subtle.ConstantTimeCompare([]byte(c.Username), []byte(user))
		samePassword := subtle.ConstantTimeCompare([]byte(c.Password), []byte(password))
		if sameUser&samePassword == 1 {
			return acct, c, true
		}
	}
	return nil, Credential{}, false
}

// admit keeps partners from results (guide 9, facts C15).
func (c *call) admit(op operation) error {
	if c.cred.Access != AccessPartner || op.status || op.partner {
		return nil
	}
	if op.fullList && c.acct.Wire.PartnerFullList {
		c.status = true
		return nil
	}
	return refuse(c.acct.Wire.PartnerRefusal, "access", "partners get status data only")
}

func (s *Simulator) drawAnswerFault(acct *account) (answerFault, FaultSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults := s.faults.of(acct.ClientID)
	return faults.answer(s.rng), faults
}

// preempt lets a fault befall the request before it is looked at, and reports
// whether that was all.
func (*Simulator) preempt(w http.ResponseWriter, r *http.Request, fault answerFault, f FaultSet) bool {
	switch fault {
	case faultUnauthorised:
		writeUnauthorised(w)
	case faultRateLimited:
		if f.RetryAfter > 0 {
			seconds := (time.Duration(f.RetryAfter) + time.Second - 1) / time.Second
			w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
		}
		writeError(w, refuse(http.StatusTooManyRequests, "rate", "too many requests"))
	case faultServerError:
		setDefault(&f.ServerErrorStatus, http.StatusServiceUnavailable)
		writeError(w, refuse(f.ServerErrorStatus, "server", "not available"))
	case faultSlow:
		timer := time.NewTimer(time.Duration(f.SlowBy))
		defer timer.Stop()
		select {
		case <-timer.C:
			return false
		case <-r.Context().Done():
			return true
		}
	case faultNone, faultCut, faultTruncated, faultWrongKey, faultPlainJSON, faultWrongAlg:
		return false
	}
	return true
}

// effective is the fault that an answer in the clear can have.
func effective(fault answerFault, to *recipient) answerFault {
	switch fault {
	case faultWrongKey, faultPlainJSON, faultWrongAlg:
		if to == nil {
			return faultNone
		}
		return fault
	default:
		return fault
	}
}

// encode writes body as JSON and encrypts it, unless a fault has it otherwise.
func encode(body any, to *recipient, wire Wire, fault answerFault) (out outgoing, contentType string, err error) {
	switch body := body.(type) {
	case rawJSON:
		out = ready(body)
	case pieces:
		out = body.out()
	default:
		text, err := marshal(body)
		if err != nil {
			return outgoing{}, "", err
		}
		out = ready(text)
	}
	contentType = "application/json;charset=UTF-8"
	if to != nil && fault != faultPlainJSON {
		sealFor := *to
		if fault == faultWrongAlg {
			sealFor.alg = wrongAlg
		}
		jwe, err := seal(out, sealFor, wire.Enc)
		if err != nil {
			return outgoing{}, "", err
		}
		contentType = wire.JWEContentType
		if fault == faultWrongKey {
			jwe.rekey()
		}
		out = jwe.out()
	}
	if fault == faultTruncated {
		out = out.first(out.size * 2 / 3)
	}
	return out, contentType, nil
}

// marshal writes v as JSON without escaping what HTML would need escaped.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// getCase is guide 7.4: one case, with all identifications or the primary one.
func (s *Simulator) getCase(r *http.Request, c *call, all bool) (reply, error) {
	pdf, err := boolParam(r, "includeResultPdf", false)
	if err != nil {
		return reply{}, err
	}
	binary, err := boolParam(r, "includeBinaryData", false)
	if err != nil {
		return reply{}, err
	}
	o := rendering{all: all, status: c.status, pdf: pdf, binary: binary, distortion: c.distortion}
	v, old := s.find(c.acct, r.PathValue("caseId"), time.Now(), o)
	rep := reply{code: http.StatusOK}
	switch {
	case v != nil:
		rep.shown = v.shownChanges(all)
	case old.history == nil:
		return reply{}, refuse(http.StatusNotFound, "caseId", "case not found")
	case !old.Results:
		rep.body, rep.past = rawJSON(old.appendTo(nil, o)), []past{old}
		return rep, nil
	default:
		rep.past = []past{old}
		v = new(old.view())
	}
	if o.status || !o.binary {
		rep.body = v.render(o)
		return rep, nil
	}
	body, err := marshalPieces(v.render(o), c.acct.Wire.DocumentDataFirst)
	if err != nil {
		return reply{}, err
	}
	if o.badBase64 {
		body.spoil()
	}
	rep.body = body
	return rep, nil
}

// find takes a case as a single read shows it now: one that walks, or one of a
// history, or neither.
func (s *Simulator) find(acct *account, caseID string, now time.Time, o rendering) (*view, past) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cases[caseID]; c != nil && c.acct == acct {
		v := c.read(now)
		if v == nil || !o.pdf || o.status {
			return v, past{}
		}
		shown := *v // v may be kept to be shown again
		shown.pdfLate = c.latePDF(now)
		return &shown, past{}
	}
	if h, i := s.inHistory(caseID); h != nil && h.acct == acct && i >= h.firstKept(s.clock.at(now)) {
		return nil, h.at(i)
	}
	return nil, past{}
}

func (v view) shownChanges(all bool) []shownChange {
	var shown []shownChange
	for _, i := range v.shown(all) {
		shown = append(shown, shownChange{v.c, i})
	}
	return shown
}

func boolParam(r *http.Request, name string, byDefault bool) (bool, error) {
	raw := r.URL.Query().Get(name)
	if raw == "" {
		return byDefault, nil
	}
	switch raw {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, refuse(http.StatusBadRequest, name, "is neither true nor false")
}

func writeUnauthorised(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="SCR"`)
	writeError(w, refuse(http.StatusUnauthorized, "authorization", "Unauthorized"))
}

// writeError answers with an error; the shape of its body is not known (facts
// 2.13), and no client should read it.
func writeError(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		e = &apiError{code: http.StatusInternalServerError, key: "server", reason: err.Error()}
	}
	body, err := marshal(map[string]any{"errors": []any{map[string]string{"key": e.key, "reason": e.reason}}})
	if err != nil {
		body = nil
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.code)
	_, _ = w.Write(body)
}
