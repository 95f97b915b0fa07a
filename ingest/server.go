package ingest

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer returns an HTTP server for h with time-outs that suit webhooks; the
// caller sets Addr and TLSConfig and starts it. h answers every path. A nil
// logger means silence.
func NewServer(h http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler: h,
		// The sender gives up after 2 s (guide 5). A peer that is slower than
		// this, headers and body together, holds a connection for nothing. One
		// value for both spares each request a timer.
		ReadHeaderTimeout: 2 * time.Second,
		ReadTimeout:       2 * time.Second,
		// From the end of the headers: the body's time, the wait for Kafka
		// (under 2 s) and the writing of an answer that fits one packet.
		WriteTimeout: 6 * time.Second,
		// Above the 60 s for which common proxies keep idle connections, so that
		// the proxy closes first and no request meets a closing connection.
		IdleTimeout: 90 * time.Second,
		// A webhook has a dozen short headers.
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}
