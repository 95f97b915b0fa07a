package scrsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
)

// controlRoutes is the control API. It has no authentication: it is for a test
// network only.
func (s *Simulator) controlRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /sim/v1/cases", control(http.StatusCreated, s.Create))
	mux.HandleFunc("GET /sim/v1/cases/{caseId}", s.onCase(func(id string) (any, error) { return s.Case(id) }))
	mux.HandleFunc("DELETE /sim/v1/cases/{caseId}", s.onCase(func(id string) (any, error) {
		return object{"removed": id}, s.Remove(id)
	}))
	mux.HandleFunc("POST /sim/v1/cases/{caseId}/advance", s.onCase(func(id string) (any, error) { return s.Advance(id) }))
	mux.HandleFunc("GET /sim/v1/faults", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Faults())
	})
	mux.HandleFunc("PUT /sim/v1/faults", control(http.StatusOK, func(f Faults) (Faults, error) {
		err := s.SetFaults(f)
		return s.Faults(), err
	}))
	mux.HandleFunc("POST /sim/v1/load", control(http.StatusAccepted, func(l Load) (Status, error) {
		err := s.StartLoad(l)
		return s.Status(), err
	}))
	mux.HandleFunc("GET /sim/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Status())
	})
	mux.HandleFunc("GET /sim/v1/canaries", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Canaries())
	})
	mux.HandleFunc("GET /sim/v1/canaries/forbidden", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, ForbiddenCanaries())
	})
	mux.HandleFunc("GET /sim/v1/cases/{caseId}/records", s.onCase(func(id string) (any, error) { return s.Records(id) }))
	mux.HandleFunc("GET /sim/v1/cases/{caseId}/answer", s.onCase(func(id string) (any, error) { return s.Answer(id) }))
	mux.HandleFunc("GET /sim/v1/records", recordLines(s.AllRecords))
	mux.HandleFunc("GET /sim/v1/history/records", recordLines(s.HistoryRecords))
	mux.HandleFunc("GET /sim/v1/truth", jsonLines(s.Truth))
	mux.HandleFunc("GET /sim/v1/attempts", jsonLines(s.Attempts))
	mux.HandleFunc("GET /sim/v1/traces", jsonLines(s.Traces))
	mux.HandleFunc("GET /sim/v1/requests", jsonLines(s.allRequests))
	mux.HandleFunc("POST /sim/v1/history", control(http.StatusCreated, func(h History) (Status, error) {
		err := s.AddHistory(h)
		return s.Status(), err
	}))
}

const maxControlBody = 1 << 20

// control decodes a body, calls do, and answers with what it returns.
func control[In, Out any](success int, do func(In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControlBody))
		if err != nil {
			writeControlError(w, http.StatusRequestEntityTooLarge, err)
			return
		}
		var in In
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			writeControlError(w, http.StatusBadRequest, err)
			return
		}
		out, err := do(in)
		if err != nil {
			writeControlError(w, controlStatus(err), err)
			return
		}
		writeJSON(w, success, out)
	}
}

func (*Simulator) onCase(do func(caseID string) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := do(r.PathValue("caseId"))
		if err != nil {
			writeControlError(w, controlStatus(err), err)
			return
		}
		writeJSON(w, http.StatusOK, out)
	}
}

func controlStatus(err error) int {
	switch {
	case errors.Is(err, ErrNoAccount), errors.Is(err, ErrNoCase):
		return http.StatusNotFound
	case errors.Is(err, ErrTaken), errors.Is(err, ErrWalking), errors.Is(err, ErrAtEnd):
		return http.StatusConflict
	default:
		return http.StatusBadRequest
	}
}

// jsonLines writes a log, one JSON object a line, from the index that the query
// names as from.
func jsonLines[T any](log func() []T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		all := log()
		if raw := r.URL.Query().Get("from"); raw != "" {
			from, err := strconv.Atoi(raw)
			if err != nil || from < 0 {
				writeControlError(w, http.StatusBadRequest, errors.New("from is no index"))
				return
			}
			all = all[min(from, len(all)):]
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		e := json.NewEncoder(w)
		for _, line := range all {
			if e.Encode(line) != nil {
				return // the reader has gone
			}
		}
	}
}

// recordLines writes records, one JSON object a line, each as soon as it is summed.
func recordLines(all func() iter.Seq[Record]) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		e := json.NewEncoder(w)
		for record := range all() {
			if e.Encode(record) != nil {
				return // the reader has gone
			}
		}
	}
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := marshal(v)
	if err != nil {
		writeControlError(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n'))
}

func writeControlError(w http.ResponseWriter, code int, err error) {
	writeJSON(w, code, object{"error": err.Error()})
}
