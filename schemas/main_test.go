package schemas

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *writeHistory != "" {
		if err := writeHistoryEntry(*writeHistory); err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
