package scr_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"postident-bridge/internal/scr"
)

// largeResult is the guide's sample with a PDF of 20 MB and six images of 1.5 MB, and
// its JWE.
func largeResult(tb testing.TB) (plain, sealed []byte) {
	tb.Helper()
	const pdf, image = 20 << 20, 3 << 19
	random := rand.NewChaCha8([32]byte{6})
	record := func(id int, belongsTo, kind, mimeType string, size int) string {
		content := make([]byte, size)
		if _, err := random.Read(content); err != nil {
			tb.Fatal(err)
		}
		return fmt.Sprintf(`{"recordId":"%d","belongsTo":%q,"type":%q,"mimeType":%q,"fileName":"f_%d","documentData":"%s"}`,
			id, belongsTo, kind, mimeType, id, base64.StdEncoding.EncodeToString(content))
	}
	records := []string{
		record(1, "method", "result", "application/pdf", pdf), record(2, "method", "userface", "image/jpeg", image),
		record(3, "method", "usersignature", "image/jpeg", image), record(4, "identificationdocument", "idfrontside", "image/jpeg", image),
		record(5, "identificationdocument", "idbackside", "image/jpeg", image), record(6, "identificationdocument", "idsignature", "image/jpeg", image),
		record(7, "identificationdocument", "idimage", "image/jpeg", image),
	}
	plain = bytes.Replace(readFile(tb, "case-video-success.json"), []byte(`"records": [`), []byte(`"records": [`+strings.Join(records, ",")+`,`), 1)
	return plain, encrypt(tb, scr.PublicOf(sharedKey()), jose.RSA_OAEP_256, jose.A256GCM, noZip, plain)
}

// serveLarge answers with a body at once, its length known or not.
func serveLarge(tb testing.TB, body []byte, chunked bool) scr.ClientConfig {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !chunked {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		w.Write(body)
	}))
	tb.Cleanup(server.Close)
	cfg := testConfig(server.URL)
	cfg.Scope = scr.ScopePrimary
	return cfg
}

// digest is what the caller of a read does at least.
func digest(_ context.Context, c scr.RecordContent) error {
	_, err := io.Copy(sha256.New(), c.Open())
	return err
}

var wantAll = scr.ResultRequest{Class: scr.ClassGwG, Binary: true, PDF: true}

// BenchmarkResult reads a large result over HTTP and digests its records. The figure
// "of-plain" is its throughput beside that of BenchmarkPlainDigest; "peak/body" is
// the peak of resident memory over what was there before, beside the size of the
// answer.
func BenchmarkResult(b *testing.B) {
	_, sealed := largeResult(b)
	for _, chunked := range []bool{false, true} {
		b.Run(fmt.Sprintf("chunked=%t", chunked), func(b *testing.B) {
			client, err := scr.NewClient(serveLarge(b, sealed, chunked))
			if err != nil {
				b.Fatal(err)
			}
			defer client.CloseIdleConnections()
			idle := settle(b)
			b.SetBytes(int64(len(sealed)))
			b.ReportAllocs()
			reads, began := 0, time.Now()
			for b.Loop() {
				if _, err := client.Result(b.Context(), sampleID, wantAll, digest); err != nil {
					b.Fatal(err)
				}
				reads++
			}
			each := time.Since(began) / time.Duration(reads)
			b.ReportMetric((peak(b)-idle)/float64(len(sealed)), "peak/body")
			began = time.Now()
			for range reads {
				plainDigest(b, sealed)
			}
			b.ReportMetric((time.Since(began)/time.Duration(reads)).Seconds()/each.Seconds(), "of-plain")
		})
	}
}

// BenchmarkPlainDigest is the least that such a read can be: the JWE is opened and its
// text digested.
func BenchmarkPlainDigest(b *testing.B) {
	_, sealed := largeResult(b)
	b.SetBytes(int64(len(sealed)))
	b.ReportAllocs()
	for b.Loop() {
		plainDigest(b, sealed)
	}
}

func plainDigest(tb testing.TB, sealed []byte) {
	tb.Helper()
	plain, err := scr.Decrypt(sealed, sharedKey(), false, scr.DefaultMaxResultBytes)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.Copy(sha256.New(), bytes.NewReader(plain)); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkParseResult is the part without network, decryption and digest.
func BenchmarkParseResult(b *testing.B) {
	plain, _ := largeResult(b)
	for name, body := range map[string][]byte{"sample": readFile(b, "case-video-success.json"), "large": plain} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := scr.ParseResult(body, wantAll); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// settle gives back what is not used, forgets the peak so far and returns the
// resident memory in bytes.
func settle(tb testing.TB) float64 {
	tb.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		tb.Skipf("no peak of resident memory here: %v", err)
	}
	return memory(tb, "VmRSS:")
}

func peak(tb testing.TB) float64 {
	tb.Helper()
	return memory(tb, "VmHWM:")
}

func memory(tb testing.TB, name string) float64 {
	tb.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			kilobytes, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				tb.Fatal(err)
			}
			return kilobytes * 1024
		}
	}
	tb.Skipf("no %s here", name)
	return 0
}
