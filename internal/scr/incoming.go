package scr

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"

	"github.com/go-jose/go-jose/v4"
)

// incoming takes the body of a result as it comes. Of a JWE it keeps what its
// ciphertext stands for and not the text, a quarter less, and decodes it while the
// rest is under way; the plain text takes the same place then. go-jose holds the
// text, the ciphertext twice and the plain text (with CBC two more) at a time, three
// and a half times the size of an answer that can have 57 MB. This one needs
// three quarters.
//
// It knows the content encryptions that go-jose knows, and both key algorithms that
// are taken unasked; everything else it keeps as it came, and leaves it to go-jose.
// FuzzIncoming holds one against the other.
type incoming struct {
	key        *Key // nil: nothing is decrypted
	allowRSA15 bool

	state  incomingState
	length int    // of the body; 0 if it is not known
	dots   int    // in head
	head   []byte // up to the third dot, or of the body where that is not reached
	header jweHeader
	parts  jweParts // all but ciphertext and tag
	carry  []byte   // characters of the ciphertext that are no whole quantum yet
	tag    []byte   // as text
	body   pieces   // the ciphertext, or the body as it came
}

type incomingState int

const (
	inHead       incomingState = iota
	inCiphertext               // of a JWE that is opened here
	inTag
	inBroken // no base64url: the rest is only counted
	inWhole  // kept as it came
)

const (
	// maxHead is more than the first three parts of any JWE have: an RSA key of 8192
	// bits makes 1366 characters, and a protected header a hundred.
	maxHead = 16 << 10
	maxTag  = 128 // the longest has 43 characters; white space may follow
	// maxIncoming is how much is read at a time, little enough to stay in the cache.
	maxIncoming = 64 << 10
)

// newIncoming makes one that keeps the body in room, and in more if there is more of
// it.
func newIncoming(key *Key, allowRSA15 bool, room []byte) *incoming {
	return &incoming{key: key, allowRSA15: allowRSA15, body: pieces{first: room[:0]}}
}

// take reads a body of limit bytes at most, after any transport encoding.
func (in *incoming) take(res *http.Response, limit int64) error {
	tooLarge := &RejectedError{Reason: RejectedTooLarge, Status: res.StatusCode}
	if res.ContentLength > limit {
		return tooLarge
	}
	size := min(maxIncoming, limit+1)
	if res.ContentLength > 0 {
		in.length = int(res.ContentLength)
		size = min(size, res.ContentLength+1) // one more, and the end shows with the last byte
	}
	p := make([]byte, size)
	for body := io.LimitReader(res.Body, limit+1); ; {
		n, err := body.Read(p)
		if limit -= int64(n); limit < 0 {
			return tooLarge
		}
		in.write(p[:n])
		if err == io.EOF { // what wraps it is a body that was cut
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// write takes the next bytes of the body, and keeps none of p.
func (in *incoming) write(p []byte) {
	if in.state == inHead {
		p = in.begin(p)
	}
	switch in.state {
	case inHead, inBroken:
	case inWhole:
		in.body.write(p)
	case inCiphertext:
		at := bytes.IndexByte(p, '.')
		if at < 0 {
			in.decode(p)
			return
		}
		in.decode(p[:at])
		in.endCiphertext()
		in.write(p[at+1:])
	case inTag:
		in.tag = append(in.tag, p...)
		if len(in.tag) > maxTag && len(trimSpace(in.tag)) > maxTag {
			in.state = inBroken
		}
	}
}

// begin takes what belongs to the head, decides what becomes of the rest as soon as
// it can be known, and gives what was not taken.
func (in *incoming) begin(p []byte) []byte {
	const dots = 3
	for i, c := range p {
		if c != '.' {
			continue
		}
		if in.dots++; in.dots == dots {
			in.head = append(in.head, p[:i+1]...)
			if in.opens() {
				in.state = inCiphertext
				in.body.reserve(in.length/quantum*3 + roomForTag)
			} else {
				in.keep()
			}
			return p[i+1:]
		}
	}
	in.head = append(in.head, p...)
	if body := trimSpace(in.head); len(in.head) > maxHead || len(body) > 0 && body[0] != 'e' {
		in.keep()
	}
	return nil
}

// keep has the body kept as it comes.
func (in *incoming) keep() {
	in.state = inWhole
	in.body.reserve(in.length)
	in.body.write(in.head)
}

// opens reports whether the head is that of a JWE that is opened here.
func (in *incoming) opens() bool {
	if in.key == nil {
		return false
	}
	body := trimSpace(in.head)
	header, err := checkHeader(body, in.allowRSA15)
	if err != nil || header.Zip != "" || header.Crit != nil || header.Alg == string(jose.RSA1_5) {
		return false
	}
	part := bytes.Split(body, []byte{'.'})
	var keyOK, ivOK bool
	in.header, in.parts.protected = header, part[0]
	in.parts.key, keyOK = decoded(part[1])
	in.parts.iv, ivOK = decoded(part[2])
	return keyOK && ivOK
}

// decoded decodes a short part.
func decoded(text []byte) ([]byte, bool) {
	to := make([]byte, len(text))
	n, ok := ofJWEText.whole(to, text)
	return to[:n], ok
}

// decode takes more of the ciphertext.
func (in *incoming) decode(text []byte) {
	if len(in.carry) > 0 {
		n := min(quantum-len(in.carry), len(text))
		in.carry, text = append(in.carry, text[:n]...), text[n:]
		if len(in.carry) < quantum {
			return
		}
		in.quanta(in.carry)
		in.carry = in.carry[:0]
	}
	n := len(text) / quantum * quantum
	in.quanta(text[:n])
	in.carry = append(in.carry, text[n:]...)
}

func (in *incoming) quanta(text []byte) {
	if in.state == inCiphertext && !ofJWEText.quanta(in.body.grow(len(text)/quantum*3), text) {
		in.state = inBroken
	}
}

// endCiphertext takes what of the ciphertext is no whole quantum.
func (in *incoming) endCiphertext() {
	if in.state != inCiphertext {
		return
	}
	last, ok := decoded(in.carry)
	in.body.write(last)
	in.state = inTag
	if !ok {
		in.state = inBroken
	}
}

var errNotHere = errors.New("kept as it came")

// open decrypts a JWE of which all has come; its plain text is at most limit bytes
// long. The error is a *RejectedError, or errNotHere for what whole gives.
func (in *incoming) open(limit int64) ([]byte, error) {
	switch in.state {
	case inHead, inWhole:
		return nil, errNotHere
	case inCiphertext, inBroken:
		return nil, in.header.reject(RejectedDecrypt, errParts)
	case inTag:
	}
	var ok bool
	if in.parts.tag, ok = decoded(trimSpace(in.tag)); !ok {
		return nil, in.header.reject(RejectedDecrypt, errParts)
	}
	in.parts.ciphertext = in.body.join()
	plain, err := in.parts.open(in.header, in.key)
	if err != nil {
		return nil, in.header.reject(RejectedDecrypt, nil) // which step failed is nobody's business
	}
	if int64(len(plain)) > limit {
		return nil, in.header.reject(RejectedTooLarge, nil)
	}
	return plain, nil
}

// whole is a body that was kept as it came.
func (in *incoming) whole() []byte {
	if in.state == inHead {
		return in.head
	}
	return in.body.join()
}

// pieces is a buffer that takes what does not fit in pieces, and joins them in the
// end. A buffer that grows by itself holds what it has two or three times; this one,
// twice, and only if it did not know the length.
type pieces struct {
	first []byte
	more  [][]byte
}

const (
	piece      = 1 << 20 // the room of one; little of it stays free
	roomForTag = 64      // keeps openGCM from copying
	// muchGarbage is so much that it is collected at once: a collection that still
	// finds the pieces in use lets the garbage grow to twice as much before the next.
	muchGarbage = 16 << 20
)

// reserve makes room for so many bytes, before there are any.
func (p *pieces) reserve(n int) {
	if cap(p.first) < n {
		p.first = make([]byte, 0, n)
	}
}

// grow adds n bytes, which are for the caller to fill.
func (p *pieces) grow(n int) []byte {
	at := &p.first
	if len(p.more) > 0 {
		at = &p.more[len(p.more)-1]
	}
	if cap(*at)-len(*at) < n {
		had := len(p.first) + len(p.more)*piece
		p.more = append(p.more, make([]byte, 0, max(n, min(piece, had))))
		at = &p.more[len(p.more)-1]
	}
	*at = (*at)[:len(*at)+n]
	return (*at)[len(*at)-n:]
}

func (p *pieces) write(b []byte) { copy(p.grow(len(b)), b) }

// join gives all bytes as one, with room for a tag behind them.
func (p *pieces) join() []byte {
	if len(p.more) > 0 {
		n := len(p.first)
		for _, more := range p.more {
			n += len(more)
		}
		all := append(make([]byte, 0, n+roomForTag), p.first...)
		for _, more := range p.more {
			all = append(all, more...)
		}
		p.first, p.more = all, nil
		if n >= muchGarbage {
			runtime.GC()
		}
	}
	return p.first
}
