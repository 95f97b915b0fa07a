package ingest_test

import (
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/ingest"
)

// What the sender brings before, within and after the grace period of a change.
func TestPasswordChange(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	r := newRig(t, rigOption{config: func(cfg *ingest.WebhookConfig) {
		cfg.PasswordGrace = 5 * time.Minute
		cfg.Now = func() time.Time { return stamp.Add(time.Duration(later.Load())) }
	}})
	codes := func() map[string]int {
		out := make(map[string]int)
		for _, password := range []string{"pass:word", "second", "third"} {
			out[password] = r.serve(post(t.Context(), "LOCKED", goodBody, basic("hook", password))).Code
			// The scheme's name in another case is found the slow way.
			slow := post(t.Context(), "LOCKED", goodBody, basic("hook", password))
			slow.Header.Set("Authorization", "basic"+slow.Header.Get("Authorization")[len("Basic"):])
			if got := r.serve(slow).Code; got != out[password] {
				t.Errorf("%s: %d, and %d where the scheme is written otherwise", password, out[password], got)
			}
		}
		return out
	}
	const ok, refused = http.StatusOK, http.StatusUnauthorized
	expect := func(what string, first, second, third int) {
		t.Helper()
		if diff := cmp.Diff(map[string]int{"pass:word": first, "second": second, "third": third}, codes()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	change := func(password string) {
		t.Helper()
		if err := r.ChangeCredentials("LOCKED", "hook", password); err != nil {
			t.Fatal(err)
		}
	}

	expect("as configured", ok, refused, refused)
	change("second")
	expect("changed", ok, ok, refused)
	later.Store(int64(5*time.Minute - 1))
	expect("at the end of the grace period", ok, ok, refused)
	later.Store(int64(5 * time.Minute))
	expect("after it", refused, ok, refused)
	change("third")
	expect("changed again", refused, ok, ok)
	change("pass:word")
	expect("and back: only the one before is taken too", ok, refused, ok)
}

func TestPasswordChangeWithoutGrace(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOption{})
	if err := r.ChangeCredentials("LOCKED", "hook", "second"); err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]int{"pass:word": http.StatusUnauthorized, "second": http.StatusOK} {
		if got := r.serve(post(t.Context(), "LOCKED", goodBody, basic("hook", password))).Code; got != want {
			t.Errorf("%s: %d, want %d", password, got, want)
		}
	}
	for _, wrong := range [][3]string{{"NOBODY", "u", "x"}, {"ACME", "u", "x"}, {"LOCKED", "u", ""}, {"LOCKED", "", "x"}, {"LOCKED", "canary:u", "x"}} {
		if err := r.ChangeCredentials(wrong[0], wrong[1], wrong[2]); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: error %v", wrong, err)
		}
	}
}

// User and password change together: within the grace period both pairs are good, and
// no mixture of them. What the pair before is still used for is counted.
func TestUserChange(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	r := newRig(t, rigOption{config: func(cfg *ingest.WebhookConfig) {
		cfg.PasswordGrace = 5 * time.Minute
		cfg.Now = func() time.Time { return stamp.Add(time.Duration(later.Load())) }
	}})
	bring := func(what, user, password string, want int) {
		t.Helper()
		if got := r.serve(post(t.Context(), "LOCKED", goodBody, basic(user, password))).Code; got != want {
			t.Errorf("%s: %s with %s: %d, want %d", what, user, password, got, want)
		}
	}
	old := func(want int64) {
		t.Helper()
		if got := r.oldCredentials(t); !maps.Equal(got, map[string]int64{"LOCKED": want}) {
			t.Errorf("old credentials by account: %v, want LOCKED: %d", got, want)
		}
	}
	const ok, refused = http.StatusOK, http.StatusUnauthorized
	bring("as configured", "hook", "pass:word", ok)
	old(0)
	if err := r.ChangeCredentials("LOCKED", "hook-2", "second"); err != nil {
		t.Fatal(err)
	}
	bring("changed", "hook", "pass:word", ok)
	bring("changed", "hook-2", "second", ok)
	bring("a mixture", "hook", "second", refused)
	bring("a mixture", "hook-2", "pass:word", refused)
	old(1)
	later.Store(int64(5 * time.Minute))
	bring("after the grace period", "hook", "pass:word", refused)
	bring("after the grace period", "hook-2", "second", ok)
	old(1)
}
