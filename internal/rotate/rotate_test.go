package rotate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/goleak"

	"postident-bridge/internal/counterpart"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a watch with all that can be seen of it.
type rig struct {
	*Watch
	log    bytes.Buffer
	reader *sdkmetric.ManualReader
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{reader: sdkmetric.NewManualReader()}
	var err error
	r.Watch, err = New(Config{
		Logger: slog.New(slog.NewTextHandler(&r.log, nil)),
		Meter:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader)).Meter("test"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// looks has it look until nothing waits for a second look.
func (r *rig) looks(t *testing.T) {
	t.Helper()
	for range 2 {
		if r.look(t.Context()) {
			return
		}
	}
	if !r.look(t.Context()) {
		t.Fatal("a change is not settled")
	}
}

// counted is the metric as "VARIABLE result n", of what is not 0.
func (r *rig) counted(t *testing.T) []string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
				variable, _ := p.Attributes.Value("variable")
				result, _ := p.Attributes.Value("result")
				if p.Value != 0 {
					out = append(out, fmt.Sprintf("%s %s %d", variable.AsString(), result.AsString(), p.Value))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func (r *rig) expect(t *testing.T, what string, log int, counted ...string) {
	t.Helper()
	if got := strings.Count(r.log.String(), "\n"); got != log {
		t.Errorf("%s: %d log lines, want %d:\n%s", what, got, log, r.log.String())
	}
	if got := r.counted(t); !slices.Equal(got, counted) {
		t.Errorf("%s: counted %v, want %v", what, got, counted)
	}
	if strings.Contains(r.log.String(), "canary") {
		t.Errorf("%s: the log shows a value:\n%s", what, r.log.String())
	}
}

func TestChangedTextIsUsed(t *testing.T) {
	t.Parallel()
	s, r := counterpart.MountSecret(t, map[string]string{"password": "canary-1\n"}), newRig(t)
	text := r.Text(Setting{Variable: "PASSWORD", Path: s.Path("password"), Value: "canary-1"}, nil)
	r.looks(t)
	r.expect(t, "no change", 0)

	s.Replace(map[string]string{"password": "canary-2\n"})
	if r.look(t.Context()) || text.Get() != "canary-1" {
		t.Error("a change that was seen once is used")
	}
	r.looks(t)
	if text.Get() != "canary-2" {
		t.Error("a change that was seen twice is not used")
	}
	r.expect(t, "change", 1, "PASSWORD taken 1")
	r.looks(t)
	r.expect(t, "the same again", 1, "PASSWORD taken 1")
}

func TestWhatCannotBeReadKeepsTheValueBefore(t *testing.T) {
	t.Parallel()
	s, r := counterpart.MountSecret(t, map[string]string{"password": "canary-1"}), newRig(t)
	text := r.Text(Setting{Variable: "PASSWORD", Path: s.Path("password"), Value: "canary-1"}, nil)
	s.Replace(map[string]string{"password": "\n"})
	r.looks(t)
	r.looks(t)
	r.expect(t, "empty, told once", 1, "PASSWORD unreadable 1")
	s.Replace(nil)
	r.looks(t)
	r.looks(t)
	r.expect(t, "missing, told once", 2, "PASSWORD unreadable 2")
	if text.Get() != "canary-1" {
		t.Errorf("the value before is lost")
	}
	s.Replace(map[string]string{"password": "canary-1"})
	r.looks(t)
	r.expect(t, "as it was", 2, "PASSWORD unreadable 2")
	s.Replace(map[string]string{"password": "canary-2"})
	r.looks(t)
	if text.Get() != "canary-2" {
		t.Error("a good value after bad ones is not used")
	}
	r.expect(t, "good", 3, "PASSWORD taken 1", "PASSWORD unreadable 2")
}

func TestAGroupIsTakenTogether(t *testing.T) {
	t.Parallel()
	s, r := counterpart.MountSecret(t, map[string]string{"cert": "1", "key": "1"}), newRig(t)
	var used []string
	r.Add(func(values []string) error {
		if values[0] != values[1] {
			return errors.New("not a pair")
		}
		used = values[:2]
		return nil
	}, Setting{"CERT", s.Path("cert"), "1"}, Setting{"KEY", s.Path("key"), "1"}, Setting{"FIXED", "", "f"})

	s.Replace(map[string]string{"cert": "2", "key": "1"})
	r.looks(t)
	r.looks(t)
	if used != nil {
		t.Errorf("half of a pair is used: %v", used)
	}
	r.expect(t, "half", 1, "CERT refused 1")
	s.Replace(map[string]string{"cert": "2", "key": "2"})
	r.looks(t)
	if !slices.Equal(used, []string{"2", "2"}) {
		t.Errorf("the pair is not used: %v", used)
	}
	r.expect(t, "pair", 3, "CERT refused 1", "CERT taken 1", "KEY taken 1")
}

// A user and its password that are swapped one after the other: the half that is seen
// between them is not used, nor told.
func TestHalfAPairIsNotUsed(t *testing.T) {
	t.Parallel()
	s, r := counterpart.MountSecret(t, map[string]string{"user": "canary-1", "password": "canary-p1"}), newRig(t)
	var checked [][2]string
	pair := r.Pair(Setting{"USER", s.Path("user"), "canary-1"}, Setting{"PASSWORD", s.Path("password"), "canary-p1"},
		func(user, password string) error {
			checked = append(checked, [2]string{user, password})
			if strings.Contains(user, ":") {
				return errors.New("has a colon")
			}
			return nil
		})
	expect := func(what, user, password string) {
		t.Helper()
		if u, p := pair.Get(); u != user || p != password {
			t.Errorf("%s: %s with %s", what, u, p)
		}
	}
	s.Replace(map[string]string{"user": "canary-2", "password": "canary-p1"})
	if r.look(t.Context()) {
		t.Error("half a pair needs no second look")
	}
	s.Replace(map[string]string{"user": "canary-2", "password": "canary-p2"})
	if r.look(t.Context()) {
		t.Error("the pair needs no second look")
	}
	expect("seen once", "canary-1", "canary-p1")
	r.looks(t)
	expect("seen twice", "canary-2", "canary-p2")
	r.expect(t, "pair", 2, "PASSWORD taken 1", "USER taken 1")
	s.Replace(map[string]string{"user": "canary:3", "password": "canary-p3"})
	r.looks(t)
	expect("refused", "canary-2", "canary-p2")
	if want := [][2]string{{"canary-2", "canary-p2"}, {"canary:3", "canary-p3"}}; !slices.Equal(checked, want) {
		t.Errorf("checked %v", checked)
	}
	var none *Watch
	if user, password := none.Pair(Setting{Value: "u"}, Setting{Value: "p"}, nil).Get(); user != "u" || password != "p" {
		t.Error("a nil watch has another pair")
	}
}

// A swap between the reads of two files shows a pair that never was. The next look
// sees the right one: nobody hears of it.
func TestATornReadIsNotTold(t *testing.T) {
	t.Parallel()
	g := &group{settings: []Setting{{Variable: "CERT"}, {Variable: "KEY"}}, current: []string{"1", "1"}}
	for i, look := range []struct {
		cert, key string
		want      step
	}{
		{"1", "1", stepNone},
		{"1", "2", stepAgain}, // torn
		{"2", "2", stepAgain},
		{"2", "2", stepTell},
		{"2", "2", stepNone}, // told, and refused: it is not current
		{"1", "1", stepNone}, // back
		{"2", "2", stepAgain},
		{"2", "2", stepTell}, // another change
	} {
		if got := g.next(reading{values: []string{look.cert, look.key}}); got != look.want {
			t.Errorf("look %d: step %d, want %d", i, got, look.want)
		}
	}
}

func TestWithoutFilesNothingIsWatched(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if text := r.Text(Setting{Variable: "PASSWORD", Value: "v"}, nil); text.Get() != "v" || !r.Idle() {
		t.Error("a value of the environment is watched")
	}
	var none *Watch
	if text := none.Text(Setting{Variable: "PASSWORD", Path: "/p", Value: "v"}, nil); text.Get() != "v" || !none.Idle() {
		t.Error("a nil watch watches")
	}
}

// A change is used within one interval and a tenth.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "password")
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("1")
		r := newRig(t)
		text := r.Text(Setting{Variable: "PASSWORD", Path: path, Value: "1"}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		began := time.Now()
		write("2")
		for text.Get() == "1" && time.Since(began) < time.Minute {
			<-time.After(100 * time.Millisecond)
		}
		if took := time.Since(began); text.Get() != "2" || took > Every+Every/settles+100*time.Millisecond {
			t.Errorf("took %s", took)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}
