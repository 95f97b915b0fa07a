package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"postident-bridge/internal/testbed"
)

// recordsFigure measures a case with large records, from its trigger to the event
// that names them in the store.
func recordsFigure() Figure {
	return Figure{
		Name:  "records",
		About: "a result with a PDF of 20 MB and six images, against HTTP, decryption and SHA-256 alone",
		Run:   measureRecords,
	}
}

// recordsPlan is what is measured, of each store.
type recordsPlan struct {
	pdf    int
	images []int
	settle time.Duration // before the memory of a bridge with nothing to do is taken
	warmup int           // first cases that are not counted: broker and store compile and open themselves meanwhile
	rounds int
	cases  int           // of a round, one after the other
	after  time.Duration // how long the memory of the last case may take to go
}

func planRecords(quick bool) recordsPlan {
	if quick {
		return recordsPlan{pdf: 300 << 10, images: []int{1, 2, 3, 4, 5, 6 << 10}, settle: time.Second, warmup: 1, rounds: 1, cases: 2, after: time.Second}
	}
	return recordsPlan{
		pdf: 20 << 20, images: []int{1 << 20, 1 << 20, 3 << 19, 2 << 20, 5 << 19, 3 << 20},
		settle: 10 * time.Second, warmup: 4, rounds: 4, cases: 4, after: time.Minute,
	}
}

// total is how many cases a bridge publishes.
func (p recordsPlan) total() int { return p.warmup + p.rounds*p.cases }

// recordsRun is what was measured of a bridge with one store.
type recordsRun struct {
	body        float64 // MB, as it comes over HTTP
	ours, limit []float64
	idle, peak  float64 // MB
	left        float64 // MB over idle, after the last case
	leftAfter   time.Duration
}

func measureRecords(ctx context.Context, env *Env) (rows []Row, err error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("read resident memory: not on %s", runtime.GOOS)
	}
	kafka, err := env.Kafka(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := env.ApplyTopics(ctx, kafka, publishPartitions, "--result-retention", "24h"); err != nil {
		return nil, err
	}
	s3, err := testbed.StartS3(ctx, testbed.S3Options{Dir: filepath.Join(env.dir, "s3")})
	if err != nil {
		return nil, fmt.Errorf("start s3: %w", err)
	}
	defer func() { err = errors.Join(err, s3.Down(context.WithoutCancel(ctx))) }()
	const bucket = "records"
	if err := s3.MakeBucket(ctx, bucket); err != nil {
		return nil, fmt.Errorf("make bucket: %w", err)
	}
	directory := filepath.Join(env.dir, "records")
	if err := os.Mkdir(directory, 0o700); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	plan := planRecords(env.Quick())
	for _, r := range []struct {
		store   string
		environ []string
		chunked bool
	}{
		{"S3", append(s3.Credentials(), "BRIDGE_RECORDS_URL="+s3.URL(bucket, "")), false},
		{"a directory, length unknown", []string{"BRIDGE_RECORDS_URL=file://" + directory}, true},
	} {
		run, err := env.runRecords(ctx, kafka, plan, recordsBridge{name: r.store, environ: r.environ, chunked: r.chunked})
		if err != nil {
			return rows, fmt.Errorf("%s: %w", r.store, err)
		}
		rows = append(rows, run.rows(r.store)...)
	}
	return rows, nil
}

func (r *recordsRun) rows(store string) []Row {
	return []Row{
		{
			Name: "records into " + store, Ours: median(r.ours), Limit: median(r.limit), Unit: "MB/s", Bar: Bar{AtLeast: 0.6},
			Note: fmt.Sprintf("MB of the answer, which has %.1f, from trigger to event; medians of rounds in turn, ours %.0f to %.0f, limit %.0f to %.0f",
				r.body, slices.Min(r.ours), slices.Max(r.ours), slices.Min(r.limit), slices.Max(r.limit)),
		},
		{
			Name: "memory over idle, records into " + store, Ours: r.peak - r.idle, Limit: r.body, Unit: "MB", Bar: Bar{AtMost: 3},
			Note: fmt.Sprintf("the limit is the answer's size; VmHWM %.1f MB at most, VmRSS idle %.1f MB; %v after the last case %.1f MB over idle",
				r.peak, r.idle, r.leftAfter.Round(time.Second), r.left),
		},
	}
}

// runRecords runs a bridge with a store through all cases of a plan.
func (e *Env) runRecords(ctx context.Context, kafka *testbed.Kafka, plan recordsPlan, store recordsBridge) (run recordsRun, err error) {
	ids := make([]string, plan.total())
	for i := range ids {
		ids[i] = readCaseID(e.clusters, i) + map[bool]string{true: "C", false: "L"}[store.chunked]
	}
	api, err := e.startRecordsAPI(ctx, plan, ids, store.chunked)
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, api.stop()) }()
	b, err := e.startBridge(ctx, kafka, append(store.environ, recordsVariables(api.base)...), "--roles", "process")
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	events, err := e.startReferences(ctx, kafka)
	if err != nil {
		return run, err
	}
	defer events.close()
	if err := wait(ctx, plan.settle); err != nil {
		return run, err
	}
	if run.idle, err = b.megabytes("VmRSS"); err != nil {
		return run, err
	}
	limit, err := newBareReader(api.base, ids[0])
	if err != nil {
		return run, err
	}
	publish := func(caseID string) (time.Duration, error) { return events.publish(ctx, caseID, len(plan.images)+1) }
	// The first case shows the API the bridge's key, the first bare read its own, for
	// which one answer is enough.
	if _, err := publish(ids[0]); err != nil {
		return run, err
	}
	if err := api.prepare(ctx); err != nil {
		return run, err
	}
	if _, err := limit.read(ctx); err != nil {
		return run, err
	}
	for _, id := range ids[1:plan.warmup] {
		if _, err := publish(id); err != nil {
			return run, err
		}
	}
	run.body = float64(limit.size) / 1e6
	if err := b.forgetPeak(); err != nil {
		return run, err
	}
	for round := range plan.rounds {
		alone, err := limit.rate(ctx, plan.cases)
		if err != nil {
			return run, err
		}
		var took time.Duration
		for _, id := range ids[plan.warmup+round*plan.cases:][:plan.cases] {
			t, err := publish(id)
			if err != nil {
				return run, err
			}
			took += t
		}
		run.ours = append(run.ours, float64(plan.cases)*run.body/took.Seconds())
		run.limit = append(run.limit, alone)
		e.Logf("%s, round %d: %.0f MB/s, %.0f MB/s alone (%.0f of it from memory)", store.name, round+1, run.ours[round], alone, limit.fromMemory)
	}
	if run.peak, err = b.megabytes("VmHWM"); err != nil {
		return run, err
	}
	return run, e.awaitMemory(ctx, b, plan, &run)
}

// awaitMemory waits until the memory of the cases is given back, as long as it may
// take.
func (e *Env) awaitMemory(ctx context.Context, b *bridge, plan recordsPlan, run *recordsRun) error {
	const near = 16 // MB: code that had not run before, and connections, stay
	began := time.Now()
	for {
		now, err := b.megabytes("VmRSS")
		if err != nil {
			return err
		}
		run.left, run.leftAfter = now-run.idle, time.Since(began)
		if run.left <= near || run.leftAfter >= plan.after {
			return nil
		}
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
	}
}

// megabytes is a field of the process's memory.
func (p *process) megabytes(field string) (float64, error) {
	memory, err := memoryOf(p.cmd.Process.Pid)
	return float64(memory[field]) / 1e6, err
}

// forgetPeak has VmHWM begin again from what is resident now.
func (p *process) forgetPeak() error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil { //nolint:gosec // it is there
		return fmt.Errorf("reset peak of memory: %w", err)
	}
	return nil
}

// recordsBridge is how the bridge keeps records.
type recordsBridge struct {
	name    string
	environ []string
	chunked bool // the API does not say how long its answers are
}

// recordsVariables are an account that has everything.
func recordsVariables(api string) []string {
	const account = "BRIDGE_ACCOUNT_1_"
	return []string{
		"BRIDGE_SCR_BASE_URL=" + api,
		account + "CLIENT_ID=" + benchClientID, account + "USERNAME=bench", account + "PASSWORD=" + hookPassword, account + "DATA_PASSWORD=" + hookPassword,
		account + "REGULATORY_CLASS=gwg", account + "PAYLOAD=result", account + "RECORDS=all", fmt.Sprintf("%sRSA_BITS=%d", account, rsaBits),
		account + "WEBHOOK_USERNAME=" + hookUsername, account + "WEBHOOK_PASSWORD=" + hookPassword,
	}
}

// joined is a list of numbers as a flag has it.
func joined(numbers []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ","), "[]")
}
