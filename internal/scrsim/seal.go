package scrsim

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSA-OAEP of RFC 7518, 4.3 has it
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"
	josecipher "github.com/go-jose/go-jose/v4/cipher"
)

// What the simulator encrypts with.
var (
	keyAlgorithms      = []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.RSA_OAEP, jose.RSA1_5}
	contentEncryptions = []jose.ContentEncryption{
		jose.A128CBC_HS256, jose.A192CBC_HS384, jose.A256CBC_HS512, jose.A128GCM, jose.A192GCM, jose.A256GCM,
	}
)

// Bounds of a client's key: smaller ones encrypt nothing, larger ones only cost.
const (
	minKeyBits = 2048
	maxKeyBits = 8192
)

// recipient is for whom an answer is encrypted; nil is for everyone.
type recipient struct {
	key *rsa.PublicKey
	alg jose.KeyAlgorithm
}

// recipientOf reads the x-scr headers as the account is set (facts 1.2 to 1.5).
// An error is the client's fault and says no more than what is wrong.
func (s *Simulator) recipientOf(acct *account, cred Credential, h http.Header) (*recipient, error) {
	key, hash := h.Get("X-Scr-Key"), h.Get("X-Scr-Keyhash")
	if acct.Encryption == EncryptionOff {
		return nil, nil // no recipient is an answer in the clear
	}
	if key == "" && hash == "" {
		if acct.Encryption == EncryptionOptional {
			return nil, nil
		}
		return nil, errors.New("x-scr-key is missing")
	}
	der, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(der) == 0 {
		return nil, errors.New("x-scr-key is not base64")
	}
	sum, err := base64.StdEncoding.DecodeString(hash)
	if err != nil || !hmac.Equal(sum, keyHash(cred.DataPassword, der)) {
		return nil, errors.New("x-scr-keyhash does not match")
	}
	alg := acct.Wire.Alg
	if a := h.Get("X-Scr-Alg"); a != "" {
		alg = jose.KeyAlgorithm(a)
	}
	if !slices.Contains(keyAlgorithms, alg) {
		return nil, errors.New("x-scr-alg is not supported")
	}
	pub, err := s.keys.parse(der)
	if err != nil {
		return nil, err
	}
	return &recipient{key: pub, alg: alg}, nil
}

// keyHash is x-scr-keyhash before base64 (facts 1.4).
func keyHash(dataPassword string, der []byte) []byte {
	mac := hmac.New(sha256.New, []byte(dataPassword))
	mac.Write(der)
	return mac.Sum(nil)
}

// keyCache keeps parsed keys: a client sends the same one with each request.
type keyCache struct {
	mu   sync.Mutex
	keys map[[sha256.Size]byte]*rsa.PublicKey
}

const maxCachedKeys = 256

func (c *keyCache) parse(der []byte) (*rsa.PublicKey, error) {
	sum := sha256.Sum256(der)
	c.mu.Lock()
	pub, ok := c.keys[sum]
	c.mu.Unlock()
	if ok {
		return pub, nil
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("x-scr-key is no public key")
	}
	pub, ok = parsed.(*rsa.PublicKey)
	if !ok || pub.N.BitLen() < minKeyBits || pub.N.BitLen() > maxKeyBits {
		return nil, fmt.Errorf("x-scr-key is no RSA key of %d to %d bit", minKeyBits, maxKeyBits)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxCachedKeys {
		c.keys = make(map[[sha256.Size]byte]*rsa.PublicKey)
	}
	c.keys[sum] = pub
	return pub, nil
}

// sealed is a compact JWE (facts 1.10) in its parts, of which the ciphertext, the
// only one that can be large, becomes text no sooner than it is written.
type sealed struct {
	header     []byte // as it is written
	key        []byte // the content key, encrypted
	iv         []byte
	ciphertext []byte
	tag        []byte
}

// seal encrypts body, which is written once into a buffer of its size and
// encrypted in it: of an answer of many megabytes there is one copy.
func seal(body outgoing, to recipient, enc jose.ContentEncryption) (*sealed, error) {
	header, err := json.Marshal(map[string]string{"alg": string(to.alg), "enc": string(enc)})
	if err != nil {
		return nil, fmt.Errorf("write header: %w", err)
	}
	s := &sealed{header: []byte(base64.RawURLEncoding.EncodeToString(header))}
	contentKey := make([]byte, keySizes[enc])
	_, _ = rand.Read(contentKey) // never fails
	if s.key, err = wrap(contentKey, to); err != nil {
		return nil, fmt.Errorf("encrypt content key: %w", err)
	}
	aead, err := contentCipher(contentKey, enc)
	if err != nil {
		return nil, fmt.Errorf("set up encryption: %w", err)
	}
	s.iv = make([]byte, aead.NonceSize())
	_, _ = rand.Read(s.iv) // never fails
	plain := bytes.NewBuffer(make([]byte, 0, body.size+int64(aead.Overhead())))
	if err := body.writeTo(plain); err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	out := aead.Seal(plain.Bytes()[:0], s.iv, plain.Bytes(), s.header)
	tagSize := 16 // of GCM
	if isCBC(enc) {
		tagSize = len(contentKey) / 2
	}
	s.ciphertext, s.tag = out[:len(out)-tagSize], out[len(out)-tagSize:]
	return s, nil
}

// keySizes are the lengths of content keys (RFC 7518, 5.1).
var keySizes = map[jose.ContentEncryption]int{
	jose.A128CBC_HS256: 32, jose.A192CBC_HS384: 48, jose.A256CBC_HS512: 64,
	jose.A128GCM: 16, jose.A192GCM: 24, jose.A256GCM: 32,
}

func isCBC(enc jose.ContentEncryption) bool {
	return enc == jose.A128CBC_HS256 || enc == jose.A192CBC_HS384 || enc == jose.A256CBC_HS512
}

func contentCipher(key []byte, enc jose.ContentEncryption) (cipher.AEAD, error) {
	if isCBC(enc) {
		return josecipher.NewCBCHMAC(key, aes.NewCipher)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func wrap(key []byte, to recipient) ([]byte, error) {
	switch to.alg {
	case jose.RSA_OAEP_256:
		return rsa.EncryptOAEP(sha256.New(), rand.Reader, to.key, key, nil)
	case jose.RSA_OAEP:
		return rsa.EncryptOAEP(sha1.New(), rand.Reader, to.key, key, nil) //nolint:gosec // as RFC 7518, 4.3 has it
	default:
		return rsa.EncryptPKCS1v15(rand.Reader, to.key, key) //nolint:staticcheck // what no client should take
	}
}

// rekey makes a JWE what it would be if it were encrypted for another key of
// the same size: the content key in it does not open.
func (s *sealed) rekey() {
	_, _ = rand.Read(s.key) // never fails
	s.key[0] &= 0x7f        // below any modulus of its size
}

func (s *sealed) out() outgoing {
	size := int64(len(s.header) + 4) // the dots
	for _, part := range [][]byte{s.key, s.iv, s.ciphertext, s.tag} {
		size += int64(base64.RawURLEncoding.EncodedLen(len(part)))
	}
	return outgoing{size: size, writeTo: func(w io.Writer) error {
		if _, err := w.Write(s.header); err != nil {
			return err
		}
		for _, part := range [][]byte{s.key, s.iv, s.ciphertext, s.tag} {
			if _, err := io.WriteString(w, "."); err != nil {
				return err
			}
			if err := base64URL(w, part); err != nil {
				return err
			}
		}
		return nil
	}}
}

// wrongAlg is what the fault of that name encrypts with.
const wrongAlg = jose.RSA1_5
