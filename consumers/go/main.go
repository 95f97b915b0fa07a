// Command go prints the events of a status or result topic, one JSON line each.
// Of a status topic it checks the hash chain of every case; results have none.
// It shares no code with the bridge.
//
//	go run ./consumers/go BOOTSTRAP SCHEMA TOPIC COUNT [TIMEOUT_SECONDS]
//
// SCHEMA is the registry's URL (http://user:password@host:port/path), or, where
// the bridge runs without a registry, the file status_changed.avsc or
// identification_result.avsc. It exits 1 when a record does not decode or a
// chain is broken, and 2 when fewer than COUNT came in time.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	errUsage   = errors.New("usage: go BOOTSTRAP SCHEMA TOPIC COUNT [TIMEOUT_SECONDS]")
	errMissing = errors.New("records missing")
)

func main() {
	err := run(context.Background(), os.Stdout, os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.Is(err, errMissing) {
		os.Exit(2) //nolint:forbidigo // a program of its own
	}
	os.Exit(1) //nolint:forbidigo // a program of its own
}

func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) < 4 {
		return errUsage
	}
	count, err := strconv.Atoi(args[3])
	if err != nil {
		return errUsage
	}
	timeout := 30 * time.Second
	if len(args) > 4 {
		if timeout, err = time.ParseDuration(args[4] + "s"); err != nil {
			return errUsage
		}
	}
	decode, err := newDecoder(args[1])
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(args[0]),
		kgo.ConsumeTopics(args[2]),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// Without this, events of transactions that were aborted show, too.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return fmt.Errorf("open consumer: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return consume(ctx, client, decode, out, count)
}

func consume(ctx context.Context, client *kgo.Client, decode *decoder, out io.Writer, count int) error {
	chains := make(chains)
	for count > 0 {
		fetches := client.PollRecords(ctx, count)
		if ctx.Err() != nil {
			return fmt.Errorf("%d %w", count, errMissing)
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		for _, r := range fetches.Records() {
			event, err := decode.event(ctx, r.Value)
			if err != nil {
				return fmt.Errorf("decode %s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
			}
			if _, chained := event["previousEventHash"]; chained {
				if err := chains.extend(event, r.Value); err != nil {
					return fmt.Errorf("check %s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
				}
			}
			if err := printEvent(out, r, event); err != nil {
				return err
			}
			count--
		}
	}
	return nil
}

func printEvent(out io.Writer, r *kgo.Record, event map[string]any) error {
	headers := make(map[string]string)
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	line, err := json.Marshal(map[string]any{
		"partition": r.Partition, "offset": r.Offset, "timestamp": plain(r.Timestamp),
		"key": string(r.Key), "headers": headers, "value": plain(event),
	})
	if err != nil {
		return fmt.Errorf("print event: %w", err)
	}
	if _, err := fmt.Fprintln(out, string(line)); err != nil {
		return fmt.Errorf("print event: %w", err)
	}
	return nil
}

// plain makes a decoded value fit for JSON: times as RFC 3339 in milliseconds,
// bytes as hex.
func plain(v any) any {
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000Z")
	case []byte:
		return hex.EncodeToString(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, field := range v {
			out[name] = plain(field)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	default:
		return v
	}
}
