package scr

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
)

// The headers of a read (facts 1.3 to 1.5, guide 7.5.1).
const (
	HeaderAlg     = "x-scr-alg"     // the key algorithm asked for
	HeaderKey     = "x-scr-key"     // the caller's public key
	HeaderKeyHash = "x-scr-keyhash" // its hash under the data password
	// HeaderPartialDelivery is "true" on a list answer that left cases out.
	HeaderPartialDelivery = "X-PARTIAL-DELIVERY"
)

// AlgRSAOAEP256 is what the client asks for in HeaderAlg, the only value known
// (facts 1.5).
const AlgRSAOAEP256 = "RSA-OAEP-256"

// Sizes of an RSA key in bits. All sizes that are known to be in use lie within
// (facts 1.8); what the server takes is not documented.
const (
	MinKeyBits = 2048
	MaxKeyBits = 4096
)

// Key is the RSA key pair that answers are encrypted to. The public half goes
// along with every request (facts 1.3), so a pair lives as long as its process
// and is never stored. It is immutable and may serve any number of clients.
type Key struct {
	private *rsa.PrivateKey
	public  []byte // DER SubjectPublicKeyInfo
}

// NewKey makes a key pair of MinKeyBits to MaxKeyBits.
func NewKey(bits int) (*Key, error) {
	if bits < MinKeyBits || bits > MaxKeyBits {
		return nil, fmt.Errorf("make key: %d bits, want %d to %d", bits, MinKeyBits, MaxKeyBits)
	}
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("marshal public key: %w", err)
	}
	return &Key{private: private, public: public}, nil
}

// String names the key by its size, so that printing one shows nothing of it.
func (k *Key) String() string { return fmt.Sprintf("rsa-%d", k.private.N.BitLen()) }

// GoString is String: %#v must not show the private half either.
func (k *Key) GoString() string { return k.String() }

// header is the value of HeaderKey: standard base64 of the DER
// SubjectPublicKeyInfo, without PEM armour or line breaks (facts 1.3).
func (k *Key) header() string { return base64.StdEncoding.EncodeToString(k.public) }

// KeyHash is the value of HeaderKeyHash: standard base64 of HMAC-SHA256 over
// the DER SubjectPublicKeyInfo, keyed with the bytes of the data password
// (facts 1.4).
func KeyHash(publicKey []byte, dataPassword string) string {
	mac := hmac.New(sha256.New, []byte(dataPassword))
	mac.Write(publicKey)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
