package scr_test

import (
	"fmt"
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
