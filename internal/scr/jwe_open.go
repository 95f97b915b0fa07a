package scr

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // of RSA-OAEP (RFC 7518, 4.3), where collisions do not matter
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"hash"

	"github.com/go-jose/go-jose/v4"
)

// jweParts are the parts of a compact JWE (RFC 7516, 7.1), decoded; protected is
// not, for it is authenticated as it stands.
type jweParts struct {
	protected, key, iv, ciphertext, tag []byte
}

// errOpen says that a JWE does not open, and must not say more.
var errOpen = errors.New("does not open")

// open decrypts the ciphertext where it stands (RFC 7516, 5.2).
func (j jweParts) open(header jweHeader, key *Key) ([]byte, error) {
	var h hash.Hash
	switch jose.KeyAlgorithm(header.Alg) {
	case jose.RSA_OAEP_256:
		h = sha256.New()
	case jose.RSA_OAEP:
		h = sha1.New() //nolint:gosec // see the import
	default:
		return nil, errOpen
	}
	contentKey, err := rsa.DecryptOAEP(h, nil, key.private, j.key, nil)
	if err != nil {
		return nil, errOpen
	}
	switch jose.ContentEncryption(header.Enc) {
	case jose.A128GCM:
		return j.openGCM(contentKey, 16)
	case jose.A192GCM:
		return j.openGCM(contentKey, 24)
	case jose.A256GCM:
		return j.openGCM(contentKey, 32)
	case jose.A128CBC_HS256:
		return j.openCBC(contentKey, 16, sha256.New)
	case jose.A192CBC_HS384:
		return j.openCBC(contentKey, 24, sha512.New384)
	case jose.A256CBC_HS512:
		return j.openCBC(contentKey, 32, sha512.New)
	default:
		return nil, errOpen
	}
}

// openGCM is RFC 7518, 5.3.
func (j jweParts) openGCM(key []byte, size int) ([]byte, error) {
	const tagSize = 16
	if len(key) != size || len(j.tag) != tagSize {
		return nil, errOpen
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errOpen
	}
	aead, err := cipher.NewGCM(block)
	if err != nil || len(j.iv) != aead.NonceSize() {
		return nil, errOpen
	}
	// The decoded ciphertext is shorter than its text, so the tag has room after it.
	sealed := append(j.ciphertext, j.tag...)
	plain, err := aead.Open(sealed[:0], j.iv, sealed, j.protected)
	if err != nil {
		return nil, errOpen
	}
	return plain, nil
}

// openCBC is RFC 7518, 5.2.2.2: what is not authentic is not decrypted.
func (j jweParts) openCBC(key []byte, size int, newHash func() hash.Hash) ([]byte, error) {
	if len(key) != 2*size || len(j.iv) != aes.BlockSize || len(j.ciphertext) == 0 || len(j.ciphertext)%aes.BlockSize != 0 {
		return nil, errOpen
	}
	mac := hmac.New(newHash, key[:size])
	mac.Write(j.protected)
	mac.Write(j.iv)
	mac.Write(j.ciphertext)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(j.protected))*8))
	if !hmac.Equal(mac.Sum(nil)[:size], j.tag) {
		return nil, errOpen
	}
	block, err := aes.NewCipher(key[size:])
	if err != nil {
		return nil, errOpen
	}
	plain := j.ciphertext
	cipher.NewCBCDecrypter(block, j.iv).CryptBlocks(plain, plain)
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > aes.BlockSize {
		return nil, errOpen
	}
	for _, b := range plain[len(plain)-padding:] {
		if int(b) != padding {
			return nil, errOpen
		}
	}
	return plain[:len(plain)-padding], nil
}
