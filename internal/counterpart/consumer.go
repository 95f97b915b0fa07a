package counterpart

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postident-bridge/internal/testbed"
)

// consumerTime bounds a consumer. The first one on a machine is built, and what
// it needs is downloaded.
const consumerTime = 8 * time.Minute

const consumersScript = "consumers/run"

// Language is that of a foreign consumer.
type Language string

// The languages: Python with Confluent's client and fastavro, Java with Apache
// Kafka's client and Apache Avro, Node with kafkajs and avsc.
const (
	Python Language = "python"
	Java   Language = "java"
	Node   Language = "node"
)

// Languages are those that Consume knows.
func Languages() []Language { return []Language{Python, Java, Node} }

// Consumed is a record as a foreign consumer decoded it.
type Consumed struct {
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Timestamp time.Time         `json:"timestamp"`
	Key       string            `json:"key"`
	Headers   map[string]string `json:"headers"`
	// Value is a JSON object with sorted keys: times as RFC 3339 in
	// milliseconds, bytes as hex.
	Value json.RawMessage `json:"value"`
}

// Consume reads count committed records of the topic from its start with a
// foreign consumer, by partition and offset. Schema is a registry's URL, or the
// path of an .avsc file where values are in single-object encoding. A record
// that does not decode, or too few of them within 30 s, fails the test.
func Consume(tb testing.TB, language Language, bootstrap, schema, topic string, count int) []Consumed {
	tb.Helper()
	out := runConsumer(tb, string(language), bootstrap, schema, topic, strconv.Itoa(count))
	records := make([]Consumed, 0, count)
	for line := range strings.Lines(out) {
		var r Consumed
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			tb.Fatalf("read line of %s consumer: %v", language, err)
		}
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b Consumed) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return records
}

// Raw is a record as kcat prints it: kcat knows no Avro.
type Raw struct {
	Partition int32
	Offset    int64
	Timestamp time.Time
	Headers   string // name=value,name=value in the record's order
	Key       string
	Value     []byte
}

// kcatFormat is one line of numbers and headers; key and value follow with the
// lengths that it names, for they may hold anything.
const kcatFormat = `%p %o %T %K %S %h\n%k%s\n`

// Kcat reads the first count committed records of the topic with kcat, by
// partition and offset.
func Kcat(tb testing.TB, bootstrap, topic string, count int) []Raw {
	tb.Helper()
	out := runConsumer(tb, "kcat", "-C", "-q", "-b", bootstrap, "-t", topic, "-o", "beginning",
		"-X", "isolation.level=read_committed", "-c", strconv.Itoa(count), "-f", kcatFormat)
	records, err := parseKcat(out)
	if err != nil {
		tb.Fatal(err)
	}
	slices.SortFunc(records, func(a, b Raw) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return records
}

func parseKcat(out string) ([]Raw, error) {
	var records []Raw
	for out != "" {
		head, rest, ok := strings.Cut(out, "\n")
		fields := strings.SplitN(head, " ", 6)
		if !ok || len(fields) != 6 {
			return nil, fmt.Errorf("parse kcat: no line of numbers and headers: %q", head)
		}
		partition, err := strconv.ParseInt(fields[0], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("parse kcat: %w", err)
		}
		var numbers [4]int64
		for i := range numbers {
			if numbers[i], err = strconv.ParseInt(fields[i+1], 10, 64); err != nil {
				return nil, fmt.Errorf("parse kcat: %w", err)
			}
		}
		key, value := max(numbers[2], 0), max(numbers[3], 0) // -1 is null
		if int64(len(rest)) < key+value+1 {
			return nil, fmt.Errorf("parse kcat: record %d/%d is cut", partition, numbers[0])
		}
		records = append(records, Raw{
			Partition: int32(partition),
			Offset:    numbers[0],
			Timestamp: time.UnixMilli(numbers[1]).UTC(),
			Headers:   fields[5],
			Key:       rest[:key],
			Value:     []byte(rest[key : key+value]),
		})
		out = rest[key+value+1:]
	}
	return records, nil
}

// runConsumer gives what the script printed.
func runConsumer(tb testing.TB, args ...string) string {
	tb.Helper()
	unlessShort(tb, reportConsumers)
	ctx, cancel := context.WithTimeout(tb.Context(), consumerTime)
	defer cancel()
	out, err := testbed.Run(ctx, consumersScript, nil, args...)
	outcome(tb, reportConsumers, err)
	return out
}
