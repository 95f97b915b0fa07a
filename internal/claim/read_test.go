package claim_test

import (
	"bytes"
	"errors"
	"io"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/claim"
)

// What is read is what was put, with what the store keeps beside it.
func reads(t trial) {
	s := openStore(t, t.url())
	content := bytesOf(9, 50_000)
	put(t, s, object(content))
	read, err := s.Read(t.Context(), nameOf(content))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(read)
	if err := errors.Join(err, read.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) || read.Size != 50_000 || read.MediaType != "application/pdf" {
		t.Errorf("%d bytes of %d, %s", len(got), read.Size, read.MediaType)
	}
	if diff := cmp.Diff(map[string]string{"recordid": "63351998", "recordtype": "result"}, read.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	_, err = s.Read(t.Context(), nameOf([]byte("another")))
	if _, ok := errors.AsType[*claim.RefusedError](err); !ok {
		t.Errorf("an object that is not there: %v", err)
	}
}
