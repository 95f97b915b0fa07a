package publish

import (
	"flag"
	"runtime"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Tests on Apache Kafka wait most of their time: for sessions, transactions
	// and brokers. Two at a time, as two cores would have it, take a quarter of an hour.
	if p := flag.Lookup("test.parallel"); p != nil && p.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := p.Value.Set("24"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}
