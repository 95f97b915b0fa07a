package claim_test

import (
	"encoding/base64"
	"encoding/binary"
	"testing"

	"postident-bridge/internal/counterpart"
)

// BenchmarkPut stores 20 MiB, decoded from base64 on its way, another content each
// time.
func BenchmarkPut(b *testing.B) {
	b.Run("directory", func(b *testing.B) { benchmarkPut(b, "file://"+b.TempDir()) })
	b.Run("s3", func(b *testing.B) {
		server := counterpart.StartS3(b)
		server.MakeBucket(b, "records")
		benchmarkPut(b, server.URL("records", ""))
	})
}

func benchmarkPut(b *testing.B, url string) {
	b.Helper()
	s := openStore(b, url)
	content := bytesOf(30, 20<<20)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	var n uint64
	for b.Loop() {
		b.StopTimer()
		binary.BigEndian.PutUint64(content, n)
		n++
		o := fromBase64(base64.StdEncoding.EncodeToString(content))
		b.StartTimer()
		stored := put(b, s, o)
		b.StopTimer()
		name, ok := s.Name(stored.Location)
		if err := s.Delete(b.Context(), name); err != nil || !ok || stored.Existed {
			b.Fatalf("%+v: %v", stored, err)
		}
		b.StartTimer()
	}
}
