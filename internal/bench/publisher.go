package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	_ "embed" // the answer
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/testbed"
	"postident-bridge/schemas"
)

// publisherFigure measures the publisher when each trigger needs a read.
func publisherFigure() Figure {
	return Figure{
		Name:  "publisher",
		About: "cases read, decrypted and published, against RSA decryptions alone",
		Run:   measurePublisher,
	}
}

const rsaBits = 3072

// outstandingHooks is how many hooks wait for their read at any time: enough to
// keep every worker busy, and no backlog.
const outstandingHooks = 512

type publisherPlan struct {
	warmup        int // rounds that are not counted: the broker compiles itself meanwhile, on the same cores
	rounds, cases int // cases of a round
	alone         time.Duration
}

func planPublisher(quick bool) publisherPlan {
	if quick {
		return publisherPlan{rounds: 1, cases: 100, alone: 200 * time.Millisecond}
	}
	return publisherPlan{warmup: 1, rounds: 4, cases: 3_000, alone: 3 * time.Second}
}

func measurePublisher(ctx context.Context, env *Env) (rows []Row, err error) {
	plan := planPublisher(env.Quick())
	kafka, err := env.Kafka(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := env.ApplyTopics(ctx, kafka, publishPartitions); err != nil {
		return nil, err
	}
	r, err := env.startReading(ctx, kafka, rsaBits)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	var ours, alone, ratios []float64
	for round := range plan.warmup + plan.rounds {
		if err := r.api.prepare(round, plan.cases); err != nil {
			return nil, err
		}
		limit, err := decryptionRate(plan.alone)
		if err != nil {
			return nil, err
		}
		before, err := r.running.counts(ctx)
		if err != nil {
			return nil, err
		}
		rate, err := env.publishReads(ctx, kafka, r.running, r.api, round, plan.cases)
		if err != nil {
			return nil, err
		}
		after, err := r.running.counts(ctx)
		if err != nil {
			return nil, err
		}
		env.Logf("round %d: %.0f cases/s, %.0f decryptions/s alone, %d transactions, %d retries", round+1, rate, limit,
			after.transactions-before.transactions, after.retries-before.retries)
		if round < plan.warmup {
			continue
		}
		ours, alone, ratios = append(ours, rate), append(alone, limit), append(ratios, rate/limit)
	}
	return []Row{{
		Name: "cases read and published", Ours: median(ours), Limit: median(alone), Unit: "cases/s", Bar: Bar{AtLeast: 0.7},
		Note: fmt.Sprintf("RSA-%d, one case a read; the API's answers were sealed beforehand, for that is another machine's work; rounds %.2f", rsaBits, ratios),
	}}, nil
}

// reading is a publisher that reads each case from an API of sealed answers.
type reading struct {
	api     *sealedAPI
	running *publishing
}

// startReading starts both, with an RSA key of so many bits.
func (e *Env) startReading(ctx context.Context, kafka *testbed.Kafka, bits int) (r *reading, err error) {
	r = new(reading)
	if r.api, err = startSealedAPI(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.api.close())
		}
	}()
	key, err := scr.NewKey(bits)
	if err != nil {
		return nil, err
	}
	client, err := scr.NewClient(scr.ClientConfig{ //nolint:gosec // the secrets of an API that lives as long as the benchmark
		BaseURL: r.api.url, ClientID: benchClientID, Username: "bench", Password: "of-no-use-elsewhere", DataPassword: "likewise",
		Access: scr.AccessClient, Key: key,
	})
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	if _, err := client.Case(ctx, readCaseID(0, 0)); err != nil { // shows the key to the API
		return nil, fmt.Errorf("read first case: %w", err)
	}
	if r.running, err = e.startPublisher(ctx, kafka, client.Case); err != nil {
		return nil, err
	}
	return r, nil
}

// end stops both.
func (r *reading) end() error { return errors.Join(r.running.end(), r.api.close()) }

// decryptionRate is how many RSA decryptions a second all cores do, and nothing
// else.
func decryptionRate(d time.Duration) (float64, error) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return 0, fmt.Errorf("make key: %w", err)
	}
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, make([]byte, 32), nil)
	if err != nil {
		return 0, fmt.Errorf("encrypt: %w", err)
	}
	var done atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for time.Since(began) < d {
				if _, err := key.Decrypt(nil, sealed, &rsa.OAEPOptions{Hash: crypto.SHA256}); err != nil {
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), nil
}

// publishReads sends hooks for the cases of a round, not too many at a time, and
// gives the rate at which their events were committed.
func (e *Env) publishReads(ctx context.Context, kafka *testbed.Kafka, running *publishing, api *sealedAPI, round, cases int) (float64, error) {
	producer, err := kgo.NewClient(
		kgo.SeedBrokers(kafka.Seeds()...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.DefaultProduceTopic(e.publishTopics().Inbox),
		kgo.ProducerLinger(20*time.Millisecond),
	)
	if err != nil {
		return 0, fmt.Errorf("make kafka client: %w", err)
	}
	defer producer.Close()
	var hundredths []time.Time
	tick := time.NewTicker(20 * time.Millisecond) // to look costs, on the cores that are measured
	defer tick.Stop()
	begun, err := running.counts(ctx)
	if err != nil {
		return 0, err
	}
	served, moved := api.served.Load(), time.Now()
	for sent := 0; ; {
		for ; sent < cases && int64(sent) < api.served.Load()-served+outstandingHooks; sent++ {
			caseID := readCaseID(round, sent)
			value, err := schemas.EncodeTrigger(schemas.Trigger{
				ClientID: benchClientID, CaseID: caseID, Source: schemas.SourceWebhook, ReceivedAt: time.Now(),
			})
			if err != nil {
				return 0, fmt.Errorf("encode trigger: %w", err)
			}
			producer.Produce(ctx, &kgo.Record{Key: []byte(caseID), Value: value}, nil)
		}
		c, err := running.counts(ctx)
		if err != nil {
			return 0, err
		}
		done := int(c.events - begun.events)
		for len(hundredths) < 100*done/cases {
			hundredths, moved = append(hundredths, time.Now()), time.Now()
		}
		if done >= cases {
			return middleRate(cases, hundredths), nil
		}
		if time.Since(moved) > time.Minute {
			return 0, fmt.Errorf("%w: %d of %d events", errStalled, done, cases)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
	}
}

func readCaseID(round, i int) string { return fmt.Sprintf("READ%d%07d", round, i) }

// sealedAPI answers reads of cases over HTTP with JWEs that were made before:
// real ones, for the key that the client shows.
type sealedAPI struct {
	url    string
	server *http.Server
	ended  chan error
	served atomic.Int64

	mu      sync.RWMutex
	public  *rsa.PublicKey    // guarded by mu: of the first request
	answers map[string][]byte // guarded by mu, by path
}

// answer is what guide 7.4.1 shows for a case, in the scope of the guide's own
// sample.
//
//go:embed testdata/case-video-success.json
var answer []byte

// answerCaseID stands in the answer wherever the caseId does.
const answerCaseID = "YR9W91GEZK24"

func startSealedAPI(ctx context.Context) (*sealedAPI, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	a := &sealedAPI{url: "http://" + listener.Addr().String(), ended: make(chan error, 1), answers: make(map[string][]byte)}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: time.Minute}
	go func() { a.ended <- a.server.Serve(listener) }()
	return a, nil
}

func (a *sealedAPI) close() error {
	err := a.server.Close()
	if ended := <-a.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	if err != nil {
		return fmt.Errorf("close api: %w", err)
	}
	return nil
}

// ServeHTTP answers a read.
func (a *sealedAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, rest, _ := strings.Cut(r.URL.Path, "/cases/")
	caseID, _, _ := strings.Cut(rest, "/")
	a.mu.RLock()
	sealed := a.answers[caseID]
	a.mu.RUnlock()
	if sealed == nil {
		var err error
		if sealed, err = a.seal(r.Header.Get(scr.HeaderKey), caseID); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	a.served.Add(1)
	w.Header().Set("Content-Type", "application/jose")
	w.Header().Set("Content-Length", strconv.Itoa(len(sealed)))
	_, _ = w.Write(sealed) //nolint:gosec // made by us; an error says that the client has gone
}

// seal makes the answer for one case, for the key in the request.
func (a *sealedAPI) seal(header, caseID string) ([]byte, error) {
	der, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return nil, fmt.Errorf("decode key: %w", err)
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse key: %w", err)
	}
	public, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	a.mu.Lock()
	a.public = public
	a.mu.Unlock()
	return sealAnswer(public, caseID)
}

// prepare seals the answers of a round.
func (a *sealedAPI) prepare(round, cases int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.answers)
	for i := range cases {
		caseID := readCaseID(round, i)
		sealed, err := sealAnswer(a.public, caseID)
		if err != nil {
			return err
		}
		a.answers[caseID] = sealed
	}
	return nil
}

func sealAnswer(public *rsa.PublicKey, caseID string) ([]byte, error) {
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: public}, nil)
	if err != nil {
		return nil, fmt.Errorf("set up encryption: %w", err)
	}
	object, err := encrypter.Encrypt(bytes.ReplaceAll(answer, []byte(answerCaseID), []byte(caseID)))
	if err != nil {
		return nil, fmt.Errorf("encrypt answer: %w", err)
	}
	compact, err := object.CompactSerialize()
	if err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return []byte(compact), nil
}
