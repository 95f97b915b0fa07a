package claim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postident-bridge/internal/claim"
)

func TestDirectoryHasToBeThere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "records")
	if _, err := claim.Open(t.Context(), "file://"+dir); err == nil {
		t.Error("a missing directory was opened")
	} else if _, ok := errors.AsType[*claim.RefusedError](err); !ok || strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
	s := openStore(t, "file://"+dir+"?create_dir=true")
	put(t, s, object([]byte("content")))
	// A disk that is no longer mounted is not replaced by a directory.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for call, err := range everyCall(t.Context(), s) {
		if _, ok := errors.AsType[*claim.RefusedError](err); !ok {
			t.Errorf("%s: %v", call, err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is there again: %v", err)
	}
}

// What others on the machine may see of it: nothing.
func TestDirectoryIsClosedToOthers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "records")
	s := openStore(t, "file://"+dir+"?create_dir=true")
	put(t, s, object([]byte("content")))
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !strings.HasSuffix(path, ".attrs") && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A file in the way is a refusal; so is a name that the file system cannot hold.
func TestDirectoryRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, clientID), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, "file://"+dir)
	_, err := s.Put(t.Context(), object([]byte("content")))
	if _, ok := errors.AsType[*claim.RefusedError](err); !ok || strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
}

const killedEnv = "CLAIM_TEST_KILLED_IN"

// TestUploadThatIsKilled is no test by itself: TestDirectoryAfterKills runs it in
// a process that it kills.
func TestUploadThatIsKilled(t *testing.T) {
	t.Parallel()
	url := os.Getenv(killedEnv) //nolint:forbidigo // set by the test that starts it
	if url == "" {
		t.Skip("run by TestDirectoryAfterKills")
	}
	s := openStore(t, url)
	content := bytesOf(12, 1<<20)
	o, opened := object(content), 0
	o.Open = func() io.Reader {
		if opened++; opened != 2 {
			return bytes.NewReader(content)
		}
		wait := readerFunc(func([]byte) (int, error) {
			_, _ = os.Stdout.WriteString("half of it is written\n")
			<-t.Context().Done()
			return 0, io.EOF
		})
		return io.MultiReader(bytes.NewReader(content[:1<<19]), wait)
	}
	_, err := s.Put(t.Context(), o)
	t.Errorf("not killed: %v", err)
}

// kill -9 in the midst of an upload leaves no object, but a leftover, which is
// swept in its time; the next attempt is not disturbed.
func TestDirectoryAfterKills(t *testing.T) {
	t.Parallel()
	url := "file://" + t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run", "^TestUploadThatIsKilled$", "-test.timeout", "1m")
	cmd.Env = append(cmd.Environ(), killedEnv+"="+url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("half of it is written\n"))
	if _, err := io.ReadFull(out, line); err != nil || string(line) != "half of it is written\n" {
		t.Errorf("%q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed

	s := openStore(t, url)
	content := bytesOf(12, 1<<20)
	left := list(t, s)
	if len(left) != 1 || !left[0].Leftover || left[0].Foreign || left[0].Key.SHA256 != digest(content) {
		t.Fatalf("left behind: %+v", left)
	}
	if stored := put(t, s, object(content)); stored.Existed {
		t.Error("the half object was there")
	}
	never := func(string) bool { t.Error("asked whether a leftover is named"); return true }
	if claim.IsOrphan(left[0], never, 0, left[0].Modified.Add(claim.MinOrphanAge)) {
		t.Error("a young leftover is an orphan")
	}
	if !claim.IsOrphan(left[0], never, 0, left[0].Modified.Add(claim.MinOrphanAge+1)) {
		t.Error("an old leftover is no orphan")
	}
	if did, err := s.Sweep(t.Context(), left[0]); !did || err != nil {
		t.Errorf("%t, %v", did, err)
	}
	if l := list(t, s); len(l) != 1 || l[0].Name != nameOf(content) {
		t.Errorf("%+v", l)
	}
}
