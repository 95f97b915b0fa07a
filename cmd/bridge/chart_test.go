package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
)

// What the chart renders for the value sets of deploy/helm/ci stands in
// deploy/helm/tests/golden; `make chart-test` holds the two together. So these
// tests need no Helm.
const chartDir = "../../deploy/helm"

// Every setting can be set from values, and the chart sets nothing else. The set
// everything has all that go together; the other sets bring the rest.
func TestChartSetsEverySetting(t *testing.T) {
	t.Parallel()
	account := regexp.MustCompile("^" + envPrefix + "ACCOUNT_[0-9]+_")
	set := make(map[string]bool)
	for _, name := range goldenNames(t) {
		for _, c := range readGolden(t, name).containers() {
			for variable := range c.environ {
				if strings.HasPrefix(variable, envPrefix) {
					set[account.ReplaceAllString(strings.TrimSuffix(variable, fileSuffix), accountPrefix("1"))] = true
				}
			}
		}
	}
	var want []string
	for _, f := range settingFields(&settings{Accounts: []accountSettings{{Number: "1"}}}) {
		want = append(want, f.Name)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(set))); diff != "" {
		t.Errorf("the settings (-) and what the chart sets from the values of deploy/helm/ci (+):\n%s", diff)
	}
}

// Every container of every value set starts: its settings have no mistake, and
// nothing is set that nobody reads.
func TestChartRendersSettingsThatTheBridgeTakes(t *testing.T) {
	t.Parallel()
	for _, name := range goldenNames(t) {
		for _, c := range readGolden(t, name).containers() {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				var needs []string
				switch c.args[0] {
				case "run":
					needs = append(strings.Split(c.args[2], ","), needKafka)
				case "topics":
					needs = []string{needKafka}
				case "schemas":
					needs = []string{needRegistry}
				case "ready":
				default:
					t.Fatalf("what does %q need?", c.args)
				}
				_, warnings, err := loadSettings(withFiles(t, c.environ), needs...)
				if wrong := mistakesOf(t, err); len(wrong) > 0 || len(warnings) > 0 {
					t.Errorf("mistakes: %q, warnings: %v", wrong, warnings)
				}
			})
		}
	}
}

// A secret comes from a Secret, as a file or a variable, and from nowhere else.
func TestChartPutsNoSecretIntoAConfigMap(t *testing.T) {
	t.Parallel()
	secrets := make(map[string]bool)
	for _, f := range settingFields(&settings{Accounts: []accountSettings{{Number: "1"}, {Number: "2"}}}) {
		if f.Secret {
			secrets[f.Name] = true
		}
	}
	for _, name := range goldenNames(t) {
		for _, m := range readGolden(t, name) {
			for variable := range m.Data {
				if secrets[variable] {
					t.Errorf("%s: ConfigMap %s holds %s", name, m.Metadata.Name, variable)
				}
			}
			for _, c := range m.Spec.pod().all() {
				for _, v := range c.Env {
					if secrets[v.Name] && v.Value != "" {
						t.Errorf("%s: %s %s has %s in plain text", name, m.Kind, m.Metadata.Name, v.Name)
					}
				}
			}
		}
	}
}

// A value that nobody sets is the bridge's own default.
func TestChartKeepsTheDefaults(t *testing.T) {
	t.Parallel()
	// The chart is for clusters, where load balancers are slow to notice.
	own := map[string]string{"BRIDGE_SHUTDOWN_DELAY": "10s"}
	given := []string{"BRIDGE_KAFKA_BROKERS", "BRIDGE_ACCOUNT_1_CLIENT_ID", "BRIDGE_ACCOUNT_1_USERNAME", "BRIDGE_ACCOUNT_1_REGULATORY_CLASS"}
	defaults := make(map[string]string)
	for _, f := range settingFields(&settings{Accounts: []accountSettings{{Number: "1"}}}) {
		defaults[f.Name] = f.Default
	}
	maps.Copy(defaults, own)
	for _, m := range readGolden(t, "minimal") {
		for variable, value := range m.Data {
			if !slices.Contains(given, variable) && value != defaults[variable] {
				t.Errorf("ConfigMap %s: %s is %q, the default %q", m.Metadata.Name, variable, value, defaults[variable])
			}
		}
	}
}

// Kubernetes never kills a bridge that stops within its own time.
func TestChartWaitsForAStop(t *testing.T) {
	t.Parallel()
	for _, name := range goldenNames(t) {
		for _, c := range readGolden(t, name).containers() {
			if c.args[0] != "run" {
				continue
			}
			delay, err := time.ParseDuration(c.environ["BRIDGE_SHUTDOWN_DELAY"])
			timeout, err2 := time.ParseDuration(c.environ["BRIDGE_SHUTDOWN_TIMEOUT"])
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			if grace := time.Duration(c.grace) * time.Second; grace <= delay+timeout {
				t.Errorf("%s: %s is killed after %s, and may take %s", name, c.name, grace, delay+timeout)
			}
		}
	}
}

// KafkaTopics are the topics that `topics apply` makes of the same flags.
func TestChartTopicsAreThoseOfApply(t *testing.T) {
	t.Parallel()
	// What ci/strimzi-values.yaml says.
	plan := topicPlan{Partitions: 12, StatusPartitions: 24, Replication: 3, StatusRetention: 87600 * time.Hour, ResultRetention: 12 * time.Hour}
	want := make(map[string]topicSeen)
	for _, s := range plan.specs(namesOfTopics("postident.")) {
		seen := topicSeen{Partitions: s.Partitions, Replication: s.Replication, Configs: make(map[string]string)}
		for _, c := range s.Configs {
			seen.Configs[c.Key] = c.Value
		}
		want[s.Name] = seen
	}
	got := make(map[string]topicSeen)
	for _, m := range readGolden(t, "strimzi") {
		if m.Kind == "KafkaTopic" {
			got[m.Spec.TopicName] = topicSeen{Partitions: m.Spec.Partitions, Replication: m.Spec.Replicas, Configs: m.Spec.Config}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-apply +chart:\n%s", diff)
	}
}

// KafkaUsers have the rights that `bridge acls` prints for their duties, and no
// others.
func TestChartUsersHaveTheLeastRights(t *testing.T) {
	t.Parallel()
	// What ci/strimzi-values.yaml says.
	duties := map[string][]string{
		roleWebhook: {roleWebhook, dutyWatch},
		rolePoll:    {rolePoll, dutyBackfill, dutyWatch},
		roleProcess: {roleProcess, dutyRetry, dutyDeadLetter, dutyRedrive, dutyRecords, dutyWatch},
		// Of helm test; the set makes its topics by Strimzi.
		"setup": {dutyCheck, dutyWatch},
	}
	want := make(map[string][]acl)
	for user, names := range duties {
		chosen, err := chooseDuties(names)
		if err != nil {
			t.Fatal(err)
		}
		want[user] = aclsOf(chosen, "postident.", true)
	}
	got := make(map[string][]acl)
	for _, m := range readGolden(t, "strimzi") {
		if m.Kind != "KafkaUser" {
			continue
		}
		user := m.Metadata.Labels["app.kubernetes.io/component"]
		for _, a := range m.Spec.Authorization.ACLs {
			got[user] = append(got[user], acl{aclResource{a.Resource.Type, a.Resource.Name, a.Resource.PatternType}, a.Operations})
		}
	}
	inAnyOrder := cmpopts.SortSlices(func(a, b acl) bool { return fmt.Sprint(a) < fmt.Sprint(b) })
	if diff := cmp.Diff(want, got, inAnyOrder); diff != "" {
		t.Errorf("-needed +chart:\n%s", diff)
	}
}

// An alert on a metric that is not there never fires.
func TestChartAlertsOnMetricsThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile(filepath.Join(chartDir, "templates/prometheusrule.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`postident_[a-z_]+`).FindAllString(string(rules), -1)
	if len(names) == 0 {
		t.Fatal("no metrics in the rules")
	}
	for _, name := range names {
		if !bytes.Contains(page, []byte("`"+name+"`")) {
			t.Errorf("docs/metrics.md has no %s", name)
		}
	}
}

// manifest is what these tests look at of an object.
type manifest struct {
	Kind     string
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	Data map[string]string
	Spec manifestSpec
}

type manifestSpec struct {
	podSpec  `yaml:",inline"`
	Template struct{ Spec podSpec }

	Strategy struct {
		Type          string
		RollingUpdate struct {
			MaxUnavailable int `yaml:"maxUnavailable"`
			MaxSurge       int `yaml:"maxSurge"`
		} `yaml:"rollingUpdate"`
	}

	TopicName     string            `yaml:"topicName"`
	Partitions    int32             `yaml:"partitions"`
	Replicas      int16             `yaml:"replicas"`
	Config        map[string]string `yaml:"config"`
	Authorization struct {
		ACLs []struct {
			Resource struct {
				Type, Name  string
				PatternType string `yaml:"patternType"`
			}
			Operations []string
		} `yaml:"acls"`
	}
}

type podSpec struct {
	Grace          int64           `yaml:"terminationGracePeriodSeconds"`
	InitContainers []containerSpec `yaml:"initContainers"`
	Containers     []containerSpec
}

type containerSpec struct {
	Name    string
	Args    []string
	EnvFrom []struct {
		ConfigMapRef struct{ Name string } `yaml:"configMapRef"`
	} `yaml:"envFrom"`
	Env []struct {
		Name, Value string
		ValueFrom   map[string]any `yaml:"valueFrom"`
	}
	StartupProbe   probeSpec `yaml:"startupProbe"`
	ReadinessProbe probeSpec `yaml:"readinessProbe"`
	Lifecycle      map[string]any
}

type probeSpec struct {
	HTTPGet struct {
		Path, Port string
	} `yaml:"httpGet"`
	Period           int `yaml:"periodSeconds"`
	Timeout          int `yaml:"timeoutSeconds"`
	FailureThreshold int `yaml:"failureThreshold"`
}

func (p podSpec) all() []containerSpec { return slices.Concat(p.InitContainers, p.Containers) }

// pod returns the pod of a Pod, or of what makes pods.
func (s manifestSpec) pod() podSpec {
	if len(s.Containers) > 0 {
		return s.podSpec
	}
	return s.Template.Spec
}

type rendering []manifest

func goldenNames(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(chartDir, "tests/golden/*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden renderings: %v", err)
	}
	for i, path := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(path), ".yaml")
	}
	return paths
}

func readGolden(t *testing.T, name string) rendering {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(chartDir, "tests/golden", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var out rendering
	for decoder := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var m manifest
		switch err := decoder.Decode(&m); {
		case errors.Is(err, io.EOF):
			return out
		case err != nil:
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, m)
	}
}

// chartContainer is a container of the bridge, with the environment that
// Kubernetes would give it.
type chartContainer struct {
	name    string
	args    []string
	environ map[string]string
	grace   int64
}

func (g rendering) containers() []chartContainer {
	var out []chartContainer
	for _, m := range g {
		for _, c := range m.Spec.pod().all() {
			environ := make(map[string]string)
			for _, from := range c.EnvFrom {
				for _, config := range g {
					if config.Kind == "ConfigMap" && config.Metadata.Name == from.ConfigMapRef.Name {
						maps.Copy(environ, config.Data)
					}
				}
			}
			for _, v := range c.Env {
				environ[v.Name] = v.Value
				if v.ValueFrom != nil {
					environ[v.Name] = "from-the-cluster"
				}
			}
			out = append(out, chartContainer{m.Kind + "/" + m.Metadata.Name + "/" + c.Name, c.Args, environ, m.Spec.pod().Grace})
		}
	}
	return out
}

// withFiles returns an environment in which every file is there.
func withFiles(t *testing.T, environ map[string]string) []string {
	t.Helper()
	pair, certificate := testCertificate(t)
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	dir := t.TempDir()
	var out []string
	for variable, value := range environ {
		name, isFile := strings.CutSuffix(variable, fileSuffix)
		if isFile && strings.HasPrefix(variable, envPrefix) {
			content := "canary-" + name
			switch {
			case strings.HasSuffix(name, "_CA"), strings.HasSuffix(name, "_CERT"):
				content = certificate
			case strings.HasSuffix(name, "_KEY"):
				content = key
			}
			value = filepath.Join(dir, name)
			if err := os.WriteFile(value, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, fmt.Sprintf("%s=%s", variable, value))
	}
	return out
}
