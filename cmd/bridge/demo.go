package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scrsim"
)

const (
	// demoPartitions is enough for the demo's workers to show their parallelism.
	demoPartitions = 4
	// demoRate and demoDwell let a person follow what happens.
	demoRate  = 6
	demoDwell = 400 * time.Millisecond
	// demoShown is how much longer a state lasts once an answer showed it: what a
	// busy machine takes to publish it. A later state would take its event's place.
	demoShown = 1500 * time.Millisecond
	// demoTimeScale makes a second of the demo a minute of simulated time, so that
	// the sender's retry after 15 minutes would come while somebody watches. The
	// simulated time begins demoHeadStart ago: no event shall be from the future.
	demoTimeScale = 60
	demoHeadStart = 24 * time.Hour
	// demoSettle is how long the demo waits without any new event before it
	// takes what is missing for lost.
	demoSettle = 10 * time.Second
	// demoLost is the part of the webhooks that the demo loses, for the sweeps to
	// find what they told of; demoClosed and demoOpen are how often they look.
	demoLost   = 0.2
	demoClosed = time.Second
	demoOpen   = 2 * time.Second
	// demoRetention is for how long the topic of results keeps them: longer than the
	// demo lasts.
	demoRetention = day
	// demoTrickle is how many cases a second go on starting under --serve.
	demoTrickle = 0.5
)

// demoFlags are the flags of `demo`.
type demoFlags struct {
	cases  int
	seed   uint64
	serve  bool
	asJSON bool
}

func (m *Main) demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the whole flow: an embedded broker, a simulated API, and the bridge",
		Long: `Shows the whole flow in one process. It needs nothing: the broker is embedded, the
API is simulated, and everything listens on free ports of this machine only.

Identifications of all five methods run through the guide's status model; every
status change that the bridge publishes is shown as it comes. Every fifth webhook
is lost on purpose, and sweeps find what it told of. One account publishes results
and keeps binary records, in a temporary directory; one of its cases is the guide's
own sample, whose result is shown.

At the end the topics are compared with the simulator's truth: nothing may be
missing, double or out of order, and every record must lie in its store. Exits 1
and says what is wrong if something is.

The embedded broker is for demonstration; it is never one for production.`,
		Example: `  bridge demo
  bridge demo --cases 200 --seed 7
  bridge demo --serve                keep it up, to look around`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.cases < 1 {
				return &usageError{"--cases must be at least 1"}
			}
			return m.demo(cmd.Context(), f)
		},
	}
	cmd.Flags().IntVar(&f.cases, "cases", 60, "how many cases to simulate")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "the same seed gives the same cases")
	cmd.Flags().BoolVar(&f.serve, "serve", false, "keep everything up at the end, and go on slowly, until Ctrl-C")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print events and result as lines of JSON")
	return cmd
}

// demo is one demonstration: the broker, the simulator and the bridge itself,
// the same program that `bridge run` is.
type demo struct {
	main  *Main
	flags demoFlags
	view  *view

	down     teardown
	seeds    []string
	names    topicNames
	prefix   string
	store    string // directory of the binary records
	sim      *scrsim.Simulator
	accounts []scrsim.Account
	simAddr  string
	where    addresses
	results  *demoResults
	shown    atomic.Int64 // events that the view has printed
}

// demo plays the demo and takes everything down, newest first.
func (m *Main) demo(ctx context.Context, f demoFlags) error {
	d := &demo{main: m, flags: f, view: newView(m.Stdout, m.Environ, f.asJSON)}
	logger := slog.New(slog.NewTextHandler(d.main.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	d.down = teardown{logger: logger, limit: 15 * time.Second}
	err := d.play(ctx, logger)
	return joinErrors(err, d.down.run(context.WithoutCancel(ctx)))
}

// partError ends the demo because a part of it failed.
type partError struct {
	part string
	err  error
}

func (e *partError) Error() string { return e.part + ": " + e.err.Error() }

func (e *partError) Unwrap() error { return e.err }

func (d *demo) play(ctx context.Context, logger *slog.Logger) error {
	// Whatever part of the demo fails ends it; a Ctrl-C does too.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	if err := d.build(ctx, fail, logger); err != nil {
		return whyStopped(ctx, err)
	}
	if err := d.view.begin(d); err != nil {
		return err
	}
	d.startWatching(ctx, fail)
	if err := d.startLoad(); err != nil {
		return err
	}
	verdict, sample, err := d.finish(ctx)
	if err != nil {
		return whyStopped(ctx, err)
	}
	if err := d.view.end(d.results, &verdict, &sample); err != nil {
		return err
	}
	if !verdict.Clean() || !sample.clean() {
		return &reportedError{"not verified"}
	}
	if !d.flags.serve {
		return nil
	}
	if err := d.serveOn(); err != nil {
		return err
	}
	<-ctx.Done()
	return whyStopped(ctx, nil)
}

// whyStopped tells the failure of a part from a Ctrl-C, which ends --serve well
// and everything else before its time.
func whyStopped(ctx context.Context, err error) error {
	var failed *partError
	switch {
	case errors.As(context.Cause(ctx), &failed):
		return failed
	case ctx.Err() != nil && err != nil:
		return errors.New("interrupted before the end")
	default:
		return err
	}
}

// build makes and starts the broker, the bridge and the simulator.
func (d *demo) build(ctx context.Context, fail context.CancelCauseFunc, logger *slog.Logger) error {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		return fmt.Errorf("start embedded broker: %w", err)
	}
	d.down.add("embedded broker", func(context.Context) error { broker.Close(); return nil })
	d.seeds = broker.ListenAddrs()

	// The bridge must know where the API is, and the simulator where the bridge
	// takes webhooks: the API's port is taken first, and served last.
	var conf net.ListenConfig
	api, err := conf.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the simulated api: %w", err)
	}
	simulator := &process{logger: logger, down: teardown{logger: logger, limit: 5 * time.Second}, ended: make(chan ending, 2)}
	// Below the bridge, which asks until it stops.
	d.down.add("simulated api", func(ctx context.Context) error {
		err := simulator.down.run(ctx)
		if closed := api.Close(); !errors.Is(closed, net.ErrClosed) {
			err = errors.Join(err, closed)
		}
		return err
	})
	d.simAddr = api.Addr().String()

	records, err := d.makeStore()
	if err != nil {
		return err
	}
	accounts := scrsim.ExampleAccounts("http://the-bridge")
	d.results = &demoResults{account: resultAccount(accounts).ClientID, store: records}
	s, _, err := loadSettings(slices.Concat(
		bridgeEnviron("http://"+d.simAddr, accounts), resultEnviron(accounts, d.results.account),
		[]string{
			envPrefix + "KAFKA_BROKERS=" + strings.Join(d.seeds, ","),
			envPrefix + "WEBHOOK_ADDR=127.0.0.1:0",
			envPrefix + "ADMIN_ADDR=127.0.0.1:0",
			envPrefix + "POLL_CLOSED_EVERY=" + demoClosed.String(),
			envPrefix + "POLL_OPEN_EVERY=" + demoOpen.String(),
			envPrefix + "RECORDS_URL=" + records,
		},
	), append([]string{needKafka}, allRoles...)...)
	if err != nil {
		return err
	}
	d.prefix, d.names = s.Topics.Prefix, namesOfTopics(s.Topics.Prefix)
	if err := d.createTopics(ctx); err != nil {
		return err
	}
	if err := d.startBridge(ctx, s, fail, logger); err != nil {
		return err
	}
	return d.startSimulator(ctx, simulator, api, fail)
}

// makeStore makes a directory for the binary records, which goes with the demo, and
// returns its URL.
func (d *demo) makeStore() (string, error) {
	dir, err := os.MkdirTemp("", "bridge-demo-")
	if err != nil {
		return "", fmt.Errorf("make directory for records: %w", err)
	}
	d.down.add("directory of records", func(context.Context) error { return os.RemoveAll(dir) })
	d.store = dir
	return "file://" + filepath.ToSlash(dir), nil
}

// resultEnviron has one account publish results and keep records.
func resultEnviron(accounts []scrsim.Account, clientID string) []string {
	at := slices.IndexFunc(accounts, func(a scrsim.Account) bool { return a.ClientID == clientID })
	prefix := accountPrefix(strconv.Itoa(at + 1))
	return []string{prefix + "PAYLOAD=" + payloadResult, prefix + "RECORDS=" + recordsAll}
}

func (d *demo) createTopics(ctx context.Context) error {
	_, err := withAdmin(d.kafka(), func(admin *kadm.Client) ([]topicResult, error) {
		return applyTopics(ctx, admin, topicPlan{Partitions: demoPartitions, Replication: 1, ResultRetention: demoRetention}.specs(d.names), d.names)
	})
	return err
}

// startBridge runs all roles in this process, as `bridge run` does, and
// returns when they serve.
func (d *demo) startBridge(ctx context.Context, s settings, fail context.CancelCauseFunc, logger *slog.Logger) error {
	serving := make(chan addresses, 1)
	p := &process{settings: s, roles: allRoles, logger: logger, started: func(a addresses) { serving <- a }}
	runCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		err := p.run(runCtx)
		ended <- err
		if err != nil {
			fail(&partError{"bridge", err})
		}
	}()
	d.down.add("bridge", func(ctx context.Context) error {
		stop()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	select {
	case d.where = <-serving:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// startSimulator serves the API by the process given, which the caller takes down,
// and lets the cases go on until the bridge is taken down.
func (d *demo) startSimulator(ctx context.Context, p *process, api net.Listener, fail context.CancelCauseFunc) error {
	d.accounts = scrsim.ExampleAccounts("http://" + d.where.Webhook)
	sim, err := scrsim.New(scrsim.Config{
		Accounts: d.accounts, Seed: d.flags.seed, TimeScale: demoTimeScale, Start: time.Now().Add(-demoHeadStart),
	})
	if err != nil {
		return err
	}
	d.sim = sim
	p.serveOn("simulated api", api, newSimulatorServer(sim))
	cases := &process{logger: p.logger, down: teardown{logger: p.logger, limit: p.down.limit}, ended: p.ended}
	cases.start(ctx, "simulator", sim.Run)
	waiting := make(chan struct{})
	waitCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(waiting)
		select {
		case e := <-p.ended:
			fail(&partError{e.part, e.err})
		case <-waitCtx.Done():
		}
	}()
	d.down.add("simulator", func(ctx context.Context) error {
		stop()
		<-waiting
		return cases.down.run(ctx)
	})
	return nil
}

func (d *demo) startLoad() error {
	if err := d.playSample(); err != nil {
		return err
	}
	if err := d.sim.SetFaults(scrsim.Faults{All: scrsim.FaultSet{HookLost: demoLost}}); err != nil {
		return err
	}
	return d.sim.StartLoad(scrsim.Load{
		Cases: d.flags.cases, Rate: demoRate,
		// A state stays until the bridge has seen it, and a little longer: without
		// that, two changes in quick succession may show as one, as with the real API.
		Pacing: scrsim.Pacing{Dwell: scrsim.Duration(demoDwell), UntilSeen: true, AfterSeen: scrsim.Duration(demoShown)},
	})
}

func (d *demo) kafka() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(d.seeds...)} }

// serveOn prints where everything is and lets a few cases go on.
func (d *demo) serveOn() error {
	if err := d.view.attach(d); err != nil {
		return err
	}
	return d.sim.StartLoad(scrsim.Load{
		Cases: 1 << 30, Rate: demoTrickle,
		Pacing: scrsim.Pacing{Dwell: scrsim.Duration(4 * time.Second), UntilSeen: true, AfterSeen: scrsim.Duration(demoShown)},
	})
}
