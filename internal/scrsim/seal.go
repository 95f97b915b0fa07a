package scrsim

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
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

// seal encrypts body as a compact JWE (facts 1.10).
func seal(body []byte, to recipient, enc jose.ContentEncryption) ([]byte, error) {
	e, err := jose.NewEncrypter(enc, jose.Recipient{Algorithm: to.alg, Key: to.key}, nil)
	if err != nil {
		return nil, fmt.Errorf("set up encryption: %w", err)
	}
	object, err := e.Encrypt(body)
	if err != nil {
		return nil, fmt.Errorf("encrypt answer: %w", err)
	}
	compact, err := object.CompactSerialize()
	if err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return []byte(compact), nil
}

// rekey makes a JWE what it would be if it were encrypted for another key of
// the same size: the content key in it does not open.
func rekey(compact []byte) []byte {
	parts := strings.Split(string(compact), ".")
	key, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || len(key) == 0 {
		return compact
	}
	if _, err := rand.Read(key); err != nil {
		return compact
	}
	key[0] &= 0x7f // below any modulus of its size
	parts[1] = base64.RawURLEncoding.EncodeToString(key)
	return []byte(strings.Join(parts, "."))
}

// wrongAlg is what the fault of that name encrypts with.
const wrongAlg = jose.RSA1_5
