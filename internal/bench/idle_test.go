package bench

import "testing"

func TestParseMemory(t *testing.T) {
	t.Parallel()
	got, err := parseMemory([]byte("Name:\tbridge\nVmHWM:\t   51200 kB\nVmRSS:\t   35840 kB\nRssAnon:\t    9216 kB\nThreads:\t9\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got["VmRSS"] != 35840<<10 || got["RssAnon"] != 9216<<10 || got["VmHWM"] != 51200<<10 || len(got) != 3 {
		t.Errorf("got %v", got)
	}
	for name, status := range map[string]string{
		"no VmRSS":  "Name:\tbridge\nVmHWM:\t   51200 kB\n",
		"no number": "VmRSS:\t   x kB\n",
		"empty":     "",
	} {
		if got, err := parseMemory([]byte(status)); err == nil {
			t.Errorf("%s: got %v and no error", name, got)
		}
	}
}
