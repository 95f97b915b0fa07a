package counterpart

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseKcatTakesWhateverKeysAndValuesHold(t *testing.T) {
	t.Parallel()
	written := time.UnixMilli(1772366399987).UTC()
	for _, tt := range []struct {
		name, out string
		want      []Raw
	}{
		{"nothing", "", nil},
		{"line ends, blanks and zeros in a value", "2 7 1772366399987 1 6 a=1,b=2\nK\n \n\x00\n \n", []Raw{
			{Partition: 2, Offset: 7, Timestamp: written, Headers: "a=1,b=2", Key: "K", Value: []byte("\n \n\x00\n ")},
		}},
		{"a tombstone without key and headers, then a record", "0 0 1772366399987 -1 -1 \n\n0 1 1772366399987 2 1 a= b\nKKV\n", []Raw{
			{Timestamp: written, Value: []byte{}},
			{Offset: 1, Timestamp: written, Headers: "a= b", Key: "KK", Value: []byte("V")},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseKcat(tt.out)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseKcatRefusesWhatIsCut(t *testing.T) {
	t.Parallel()
	for _, out := range []string{"0 0 1 1 5 \nK1234", "0 0 1 1\n", "0 0 1 1 5", "x 0 1 1 1 \nKV\n", "0 0 1 1 x \nKV\n"} {
		if got, err := parseKcat(out); err == nil {
			t.Errorf("parsed %q as %v", out, got)
		}
	}
}

// ending is a test that remembers how it was ended.
type ending struct {
	testing.TB
	skipped, failed string
}

func (o *ending) Skipf(format string, args ...any) {
	o.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (o *ending) Fatalf(format string, args ...any) {
	o.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// It changes the environment, so it is not parallel.
func TestWhatTheMachineLacksSkipsAndFailsInCI(t *testing.T) {
	if testing.Short() {
		t.Skip("under -short nothing is started, whatever the machine has")
	}
	dir := t.TempDir()
	for _, tool := range []string{"bash", "dirname", "mkdir", "sed"} { // all that the script needs before java
		link(t, dir, tool)
	}
	t.Setenv("PATH", dir)
	reported := filepath.Join(t.TempDir(), "report")
	if err := os.WriteFile(reported, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("COUNTERPART_REPORT", reported)

	start := func(ci string) *ending {
		t.Setenv("CI", ci)
		o := &ending{TB: t}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			StartKafka(o, 1)
		}()
		<-ended
		return o
	}
	const lacking = "kafka: needs java 17 or later"
	if o := start(""); !strings.Contains(o.skipped, lacking) || o.failed != "" {
		t.Errorf("without java: skipped with %q, failed with %q", o.skipped, o.failed)
	}
	got, err := os.ReadFile(reported)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(got), "skipped\tkafka\t") || !strings.Contains(string(got), lacking) {
		t.Errorf("reported %q, want what is lacking", got)
	}
	if o := start("true"); !strings.Contains(o.failed, lacking) || o.skipped != "" {
		t.Errorf("without java in CI: skipped with %q, failed with %q", o.skipped, o.failed)
	}
}

func link(t *testing.T, dir, tool string) {
	t.Helper()
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(from, tool)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := os.Symlink(path, filepath.Join(dir, tool)); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s is not on the PATH", tool)
}
