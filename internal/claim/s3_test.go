package claim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postident-bridge/internal/claim"
	"postident-bridge/internal/counterpart"
)

// everyCall makes each call that a store has, beside each other, with an object
// that is not there.
func everyCall(ctx context.Context, s *claim.Store) map[string]error {
	var put, check, list, verify error
	var wait sync.WaitGroup
	wait.Go(func() { _, put = s.Put(ctx, object([]byte("canary-content"))) })
	wait.Go(func() { _, check = s.Check(ctx) })
	wait.Go(func() {
		for _, list = range s.List(ctx, "", "") {
		}
	})
	wait.Go(func() {
		r := claim.Reference{Location: s.Location(nameOf(nil)), SHA256: digest(nil), MediaType: "application/pdf"}
		_, verify = s.Verify(ctx, r)
	})
	wait.Wait()
	return map[string]error{"put": put, "check": check, "list": list, "verify": verify}
}

func TestS3Refuses(t *testing.T) {
	t.Parallel()
	server := counterpart.StartS3(t)
	server.MakeBucket(t, "records")
	for name, url := range map[string]string{
		"wrong secret":   server.URL("records", "prefix") + "&profile=wrong-secret",
		"unknown key":    server.URL("records", "prefix") + "&profile=unknown-key",
		"missing bucket": server.URL("canary-bucket", "prefix"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, url)
			for call, err := range everyCall(t.Context(), s) {
				refused, ok := errors.AsType[*claim.RefusedError](err)
				if !ok || refused.Code == "" && refused.Status == 0 {
					t.Errorf("%s: %v, want refused", call, err)
					continue
				}
				for _, secret := range []string{"canary", clientID, caseID, digest([]byte("canary-content")), "http"} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("%s: %q holds %q", call, err, secret)
					}
				}
			}
		})
	}
}

// A server that dies in the midst of an upload makes it unavailable, and what it
// had of the object is not there when it is back.
func TestS3ServerDiesInAnUpload(t *testing.T) {
	t.Parallel()
	server := counterpart.StartS3(t)
	server.MakeBucket(t, "records")
	s := openStore(t, server.URL("records", "prefix"))
	content := bytesOf(10, 20<<20)
	o, opened := object(content), 0
	o.Open = func() io.Reader {
		if opened++; opened != 2 {
			return bytes.NewReader(content)
		}
		kill := readerFunc(func([]byte) (int, error) { return 0, server.Kill(t.Context()) })
		return io.MultiReader(bytes.NewReader(content[:10<<20]), once(kill), bytes.NewReader(content[10<<20:]))
	}
	_, err := s.Put(t.Context(), o)
	if _, ok := errors.AsType[*claim.UnavailableError](err); !ok || opened < 2 {
		t.Fatalf("killed in the upload: %v", err)
	}
	for call, err := range everyCall(t.Context(), s) {
		if _, ok := errors.AsType[*claim.UnavailableError](err); !ok || strings.Contains(err.Error(), caseID) {
			t.Errorf("%s without a server: %v", call, err)
		}
	}
	server.Start(t)
	if l := list(t, s); len(l) != 0 {
		t.Errorf("left behind: %+v", l)
	}
	stored := put(t, s, object(content))
	if v, err := s.Verify(t.Context(), stored.Reference); stored.Existed || v != claim.Intact || err != nil {
		t.Errorf("%+v, %v, %v", stored, v, err)
	}
}

// once ends a reader after its first call.
func once(r io.Reader) io.Reader {
	return io.MultiReader(readerFunc(func(p []byte) (int, error) {
		if n, err := r.Read(p); err != nil {
			return n, err
		}
		return 0, io.EOF
	}))
}

// A server that falls silent holds nobody beyond the context's deadline.
func TestS3ServerFallsSilentInAnUpload(t *testing.T) {
	t.Parallel()
	server := counterpart.StartS3(t)
	server.MakeBucket(t, "records")
	s := openStore(t, server.URL("records", "prefix"))
	content := bytesOf(11, 40<<20) // more than the buffers between client and server hold
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	o, opened := object(content), 0
	o.Open = func() io.Reader {
		if opened++; opened != 2 {
			return bytes.NewReader(content)
		}
		pause := readerFunc(func([]byte) (int, error) {
			if err := server.Pause(t.Context()); err != nil {
				return 0, err
			}
			time.AfterFunc(500*time.Millisecond, func() { cancel(context.DeadlineExceeded) })
			return 0, nil
		})
		return io.MultiReader(bytes.NewReader(content[:1<<20]), once(pause), bytes.NewReader(content[1<<20:]))
	}
	begin := time.Now()
	_, err := s.Put(ctx, o)
	if _, ok := errors.AsType[*claim.UnavailableError](err); !ok || time.Since(begin) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	short, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	for call, err := range everyCall(short, s) {
		if _, ok := errors.AsType[*claim.UnavailableError](err); !ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", call, err)
		}
	}
	server.Resume(t)
	if stored := put(t, s, object(content)); stored.Existed {
		t.Error("the half object was there")
	}
}

// faults stand between a store and its server. Each request is given to handle
// first; true means that it was answered there.
type faults struct {
	*httptest.Server

	mu     sync.Mutex
	handle func(http.ResponseWriter, *http.Request) bool
	lose   func(*http.Request) bool // whose answer gets lost
}

func newFaults(t *testing.T, server counterpart.S3) *faults {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	f := &faults{}
	transport := &http.Transport{DisableKeepAlives: true}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is part of the signature
		},
		Transport: transport,
		ModifyResponse: func(r *http.Response) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.lose != nil && f.lose(r.Request) {
				return errors.New("lost")
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		handle := f.handle
		f.mu.Unlock()
		if handle == nil || !handle(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *faults) set(handle func(http.ResponseWriter, *http.Request) bool, lose func(*http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handle, f.lose = handle, lose
}

// answerS3 answers as S3 does when it is at odds with a request.
func answerS3(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>canary-message</Message></Error>")
}

func is(method string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == method }
}

//nolint:paralleltest,tparallel // the parts share one proxy
func TestS3Faults(t *testing.T) {
	t.Parallel()
	server := counterpart.StartS3(t)
	server.MakeBucket(t, "records")
	f := newFaults(t, server)
	base := "s3://records/faults?endpoint=" + f.URL
	s := openStore(t, base)
	seed := uint64(1000)
	draw := func(n int) []byte { seed++; return bytesOf(seed, n) }
	next := func() []byte { return draw(3 << 20) }

	t.Run("the answer to an upload gets lost", func(t *testing.T) {
		var lost atomic.Bool
		f.set(nil, func(r *http.Request) bool { return r.Method == http.MethodPut && lost.CompareAndSwap(false, true) })
		// A small one: the second attempt is refused before its body is read, and of a
		// larger one the proxy might see the reset connection before the answer.
		stored := put(t, s, object(draw(1000)))
		if v, err := s.Verify(t.Context(), stored.Reference); !stored.Existed || v != claim.Intact || err != nil || !lost.Load() {
			t.Errorf("%+v, %v, %v", stored, v, err)
		}
	})
	t.Run("all answers to uploads get lost", func(t *testing.T) {
		f.set(nil, is(http.MethodPut))
		stored := put(t, s, object(next()))
		if v, err := s.Verify(t.Context(), stored.Reference); !stored.Existed || v != claim.Intact || err != nil {
			t.Errorf("%+v, %v, %v", stored, v, err)
		}
	})
	t.Run("all answers get lost from the first upload on", func(t *testing.T) {
		var begun atomic.Bool
		f.set(nil, func(r *http.Request) bool {
			if r.Method == http.MethodPut {
				begun.Store(true)
			}
			return begun.Load()
		})
		content := next()
		_, err := s.Put(t.Context(), object(content))
		if _, ok := errors.AsType[*claim.UnavailableError](err); !ok {
			t.Errorf("%v", err)
		}
		f.set(nil, nil)
		if stored := put(t, s, object(content)); !stored.Existed {
			t.Error("the object was not there")
		}
	})
	t.Run("an upload arrives broken", func(t *testing.T) {
		for _, s := range []*claim.Store{s, openStore(t, base+"&request_checksum_calculation=when_required")} {
			f.set(func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut {
					r.Body = io.NopCloser(&flip{r: r.Body, at: 1 << 20})
				}
				return false
			}, nil)
			content := next()
			_, err := s.Put(t.Context(), object(content))
			if _, ok := errors.AsType[*claim.UnavailableError](err); !ok {
				t.Errorf("%v", err)
			}
			f.set(nil, nil)
			if stored := put(t, s, object(content)); stored.Existed {
				t.Error("the broken object is there")
			}
		}
	})
	t.Run("the server is busy for a while", func(t *testing.T) {
		var n atomic.Int32
		f.set(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || n.Add(1) > 2 {
				return false
			}
			answerS3(w, http.StatusServiceUnavailable, "SlowDown")
			return true
		}, nil)
		if stored := put(t, s, object(next())); stored.Existed || n.Load() != 3 {
			t.Errorf("%+v after %d attempts", stored, n.Load())
		}
	})
	t.Run("somebody else is writing", func(t *testing.T) {
		f.set(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut {
				answerS3(w, http.StatusConflict, "ConditionalRequestConflict")
			}
			return r.Method == http.MethodPut
		}, nil)
		_, err := s.Put(t.Context(), object(next()))
		if _, ok := errors.AsType[*claim.UnavailableError](err); !ok || !strings.HasSuffix(err.Error(), "ConditionalRequestConflict (status 409)") {
			t.Errorf("%v", err)
		}
	})
	t.Run("answers of both kinds", func(t *testing.T) {
		for _, tt := range []struct {
			status  int
			code    string
			refused bool
		}{
			{http.StatusForbidden, "AccessDenied", true},
			{http.StatusBadRequest, "InvalidArgument", true},
			{http.StatusNotFound, "NoSuchBucket", true},
			{http.StatusBadRequest, "BadDigest", false},
			{http.StatusBadGateway, "", false},
		} {
			f.set(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut {
					answerS3(w, tt.status, tt.code)
				}
				return r.Method == http.MethodPut
			}, nil)
			_, err := s.Put(t.Context(), object(draw(1000)))
			_, refused := errors.AsType[*claim.RefusedError](err)
			_, unavailable := errors.AsType[*claim.UnavailableError](err)
			if refused != tt.refused || unavailable == tt.refused || strings.Contains(err.Error(), "canary") {
				t.Errorf("%d %s: %v", tt.status, tt.code, err)
			}
		}
	})
	t.Run("deletion is denied", func(t *testing.T) {
		f.set(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodDelete {
				answerS3(w, http.StatusForbidden, "AccessDenied")
			}
			return r.Method == http.MethodDelete
		}, nil)
		for range 2 { // the second finds the first's object
			if h, err := s.Check(t.Context()); err != nil || h.Delete {
				t.Errorf("%+v, %v", h, err)
			}
		}
		f.set(nil, nil)
		if h, err := s.Check(t.Context()); err != nil || !h.Delete {
			t.Errorf("%+v, %v", h, err)
		}
	})
	t.Run("reading or looking is denied", func(t *testing.T) {
		for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodPut} {
			f.set(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == method {
					answerS3(w, http.StatusForbidden, "AccessDenied")
				}
				return r.Method == method
			}, nil)
			_, err := s.Check(t.Context())
			if _, ok := errors.AsType[*claim.RefusedError](err); !ok {
				t.Errorf("%s: %v", method, err)
			}
		}
	})
	t.Run("overwriting is denied", func(t *testing.T) {
		f.set(nil, nil)
		content := next()
		stored := put(t, s, object(content))
		g := inDirectory(nil, func(_, name string) string { return filepath.Join(server.Dir, "data", "records", "faults", name) })
		g.age(t, "", nameOf(content), 2*claim.MinOrphanAge)
		f.set(func(w http.ResponseWriter, r *http.Request) bool {
			denied := r.Method == http.MethodPut && r.Header.Get("If-None-Match") == ""
			if denied {
				answerS3(w, http.StatusForbidden, "AccessDenied")
			}
			return denied
		}, nil)
		if again := put(t, s, object(content)); !again.Existed || again.Reference != stored.Reference {
			t.Errorf("%+v", again)
		}
	})
}

// flip changes one bit of a body.
type flip struct {
	r  io.Reader
	at int
}

func (f *flip) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if f.at >= 0 && f.at < n {
		p[f.at] ^= 1
	}
	f.at -= n
	return n, err
}
