package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (m *Main) configCommand() *cobra.Command {
	var (
		asJSON bool
		named  []string
	)
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the effective settings, secrets masked",
		Long: `Prints every setting with its effective value and where it comes from: the
environment, a file named by <variable>_FILE, or the default. Secrets are masked,
in URLs too: there user, password and the values of options.

Lists every mistake too, and exits 2 if there is one, so it can check an
environment before 'bridge run' is given it. Starts nothing.`,
		Example: "  bridge config\n  bridge config --roles webhook --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			roles, err := chooseRoles(named)
			if err != nil {
				return err
			}
			s, warnings, wrong := loadSettings(m.Environ, append([]string{needKafka}, roles...)...)
			if err := m.printSettings(&s, asJSON); err != nil {
				return err
			}
			if wrong == nil {
				warnings = append(warnings, s.cautions(roles)...)
			}
			m.warn(warnings)
			return wrong
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addRolesFlag(cmd, &named)
	return cmd
}

// shownSetting is one setting as `config` prints it.
type shownSetting struct {
	Variable string `json:"variable"`
	Value    string `json:"value"`
	From     string `json:"from"` // environment, file, default, or "" for not set
}

func (m *Main) printSettings(s *settings, asJSON bool) error {
	given := newLoader(m.Environ).given
	var out []shownSetting
	for _, f := range settingFields(s) {
		from := ""
		switch {
		case given[f.Name] != "":
			from = "environment"
		case f.File && given[f.Name+fileSuffix] != "":
			from = "file"
		case f.Default != "":
			from = "default"
		}
		out = append(out, shownSetting{Variable: f.Name, Value: f.shown(), From: from})
	}
	if asJSON {
		return printJSON(m.Stdout, out)
	}
	t := tabwriter.NewWriter(m.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "VARIABLE\tVALUE\tFROM")
	for _, o := range out {
		value, from := o.Value, o.From
		if value == "" {
			value = "-"
		}
		if from == "" {
			from = "-"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", o.Variable, value, from)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print settings: %w", err)
	}
	return nil
}

// warn writes warnings about variables for a person to read.
func (m *Main) warn(warnings []mistake) {
	for _, w := range warnings {
		m.complain(fmt.Sprintf("warning: %s: %s", w.Variable, w.Problem))
	}
}

// docsCommand writes the generated pages; `go generate` runs it, and a test
// fails while they are stale.
func (m *Main) docsCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "docs",
		Hidden:  true,
		Short:   "Write the generated pages of the documentation",
		Long:    "Writes configuration.md into a directory, from the settings' own descriptions.",
		Example: "  bridge docs --out docs",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path := filepath.Join(dir, "configuration.md")
			if err := os.WriteFile(path, []byte(configurationPage()), 0o644); err != nil { //nolint:gosec // a page for everyone to read
				return fmt.Errorf("write page: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "out", "docs", "the directory")
	return cmd
}

// configurationPage is docs/configuration.md.
func configurationPage() string {
	var b strings.Builder
	b.WriteString(configurationIntro)
	s := &settings{Accounts: []accountSettings{{Number: "<n>"}}}
	section := ""
	for _, f := range settingFields(s) {
		if f.Section != section {
			section = f.Section
			fmt.Fprintf(&b, "\n## %s\n\n", section)
			b.WriteString(sectionIntros[section])
			b.WriteString("| variable | default | meaning |\n|---|---|---|\n")
		}
		name := "`" + f.Name + "`"
		if f.File {
			name += ", `…" + fileSuffix + "`"
		}
		def := "–"
		if f.Default != "" {
			def = "`" + strings.ReplaceAll(f.Default, ",", ", ") + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, def, f.meaning())
	}
	b.WriteString(configurationOutro)
	return b.String()
}

// meaning is the description with what the tags say besides.
func (f field) meaning() string {
	text := f.Desc
	if values := strings.Fields(f.OneOf); len(values) > 0 {
		text += " One of `" + strings.Join(values, "`, `") + "`."
	}
	switch f.Need {
	case "":
	case needKafka:
		text += " **Required.**"
	case needRegistry:
		text += " Required by `bridge schemas`."
	case needRecords:
		text += " Required by `bridge records`, and by the role process where an account has RECORDS on."
	default:
		roles := strings.Fields(f.Need)
		plural := ""
		if len(roles) > 1 {
			plural = "s"
		}
		text += " **Required** by the role" + plural + " " + strings.Join(roles, " and ") + "."
	}
	return strings.ReplaceAll(text, "<", "&lt;")
}

const configurationIntro = `# Configuration

<!-- Generated from cmd/bridge/settings.go by "go generate ./cmd/bridge"; do not edit. -->

The bridge is configured by environment variables only. ` + "`bridge config`" + ` shows the
effective settings, secrets masked, and lists every mistake; ` + "`bridge run`" + ` starts
nothing while there is one, and exits 2.

- Where ` + "`…_FILE`" + ` is named, the variable's name with ` + "`_FILE`" + ` behind it may name a file
  that holds the value instead. A line break at its end is ignored. ` + "`bridge run`" + ` and
  ` + "`bridge backfill`" + ` look at such files every 10 s and use what changed, without a restart
  ([operations.md](operations.md#secrets-and-their-rotation)). Setting both is a mistake.
- An empty variable counts as not set.
- A variable that begins with ` + "`BRIDGE_`" + ` and that nothing reads gives a warning. The
  variables that Kubernetes sets for services whose names begin with "bridge" do not.
- Durations are written like ` + "`500ms`, `20s` or `5m`" + `; switches are ` + "`true` or `false`" + `.
- HTTP requests honour ` + "`HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`" + `.
`

var sectionIntros = map[string]string{
	"Accounts": `Every account of the API has a number of its own, any number: ` + "`BRIDGE_ACCOUNT_1_CLIENT_ID`" + `
and so on. At least one account is needed. Two accounts with one clientId are refused.

`,
}

const configurationOutro = `
## Telemetry

Metrics are always served at ` + "`/metrics`" + `. Traces follow OpenTelemetry's own variables:
they are exported by OTLP over HTTP if ` + "`OTEL_TRACES_EXPORTER=otlp`" + ` or an endpoint
(` + "`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`" + `) is set, and not
with ` + "`OTEL_TRACES_EXPORTER=none` or `OTEL_SDK_DISABLED=true`" + `. The exporter, the sampler
and the resource read their own (` + "`OTEL_EXPORTER_OTLP_*`, `OTEL_TRACES_SAMPLER`,\n`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`" + `). The trace context of a webhook is passed
on to the event's ` + "`traceparent`" + ` header in any case.
`
