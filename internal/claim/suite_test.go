package claim_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/claim"
	"postident-bridge/internal/counterpart"
)

// ground is a store under test, and what can be done to its objects from
// outside. A key is an object's name below the prefix of the URL.
type ground struct {
	url       func(prefix string) string
	overwrite func(tb testing.TB, prefix, name string, content []byte)
	age       func(tb testing.TB, prefix, name string, by time.Duration)
}

// trial is one test of a store, below a prefix of its own.
type trial struct {
	*testing.T

	ground ground
	prefix string
}

func (t trial) url() string { return t.ground.url(t.prefix) }

func (t trial) overwrite(name string, content []byte) {
	t.Helper()
	t.ground.overwrite(t, t.prefix, name, content)
}

func (t trial) age(name string, by time.Duration) {
	t.Helper()
	t.ground.age(t, t.prefix, name, by)
}

// inDirectory is a ground whose objects are files at path.
func inDirectory(url func(prefix string) string, path func(prefix, name string) string) ground {
	return ground{
		url: url,
		overwrite: func(tb testing.TB, prefix, name string, content []byte) {
			tb.Helper()
			if err := os.MkdirAll(filepath.Dir(path(prefix, name)), 0o700); err != nil {
				tb.Fatal(err)
			}
			if err := os.WriteFile(path(prefix, name), content, 0o600); err != nil {
				tb.Fatal(err)
			}
		},
		age: func(tb testing.TB, prefix, name string, by time.Duration) {
			tb.Helper()
			then := time.Now().Add(-by)
			if err := os.Chtimes(path(prefix, name), then, then); err != nil {
				tb.Fatal(err)
			}
		},
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	suite(t, inDirectory(
		func(prefix string) string { return "file://" + dir + "/" + prefix + "?create_dir=true" },
		func(prefix, name string) string { return filepath.Join(dir, prefix, filepath.FromSlash(name)) },
	))
}

func TestS3(t *testing.T) {
	t.Parallel()
	server := counterpart.StartS3(t)
	server.MakeBucket(t, "records")
	suite(t, inDirectory(
		func(prefix string) string { return server.URL("records", prefix) },
		func(prefix, name string) string {
			return filepath.Join(server.Dir, "data", "records", prefix, filepath.FromSlash(name))
		},
	))
}

func TestAzure(t *testing.T) {
	t.Parallel()
	server := newAzure(t)
	suite(t, ground{
		url:       server.url,
		overwrite: func(_ testing.TB, prefix, name string, content []byte) { server.overwrite(prefix+"/"+name, content) },
		age:       func(_ testing.TB, prefix, name string, by time.Duration) { server.age(prefix+"/"+name, by) },
	})
}

// suite is what every store has to do.
func suite(t *testing.T, g ground) {
	t.Helper()
	for name, test := range map[string]func(trial){
		"puts-once":            putsOnce,
		"beside-another":       besideAnother,
		"empty":                empty,
		"conflict":             conflict,
		"content":              faultyContent,
		"identity":             identity,
		"context":              endOfContext,
		"list":                 listing,
		"pages":                pages,
		"sweep":                sweep,
		"again-before-a-sweep": againBeforeASweep,
		"verify":               verifies,
		"read":                 reads,
		"delete":               deletion,
		"check":                check,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(trial{T: t, ground: g, prefix: name})
		})
	}
}

func putsOnce(t trial) {
	s := openStore(t, t.url())
	content := bytesOf(1, 100_000)
	stored := put(t, s, fromBase64(base64.StdEncoding.EncodeToString(content)))
	root, _, _ := strings.Cut(t.url(), "?")
	want := claim.Stored{Reference: claim.Reference{
		Location: root + "/" + nameOf(content), SHA256: digest(content), Size: 100_000, MediaType: "application/pdf",
	}}
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	parsed, err := claim.ParseReference(stored.String())
	if err != nil || parsed != stored.Reference {
		t.Errorf("parsed as %+v, %v", parsed, err)
	}
	mediaType, metadata, err := claim.MediaTypeAndMetadata(t.Context(), s, nameOf(content))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"recordid": "63351998", "recordtype": "result"}, metadata); mediaType != "application/pdf" || diff != "" {
		t.Errorf("media type %q, metadata (-want +got):\n%s", mediaType, diff)
	}
	want.Existed = true
	for range 2 {
		if diff := cmp.Diff(want, put(t, s, object(content))); diff != "" {
			t.Errorf("again (-want +got):\n%s", diff)
		}
	}
	if n := len(list(t, s)); n != 1 {
		t.Errorf("%d objects, want 1", n)
	}
}

// Whoever is first writes; nobody fails, and everybody has the same reference.
func besideAnother(t trial) {
	s := openStore(t, t.url())
	content := bytesOf(2, 300_000)
	const n = 12
	stored, errs := make([]claim.Stored, n), make([]error, n)
	var wait, ready sync.WaitGroup
	ready.Add(n)
	for i := range n {
		o, opened := object(nil), 0
		o.Open = func() io.Reader {
			if opened++; opened == 2 { // the upload begins: all have looked for the object and found none
				ready.Done()
				ready.Wait()
			}
			return bytes.NewReader(content)
		}
		wait.Go(func() { stored[i], errs[i] = s.Put(t.Context(), o) })
	}
	wait.Wait()
	wrote := 0
	for i := range n {
		if errs[i] != nil || stored[i].Reference != stored[0].Reference {
			t.Errorf("%+v, %v", stored[i], errs[i])
		}
		if !stored[i].Existed {
			wrote++
		}
	}
	if wrote != 1 {
		t.Errorf("%d wrote the object, want 1", wrote)
	}
	if v, err := s.Verify(t.Context(), stored[0].Reference); v != claim.Intact || err != nil {
		t.Errorf("%v, %v", v, err)
	}
}

func empty(t trial) {
	s := openStore(t, t.url())
	stored := put(t, s, object(nil))
	if stored.Size != 0 || stored.SHA256 != digest(nil) || stored.Existed {
		t.Errorf("%+v", stored)
	}
	if v, err := s.Verify(t.Context(), stored.Reference); v != claim.Intact || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	if !put(t, s, object(nil)).Existed {
		t.Error("put twice")
	}
}

func conflict(t trial) {
	s := openStore(t, t.url())
	content := bytesOf(3, 1000)
	t.overwrite(nameOf(content), content[:999])
	_, err := s.Put(t.Context(), object(content))
	found, ok := errors.AsType[*claim.ConflictError](err)
	if !ok || found.Have != 999 || found.Want != 1000 || found.Location != s.Location(nameOf(content)) {
		t.Errorf("%v", err)
	}
}

// Content that cannot be stored leaves nothing behind, whichever reading finds it.
func faultyContent(t trial) {
	s := openStore(t, t.url())
	good := bytesOf(4, 200_000)
	other := bytes.Clone(good)
	other[100_000] ^= 1
	cut := func() io.Reader {
		return io.MultiReader(bytes.NewReader(good[:150_000]), iotest.ErrReader(errors.New("canary-content")))
	}
	plain := func(b []byte) func() io.Reader { return func() io.Reader { return bytes.NewReader(b) } }
	text := base64.StdEncoding.EncodeToString(good)
	for name, tt := range map[string]struct {
		first, later func() io.Reader
		reason       string
	}{
		"bad base64":            {fromBase64(text[:1000] + "!" + text[1001:]).Open, nil, claim.ContentReader},
		"cut base64":            {fromBase64(text[:len(text)-2]).Open, nil, claim.ContentReader},
		"broken at first":       {cut, nil, claim.ContentReader},
		"broken in the upload":  {plain(good), cut, claim.ContentReader},
		"shorter in the upload": {plain(good), plain(good[:199_999]), claim.ContentChanged},
		"longer in the upload":  {plain(good), plain(append(bytes.Clone(good), 0)), claim.ContentChanged},
		"another in the upload": {plain(good), plain(other), claim.ContentChanged},
		"gone in the upload":    {plain(good), plain(nil), claim.ContentChanged},
	} {
		t.Run(name, func(t *testing.T) {
			o, opened := object(nil), 0
			o.Open = func() io.Reader {
				if opened++; opened > 1 && tt.later != nil {
					return tt.later()
				}
				return tt.first()
			}
			stored, err := s.Put(t.Context(), o)
			refused, ok := errors.AsType[*claim.ContentError](err)
			if !ok || refused.Reason != tt.reason || stored != (claim.Stored{}) {
				t.Errorf("%+v, %v; want reason %s", stored, err, tt.reason)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error quotes content: %v", err)
			}
			if l := list(t, s); len(l) != 0 {
				t.Errorf("left behind: %+v", l)
			}
		})
	}
}

func identity(t trial) {
	s := openStore(t, t.url())
	for name, change := range map[string]func(*claim.Object){
		"no clientId":        func(o *claim.Object) { o.ClientID = "" },
		"up":                 func(o *claim.Object) { o.ClientID = ".." },
		"up in the caseId":   func(o *claim.Object) { o.CaseID = "../../etc" },
		"a separator":        func(o *claim.Object) { o.CaseID = "A/B" },
		"a backslash":        func(o *claim.Object) { o.CaseID = `A\B` },
		"absolute":           func(o *claim.Object) { o.ClientID = "/etc" },
		"a zero byte":        func(o *claim.Object) { o.CaseID = "A\x00" },
		"beyond ASCII":       func(o *claim.Object) { o.CaseID = "Ä" },
		"too long":           func(o *claim.Object) { o.CaseID = strings.Repeat("A", 65) },
		"a year beyond 9999": func(o *claim.Object) { o.CaseCreated = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		o := object([]byte("x"))
		change(&o)
		_, err := s.Put(t.Context(), o)
		if refused, ok := errors.AsType[*claim.ContentError](err); !ok || refused.Reason != claim.ContentIdentity {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l := list(t, s); len(l) != 0 {
		t.Errorf("left behind: %+v", l)
	}
}

// When its context ends, so does a Put, in the reading as in the upload, and leaves no
// object. The error says why.
func endOfContext(t trial) {
	s := openStore(t, t.url())
	content := bytesOf(5, 200_000)
	for _, reading := range []int{1, 2} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		o, opened := object(nil), 0
		o.Open = func() io.Reader {
			if opened++; opened != reading {
				return bytes.NewReader(content)
			}
			half := bytes.NewReader(content[:100_000])
			return io.MultiReader(half, readerFunc(func([]byte) (int, error) { cancel(); return 0, nil }), bytes.NewReader(content[100_000:]))
		}
		_, err := s.Put(ctx, o)
		if _, ok := errors.AsType[*claim.UnavailableError](err); !ok || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled in reading %d: %v", reading, err)
		}
	}
	if l := list(t, s); len(l) != 0 {
		t.Errorf("left behind: %+v", l)
	}
	if put(t, s, object(content)).Existed {
		t.Error("the object was there")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func listing(t trial) {
	s := openStore(t, t.url())
	contents := map[string][]byte{}
	for i, of := range []struct{ client, caseID string }{
		{"CLIENT1", "CASE1"}, {"CLIENT1", "CASE1"}, {"CLIENT1", "CASE11"}, {"CLIENT11", "CASE1"}, {"CLIENT2", "CASE1"},
	} {
		content := bytesOf(uint64(100+i), 10+i)
		o := object(content)
		o.ClientID, o.CaseID = of.client, of.caseID
		stored := put(t, s, o)
		name, ok := s.Name(stored.Location)
		if !ok {
			t.Fatalf("%s has no name", stored.Location)
		}
		contents[name] = content
	}
	foreign := "CLIENT1/notes.txt"
	t.overwrite(foreign, []byte("not ours"))

	for _, tt := range []struct {
		of   []string
		want int
	}{{nil, 6}, {[]string{"CLIENT1"}, 4}, {[]string{"CLIENT1", "CASE1"}, 2}, {[]string{"CLIENT1", "CASE11"}, 1}, {[]string{"CLIENT3"}, 0}} {
		found := list(t, s, tt.of...)
		if len(found) != tt.want {
			t.Errorf("%v: %d objects, want %d", tt.of, len(found), tt.want)
		}
		for _, l := range found {
			content, ours := contents[l.Name]
			key, _ := claim.ParseName(l.Name)
			switch {
			case !ours && (l.Name != foreign || !l.Foreign || l.Key != claim.Key{}):
				t.Errorf("%+v is not ours", l)
			case ours && (l.Foreign || l.Leftover || l.Size != int64(len(content)) || l.Key != key || l.Key.SHA256 != digest(content)):
				t.Errorf("%+v", l)
			case time.Since(l.Modified) > time.Minute:
				t.Errorf("%s was modified at %v", l.Name, l.Modified)
			}
		}
	}
	for range s.List(t.Context(), "", "") {
		break // a list may be left early
	}
	for l, err := range s.List(t.Context(), "../CLIENT1", "") {
		if err == nil {
			t.Errorf("listed %+v above the prefix", l)
		}
	}
}

func pages(t trial) {
	s := openStore(t, t.url())
	const n = 1003 // a page has 1,000
	for i := range n {
		t.overwrite(nameOf(fmt.Append(nil, i)), fmt.Append(nil, i))
	}
	seen := make(map[string]bool)
	for _, l := range list(t, s) {
		seen[l.Name] = !l.Foreign
	}
	if len(seen) != n {
		t.Errorf("%d objects, want %d", len(seen), n)
	}
}

func sweep(t trial) {
	s := openStore(t, t.url())
	const delay = 48 * time.Hour
	names := make([]string, 4)
	for i := range names {
		stored := put(t, s, object(bytesOf(uint64(200+i), 100)))
		names[i], _ = s.Name(stored.Location)
	}
	const named, orphan, again, young = 0, 1, 2, 3
	for _, i := range []int{named, orphan, again} {
		t.age(names[i], delay+time.Hour)
	}
	foreign := "CLIENT1/notes.txt"
	t.overwrite(foreign, []byte("not ours"))
	t.age(foreign, 100*delay)

	var orphans []claim.Listed
	for _, l := range list(t, s) {
		if claim.IsOrphan(l, func(name string) bool { return name == names[named] }, delay, time.Now()) {
			orphans = append(orphans, l)
		}
	}
	if len(orphans) != 2 {
		t.Fatalf("orphans: %+v", orphans)
	}
	put(t, s, object(bytesOf(200+again, 100))) // a retry comes between list and sweep
	swept := 0
	for _, l := range orphans {
		did, err := s.Sweep(t.Context(), l)
		if err != nil || did != (l.Name == names[orphan]) {
			t.Errorf("sweep of %s: %t, %v", l.Name, did, err)
		}
		if did {
			swept++
		}
	}
	var left []string
	for _, l := range list(t, s) {
		left = append(left, l.Name)
	}
	if swept != 1 || len(left) != 4 {
		t.Errorf("swept %d, left %v", swept, left)
	}
	if _, err := s.Sweep(t.Context(), claim.Listed{Name: foreign, Foreign: true}); err == nil {
		t.Error("swept what is not ours")
	}
	if err := s.Delete(t.Context(), foreign); err == nil {
		t.Error("deleted what is not ours")
	}
}

// A Put that finds an old object makes it a new one.
func againBeforeASweep(t trial) {
	s := openStore(t, t.url())
	content := bytesOf(6, 5000)
	reference := put(t, s, object(content)).Reference
	for _, tt := range []struct {
		age     time.Duration
		renewed bool
	}{{claim.MinOrphanAge/2 - time.Hour, false}, {claim.MinOrphanAge/2 + time.Hour, true}} {
		t.age(nameOf(content), tt.age)
		if stored := put(t, s, object(content)); !stored.Existed || stored.Reference != reference {
			t.Errorf("%+v", stored)
		}
		if l := list(t, s); len(l) != 1 || (time.Since(l[0].Modified) < time.Hour) != tt.renewed {
			t.Errorf("after %v: %+v", tt.age, l)
		}
	}
	if v, err := s.Verify(t.Context(), reference); v != claim.Intact || err != nil {
		t.Errorf("%v, %v", v, err)
	}
}

func verifies(t trial) {
	s := openStore(t, t.url())
	content := bytesOf(7, 70_000)
	reference := put(t, s, object(content)).Reference
	verdict := func(r claim.Reference, want claim.Verdict) {
		t.Helper()
		if got, err := s.Verify(t.Context(), r); got != want || err != nil {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
		unread := want
		if want == claim.WrongDigest && r == reference {
			unread = claim.Intact // only who reads it can know
		}
		if got, err := s.Look(t.Context(), r); got != unread || err != nil {
			t.Errorf("a look: %v, %v; want %v", got, err, unread)
		}
	}
	verdict(reference, claim.Intact)
	misnamed := reference
	misnamed.SHA256 = digest(nil)
	verdict(misnamed, claim.WrongDigest)
	absent := reference
	absent.SHA256 = digest(nil)
	absent.Location = s.Location(nameOf(nil))
	verdict(absent, claim.Missing)
	elsewhere := reference
	elsewhere.Location = "s3://another/" + nameOf(content)
	verdict(elsewhere, claim.Elsewhere)
	elsewhere.Location = s.Location("../" + nameOf(content))
	verdict(elsewhere, claim.Elsewhere)
	elsewhere.Location = s.Location("notes.txt")
	verdict(elsewhere, claim.Elsewhere)
	tampered := bytes.Clone(content)
	tampered[69_999] ^= 1
	t.overwrite(nameOf(content), tampered)
	verdict(reference, claim.WrongDigest)
	t.overwrite(nameOf(content), content[1:])
	verdict(reference, claim.WrongSize)
}

func deletion(t trial) {
	s := openStore(t, t.url())
	content := bytesOf(8, 100)
	reference := put(t, s, object(content)).Reference
	for range 2 { // the second finds none
		if err := s.Delete(t.Context(), nameOf(content)); err != nil {
			t.Error(err)
		}
		if v, err := s.Verify(t.Context(), reference); v != claim.Missing || err != nil {
			t.Errorf("%v, %v", v, err)
		}
	}
	if put(t, s, object(content)).Existed {
		t.Error("it is still there")
	}
}

func check(t trial) {
	s := openStore(t, t.url())
	var wait sync.WaitGroup
	for range 4 { // checks beside each other do not mind
		wait.Go(func() {
			if h, err := s.Check(t.Context()); err != nil || !h.Delete {
				t.Errorf("%+v, %v", h, err)
			}
		})
	}
	wait.Wait()
	if l := list(t, s); len(l) != 0 {
		t.Errorf("left behind: %+v", l)
	}
}

// A large object is put and verified without being held in memory once more: all
// that is allocated meanwhile is below 2 MiB.
//
//nolint:paralleltest // it counts what the process allocates
func TestLargeObjectsAreNotHeldInMemory(t *testing.T) {
	t.Run("directory", func(t *testing.T) { large(t, "file://"+t.TempDir()) })
	t.Run("s3", func(t *testing.T) {
		server := counterpart.StartS3(t)
		server.MakeBucket(t, "records")
		large(t, server.URL("records", ""))
		large(t, server.URL("records", "unknown-checksums")+"&request_checksum_calculation=when_required")
	})
}

func large(t *testing.T, url string) {
	t.Helper()
	s := openStore(t, url)
	content := bytesOf(9, 20<<20)
	o := fromBase64(base64.StdEncoding.EncodeToString(content))
	small := put(t, s, object([]byte("the first one makes connections"))).Reference
	if _, err := s.Verify(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	var before, between, after runtime.MemStats
	runtime.ReadMemStats(&before)
	reference := put(t, s, o).Reference
	runtime.ReadMemStats(&between)
	v, err := s.Verify(t.Context(), reference)
	runtime.ReadMemStats(&after)
	if v != claim.Intact || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	putting, verifying := between.TotalAlloc-before.TotalAlloc, after.TotalAlloc-between.TotalAlloc
	t.Logf("20 MiB: put allocated %d kB, verify %d kB", putting>>10, verifying>>10)
	if max(putting, verifying) > 2<<20 {
		t.Errorf("put allocated %d bytes, verify %d, want at most 2 MiB", putting, verifying)
	}
}
