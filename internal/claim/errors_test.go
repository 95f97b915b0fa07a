package claim_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"postident-bridge/internal/claim"
)

func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for name, tt := range map[string]struct {
		err     error
		refused bool
		text    string
	}{
		"no connection":      {&url.Error{Op: "Put", URL: "https://canary?sig=canary", Err: dial}, false, "dial tcp: connect: connection refused"},
		"a time-out":         {fmt.Errorf("canary: %w", context.DeadlineExceeded), false, "context deadline exceeded"},
		"a cancelled one":    {fmt.Errorf("canary: %w", errors.Join(context.Canceled, &claim.AnswerError{Status: 403})), false, "status 403"},
		"a full disk":        {&fs.PathError{Op: "write", Path: "/canary", Err: syscall.ENOSPC}, false, "no space left on device"},
		"a bad disk":         {&os.LinkError{Op: "rename", Old: "/canary", New: "/canary", Err: syscall.EIO}, false, "input/output error"},
		"an end too early":   {fmt.Errorf("canary: %w", io.ErrUnexpectedEOF), false, "unexpected EOF"},
		"permissions":        {&fs.PathError{Op: "open", Path: "/canary", Err: syscall.EACCES}, true, "permission denied"},
		"a read-only disk":   {&fs.PathError{Op: "open", Path: "/canary", Err: syscall.EROFS}, true, "read-only file system"},
		"no directory":       {&fs.PathError{Op: "stat", Path: "/canary", Err: syscall.ENOENT}, true, "no such file or directory"},
		"s3 denies":          {fmt.Errorf("canary: %w", &claim.AnswerError{Code: "AccessDenied", Status: 403}), true, "AccessDenied (status 403)"},
		"s3 knows no bucket": {&claim.AnswerError{Code: "NoSuchBucket", Status: 404}, true, "NoSuchBucket (status 404)"},
		"s3 redirects":       {&claim.AnswerError{Code: "PermanentRedirect", Status: 301}, true, "PermanentRedirect (status 301)"},
		"s3 is slow":         {&claim.AnswerError{Code: "SlowDown", Status: 503}, false, "SlowDown (status 503)"},
		"s3 waited":          {&claim.AnswerError{Code: "RequestTimeout", Status: 400}, false, "RequestTimeout (status 400)"},
		"s3 got a part":      {&claim.AnswerError{Code: "IncompleteBody", Status: 400}, false, "IncompleteBody (status 400)"},
		"s3 is at odds":      {&claim.AnswerError{Code: "OperationAborted", Status: 409}, false, "OperationAborted (status 409)"},
		"a gateway":          {&claim.AnswerError{Status: 502}, false, "status 502"},
		"azure denies":       {&azcore.ResponseError{ErrorCode: "AuthorizationFailure", StatusCode: 403}, true, "AuthorizationFailure (status 403)"},
		"azure is busy":      {&azcore.ResponseError{ErrorCode: "ServerBusy", StatusCode: 503}, false, "ServerBusy (status 503)"},
		"lines":              {errors.New("first\nsecond canary"), false, "first"},
	} {
		err := claim.Classify("put object", tt.err)
		refused, isRefused := errors.AsType[*claim.RefusedError](err)
		unavailable, isUnavailable := errors.AsType[*claim.UnavailableError](err)
		if isRefused != tt.refused || isUnavailable == tt.refused || !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", name, err)
		}
		if isRefused && refused.Op != "put object" || isUnavailable && unavailable.Op != "put object" {
			t.Errorf("%s: %+v", name, err)
		}
		if text := err.Error(); !strings.HasSuffix(text, ": "+tt.text) || strings.Contains(text, "canary") || strings.Contains(text, "secret") {
			t.Errorf("%s: %q; want …%q", name, text, tt.text)
		}
	}
	if err := claim.Classify("put object", nil); err != nil {
		t.Error(err)
	}
	if text := claim.Classify("put object", errors.New(strings.Repeat("x", 1000))).Error(); len(text) > 300 {
		t.Errorf("%d bytes of text", len(text))
	}
}

func TestMissingIsNotABucket(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{&claim.AnswerError{Code: "NoSuchKey", Status: 404}, true},
		{&claim.AnswerError{Code: "NotFound", Status: 404}, true},
		{&claim.AnswerError{Status: 404}, false},
		{&azcore.ResponseError{ErrorCode: "BlobNotFound", StatusCode: 404}, true},
		{&fs.PathError{Op: "open", Err: syscall.ENOENT}, true},
		{&claim.AnswerError{Code: "NoSuchBucket", Status: 404}, false},
		{&azcore.ResponseError{ErrorCode: "ContainerNotFound", StatusCode: 404}, false},
		{&claim.AnswerError{Code: "InvalidAccessKeyId", Status: 404}, false},
		{&claim.AnswerError{Code: "NoSuchKey", Status: 403}, false},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, false},
		{errors.New("not found"), false},
	} {
		if got := claim.IsMissing(tt.err); got != tt.want {
			t.Errorf("%v: %t", tt.err, got)
		}
	}
}

func TestTextsOfContentErrors(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"content refused: identity": &claim.ContentError{Reason: claim.ContentIdentity},
		"content refused: reader":   &claim.ContentError{Reason: claim.ContentReader, Err: errors.New("canary")},
		"content refused: reader: illegal base64 data at input byte 7": &claim.ContentError{
			Reason: claim.ContentReader, Err: fmt.Errorf("canary: %w", base64.CorruptInputError(7)),
		},
	} {
		if err.Error() != want {
			t.Errorf("%q; want %q", err, want)
		}
	}
}
