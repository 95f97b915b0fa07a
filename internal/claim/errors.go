package claim

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"gocloud.dev/gcerrors"
)

// UnavailableError says that the store cannot answer now: no connection, a
// time-out, 5xx, 429, a full disk, an upload that broke. The same call may work
// later. Whether it was carried out is not known; to repeat it is harmless.
type UnavailableError struct {
	Op     string // what was tried, such as "put object"
	Code   string // the store's own word, "" without an answer
	Status int    // HTTP status, 0 without an answer
	// Err is the cause. Its text can hold names of objects and, on Azure, a
	// signature; Error leaves those out.
	Err error
}

func (e *UnavailableError) Error() string {
	return e.Op + ": store unavailable: " + describe(e.Code, e.Status, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// RefusedError says that the store does not do what was asked, and will not until
// somebody changes something there or in the settings: credentials or permissions
// are wrong, the bucket is missing, the disk is read-only.
type RefusedError struct {
	Op     string // what was tried, such as "put object"
	Code   string // the store's own word, "" if it has none
	Status int    // HTTP status, 0 for a directory
	Err    error  // the cause, as in UnavailableError
}

func (e *RefusedError) Error() string {
	return e.Op + ": store refused: " + describe(e.Code, e.Status, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// Reasons of a ContentError, fit for a metric label.
const (
	ContentIdentity = "identity" // clientId, caseId or the case's creation cannot stand in a name
	ContentReader   = "reader"   // the content cannot be read to its end, such as bad base64
	ContentChanged  = "changed"  // the content was another one when it was read again
)

// ContentError says that the object cannot be stored, whatever the state of the
// store.
type ContentError struct {
	Reason string
	Err    error // of the reader; its text can hold content, so Error leaves it out
}

func (e *ContentError) Error() string {
	s := "content refused: " + e.Reason
	if corrupt, ok := errors.AsType[base64.CorruptInputError](e.Err); ok {
		s += ": " + corrupt.Error()
	}
	return s
}

func (e *ContentError) Unwrap() error { return e.Err }

// ConflictError says that an object lies where another one belongs: its size is
// not that of the content whose SHA-256 stands in its name. Somebody else wrote
// it, or the store lost a part of it. It is left as it is.
type ConflictError struct {
	Location   string
	Have, Want int64 // bytes
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("object %s has %d bytes, want %d", e.Location, e.Have, e.Want)
}

// answer is what a store said of an error; both are empty if it said nothing.
// The AWS SDK's errors are read by their methods, so that none of its packages
// is needed for it.
func answer(err error) (code string, status int) {
	if azure, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return azure.ErrorCode, azure.StatusCode
	}
	if api, ok := errors.AsType[interface {
		error
		ErrorCode() string
		ErrorMessage() string
	}](err); ok {
		code = api.ErrorCode()
	}
	if response, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		status = response.HTTPStatusCode()
	}
	return code, status
}

// classify gives an error of a call to the store its kind. A missing object is
// not its business: see isMissing.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	code, status := answer(err)
	if isRefusal(code, status, err) {
		return &RefusedError{Op: op, Code: code, Status: status, Err: err}
	}
	return &UnavailableError{Op: op, Code: code, Status: status, Err: err}
}

// isRefusal reports whether repeating the call is pointless for now.
func isRefusal(code string, status int, err error) bool {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case code == "RequestTimeout", code == "IncompleteBody", // both with status 400: the body did not arrive in time, or whole
		code == "BadDigest", code == "XAmzContentSHA256Mismatch", code == "Md5Mismatch": // or broken
		return false
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status == http.StatusConflict:
		return false
	case status != 0:
		return status >= 300 && status < 500
	}
	for _, lasting := range []error{
		fs.ErrPermission, fs.ErrNotExist, syscall.EROFS, syscall.ENOTDIR, syscall.ENAMETOOLONG,
	} {
		if errors.Is(err, lasting) {
			return true
		}
	}
	return false
}

// isMissing reports whether the store answered that there is no such object. A
// missing bucket looks the same where the answer has no body (HEAD on S3). A 404
// without the store's word is no such answer: a search for credentials ends in one
// too, on a machine that has none.
func isMissing(err error) bool {
	if code, status := answer(err); status != 0 {
		return status == http.StatusNotFound && slices.Contains([]string{"NotFound", "NoSuchKey", "BlobNotFound"}, code)
	}
	return errors.Is(err, fs.ErrNotExist)
}

// isThere reports whether the store did not write an object because there is one
// of that name, or because somebody else was writing it.
func isThere(err error) bool {
	switch code, status := answer(err); status {
	case http.StatusPreconditionFailed:
		return true
	case http.StatusConflict:
		return code == "ConditionalRequestConflict" || code == "BlobAlreadyExists"
	}
	return gcerrors.Code(err) == gcerrors.FailedPrecondition
}

// maxCause bounds the text of a cause in an error.
const maxCause = 200

// describe says what went wrong without names of objects, URLs and what a store's
// answer holds beside its code.
func describe(code string, status int, err error) string {
	switch {
	case code != "" && status != 0:
		return fmt.Sprintf("%s (status %d)", code, status)
	case code != "":
		return code
	case status != 0:
		return fmt.Sprintf("status %d", status)
	case err == nil:
		return "no cause given"
	}
	text, _, _ := strings.Cut(innermost(err).Error(), "\n")
	return text[:min(len(text), maxCause)]
}

// innermost is the first cause that says enough by itself and names no path and
// no URL.
func innermost(err error) error {
	for {
		if known, ok := err.(*net.OpError); ok { //nolint:errorlint // each error of the chain is looked at
			return known
		}
		var next error
		switch wrapped := err.(type) { //nolint:errorlint // each error of the chain is looked at
		case *url.Error:
			next = wrapped.Err
		case *fs.PathError:
			next = wrapped.Err
		case interface{ Unwrap() error }:
			next = wrapped.Unwrap()
		case interface{ Unwrap() []error }:
			if all := wrapped.Unwrap(); len(all) > 0 {
				next = all[0]
			}
		}
		if next == nil {
			return err
		}
		err = next
	}
}
