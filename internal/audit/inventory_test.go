package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
)

// An inventory holds what the objects hold, whatever their names say, and finds
// marks in content that no name and no metadata shows.
func TestTakeInventory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := claim.Open(t.Context(), "file://"+filepath.ToSlash(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	put := func(content string) claim.Stored {
		t.Helper()
		stored, err := store.Put(t.Context(), claim.Object{
			ClientID: "ACME", CaseID: "CASE1", CaseCreated: epoch, RecordID: "63", RecordType: "userface", MediaType: "image/jpeg",
			Open: func() io.Reader { return bytes.NewReader([]byte(content)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	good, marked := put("a picture"), put("a CANARY-forbidden-userface-3 picture")
	changed := put("as it was put")
	name, _ := store.Name(changed.Location)
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte("as it is now"), 0o600); err != nil {
		t.Fatal(err)
	}
	objects, err := audit.TakeInventory(t.Context(), store, []string{"other", "CANARY-forbidden-"})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]audit.StoredObject)
	for _, o := range objects {
		got[o.Location] = o
	}
	object := func(location, content string, marks ...int) audit.StoredObject {
		sum := sha256.Sum256([]byte(content))
		return audit.StoredObject{
			Location: location, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]), MediaType: "image/jpeg",
			Metadata: map[string]string{"recordid": "63", "recordtype": "userface"}, Marks: marks,
		}
	}
	want := map[string]audit.StoredObject{
		good.Location:    object(good.Location, "a picture"),
		marked.Location:  object(marked.Location, "a CANARY-forbidden-userface-3 picture", 1),
		changed.Location: object(changed.Location, "as it is now"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := audit.TakeInventory(ctx, store, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("an inventory that was interrupted: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.TakeInventory(t.Context(), store, nil); err == nil {
		t.Error("a store that is gone is not an empty one")
	}
}
