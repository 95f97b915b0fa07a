package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/right"
)

// testdata/acls.json has the rights of each duty alone, with the default prefix and
// results: what the chart's KafkaUsers are compared with.
func TestACLsGolden(t *testing.T) {
	t.Parallel()
	byDuty := make(map[string][]acl)
	for _, d := range duties() {
		got := runMain(t, nil, "acls", "--roles", d.name, "--results", "--json")
		var acls []acl
		if err := json.Unmarshal([]byte(got.stdout), &acls); err != nil || got.code != exitDone {
			t.Fatalf("%s: %v", d.name, got)
		}
		byDuty[d.name] = acls
	}
	got, err := json.MarshalIndent(byDuty, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "acls.json"), string(got)+"\n")
}

func TestACLsCommand(t *testing.T) {
	t.Parallel()
	const add = `kafka-acls.sh --bootstrap-server "$KAFKA" --command-config admin.properties --add --allow-principal `
	for _, c := range []struct {
		args    string
		environ []string
		code    int
		want    string // of standard output, or within standard error
	}{
		{"acls --principal User:receiver --roles webhook", nil, exitDone, add + "User:receiver --operation Write --topic postident.inbox\n"},
		{"acls --principal User:receiver --roles webhook", []string{"BRIDGE_TOPIC_PREFIX=test."}, exitDone, add + "User:receiver --operation Write --topic test.inbox\n"},
		{"acls --principal User:p --roles poll,webhook --prefix x.", nil, exitDone, add + "User:p --operation Write --topic x.inbox\n" +
			add + "User:p --operation Read --operation Write --topic x.poll-cursor\n" + add + "User:p --operation Read --group x.poll\n"},
		{
			"acls --principal User:o --roles watch", nil, exitDone,
			add + "User:o --operation Describe --operation DescribeConfigs --topic postident. --resource-pattern-type prefixed\n" +
				add + "User:o --operation DescribeConfigs --cluster\n",
		},
		{"acls --roles dead-letter --json", nil, exitDone, "[\n  {\n    \"resource\": {\n      \"type\": \"topic\",\n      \"name\": \"postident.dead-letter\",\n" +
			"      \"patternType\": \"literal\"\n    },\n    \"operations\": [\n      \"Read\"\n    ]\n  }\n]\n"},
		{"acls", nil, exitUsage, "--principal is needed"},
		{"acls --principal bridge", nil, exitUsage, `--principal: "bridge" has no type; User:bridge?`},
		{"acls --principal bridge --json", nil, exitUsage, `--principal: "bridge" has no type`},
		{"acls --principal User:", nil, exitUsage, `--principal: "User:" is not type and name`},
		{"acls --principal :bridge", nil, exitUsage, `--principal: ":bridge" is not type and name`},
		{"acls --principal User:x --roles cook", nil, exitUsage, `"cook" is none of webhook, poll, process, apply`},
		{"acls --principal User:x --roles=", nil, exitUsage, "--roles: none named"},
	} {
		got := runMain(t, c.environ, strings.Fields(c.args)...)
		if got.code != c.code || c.code == exitDone && got.stdout != c.want || c.code != exitDone && !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: %v, want %q", c.args, got, c.want)
		}
	}
	blank := runMain(t, nil, "acls", "--principal", "User:o", "--roles", "webhook, watch")
	if together := runMain(t, nil, "acls", "--principal", "User:o", "--roles", "webhook,watch"); blank.code != exitDone || blank.stdout != together.stdout {
		t.Errorf("with a blank behind the comma: %v", blank)
	}
	process := runMain(t, nil, "acls", "--principal", "User:p", "--roles", "process")
	if !strings.Contains(process.stdout, "--operation Write --transactional-id postident.process- --resource-pattern-type prefixed") ||
		strings.Contains(process.stdout, "result.v1") {
		t.Error(process.stdout)
	}
}

// The page's table of permissions and its commands are the code's.
func TestOperationsPageHasTheRights(t *testing.T) {
	t.Parallel()
	const path = "../../docs/operations.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	commands := runMain(t, nil, "acls", "--principal", "User:bridge")
	text := string(page)
	for name, want := range map[string]string{
		"permissions": rightsTable(),
		"acls":        "```sh\n" + commands.stdout + "```\n",
	} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
		before, rest, ok1 := strings.Cut(text, begin)
		have, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("%s has no part %s", path, name)
		}
		if *update {
			text = before + begin + want + end + after
		} else if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s of %s (-code +page), -update writes it:\n%s", name, path, diff)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// rightsTable is the table of docs/operations.md.
func rightsTable() string {
	var b strings.Builder
	b.WriteString("| `--roles` | for | on | needs |\n|---|---|---|---|\n")
	for _, d := range duties() {
		first, does := "`"+d.name+"`", d.does
		for _, n := range d.needs {
			operations := slices.Sorted(slices.Values(n.operations))
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", first, does, n.onPage(), strings.Join(operations, ", "))
			first, does = "", ""
		}
	}
	return b.String()
}

// onPage names a resource for people.
func (n need) onPage() string {
	const prefix = "postident."
	out := string(n.resource)
	switch {
	case n.resource == right.Cluster:
		return "the cluster"
	case n.prefixed:
		out += "s `" + prefix + n.name + "*`"
	default:
		out += " `" + prefix + n.name + "`"
	}
	if n.results {
		out += ", where an account publishes results"
	}
	return out
}
