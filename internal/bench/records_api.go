package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/testbed"
	"postident-bridge/schemas"
)

// recordsAPI is the API in a process of its own, whose answers are sealed.
type recordsAPI struct {
	*process
	base string
}

func (e *Env) startRecordsAPI(ctx context.Context, plan recordsPlan, caseIDs []string, chunked bool) (*recordsAPI, error) {
	path, err := e.build(ctx, "internal/bench/recordsapi")
	if err != nil {
		return nil, err
	}
	root, err := testbed.ModuleRoot()
	if err != nil {
		return nil, err
	}
	where := make(chan string, 1)
	p, err := startProcess(ctx, nil, func(line string) {
		select {
		case where <- line:
		default:
		}
	}, path,
		"-answer", filepath.Join(root, "internal", "bench", "testdata", "case-video-success.json"), "-case", answerCaseID,
		"-cases", strings.Join(caseIDs, ","), "-pdf", strconv.Itoa(plan.pdf), "-images", joined(plan.images), "-chunked="+strconv.FormatBool(chunked))
	if err != nil {
		return nil, err
	}
	address, err := await(ctx, p, "its address", where)
	if err != nil {
		_ = p.stop() // the first error says more
		return nil, err
	}
	return &recordsAPI{process: p, base: "http://" + address}, nil
}

// prepare has the answers sealed for the one key that was shown.
func (a *recordsAPI) prepare(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+"/prepare", http.NoBody)
	if err != nil {
		return fmt.Errorf("prepare answers: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("prepare answers: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("prepare answers: %s", resp.Status)
	}
	return nil
}

// bareReader is the limit: it reads one answer over and over, as a program does that
// does nothing else.
type bareReader struct {
	http   http.Client
	target string
	key    *rsa.PrivateKey
	shown  string // the header with the key

	body        []byte
	size        int64
	withoutHTTP float64 // MB/s of the last rate, had reading taken no time
}

func newBareReader(base, caseID string) (*bareReader, error) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("marshal key: %w", err)
	}
	return &bareReader{
		target: base + "/api/scr/v1/" + benchClientID + "/cases/" + caseID + "/full?includeBinaryData=true&includeResultPdf=true",
		key:    key, shown: base64.StdEncoding.EncodeToString(public),
	}, nil
}

// rate is the MB/s of so many reads.
func (b *bareReader) rate(ctx context.Context, times int) (float64, error) {
	var opening time.Duration
	began := time.Now()
	for range times {
		took, err := b.read(ctx)
		if err != nil {
			return 0, err
		}
		opening += took
	}
	all := float64(times) * float64(b.size) / 1e6
	b.withoutHTTP = all / opening.Seconds()
	return all / time.Since(began).Seconds(), nil
}

// read reads the answer, decrypts it by go-jose, and copies its JSON to SHA-256. It
// says how long all but the reading took.
func (b *bareReader) read(ctx context.Context) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.target, http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	req.Header.Set(scr.HeaderKey, b.shown)
	resp, err := b.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("read answer: %s", resp.Status)
	}
	if b.body == nil {
		b.body, err = io.ReadAll(resp.Body)
		b.size = int64(len(b.body))
	} else { // of the same size: reading into the same memory is the fastest that there is
		_, err = io.ReadFull(resp.Body, b.body)
	}
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	began := time.Now()
	sealed, err := jose.ParseEncryptedCompact(string(b.body), []jose.KeyAlgorithm{jose.RSA_OAEP_256}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return 0, fmt.Errorf("parse answer: %w", err)
	}
	plain, err := sealed.Decrypt(b.key)
	if err != nil {
		return 0, fmt.Errorf("decrypt answer: %w", err)
	}
	if _, err := io.Copy(sha256.New(), bytes.NewReader(plain)); err != nil {
		return 0, fmt.Errorf("digest answer: %w", err)
	}
	return time.Since(began), nil
}

// references publishes cases, and sees when the events that name their records are
// committed.
type references struct {
	client  *kgo.Client
	inbox   string
	decoder *schemas.StatusDecoder
}

func (e *Env) startReferences(ctx context.Context, kafka *testbed.Kafka) (*references, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(kafka.Seeds()...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(0),
		kgo.ConsumeTopics(e.Topic("status.v1")), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return nil, fmt.Errorf("make kafka client: %w", err)
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("reach kafka: %w", err)
	}
	return &references{client: client, inbox: e.Topic("inbox"), decoder: schemas.NewStatusDecoder(nil)}, nil
}

func (r *references) close() { r.client.Close() }

var errUnstored = errors.New("event without its records")

// publish sends the trigger of a case, and says how long it took until a consumer
// that reads committed records had the event with so many references.
func (r *references) publish(ctx context.Context, caseID string, records int) (time.Duration, error) {
	value, err := schemas.EncodeTrigger(schemas.Trigger{
		ClientID: benchClientID, CaseID: caseID, Source: schemas.SourceWebhook, ReceivedAt: time.Now(),
	})
	if err != nil {
		return 0, fmt.Errorf("encode trigger: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errStalled)
	defer cancel()
	began := time.Now()
	r.client.Produce(ctx, &kgo.Record{Topic: r.inbox, Key: []byte(caseID), Value: value}, nil) // what fails shows as an event that does not come
	for {
		fetches := r.client.PollFetches(ctx)
		took := time.Since(began)
		if err := fetches.Err(); err != nil {
			return 0, fmt.Errorf("read events: %w", errors.Join(err, context.Cause(ctx)))
		}
		for _, record := range fetches.Records() {
			stored, final, err := r.stored(ctx, record, caseID)
			switch {
			case err != nil:
				return 0, err
			case final && stored != records:
				return 0, fmt.Errorf("%w: %d of %d", errUnstored, stored, records)
			case final:
				return took, nil
			}
		}
	}
}

// stored is how many records of a case an event names, and whether it is the event
// of its final state.
func (r *references) stored(ctx context.Context, record *kgo.Record, caseID string) (n int, final bool, err error) {
	if string(record.Key) != caseID {
		return 0, false, nil
	}
	event, err := r.decoder.Decode(ctx, record.Value)
	if err != nil {
		return 0, false, fmt.Errorf("read event: %w", err)
	}
	for _, m := range event.Records {
		if _, ok := m.StoredAs(); ok {
			n++
		}
	}
	return n, event.StatusType == schemas.StatusTypeFinal, nil
}
