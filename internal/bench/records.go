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
	for _, store := range []recordsBridge{
		{"S3", "S", append(s3.Credentials(), "BRIDGE_RECORDS_URL="+s3.URL(bucket, "")), false, Bar{AtLeast: 0.6}},
		{"a directory", "D", []string{"BRIDGE_RECORDS_URL=file://" + directory}, true, Bar{}},
	} {
		run, err := env.runRecords(ctx, kafka, plan, store)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", store.name, err)
		}
		rows = append(rows, run.rows(store)...)
	}
	return rows, nil
}

func (r *recordsRun) rows(store recordsBridge) []Row {
	return []Row{
		{
			Name: "records into " + store.name, Ours: median(r.ours), Limit: median(r.limit), Unit: "MB/s", Bar: store.bar,
			Note: fmt.Sprintf("MB of the answer, which has %.1f, from trigger to event; medians of rounds in turn, ours %.0f to %.0f, limit %.0f to %.0f",
				r.body, slices.Min(r.ours), slices.Max(r.ours), slices.Min(r.limit), slices.Max(r.limit)),
		},
		{
			Name: "memory over idle, records into " + store.name, Ours: r.peak - r.idle, Limit: r.body, Unit: "MB", Bar: Bar{AtMost: 3},
			Note: fmt.Sprintf("the limit is the answer's size; VmHWM %.1f MB at most, VmRSS idle %.1f MB; %v after the last case %.1f MB over idle",
				r.peak, r.idle, r.leftAfter.Round(time.Second), r.left),
		},
	}
}

// runRecords runs a bridge with a store through all cases of a plan.
func (e *Env) runRecords(ctx context.Context, kafka *testbed.Kafka, plan recordsPlan, store recordsBridge) (run recordsRun, err error) {
	r, err := e.startRecords(ctx, kafka, plan, store)
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	if run.idle, err = r.bridge.megabytes("VmRSS"); err != nil {
		return run, err
	}
	if err := r.warmUp(ctx); err != nil {
		return run, err
	}
	run.body = float64(r.limit.size) / 1e6
	if err := r.bridge.forgetPeak(); err != nil {
		return run, err
	}
	for round := range plan.rounds {
		alone, err := r.limit.rate(ctx, plan.cases)
		if err != nil {
			return run, err
		}
		took, err := r.publish(ctx, r.ids[plan.warmup+round*plan.cases:][:plan.cases])
		if err != nil {
			return run, err
		}
		run.ours = append(run.ours, float64(plan.cases)*run.body/took.Seconds())
		run.limit = append(run.limit, alone)
		e.Logf("%s, round %d: %.0f MB/s, %.0f MB/s alone (%.0f without HTTP)", store.name, round+1, run.ours[round], alone, r.limit.withoutHTTP)
	}
	if run.peak, err = r.bridge.megabytes("VmHWM"); err != nil {
		return run, err
	}
	return run, awaitMemory(ctx, r.bridge, plan, &run)
}

// recordsStage is a bridge with a store, and all that it works with.
type recordsStage struct {
	plan   recordsPlan
	ids    []string // of the cases
	api    *recordsAPI
	bridge *bridge
	events *references
	limit  *bareReader
}

// startRecords starts them, and returns when the bridge has had nothing to do for a
// while.
func (e *Env) startRecords(ctx context.Context, kafka *testbed.Kafka, plan recordsPlan, store recordsBridge) (r *recordsStage, err error) {
	r = &recordsStage{plan: plan}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.end())
		}
	}()
	for i := range plan.total() {
		r.ids = append(r.ids, readCaseID(0, i)+store.tag)
	}
	if r.api, err = e.startRecordsAPI(ctx, plan, r.ids, store.chunked); err != nil {
		return r, err
	}
	if r.bridge, err = e.startBridge(ctx, kafka, append(store.environ, recordsVariables(r.api.base)...), "--roles", "process"); err != nil {
		return r, err
	}
	if r.events, err = e.startReferences(ctx, kafka); err != nil {
		return r, err
	}
	if r.limit, err = newBareReader(r.api.base, r.ids[0]); err != nil {
		return r, err
	}
	return r, wait(ctx, plan.settle)
}

// end stops what startRecords started, as far as it came.
func (r *recordsStage) end() error {
	var errs []error
	if r.events != nil {
		r.events.close()
	}
	if r.bridge != nil {
		errs = append(errs, r.bridge.stop())
	}
	if r.api != nil {
		errs = append(errs, r.api.stop())
	}
	return errors.Join(errs...)
}

// warmUp publishes the cases that are not counted. The first shows the API the
// bridge's key, for which all others are sealed then; the bare reader shows its own
// only after that, since one answer is enough for it.
func (r *recordsStage) warmUp(ctx context.Context) error {
	if _, err := r.publish(ctx, r.ids[:1]); err != nil {
		return err
	}
	if err := r.api.prepare(ctx); err != nil {
		return err
	}
	if _, err := r.limit.read(ctx); err != nil {
		return err
	}
	_, err := r.publish(ctx, r.ids[1:r.plan.warmup])
	return err
}

// publish has cases published one after the other, and says how long all took.
func (r *recordsStage) publish(ctx context.Context, caseIDs []string) (took time.Duration, err error) {
	for _, id := range caseIDs {
		t, err := r.events.publish(ctx, id, len(r.plan.images)+1)
		if err != nil {
			return 0, err
		}
		took += t
	}
	return took, nil
}

// awaitMemory waits until the memory of the cases is given back, as long as it may
// take.
func awaitMemory(ctx context.Context, b *bridge, plan recordsPlan, run *recordsRun) error {
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
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset peak of memory: %w", err)
	}
	return nil
}

// recordsBridge is how the bridge keeps records.
type recordsBridge struct {
	name    string
	tag     string // of its caseIds
	environ []string
	chunked bool // the API does not say how long its answers are
	bar     Bar  // of throughput
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
