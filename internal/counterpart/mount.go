package counterpart

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// MountedSecret is a Secret as Kubernetes mounts it: files are links into ..data,
// which is a link to a directory, and a change is one rename of that. If a verb
// fails, the test does.
type MountedSecret struct {
	tb      testing.TB
	dir     string
	content map[string]string
	made    int
}

// MountSecret mounts a Secret, whose keys are the files' names, for as long as the
// test lasts.
func MountSecret(tb testing.TB, content map[string]string) *MountedSecret {
	tb.Helper()
	s := &MountedSecret{tb: tb, dir: tb.TempDir()}
	s.Replace(content)
	for name := range content {
		if err := os.Symlink(filepath.Join("..data", name), s.Path(name)); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// Path is where the file of a key is, or was.
func (s *MountedSecret) Path(name string) string { return filepath.Join(s.dir, name) }

// Change changes some of the files, all at once.
func (s *MountedSecret) Change(changed map[string]string) {
	s.tb.Helper()
	content := make(map[string]string)
	maps.Copy(content, s.content)
	maps.Copy(content, changed)
	s.Replace(content)
}

// Replace changes all files at once; those that content lacks are gone.
func (s *MountedSecret) Replace(content map[string]string) {
	s.tb.Helper()
	s.content = content
	s.made++
	version := fmt.Sprintf("..v%d", s.made)
	if err := os.Mkdir(filepath.Join(s.dir, version), 0o700); err != nil {
		s.tb.Fatal(err)
	}
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(s.dir, version, name), []byte(text), 0o600); err != nil {
			s.tb.Fatal(err)
		}
	}
	next := filepath.Join(s.dir, "..data_tmp")
	if err := errors.Join(os.Symlink(version, next), os.Rename(next, filepath.Join(s.dir, "..data"))); err != nil {
		s.tb.Fatal(err)
	}
}
