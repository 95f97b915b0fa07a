package scr_test

import (
	"crypto"
	"os"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"

	"postident-bridge/internal/scr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sharedKey is made once: a key pair costs more than most tests.
var sharedKey = sync.OnceValue(func() *scr.Key {
	key, err := scr.NewKey(scr.MinKeyBits)
	if err != nil {
		panic(err)
	}
	return key
})

// otherKey is a key that no client of the tests has.
var otherKey = sync.OnceValue(func() *scr.Key {
	key, err := scr.NewKey(scr.MinKeyBits)
	if err != nil {
		panic(err)
	}
	return key
})

// readFile reads a file of testdata.
func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// encrypt makes a compact JWE the way the API does, with go-jose's encrypter.
func encrypt(tb testing.TB, public crypto.PublicKey, alg jose.KeyAlgorithm, enc jose.ContentEncryption, zip jose.CompressionAlgorithm, plain []byte) []byte {
	tb.Helper()
	e, err := jose.NewEncrypter(enc, jose.Recipient{Algorithm: alg, Key: public}, &jose.EncrypterOptions{Compression: zip})
	if err != nil {
		tb.Fatal(err)
	}
	msg, err := e.Encrypt(plain)
	if err != nil {
		tb.Fatal(err)
	}
	compact, err := msg.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return []byte(compact)
}
