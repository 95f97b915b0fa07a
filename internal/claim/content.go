package claim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"io"
)

var (
	errChanged  = errors.New("content changed")
	errPosition = errors.New("position outside the content")
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
)

// content is an object's content as an io.ReadSeeker that holds none of it: it
// opens the reader anew to go back. A retry of an upload starts over that way.
//
// After measure, each full reading is compared with the first, so that no upload
// ends well with other content than its name says: crc32 suffices against a
// reader that is not repeatable, and costs a tenth of SHA-256.
type content struct {
	ctx  context.Context //nolint:containedctx // it bounds reads, which have no parameter for it
	open func() io.Reader
	stop func() // called when a later reading fails; may be nil

	size   int64 // of the first reading
	digest [sha256.Size]byte
	crc    uint32

	position int64     // of the next Read
	reader   io.Reader // nil before the first Read, and after an error
	at       int64     // position of reader
	sum      hash.Hash32
	err      error // of the reader, or errChanged; the first one stays
}

func newContent(ctx context.Context, open func() io.Reader) *content {
	return &content{ctx: ctx, open: open}
}

// measure is the first reading: it finds size and digest.
func (c *content) measure() error {
	digest, crc := sha256.New(), crc32.New(castagnoli)
	n, err := io.Copy(io.MultiWriter(digest, crc), &bounded{ctx: c.ctx, r: c.open()})
	if err != nil {
		c.err = err
		return c.fault()
	}
	c.size, c.crc = n, crc.Sum32()
	digest.Sum(c.digest[:0])
	return nil
}

// fault is why the content could not be read, nil if it could.
func (c *content) fault() error {
	switch {
	case c.err == nil:
		return nil
	case errors.Is(c.err, context.Canceled), errors.Is(c.err, context.DeadlineExceeded):
		return &UnavailableError{Op: "read content", Err: c.err}
	case errors.Is(c.err, errChanged):
		return &ContentError{Reason: ContentChanged}
	}
	return &ContentError{Reason: ContentReader, Err: c.err}
}

func (c *content) sha256() string { return hex.EncodeToString(c.digest[:]) }

// Read reads on from the position. It ends with io.EOF only if as much was read
// as the first time, and the same if it was read from the start.
func (c *content) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.reader == nil || c.at != c.position {
		if err := c.reopen(); err != nil {
			return 0, c.fail(err)
		}
	}
	n, err := c.reader.Read(p)
	c.at += int64(n)
	c.position = c.at
	_, _ = c.sum.Write(p[:n]) // a hash never fails
	if c.at == c.size && err == nil {
		// Who knows the size may never ask for the end, and is not to have the last
		// byte before all is compared.
		err = c.end()
	}
	switch {
	case c.at > c.size, errors.Is(err, io.EOF) && (c.at < c.size || c.sum.Sum32() != c.crc):
		return 0, c.fail(errChanged)
	case err != nil && !errors.Is(err, io.EOF):
		return 0, c.fail(err)
	}
	return n, err
}

// end is io.EOF if the reader has no more.
func (c *content) end() error {
	n, err := io.ReadFull(c.reader, make([]byte, 1))
	c.at += int64(n)
	return err
}

// reopen opens the content again and skips to the position.
func (c *content) reopen() error {
	c.reader, c.at = &bounded{ctx: c.ctx, r: c.open()}, 0
	c.sum = crc32.New(castagnoli)
	skipped, err := io.CopyN(c.sum, c.reader, c.position)
	c.at = skipped
	if errors.Is(err, io.EOF) {
		return errChanged
	}
	return err
}

func (c *content) fail(err error) error {
	c.err, c.reader = err, nil
	if c.stop != nil {
		c.stop()
	}
	return err
}

// Seek sets the position. It reads nothing.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.position
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 || offset > c.size {
		return 0, errPosition
	}
	c.position = offset
	return offset, nil
}

// bounded ends a reader when its context does.
type bounded struct {
	ctx context.Context //nolint:containedctx // it bounds reads, which have no parameter for it
	r   io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}
