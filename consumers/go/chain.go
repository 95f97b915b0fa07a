package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
)

// chains holds the newest link of every case. One caseId may stand for several
// cases, one after the other, so the case's creation belongs to the key.
type chains map[string]link

type link struct {
	sequence int64
	hash     [sha256.Size]byte
}

// extend checks that event follows the last one of its case, and keeps it. Of a
// case whose first events are gone, because the topic does not keep them for
// ever, the first one seen is taken as it is.
func (c chains) extend(event map[string]any, value []byte) error {
	theCase, _ := event["caseStatus"].(map[string]any)
	key := fmt.Sprint(event["clientId"], "/", event["caseId"], "/", theCase["created"])
	sequence, _ := event["sequence"].(int64)
	previous, _ := event["previousEventHash"].([]byte)
	last, seen := c[key]
	switch {
	case seen && sequence != last.sequence+1:
		return fmt.Errorf("case %s: event %d follows event %d", key, sequence, last.sequence)
	case seen && !bytes.Equal(previous, last.hash[:]):
		return fmt.Errorf("case %s: event %d does not hold the hash of event %d", key, sequence, last.sequence)
	case !seen && (sequence == 1) != (previous == nil):
		return fmt.Errorf("case %s: event %d, and hash %x", key, sequence, previous)
	}
	c[key] = link{sequence, sha256.Sum256(value)}
	return nil
}
