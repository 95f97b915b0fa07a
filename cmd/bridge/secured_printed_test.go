package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/testbed"
)

// printedCommandsGive runs what 'bridge acls' prints by a shell and Kafka's own tool,
// as an administrator who may do no more than that, and lists what the broker has
// then: the rights that --json names, each once, and no other.
func printedCommandsGive(t *testing.T, k *counterpart.SecuredKafka) {
	t.Helper()
	// A name as certificates give it, with what a shell would take apart.
	const admin, principal = "printed-admin", "User:CN=who's that,O=$HOME"
	k.SetUser(t, admin, securedPassword)
	k.Allow(t, testbed.ACL{User: admin, Operation: kmsg.ACLOperationAlter, Resource: kmsg.ACLResourceTypeCluster, Name: "kafka-cluster"})
	var names []string
	for _, d := range duties() {
		names = append(names, d.name)
	}
	args := []string{"acls", "--prefix", "printed.", "--results", "--roles", strings.Join(names, ",")}
	printed := runMain(t, nil, append(args, "--principal", principal)...)
	asJSON := runMain(t, nil, append(args, "--json")...)
	var want []acl
	if err := json.Unmarshal([]byte(asJSON.stdout), &want); err != nil || printed.code != exitDone {
		t.Fatal(err, asJSON, printed)
	}

	dir := t.TempDir()
	k.WriteTool(t, dir, admin, securedPassword)
	began := time.Now()
	// Each command starts a JVM: on a busy machine 11 took 2m49s.
	shell := exec.CommandContext(t.Context(), "sh", "-eu")
	shell.Dir, shell.Stdin = dir, strings.NewReader(printed.stdout)
	shell.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "KAFKA="+k.Secured)
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s\n%s", err, printed.stdout, out)
	}
	t.Logf("%d commands in %s", strings.Count(printed.stdout, "\n"), time.Since(began).Round(time.Millisecond))

	// The broker takes a change over a moment after it has answered.
	wanted := rightsOf(strings.TrimPrefix(principal, "User:"), want)
	var have []testbed.ACL
	eventually(t, "the broker has as many rights", func() bool {
		have = rightsOfPrincipal(t, k, principal)
		return len(have) >= len(wanted)
	})
	less := func(a, b testbed.ACL) bool {
		return slices.Compare([]string{a.Resource.String(), a.Name, a.Operation.String()}, []string{b.Resource.String(), b.Name, b.Operation.String()}) < 0
	}
	if diff := cmp.Diff(wanted, have, cmpopts.SortSlices(less)); diff != "" {
		t.Errorf("rights (-printed as JSON +at the broker):\n%s", diff)
	}
}

// rightsOfPrincipal are all that the broker has for a principal.
func rightsOfPrincipal(t *testing.T, k *counterpart.SecuredKafka, principal string) []testbed.ACL {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Seeds()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	req.Principal = &principal
	resp, err := req.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		t.Fatal(err)
	}
	var out []testbed.ACL
	for _, r := range resp.Resources {
		for _, a := range r.ACLs {
			if a.Host != "*" || a.PermissionType != kmsg.ACLPermissionTypeAllow {
				t.Errorf("%s is %s from host %s", r.ResourceName, a.PermissionType, a.Host)
			}
			out = append(out, testbed.ACL{
				User: strings.TrimPrefix(a.Principal, "User:"), Operation: a.Operation, Resource: r.ResourceType, Name: r.ResourceName,
				Prefixed: r.ResourcePatternType == kmsg.ACLResourcePatternTypePrefixed,
			})
		}
	}
	return out
}
