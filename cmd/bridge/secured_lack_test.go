package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/right"
	"postident-bridge/internal/testbed"
	"postident-bridge/schemas"
)

// lack is what a user of its own has not, of the rights of its duty: one, or all by
// which it writes.
type lack struct {
	duty         string
	prefix, user string
	rights       []testbed.ACL
	text         string // of the first, as a message begins to name it
	environ      []string
	bridge       *program // of a role
}

func (l *lack) String() string { return l.duty + " without " + l.text }

// lacksOf makes a user for each single right of a duty, who has all the others. Each
// has a prefix of its own, or all that of shared.
func (w *securedWorld) lacksOf(name, shared string) []*lack {
	w.t.Helper()
	chosen, err := chooseDuties([]string{name})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []*lack
	for i := range rightsOf("", aclsOf(chosen, "", true)) {
		l := &lack{duty: name, user: fmt.Sprintf("%s-%d", name, i), prefix: shared}
		if shared == "" {
			l.prefix = l.user + "."
		}
		acls := aclsOf(chosen, l.prefix, true)
		rights := rightsOf(l.user, acls)
		l.rights = rights[i : i+1 : i+1]
		l.text = textOf(acls, i)
		w.kafka.SetUser(w.t, l.user, securedPassword)
		if others := slices.Delete(slices.Clone(rights), i, i+1); len(others) > 0 {
			w.kafka.Allow(w.t, others...)
		}
		l.environ = append(w.superUser(l.prefix), securedEnviron(w.kafka, l.user)...)
		out = append(out, l)
	}
	return out
}

// writesNowhere is a role that sees its topics and may write to none of them.
func (w *securedWorld) writesNowhere(role string) *lack {
	w.t.Helper()
	chosen, err := chooseDuties([]string{role})
	if err != nil {
		w.t.Fatal(err)
	}
	user := "nowhere-" + role
	l := &lack{duty: role, user: user, prefix: user + ".", text: right.OnTopic(right.Write, user+".inbox").String()}
	w.kafka.SetUser(w.t, user, securedPassword)
	for _, r := range rightsOf(user, aclsOf(chosen, l.prefix, true)) {
		if r.Operation != kmsg.ACLOperationWrite {
			w.kafka.Allow(w.t, r)
			continue
		}
		l.rights = append(l.rights, r)
		r.Operation = kmsg.ACLOperationDescribe // a part of Write
		w.kafka.Allow(w.t, r)
	}
	l.environ = append(w.superUser(l.prefix), securedEnviron(w.kafka, user)...)
	return l
}

// textOf is the right number i as messages name it. Of a prefixed pattern it is
// how the name begins.
func textOf(acls []acl, i int) string {
	kinds := make(map[string]right.Resource)
	for kind, name := range resourceTypes {
		kinds[name] = kind
	}
	for _, a := range acls {
		if i < len(a.Operations) {
			return right.Right{Operation: a.Operations[i], Resource: kinds[a.Resource.Type], Name: a.Resource.Name}.String()
		}
		i -= len(a.Operations)
	}
	return ""
}

// namedWithin bounds how long a role may take to say what it lacks.
const namedWithin = 30 * time.Second

// rolesNeedEachRight starts a bridge for each right of each role, which has all
// rights but that one. It says which; with it, it does its work without a restart.
func rolesNeedEachRight(t *testing.T, w *securedWorld) {
	t.Helper()
	var lacks []*lack
	for _, role := range allRoles {
		lacks = append(lacks, w.lacksOf(role, "")...)
	}
	// One that sees the inbox and may write nowhere is refused elsewhere: it gets no
	// producer id, and its client asks for none again.
	lacks = append(lacks, w.writesNowhere(roleWebhook), w.writesNowhere(rolePoll))
	for _, l := range lacks {
		w.makeTopics(l.prefix)
		switch l.duty {
		case rolePoll:
			w.put(w.cursor(l.prefix)) // there is nothing to read without one
		case roleProcess:
			w.put(
				w.trigger(l.prefix, securedAccount, w.cases[0], false), w.trigger(l.prefix, securedAccount, w.cases[1], true),
				&kgo.Record{Topic: l.prefix + "inbox", Key: []byte("K"), Value: []byte("no trigger")},
			)
		}
		l.bridge = startMain(t, l.environ, "run", "--roles", l.duty)
	}
	began := time.Now()
	for _, l := range lacks {
		eventually(t, l.String()+" says so", func() bool {
			if l.duty == roleWebhook {
				w.webhook(l.bridge, w.cases[0])
			}
			return strings.Contains(string(l.bridge.stderr.bytes()), "needs "+l.text)
		})
		if took := time.Since(began); took > namedWithin {
			t.Errorf("%s was said after %s", l, took)
		}
	}
	t.Logf("%d rights were named after %s", len(lacks), time.Since(began).Round(time.Millisecond))
	for _, l := range lacks {
		if l.rights[0].Resource == kmsg.ACLResourceTypeTopic {
			eventually(t, l.String()+" is told at start", func() bool {
				return strings.Contains(string(l.bridge.stderr.bytes()), missingRight(l.text))
			})
		}
		// Without what it lacks it can do nothing. A poller learns so from its first sweep.
		if l.duty == roleWebhook || l.duty == rolePoll && len(l.rights) > 1 {
			eventually(t, l.String()+" is not ready, and says why", func() bool {
				code, why := l.readyz(t)
				return code == http.StatusServiceUnavailable && strings.Contains(why, "needs "+l.text)
			})
		}
		w.kafka.Allow(t, l.rights...)
	}
	began = time.Now()
	for _, l := range lacks {
		if l.duty == roleWebhook { // nobody sends one before it is ready
			eventually(t, l.String()+" is ready", func() bool { code, _ := l.readyz(t); return code == http.StatusOK })
			if code := w.webhook(l.bridge, w.cases[0]); code != http.StatusOK {
				t.Errorf("%s is ready, and answers %d", l, code)
			}
		}
		eventually(t, l.duty+" works with "+l.text, func() bool { return w.works(l) })
	}
	t.Logf("all work %s after they were given", time.Since(began).Round(time.Millisecond))
	for _, l := range lacks {
		if code := l.bridge.stop(); code != exitDone {
			t.Errorf("%s: exit %d", l, code)
		}
		searchSecrets(t, map[string]string{l.String(): string(l.bridge.stderr.bytes())})
	}
}

// missingRight is how the log names one at start.
func missingRight(text string) string { return `"right in Kafka is missing","right":"` + text + `"` }

func (l *lack) readyz(t *testing.T) (code int, answer string) {
	t.Helper()
	return httpGet(t, "http://"+l.bridge.where.Admin+"/readyz")
}

// cursor is a record of how far sweeps have come.
func (w *securedWorld) cursor(prefix string) *kgo.Record {
	w.t.Helper()
	value, err := schemas.EncodePollCursor(schemas.PollCursor{ClientID: securedAccount, Sweeps: new(schemas.Sweeps), UpdatedAt: time.Now()})
	if err != nil {
		w.t.Fatal(err)
	}
	return placed(&kgo.Record{Topic: prefix + "poll-cursor", Key: []byte(schemas.LiveCursorKey(securedAccount)), Value: value})
}

// works says whether a role has done all that there is to do.
func (w *securedWorld) works(l *lack) bool {
	w.t.Helper()
	switch l.duty {
	case roleWebhook:
		return w.webhook(l.bridge, w.cases[0]) == 200
	case rolePoll:
		return w.holds(l.prefix+"inbox", len(w.cases)) && w.holds(l.prefix+"poll-cursor", 2)
	default:
		return w.holds(l.prefix+"status.v1", len(w.cases)) && w.holds(l.prefix+"result.v1", len(w.cases)) && w.holds(l.prefix+"dead-letter", 1)
	}
}

// commandsNeedEachRight runs every command with its rights, and with all but one.
func commandsNeedEachRight(t *testing.T, w *securedWorld) {
	t.Helper()
	const prefix = "operated-least."
	w.makeTopics(prefix)
	w.put(w.cursor(prefix))
	w.leaveWork(prefix)
	store := "BRIDGE_RECORDS_URL=file://" + filepath.ToSlash(t.TempDir())
	topics := " --replication 1 --partitions 2 --result-retention 1h"
	for _, c := range []struct {
		duty, prefix string
		args         string
	}{
		{dutyApply, "", "topics apply" + topics},
		{dutyCheck, prefix, "topics check" + topics},
		{dutyBackfill, prefix, "backfill --account " + securedAccount + " --from 2020-01-%02d"},
		{dutyRetry, prefix, "retry now --all"},
		{dutyDeadLetter, prefix, "dead-letter list"},
		{dutyRedrive, prefix, "dead-letter redrive --all --yes"},
		{dutyRecords, prefix, "records check"},
	} {
		lacks := w.lacksOf(c.duty, c.prefix)
		run := func(i int) outcome {
			args := c.args
			if c.duty == dutyBackfill {
				args = fmt.Sprintf(args, i+1) // one that is done has nothing to do
			}
			return runMain(t, append(lacks[i].environ, store), strings.Fields(args)...)
		}
		for i, l := range lacks {
			if got := run(i); got.code != exitFailed || !strings.Contains(got.stderr, "needs "+l.text) || !strings.Contains(got.stderr, "'bridge acls'") {
				t.Errorf("%s: %v", l, got)
			}
		}
		for i, l := range lacks {
			w.kafka.Allow(t, l.rights...)
			eventually(t, c.args+" works with "+l.text, func() bool { return run(i).code == exitDone })
		}
	}
}

// watchNeedsEachRight starts a webhook that may look at the cluster's settings, and
// for each right to do so one that has all but that one, and says so.
func watchNeedsEachRight(t *testing.T, w *securedWorld) {
	t.Helper()
	const prefix, hidden = "watched.", "cluster settings cannot all be read"
	w.makeTopics(prefix)
	receives, err := chooseDuties([]string{roleWebhook})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range w.lacksOf(dutyWatch, prefix) {
		w.kafka.Allow(t, rightsOf(l.user, aclsOf(receives, prefix, true))...)
		bridge := startMain(t, l.environ, "run", "--roles", roleWebhook)
		eventually(t, l.String()+" says so", func() bool { return strings.Contains(string(bridge.stderr.bytes()), hidden) })
		bridge.stop()
	}
	environ := append(w.superUser(prefix), securedUser(t, w.kafka, prefix, roleWebhook, dutyWatch)...)
	bridge := startMain(t, environ, "run", "--roles", roleWebhook)
	eventually(t, "the settings are looked at", func() bool {
		return strings.Contains(string(bridge.stderr.bytes()), "cluster is for development only")
	})
	if bridge.stop(); strings.Contains(string(bridge.stderr.bytes()), hidden) {
		t.Error("rights to watch are not enough")
	}
}

// leaveWork has a bridge leave a case that waits and a dead letter, with no more
// than the rights of its role, and an inbox that has forgotten both.
func (w *securedWorld) leaveWork(prefix string) {
	w.t.Helper()
	environ := append(w.superUser(prefix), securedUser(w.t, w.kafka, prefix, roleProcess)...)
	environ = append(environ, "BRIDGE_ACCOUNT_1_PAYLOAD=status")
	bridge := startHooked(w.t, hooks{faultPauses: []time.Duration{time.Hour}}, environ, "run", "--roles", roleProcess)
	w.put(w.trigger(prefix, securedAccount, "FORGED000001", false), w.trigger(prefix, "STRANGER", "FORGED000002", false))
	eventually(w.t, "a case waits, and there is a dead letter", func() bool {
		var waiting waitingDocument
		got := runMain(w.t, w.superUser(prefix), "retry", "list", "--json")
		if err := json.Unmarshal([]byte(got.stdout), &waiting); err != nil {
			w.t.Fatal(err, got)
		}
		return waiting.Total == 1 && w.holds(prefix+"dead-letter", 1)
	})
	if code := bridge.stop(); code != exitDone {
		w.t.Errorf("exit %d", code)
	}
	w.forget(prefix + "inbox")
}

// forget deletes the records of a topic, as its retention does.
func (w *securedWorld) forget(topic string) {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Seeds()...))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(w.t.Context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	deleted, err := admin.DeleteRecords(w.t.Context(), ends.Offsets())
	if err := errors.Join(err, deleted.Error()); err != nil {
		w.t.Fatal(err)
	}
}
