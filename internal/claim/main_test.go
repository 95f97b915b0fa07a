package claim_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postident-bridge/internal/claim"
	"postident-bridge/internal/testbed"
)

// TestMain gives the SDKs credentials, and keeps those of the machine from them.
// AWS has profiles: the default one is the test server's, the others are refused.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "claim-test-")
	if err == nil {
		err = credentials(filepath.Join(dir, "credentials"))
	}
	if err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code) //nolint:forbidigo // it is what goleak does itself without a clean-up
	}))
}

func credentials(file string) error {
	profiles := fmt.Sprintf("[default]\naws_access_key_id=%[1]s\naws_secret_access_key=%[2]s\n"+
		"[wrong-secret]\naws_access_key_id=%[1]s\naws_secret_access_key=canary-secret\n"+
		"[unknown-key]\naws_access_key_id=canary-key\naws_secret_access_key=canary-secret\n", testbed.S3AccessKey, testbed.S3SecretKey)
	errs := []error{os.WriteFile(file, []byte(profiles), 0o600)}
	for name, value := range map[string]string{
		"AWS_SHARED_CREDENTIALS_FILE": file, "AWS_CONFIG_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_REGION": "",
		"AWS_DEFAULT_REGION": "", "AZURE_STORAGE_ACCOUNT": azureAccount, "AZURE_STORAGE_KEY": azureKey,
		"AZURE_STORAGE_SAS_TOKEN": "", "AZURE_STORAGE_CONNECTION_STRING": "", "AZURE_STORAGE_DOMAIN": "", "AZURE_STORAGE_PROTOCOL": "",
	} {
		errs = append(errs, os.Setenv(name, value))
	}
	return errors.Join(errs...)
}

const (
	clientID = "GK42SCR1"
	caseID   = "YR9W91GEZK24"
)

var created = time.Date(2016, 7, 5, 16, 23, 15, 0, time.UTC)

// object is a record of the case with that content.
func object(content []byte) claim.Object {
	return claim.Object{
		ClientID: clientID, CaseID: caseID, CaseCreated: created.In(time.FixedZone("", 2*60*60)),
		RecordID: "63351998", RecordType: "result", MediaType: "application/pdf",
		Open: func() io.Reader { return bytes.NewReader(content) },
	}
}

// fromBase64 is the object as a publisher puts it: decoded on its way.
func fromBase64(text string) claim.Object {
	o := object(nil)
	o.Open = claim.Base64([]byte(text))
	return o
}

// bytesOf are n bytes that a seed draws.
func bytesOf(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func nameOf(content []byte) string {
	return clientID + "/" + caseID + "/20160705T162315.000Z/" + digest(content) + ".pdf"
}

func openStore(tb testing.TB, url string) *claim.Store {
	tb.Helper()
	s, err := claim.Open(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func put(tb testing.TB, s *claim.Store, o claim.Object) claim.Stored {
	tb.Helper()
	stored, err := s.Put(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return stored
}

// list is the whole store, or that of a client or case.
func list(tb testing.TB, s *claim.Store, of ...string) []claim.Listed {
	tb.Helper()
	of = append(of, "", "")
	var all []claim.Listed
	for l, err := range s.List(tb.Context(), of[0], of[1]) {
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}
