package counterpart

import (
	"testing"

	"postident-bridge/internal/testbed"
)

// S3 is a real S3 server; see testbed.S3 for which.
type S3 struct {
	*testbed.S3
}

// StartS3 starts an S3 server that ends with the test.
func StartS3(tb testing.TB) S3 {
	tb.Helper()
	unlessShort(tb, reportS3)
	process, err := testbed.StartS3(tb.Context(), testbed.S3Options{})
	outcome(tb, reportS3, err)
	tb.Cleanup(func() {
		if err := process.Down(tb.Context()); err != nil {
			tb.Error(err)
		}
	})
	return S3{process}
}

// MakeBucket makes a bucket; it is no error if there is one.
func (s S3) MakeBucket(tb testing.TB, name string) {
	tb.Helper()
	if err := s.S3.MakeBucket(tb.Context(), name); err != nil {
		tb.Fatal(err)
	}
}

// Resume lets a paused server go on (SIGCONT).
func (s S3) Resume(tb testing.TB) {
	tb.Helper()
	if err := s.S3.Resume(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// Start starts a server that was killed, at the same address and with its data.
func (s S3) Start(tb testing.TB) {
	tb.Helper()
	if err := s.S3.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}
