package ingest

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// outcome is what one request came to: it decides the answer, and is the unit
// of counting.
type outcome int

// The outcomes, in the order in which they are found. Only accepted is a 200,
// and only the outcomes of design 8 are 4xx: whatever is our own fault is 5xx,
// so that the sender tries again.
const (
	accepted outcome = iota
	refusedMethod
	refusedPath
	refusedContentType
	refusedSize
	refusedAddress
	refusedCredentials
	refusedJSON
	refusedCaseID
	failedRead            // the body did not arrive
	failedEncode          // a defect of ours
	failedOverload        // too many wait already, or the producer's buffer is full
	failedProduce         // Kafka refused the trigger
	failedAcknowledge     // Kafka did not answer in time; the trigger may still be written
	abandonedBySender     // the sender hung up; the trigger may still be written
	outcomes          int = iota
)

// answer is an outcome's face: the same bytes every time, so that no input can
// be reflected in it.
type answer struct {
	code   int
	reason string // of the error body and of the metric
	body   []byte // of an error
}

var answers = [outcomes]answer{
	accepted:           {code: http.StatusOK, reason: "accepted"},
	refusedMethod:      refusal(http.StatusMethodNotAllowed, "method", "Only POST is answered here."),
	refusedPath:        refusal(http.StatusNotFound, "path", "No account is configured under this path; webhooks go to /webhooks/<clientId>."),
	refusedContentType: refusal(http.StatusUnsupportedMediaType, "content_type", "The content type must be application/json, without content coding."),
	refusedSize:        refusal(http.StatusRequestEntityTooLarge, "size", "The body is larger than 8 KiB."),
	refusedAddress:     refusal(http.StatusForbidden, "address", "The client address is not allowed."),
	refusedCredentials: refusal(http.StatusUnauthorized, "credentials", "The credentials are missing or wrong."),
	refusedJSON:        refusal(http.StatusBadRequest, "json", "The body is not a JSON object as guide 5 shows it."),
	refusedCaseID:      refusal(http.StatusBadRequest, "case_id", "The body has no caseId or a malformed one."),
	failedRead:         refusal(http.StatusServiceUnavailable, "read", "The body did not arrive in full. Try again."),
	failedEncode:       refusal(http.StatusInternalServerError, "encode", "The trigger could not be written. Try again."),
	failedOverload:     refusal(http.StatusServiceUnavailable, "overload", "Too many webhooks wait for Kafka. Try again."),
	failedProduce:      refusal(http.StatusServiceUnavailable, "produce", "Kafka refused the trigger. Try again."),
	failedAcknowledge:  refusal(http.StatusServiceUnavailable, "not_acknowledged", "Kafka did not acknowledge in time. Try again."),
	abandonedBySender:  refusal(http.StatusServiceUnavailable, "abandoned", "The request ended before Kafka acknowledged. Try again."),
}

// refusal builds the one error body that the webhook has.
func refusal(code int, reason, message string) answer {
	type errorBody struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(struct {
		Error errorBody `json:"error"`
	}{errorBody{reason, message}})
	if err != nil {
		panic(err) // two constant strings
	}
	return answer{code: code, reason: reason, body: append(body, '\n')}
}

// retryAfter is what a 503 advises, in seconds. POSTIDENT keeps its own times
// (guide 5), proxies and hand-made clients follow it.
const retryAfter = "2"

// write sends the answer. That the sender is gone is not worth an error: the
// outcome is counted either way.
//
// Crash point "answer": the trigger is durable; a sender that got no answer tries
// again.
func (a *answer) write(w http.ResponseWriter) {
	if len(a.body) == 0 {
		w.WriteHeader(a.code) // without a header of our own: the server copies those
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	switch a.code {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Basic realm="webhooks", charset="UTF-8"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", retryAfter)
	}
	w.WriteHeader(a.code)
	_, _ = w.Write(a.body)
}
