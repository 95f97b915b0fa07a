package scr

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // of RSA-OAEP (RFC 7518, 4.3), where collisions do not matter
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"

	"github.com/go-jose/go-jose/v4"
)

// decryptLarge is decrypt without its copies: the plain text takes the place of
// body. go-jose holds the text, the ciphertext twice and the plain text (with CBC
// two more) at a time, three and a half times the size of an answer that can have
// 57 MB. This one needs one of them. It knows the same content encryptions, and
// both key algorithms that are taken unasked; what else there may be it leaves to
// go-jose. FuzzDecryptLarge holds one against the other.
//
// After an error, body is of no use.
func decryptLarge(body []byte, key *Key, allowRSA15 bool, limit int64) ([]byte, error) {
	header, err := checkHeader(body, allowRSA15)
	if err != nil {
		return nil, err
	}
	if header.Zip != "" || header.Crit != nil || header.Alg == string(jose.RSA1_5) {
		return decrypt(body, key, allowRSA15, limit)
	}
	parts, err := splitJWE(body)
	if err != nil {
		return nil, header.reject(RejectedDecrypt, err)
	}
	plain, err := parts.open(header, key)
	if err != nil {
		return nil, header.reject(RejectedDecrypt, nil) // which step failed is nobody's business
	}
	if int64(len(plain)) > limit {
		return nil, header.reject(RejectedTooLarge, nil)
	}
	return plain, nil
}

// jweParts are the parts of a compact JWE (RFC 7516, 7.1), decoded; protected is
// not, for it is authenticated as it stands.
type jweParts struct {
	protected, key, iv, ciphertext, tag []byte
}

func splitJWE(body []byte) (jweParts, error) {
	var p [5][]byte
	rest := body
	for i := range len(p) - 1 {
		part, after, ok := bytes.Cut(rest, []byte{'.'})
		if !ok {
			return jweParts{}, errParts
		}
		p[i], rest = part, after
	}
	p[len(p)-1] = rest // a dot in it is no base64url
	j := jweParts{protected: p[0]}
	for _, part := range []struct {
		to   *[]byte
		text []byte
	}{{&j.key, p[1]}, {&j.iv, p[2]}, {&j.tag, p[4]}} {
		var err error
		if *part.to, err = base64.RawURLEncoding.AppendDecode(nil, part.text); err != nil {
			return jweParts{}, errParts
		}
	}
	n, err := decodeInPlace(p[3])
	if err != nil {
		return jweParts{}, errParts
	}
	j.ciphertext = p[3][:n]
	return j, nil
}

// decodeInPlace decodes base64url to where it stands, by way of a block that is small
// enough to stay in the cache: the decoder does not promise to work on one slice.
func decodeInPlace(text []byte) (int, error) {
	const block = 4 << 12
	var buf [block]byte
	n := 0
	for from := 0; from < len(text); from += block {
		chunk := buf[:copy(buf[:], text[from:])]
		more, err := base64.RawURLEncoding.Decode(text[n:], chunk)
		if err != nil {
			return 0, err
		}
		n += more
	}
	return n, nil
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
