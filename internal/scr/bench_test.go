package scr_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"postident-bridge/internal/scr"
)

func BenchmarkParseWebhook(b *testing.B) {
	body := []byte(`{"caseId":"YR9W91GEZK24","referenceId":"REF_101485489"}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := scr.ParseWebhook(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseCase(b *testing.B) {
	body := readFile(b, "case-video-success.json")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := scr.ParseCase(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAnyCase is what the decoder makes of the same answer.
func BenchmarkAnyCase(b *testing.B) {
	body := readFile(b, "case-video-success.json")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := scr.AnyCase(body); err != nil {
			b.Fatal(err)
		}
	}
}

// fullList is a list of 1,000 full cases, as compact as the API may send it.
func fullList(tb testing.TB) []byte {
	tb.Helper()
	var one bytes.Buffer
	if err := json.Compact(&one, readFile(tb, "case-video-success.json")); err != nil {
		tb.Fatal(err)
	}
	entries := make([][]byte, 1000)
	for i := range entries {
		entries[i] = bytes.ReplaceAll(one.Bytes(), []byte(sampleID), fmt.Appendf(nil, "CASE%08d", i))
	}
	return slices.Concat([]byte{'['}, bytes.Join(entries, []byte{','}), []byte{']'})
}

// BenchmarkParseList is per list of 1,000 cases; of their kind, 1,000 times
// BenchmarkAnyCase is what the decoder makes of them.
func BenchmarkParseList(b *testing.B) {
	body := fullList(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if n, _, err := scr.ParseList(body, func(scr.Listed) {}); n != 1000 || err != nil {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkDecryptList is the rest of the work on such a list.
func BenchmarkDecryptList(b *testing.B) {
	key, err := scr.NewKey(3072)
	if err != nil {
		b.Fatal(err)
	}
	body := encrypt(b, scr.PublicOf(key), jose.RSA_OAEP_256, jose.A256GCM, noZip, fullList(b))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := scr.Decrypt(body, key, false, scr.DefaultMaxListBytes); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUnknownFields goes over the same answer as BenchmarkParseCase, which
// comes before it in a read.
func BenchmarkUnknownFields(b *testing.B) {
	body := readFile(b, "case-video-success.json")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if unknown := scr.UnknownFields(body); unknown != nil {
			b.Fatal(unknown)
		}
	}
}

func BenchmarkDecrypt(b *testing.B) {
	plain := readFile(b, "case-video-success.json")
	for _, bits := range []int{2048, 3072, 4096} {
		b.Run(fmt.Sprint(bits), func(b *testing.B) {
			key, err := scr.NewKey(bits)
			if err != nil {
				b.Fatal(err)
			}
			body := encrypt(b, scr.PublicOf(key), jose.RSA_OAEP_256, jose.A256GCM, noZip, plain)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := scr.Decrypt(body, key, false, scr.DefaultMaxBodyBytes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkClassify(b *testing.B) {
	sub, reason := 11, 110
	b.ReportAllocs()
	for b.Loop() {
		if c := scr.Classify(scr.MethodVideo, scr.StatusDeclined, &sub, &reason); !c.Known {
			b.Fatal("unknown")
		}
	}
}
