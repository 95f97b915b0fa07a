package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/scrsim"
)

// simulateFlags are the flags of `simulate`.
type simulateFlags struct {
	addr      string
	accounts  string
	webhooks  string
	seed      uint64
	timeScale float64
	cases     int
	rate      float64
	dwell     time.Duration
	mix       []string
	untilSeen bool
	records   string
	unknown   float64
	forbidden bool
	legacy    bool
	printEnv  bool
	asJSON    bool
}

func (m *Main) simulateCommand() *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Simulate the SCR-Ident API, its webhooks and its faults",
		Long: `Simulates the API for tests: any client of the real one works against it, under
the same paths. Cases walk through the guide's status model, webhooks go out with
the sender's timing and retries, and every personal field holds a canary.

Without --cases nothing happens by itself: start cases over the API, or over the
control API under /sim/v1/, which also switches faults on and tells the truth.
The control API asks for no password: keep it inside a test network.

Results come with records: a PDF and images that any viewer opens, a few kilobytes
each, or with --records realistic as large as real ones. Accounts get what their
regulatory class may have; --forbidden has them get the rest, too, for a look at
what becomes of it: each such value says that it is forbidden. The truth about
records, with SHA-256 and sizes, is at /sim/v1/records.

With --print-env it prints the variables that 'bridge run' needs to work against it.`,
		Example: `  bridge simulate --cases 100 --rate 5
  bridge simulate --webhooks http://127.0.0.1:8080 --mix video=3,eid=1 --seed 7
  bridge simulate --time-scale 100 --accounts accounts.json
  bridge simulate --cases 20 --records realistic --unknown-fields 0.05 --forbidden
  eval "$(bridge simulate --print-env)"
  curl -s http://127.0.0.1:8090/sim/v1/status`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return m.simulate(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.addr, "addr", "127.0.0.1:8090", "where to serve the API and the control API")
	flags.StringVar(&f.accounts, "accounts", "", "a JSON file with the accounts (default: one of each class)")
	flags.StringVar(&f.webhooks, "webhooks", "http://127.0.0.1:8080", "where webhooks go; empty sends none")
	flags.Uint64Var(&f.seed, "seed", 1, "the same seed gives the same cases")
	flags.Float64Var(&f.timeScale, "time-scale", 1, "how much faster simulated time runs")
	flags.IntVar(&f.cases, "cases", 0, "how many cases to start and walk by themselves")
	flags.Float64Var(&f.rate, "rate", 1, "how many of them start in a second; 0 for all at once")
	flags.DurationVar(&f.dwell, "dwell", time.Second, "how long a state lasts, on average")
	flags.StringSliceVar(&f.mix, "mix", nil, "weights of methods, as video=3,eid=1 (default: all alike)")
	flags.BoolVar(&f.untilSeen, "until-seen", false, "keep a state until an answer has shown it")
	flags.StringVar(&f.records, "records", recordsSmall, "sizes of records: small (some kB), or realistic (up to 20 MB)")
	flags.Float64Var(&f.unknown, "unknown-fields", 0, "chance from 0 to 1 that an object of an answer has a field that no guide knows")
	flags.BoolVar(&f.forbidden, "forbidden", false, "send what the regulatory class forbids, too, marked as such")
	flags.BoolVar(&f.legacy, "legacy", false, "send empty fields as release 16 did, instead of leaving them out as release 17")
	flags.BoolVar(&f.printEnv, "print-env", false, "print only the variables for 'bridge run', and start nothing")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

// simulate serves a simulator until ctx ends.
func (m *Main) simulate(ctx context.Context, f simulateFlags) error {
	accounts := scrsim.ExampleAccounts(strings.TrimSuffix(f.webhooks, "/"))
	if f.accounts != "" {
		var err error
		if accounts, err = readAccounts(f.accounts); err != nil {
			return err
		}
	}
	mix, err := f.check()
	if err != nil {
		return err
	}
	f.adjust(accounts)
	sim, err := scrsim.New(scrsim.Config{
		Accounts:  accounts,
		Seed:      f.seed,
		TimeScale: f.timeScale,
		Walk:      &scrsim.Pacing{Dwell: scrsim.Duration(f.dwell), UntilSeen: f.untilSeen},
	})
	if err != nil {
		return &usageError{err.Error()}
	}
	if f.printEnv {
		return m.printExports("http://"+reachable(f.addr), accounts)
	}
	if f.cases != 0 {
		err := sim.StartLoad(scrsim.Load{
			Cases: f.cases, Rate: f.rate, Mix: mix,
			Pacing: scrsim.Pacing{Dwell: scrsim.Duration(f.dwell), UntilSeen: f.untilSeen},
		})
		if err != nil {
			return &usageError{err.Error()}
		}
	}
	p := process{down: teardown{logger: slog.New(slog.DiscardHandler), limit: 5 * time.Second}, ended: make(chan ending, 2)}
	p.logger = p.down.logger
	addr, err := p.serve(ctx, "simulator's server", f.addr, newSimulatorServer(sim))
	if err == nil {
		p.start(ctx, "simulator", sim.Run)
		if err = m.printSimulator("http://"+reachable(addr), accounts, f.asJSON); err == nil {
			if m.hooks.started != nil {
				m.hooks.started(addresses{Admin: addr})
			}
			err = p.wait(ctx)
		}
	}
	return joinErrors(err, p.down.run(context.WithoutCancel(ctx)))
}

// newSimulatorServer serves a simulator. No time-out on writing: being slow is
// one of its faults.
func newSimulatorServer(sim *scrsim.Simulator) *http.Server {
	return &http.Server{
		Handler:           sim.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		// Cutting a connection, another fault, is nothing to log.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelWarn),
	}
}

// reachable puts a host in the place of the unspecified address.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func readAccounts(path string) ([]scrsim.Account, error) {
	file, err := os.Open(path) //nolint:gosec // the caller names the file
	if err != nil {
		return nil, &usageError{"--accounts: " + err.Error()}
	}
	defer func() { _ = file.Close() }() // only read from
	var accounts []scrsim.Account
	dec := json.NewDecoder(file)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&accounts); err != nil {
		return nil, &usageError{fmt.Sprintf("--accounts: %s: %v", path, err)}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &usageError{fmt.Sprintf("--accounts: %s: more than one list", path)}
	}
	return accounts, nil
}

// check refuses flags that cannot be meant, by their names.
func (f simulateFlags) check() (scrsim.Mix, error) {
	mix, err := parseMix(f.mix)
	switch {
	case err != nil:
		return mix, err
	case f.timeScale <= 0:
		return mix, &usageError{"--time-scale: want more than 0"}
	case f.cases < 0:
		return mix, &usageError{"--cases: want 0 or more"}
	case f.rate < 0:
		return mix, &usageError{"--rate: want 0 or more"}
	case f.records != recordsSmall && f.records != recordsRealistic:
		return mix, &usageError{fmt.Sprintf("--records: %q is neither %s nor %s", f.records, recordsSmall, recordsRealistic)}
	case !(f.unknown >= 0 && f.unknown <= 1):
		return mix, &usageError{"--unknown-fields: want 0 to 1"}
	}
	return mix, nil
}

// What --records takes.
const (
	recordsSmall     = "small"
	recordsRealistic = "realistic"
)

// adjust switches on for each account what flags ask for. What the file of
// --accounts says of sizes stays.
func (f simulateFlags) adjust(accounts []scrsim.Account) {
	sizes := scrsim.SmallRecords()
	if f.records == recordsRealistic {
		sizes = scrsim.RealisticRecords()
	}
	for i := range accounts {
		a := &accounts[i]
		a.Records.PDF = cmp.Or(a.Records.PDF, sizes.PDF)
		a.Records.Image = cmp.Or(a.Records.Image, sizes.Image)
		a.Wire.UnknownFields = cmp.Or(f.unknown, a.Wire.UnknownFields)
		a.Wire.Forbidden = a.Wire.Forbidden || f.forbidden
		a.Wire.LegacyEmpty = a.Wire.LegacyEmpty || f.legacy
	}
}

// parseMix reads weights of methods, as video=3.
func parseMix(parts []string) (scrsim.Mix, error) {
	mix := scrsim.Mix{Methods: make(map[string]float64)}
	for _, part := range parts {
		method, weight, found := strings.Cut(part, "=")
		w, err := strconv.ParseFloat(weight, 64)
		if !found || err != nil || w < 0 {
			return mix, &usageError{fmt.Sprintf("--mix: %q is not method=weight", part)}
		}
		if !slices.Contains(allMethods, method) {
			return mix, &usageError{fmt.Sprintf("--mix: method %q is none of %s", method, strings.Join(allMethods, ", "))}
		}
		mix.Methods[method] = w
	}
	return mix, nil
}

// allMethods are those of guide 8.6.
var allMethods = []string{scr.MethodAutoID, scr.MethodBasic, scr.MethodEID, scr.MethodPhoto, scr.MethodVideo}

// simulatorInfo is what `simulate --json` prints.
type simulatorInfo struct {
	API         string   `json:"api"`
	Control     string   `json:"control"`
	Environment []string `json:"environment"`
}

func (m *Main) printSimulator(base string, accounts []scrsim.Account, asJSON bool) error {
	info := simulatorInfo{
		API:         base + "/api/scr/v1",
		Control:     base + "/sim/v1",
		Environment: bridgeEnviron(base, accounts),
	}
	if asJSON {
		return printJSON(m.Stdout, info)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The API is simulated at  %s/{clientId}/cases\n", info.API)
	fmt.Fprintf(&b, "The control API is at    %s/status, /cases, /load, /faults, /truth, /records, /attempts\n", info.Control)
	b.WriteString("\n'bridge run' works against it with the variables that the same command prints with\n")
	b.WriteString("--print-env, and BRIDGE_KAFKA_BROKERS. End with Ctrl-C.\n")
	if _, err := io.WriteString(m.Stdout, b.String()); err != nil {
		return fmt.Errorf("print simulator: %w", err)
	}
	return nil
}

// printExports prints what a shell needs to set the environment for 'bridge run'.
func (m *Main) printExports(base string, accounts []scrsim.Account) error {
	var b strings.Builder
	writeExports(&b, bridgeEnviron(base, accounts))
	if _, err := io.WriteString(m.Stdout, b.String()); err != nil {
		return fmt.Errorf("print environment: %w", err)
	}
	return nil
}

func writeExports(b *strings.Builder, environ []string) {
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(b, "export %s=%s\n", name, shellQuote(value))
	}
}

// bridgeEnviron is the environment with which a bridge on this machine works
// against a simulator: it needs only the brokers besides. Accounts take their
// first credential.
func bridgeEnviron(base string, accounts []scrsim.Account) []string {
	env := []string{
		envPrefix + "SCR_BASE_URL=" + base,
		envPrefix + "WEBHOOK_ALLOWED_IPS=127.0.0.1,::1",
	}
	for i, a := range accounts {
		prefix := accountPrefix(strconv.Itoa(i + 1))
		add := func(name, value string) {
			if value != "" {
				env = append(env, prefix+name+"="+value)
			}
		}
		add("CLIENT_ID", a.ClientID)
		if len(a.Credentials) > 0 {
			c := a.Credentials[0]
			add("USERNAME", c.Username)
			add("PASSWORD", c.Password)
			add("DATA_PASSWORD", c.DataPassword)
			if c.Access == scrsim.AccessPartner {
				add("ACCESS", string(c.Access))
			}
		}
		add("REGULATORY_CLASS", string(a.Class))
		if a.Encryption == scrsim.EncryptionOptional || a.Encryption == scrsim.EncryptionOff {
			add("ENCRYPTION", "optional")
		}
		add("WEBHOOK_USERNAME", a.Webhook.Username)
		add("WEBHOOK_PASSWORD", a.Webhook.Password)
	}
	return env
}

// shellQuote quotes a value for a POSIX shell where it needs it.
func shellQuote(value string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_-./:,@%+=", c)
	}
	if value != "" && strings.IndexFunc(value, func(c rune) bool { return !plain(c) }) < 0 {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
