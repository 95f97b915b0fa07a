package scr

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// The content encryptions that are taken. Which one the API uses is not
// documented (facts 1.6); these are all that RFC 7518 knows.
var contentEncryptions = []jose.ContentEncryption{
	jose.A128CBC_HS256, jose.A192CBC_HS384, jose.A256CBC_HS512,
	jose.A128GCM, jose.A192GCM, jose.A256GCM,
}

// keyAlgorithms are those that are taken. RSA1_5 invites padding oracles, so it
// has to be asked for (facts 1).
func keyAlgorithms(allowRSA15 bool) []jose.KeyAlgorithm {
	algs := []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.RSA_OAEP}
	if allowRSA15 {
		algs = append(algs, jose.RSA1_5)
	}
	return algs
}

// maxInflation bounds what go-jose makes of a compressed plaintext: ten times
// the compressed size, and 250 kB where that is more.
const maxInflation = 10

var (
	errCompressed = errors.New("compressed plaintext may grow over the limit")
	errParts      = errors.New("not five parts of base64url")
	errHeader     = errors.New("malformed JWE header")
)

// bodyKind is what an answer turns out to be.
type bodyKind int

const (
	bodyOther bodyKind = iota // neither of the two
	bodyJSON
	bodyJWE
)

// kindOf decides from the body alone: the Content-Type of an encrypted answer is
// not documented (facts 1.11). A JWE that was cut short is still one; it begins
// with the brace of its header in base64url, nearly always followed by a quote.
func kindOf(body []byte) bodyKind {
	switch {
	case len(body) == 0:
		return bodyOther
	case body[0] == '{' || body[0] == '[':
		return bodyJSON
	case hasForeignToJWE(body):
		return bodyOther
	case bytes.HasPrefix(body, []byte("ey")), body[0] == 'e' && bytes.IndexByte(body, '.') > 0:
		return bodyJWE
	default:
		return bodyOther
	}
}

// ofJWE holds the bytes that a compact JWE is made of. A list is a megabyte of
// them, and a table takes a quarter of the time that comparisons take.
var ofJWE = func() (of [256]bool) {
	for c := range of {
		of[c] = c == '.' || isBase64URL(byte(c))
	}
	return of
}()

func hasForeignToJWE(body []byte) bool {
	for _, c := range body {
		if !ofJWE[c] {
			return true
		}
	}
	return false
}

// decrypt opens a compact JWE (RFC 7516). The plaintext is at most limit bytes
// long. Its error is a *RejectedError without HTTP status; it names alg and enc
// and quotes nothing else.
func decrypt(body []byte, key *Key, allowRSA15 bool, limit int64) ([]byte, error) {
	header, err := checkHeader(body, allowRSA15)
	if err != nil {
		return nil, err
	}
	reject, algs := header.reject, keyAlgorithms(allowRSA15)
	if header.Zip != "" && int64(len(body)) > limit/maxInflation {
		return nil, reject(RejectedTooLarge, errCompressed)
	}
	// go-jose's own errors can quote the header, so they end here.
	msg, err := jose.ParseEncryptedCompact(string(body), algs, contentEncryptions)
	if err != nil {
		return nil, reject(RejectedDecrypt, errParts)
	}
	plain, err := msg.Decrypt(key.private)
	if err != nil {
		return nil, reject(RejectedDecrypt, nil)
	}
	if int64(len(plain)) > limit {
		return nil, reject(RejectedTooLarge, nil)
	}
	return plain, nil
}

// jweHeader is what has to be known of a protected header before trusting it
// with any work.
type jweHeader struct {
	Alg string `json:"alg"`
	Enc string `json:"enc"`
	Zip string `json:"zip"`
	// Crit is what nobody may ignore; we know no such extension.
	Crit json.RawMessage `json:"crit"`
}

func (h jweHeader) reject(reason string, err error) error {
	return &RejectedError{Reason: reason, Alg: printable(h.Alg), Enc: printable(h.Enc), Err: err}
}

// checkHeader gives the header of a JWE whose algorithms are taken.
func checkHeader(body []byte, allowRSA15 bool) (jweHeader, error) {
	header, err := parseHeader(body)
	if err != nil {
		return jweHeader{}, &RejectedError{Reason: RejectedDecrypt, Err: err}
	}
	if !slices.Contains(keyAlgorithms(allowRSA15), jose.KeyAlgorithm(header.Alg)) ||
		!slices.Contains(contentEncryptions, jose.ContentEncryption(header.Enc)) {
		return jweHeader{}, header.reject(RejectedAlgorithm, nil)
	}
	return header, nil
}

func parseHeader(body []byte) (jweHeader, error) {
	protected, _, ok := bytes.Cut(body, []byte{'.'})
	if !ok {
		return jweHeader{}, errParts
	}
	raw, err := base64.RawURLEncoding.AppendDecode(nil, protected)
	if err != nil {
		return jweHeader{}, errParts
	}
	// The same decoder as go-jose's own, so that both see the same header.
	var h jweHeader
	if err := json.Unmarshal(raw, &h); err != nil {
		return jweHeader{}, errHeader
	}
	return h, nil
}

// printable keeps the name of an algorithm fit for a log and a record header:
// it is the sender's text.
func printable(name string) string {
	const longest = 32
	if len(name) > longest || slices.ContainsFunc([]byte(name), func(c byte) bool { return c != '+' && !isBase64URL(c) }) {
		return "malformed"
	}
	return name
}
