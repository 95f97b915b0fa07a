package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scrsim"
	"postident-bridge/internal/testbed"
	"postident-bridge/schemas"
)

// Names of the world.
const (
	topicPrefix = "lab."
	topicStatus = topicPrefix + "status.v1"
	topicState  = topicPrefix + "case-state"
	groupName   = topicPrefix + "process"
)

// timeScale shortens the sender's pauses: its third attempt comes after 15 s
// and its fourth after 60 s; in a brief run after 4 and 15 s.
const (
	timeScale  = 60
	briefScale = 240
)

// WorldConfig says what world to build.
type WorldConfig struct {
	Dir       string // absolute; holds everything that the world writes
	Seed      uint64
	Brokers   int
	Processes int
	Race      bool   // build the bridge with the race detector
	LogLevel  string // of the bridges
	// Brief shortens the sender's pauses, and does not wait in the end for looks
	// that could only confirm what was published.
	Brief bool
}

// world is everything that a run starts.
type world struct {
	cfg       WorldConfig
	kafka     *testbed.Kafka
	registry  *testbed.Registry
	store     *testbed.S3
	sim       *scrsim.Simulator
	accounts  []scrsim.Account
	entrance  *Entrance
	front     string // the entrance's base URL
	processes []*process
	proxies   [][]*proxy // by process, then broker
	schema    func(ctx context.Context, id int) (string, error)
	binary    string
	undo      []func(context.Context) error
}

// build starts everything but the bridges' load. What it has started, close
// ends, also after an error.
func (w *world) build(ctx context.Context) error {
	if err := os.MkdirAll(w.logs(), 0o750); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	for _, step := range []func(context.Context) error{
		w.buildBridge, w.startKafka, w.startRegistry, w.startStore, w.startSimulator, w.prepareProcesses, w.createTopics, w.startProcesses,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begin builds the world and puts it under load.
func (w *world) begin(ctx context.Context, l *load) error {
	if err := w.build(ctx); err != nil {
		return err
	}
	l.sim, l.accounts, l.decoder, l.hook = w.sim, w.accounts, schemas.NewStatusDecoder(w.schema), w.hook
	return l.start(ctx, w.opts())
}

// close ends everything, newest first, whatever ctx says.
func (w *world) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, undo := range slices.Backward(w.undo) {
		errs = append(errs, undo(ctx))
	}
	w.undo = nil
	return errors.Join(errs...)
}

func (w *world) onClose(undo func(context.Context) error) { w.undo = append(w.undo, undo) }

// kept is where a failed run leaves its evidence.
func (w *world) kept() string { return filepath.Join(w.cfg.Dir, "evidence") }

// logs is where the checker looks for outputs.
func (w *world) logs() string { return filepath.Join(w.kept(), "outputs") }

func (w *world) buildBridge(ctx context.Context) error {
	root, err := testbed.ModuleRoot()
	if err != nil {
		return err
	}
	w.binary = filepath.Join(w.cfg.Dir, "bridge")
	args := []string{"build", "-o", w.binary}
	if w.cfg.Race {
		args = append(args, "-race")
	}
	build := exec.CommandContext(ctx, "go", append(args, "./cmd/bridge")...)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build bridge: %w: %s", err, out)
	}
	return nil
}

// startKafka starts the brokers with a listener for each bridge, behind proxies
// of its own: so each can be cut off alone.
func (w *world) startKafka(ctx context.Context) error {
	listeners := make([][]testbed.Listener, w.cfg.Brokers)
	ports, err := testbed.FreePorts(ctx, w.cfg.Brokers*w.cfg.Processes)
	if err != nil {
		return err
	}
	for i := range w.cfg.Processes {
		var proxies []*proxy
		for b := range w.cfg.Brokers {
			port := ports[i*w.cfg.Brokers+b]
			p, err := newProxy(context.WithoutCancel(ctx), net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				return err
			}
			w.onClose(func(context.Context) error { return p.close() })
			_, at, err := net.SplitHostPort(p.addr())
			if err != nil {
				return fmt.Errorf("read address of proxy: %w", err)
			}
			advertised, err := strconv.Atoi(at)
			if err != nil {
				return fmt.Errorf("read address of proxy: %w", err)
			}
			listeners[b] = append(listeners[b], testbed.Listener{Name: "BRIDGE" + strconv.Itoa(i), Port: port, Advertised: advertised})
			proxies = append(proxies, p)
		}
		w.proxies = append(w.proxies, proxies)
	}
	w.kafka, err = testbed.StartKafka(ctx, testbed.KafkaOptions{
		Brokers: w.cfg.Brokers, Dir: filepath.Join(w.cfg.Dir, "kafka"), Listeners: listeners,
	})
	if err != nil {
		return fmt.Errorf("start kafka: %w", err)
	}
	w.onClose(w.kafka.Down)
	return nil
}

func (w *world) startRegistry(ctx context.Context) error {
	registry, err := testbed.StartRegistry(ctx, testbed.RegistryOptions{Dir: filepath.Join(w.cfg.Dir, "registry")})
	if err != nil {
		return fmt.Errorf("start registry: %w", err)
	}
	w.registry = registry
	w.onClose(registry.Down)
	client, err := schemas.NewRegistry(schemas.RegistryConfig{URLs: []string{registry.URL}})
	if err != nil {
		return fmt.Errorf("make registry client: %w", err)
	}
	w.schema = client.SchemaByID
	return nil
}

// startStore starts the S3 server in which binary records are kept.
func (w *world) startStore(ctx context.Context) error {
	store, err := testbed.StartS3(ctx, testbed.S3Options{Dir: filepath.Join(w.cfg.Dir, "s3")})
	if err != nil {
		return fmt.Errorf("start store: %w", err)
	}
	w.store = store
	w.onClose(store.Down)
	if err := store.MakeBucket(ctx, bucket); err != nil {
		return fmt.Errorf("start store: %w", err)
	}
	return nil
}

// startSimulator starts the API, and the entrance to which it sends webhooks.
func (w *world) startSimulator(ctx context.Context) error {
	// Within the two seconds that the sender waits, one that hangs must leave
	// time for another.
	w.entrance = &Entrance{Client: &http.Client{Timeout: 1600 * time.Millisecond}}
	front, err := w.serve(ctx, w.entrance)
	if err != nil {
		return err
	}
	w.front = front
	w.accounts = simulatedAccounts(front)
	w.sim, err = scrsim.New(scrsim.Config{Accounts: w.accounts, Seed: w.cfg.Seed, TimeScale: w.scale()})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- w.sim.Run(running) }()
	w.onClose(func(context.Context) error { stop(); return <-ended })
	return nil
}

func (w *world) scale() float64 {
	if w.cfg.Brief {
		return briefScale
	}
	return timeScale
}

// serve serves a handler on a free port and returns its base URL.
func (w *world) serve(ctx context.Context, handler http.Handler) (string, error) {
	var conf net.ListenConfig
	listener, err := conf.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	w.onClose(func(context.Context) error {
		err := server.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
	return "http://" + listener.Addr().String(), nil
}

func (w *world) prepareProcesses(ctx context.Context) error {
	api, err := w.serve(ctx, w.sim.Handler())
	if err != nil {
		return err
	}
	ports, err := testbed.FreePorts(ctx, 2*w.cfg.Processes)
	if err != nil {
		return err
	}
	var targets []string
	for i := range w.cfg.Processes {
		name := fmt.Sprintf("bridge-%d", i)
		p := &process{
			name: name, binary: w.binary, logPath: filepath.Join(w.logs(), name+".log"),
			admin: fmt.Sprintf("127.0.0.1:%d", ports[2*i]), webhook: fmt.Sprintf("127.0.0.1:%d", ports[2*i+1]),
		}
		var brokers []string
		for _, proxy := range w.proxies[i] {
			brokers = append(brokers, proxy.addr())
		}
		p.env = append(w.environment(api),
			"BRIDGE_KAFKA_BROKERS="+strings.Join(brokers, ","), "BRIDGE_KAFKA_CLIENT_ID="+name,
			"BRIDGE_ADMIN_ADDR="+p.admin, "BRIDGE_WEBHOOK_ADDR="+p.webhook)
		targets = append(targets, p.webhook)
		w.processes = append(w.processes, p)
		w.onClose(func(context.Context) error {
			if err := p.kill(); !errors.Is(err, errDown) {
				return err
			}
			return nil
		})
	}
	w.entrance.Set(targets)
	return nil
}

// environment is what all bridges have in common.
func (w *world) environment(api string) []string {
	env := []string{
		"BRIDGE_TOPIC_PREFIX=" + topicPrefix, "BRIDGE_SCHEMA_REGISTRY_URL=" + w.registry.URL, "BRIDGE_SCHEMA_REGISTER=true",
		"BRIDGE_SCR_BASE_URL=" + api, "BRIDGE_WEBHOOK_ALLOWED_IPS=127.0.0.1", "BRIDGE_LOG_LEVEL=" + w.cfg.LogLevel,
		"BRIDGE_RECORDS_URL=" + w.store.URL(bucket, ""), "BRIDGE_RECORDS_WAIT=" + recordsWait.String(),
	}
	env = append(env, w.store.Credentials()...)
	for i, a := range w.accounts {
		for name, value := range map[string]string{
			"CLIENT_ID": a.ClientID, "USERNAME": a.Credentials[0].Username, "PASSWORD": a.Credentials[0].Password,
			"DATA_PASSWORD": a.Credentials[0].DataPassword, "REGULATORY_CLASS": strings.ToLower(string(a.Class)), "RSA_BITS": "2048",
			"WEBHOOK_USERNAME": a.Webhook.Username, "WEBHOOK_PASSWORD": a.Webhook.Password,
			"PAYLOAD": outputs[a.ClientID].payload(), "RECORDS": outputs[a.ClientID].records(), "UNKNOWN_FIELDS": outputs[a.ClientID].unknownFields(),
		} {
			env = append(env, fmt.Sprintf("BRIDGE_ACCOUNT_%d_%s=%s", i+1, name, value))
		}
	}
	return env
}

func (w *world) createTopics(ctx context.Context) error {
	replication := strconv.Itoa(w.cfg.Brokers)
	apply := exec.CommandContext(ctx, w.binary, "topics", "apply", "--replication", replication, "--result-retention", "24h")
	apply.Env = w.processes[0].env
	if out, err := apply.CombinedOutput(); err != nil {
		return fmt.Errorf("create topics: %w: %s", err, out)
	}
	return nil
}

func (w *world) startProcesses(ctx context.Context) error {
	for _, p := range w.processes {
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	for _, p := range w.processes {
		if err := await(ctx, time.Minute, func() error { return p.ready(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// opts are those of a client that no fault of the network befalls.
func (w *world) opts() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(w.kafka.Seeds()...)} }

// classes is the regulatory class of each account.
func (w *world) classes() map[string]schemas.RegulatoryClass {
	classes := make(map[string]schemas.RegulatoryClass)
	for _, a := range w.accounts {
		classes[a.ClientID] = schemas.RegulatoryClass(strings.ToLower(string(a.Class)))
	}
	return classes
}

// hook brings a webhook of a case to the entrance, as the sender does, and
// reports whether it was answered 200.
func (w *world) hook(ctx context.Context, clientID, caseID string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	body := bytes.NewReader(fmt.Appendf(nil, `{"caseId":%q}`, caseID))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.front+"/webhooks/"+clientID, body)
	if err != nil {
		return false, fmt.Errorf("make webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, a := range w.accounts {
		if a.ClientID == clientID {
			req.SetBasicAuth(a.Webhook.Username, a.Webhook.Password)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, nil // no answer is no 200
	}
	return resp.StatusCode == http.StatusOK, resp.Body.Close()
}

// await asks until the answer is nil, at most for limit.
func await(ctx context.Context, limit time.Duration, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", limit, err)
		}
	}
}
