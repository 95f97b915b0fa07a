package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"postident-bridge/internal/claim"
)

// StoredObject is one object of the records' store, as TakeInventory found it.
type StoredObject struct {
	Location  string            `json:"location"`
	Size      int64             `json:"size"`
	SHA256    string            `json:"sha256"` // of what was read, in hex
	MediaType string            `json:"mediaType"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	// Foreign: its name is none that the bridge makes. Leftover: a killed upload
	// left it.
	Foreign  bool `json:"foreign,omitempty"`
	Leftover bool `json:"leftover,omitempty"`
	// Marks are the indexes of the marks that stand in its content.
	Marks []int `json:"marks,omitempty"`
}

// RecordTruth is the truth about one binary record, as the simulator knows it. As
// JSON it is a line of a log of records.
type RecordTruth struct {
	ClientID     string    `json:"clientId"`
	CaseID       string    `json:"caseId"`
	CaseCreated  time.Time `json:"caseCreated"`
	Method       string    `json:"method"`
	IdentCreated time.Time `json:"identCreated"`
	RecordID     string    `json:"recordId"`
	BelongsTo    string    `json:"belongsTo"`
	Type         string    `json:"type"`
	FileName     string    `json:"fileName"`
	MediaType    string    `json:"mediaType"`
	Size         int64     `json:"size"`
	SHA256       string    `json:"sha256"` // in hex
	// Given: a read that asks for content gets it. Forbidden: the account's class or
	// the method must not have it.
	Given     bool `json:"given"`
	Forbidden bool `json:"forbidden"`
}

// TakeInventory reads every object of a store, and searches each for the marks. It
// holds one object at a time in memory. What cannot be read in full is an error,
// never a shorter result.
func TakeInventory(ctx context.Context, store *claim.Store, marks []string) ([]StoredObject, error) {
	var forms *forms
	if len(marks) > 0 {
		var err error
		if forms, err = newForms(marks); err != nil {
			return nil, err
		}
	}
	out := []StoredObject{}
	for listed, err := range store.List(ctx, "", "") {
		if err := errors.Join(err, ctx.Err()); err != nil { // a directory does not look at it
			return nil, fmt.Errorf("list store: %w", err)
		}
		o, content, err := readObject(ctx, store, &listed)
		if err != nil {
			return nil, fmt.Errorf("read object %d of the store: %w", len(out), err)
		}
		if forms != nil {
			for _, hit := range forms.in(content) {
				o.Marks = append(o.Marks, hit.needle)
			}
		}
		out = append(out, o)
	}
	return out, nil
}

func readObject(ctx context.Context, store *claim.Store, l *claim.Listed) (o StoredObject, content []byte, err error) {
	read, err := store.Read(ctx, l.Name)
	if err != nil {
		return o, nil, err
	}
	content, err = io.ReadAll(read)
	if err := errors.Join(err, read.Close()); err != nil {
		return o, nil, err
	}
	sum := sha256.Sum256(content)
	return StoredObject{
		Location: store.Location(l.Name), Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]),
		MediaType: read.MediaType, Metadata: read.Metadata, Foreign: l.Foreign, Leftover: l.Leftover,
	}, content, nil
}
