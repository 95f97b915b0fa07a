// Command barehandler is the limit that the webhook is measured against: a
// net/http handler that reads the body, produces a record of the size of a
// trigger, waits for the acknowledgement of all in-sync replicas, and answers
// 200. It checks nothing, counts nothing and promises nothing.
//
// It prints the address that it serves, and serves until it is told to stop.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The key of a record is the caseId, as the webhook's is: it stands at a fixed
// place of the bodies that the benchmark sends.
const (
	keyBegin = len(`{"caseId":"`)
	keyEnd   = keyBegin + 12
)

func main() {
	if err := run(); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "barehandler: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	brokers := flag.String("brokers", "", "the brokers, separated by commas")
	topic := flag.String("topic", "", "where records go")
	size := flag.Int("size", 0, "bytes of a record's value")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	// Idempotent and with acks=all by default. Without a linger, as the webhook:
	// it would only delay whoever waits for his own record.
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*brokers, ",")...),
		kgo.DefaultProduceTopic(*topic),
		kgo.ProducerLinger(0),
	)
	if err != nil {
		return fmt.Errorf("make kafka client: %w", err)
	}
	defer client.Close()
	var conf net.ListenConfig
	listener, err := conf.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: handler(client, *size), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if _, err := fmt.Fprintln(os.Stdout, listener.Addr()); err != nil {
		return fmt.Errorf("print address: %w", err)
	}
	if err := server.Serve(listener); ctx.Err() == nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func handler(client *kgo.Client, size int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) < keyEnd {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		value := make([]byte, size)
		copy(value, body)
		if err := client.ProduceSync(r.Context(), &kgo.Record{Key: body[keyBegin:keyEnd], Value: value}).FirstErr(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
}
