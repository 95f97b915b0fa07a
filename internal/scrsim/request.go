package scrsim

import (
	"net/http"
	"slices"
	"time"
)

// Request is one request that came for an account, whether its credentials were
// right or not.
type Request struct {
	ClientID string `json:"clientId"`
	// User is who asked, by the username of the credentials: "" without any.
	User string `json:"user"`
	// Operation is method and path, as "GET /cases/{caseId}/full".
	Operation string `json:"operation"`
	// At is the real time at which it came, Took how long it was.
	At   time.Time `json:"at"`
	Took Duration  `json:"took"`
	// Status is that of the answer, 0 where there was none.
	Status int `json:"status"`
}

// maxRequests is how many requests of an account are kept, the newest ones.
const maxRequests = 10_000

// requestLog is the requests of one account. Guarded by Simulator.mu.
type requestLog struct {
	counts map[string]int // by operation, of all
	newest []Request      // in the order of their ends; a ring once it is full
	next   int            // the oldest of a full ring
}

func (l *requestLog) add(r Request) {
	if l.counts == nil {
		l.counts = make(map[string]int)
	}
	l.counts[r.Operation]++
	if len(l.newest) < maxRequests {
		l.newest = append(l.newest, r)
		return
	}
	l.newest[l.next] = r
	l.next = (l.next + 1) % maxRequests
}

// Requests returns the requests that came for an account by the order of their
// ends, the newest 10,000 if there were more. Status counts all. It is a copy.
func (s *Simulator) Requests(clientID string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	acct, ok := s.accounts[clientID]
	if !ok {
		return nil
	}
	l := &acct.requests
	return slices.Concat(l.newest[l.next:], l.newest[:l.next])
}

// allRequests is Requests of every account, by when they came.
func (s *Simulator) allRequests() []Request {
	var all []Request
	for _, a := range s.cfg.Accounts {
		all = append(all, s.Requests(a.ClientID)...)
	}
	slices.SortStableFunc(all, func(a, b Request) int { return a.At.Compare(b.At) })
	return all
}

// counted has handle serve an operation, and writes down that it did.
func (s *Simulator) counted(name string, handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		acct := s.accounts[r.PathValue("clientId")]
		if acct == nil {
			handle(w, r)
			return
		}
		begun := time.Now()
		user, _, _ := r.BasicAuth()
		answer := &statusWriter{ResponseWriter: w}
		defer func() { // a cut answer ends in a panic
			s.mu.Lock()
			defer s.mu.Unlock()
			acct.requests.add(Request{
				ClientID: acct.ClientID, User: user, Operation: name,
				At: begun, Took: Duration(time.Since(begun)), Status: answer.status,
			})
		}()
		handle(answer, r)
	}
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter

	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what it controls.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
