package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/ingest"
	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

var pollKills = flag.Int("poll-kills", 3, "how `often` TestKillNineOfPollers kills the owner of an account")

// P2, P3, P4: two processes sweep five accounts on a real Apache Kafka, without a
// single webhook, while the owner of an account is killed with kill -9 or stopped
// for longer than the session time-out, at random points of a list. Every change
// must be one event, in order; no account may be swept by two; the other process
// must go on within 20 s.
//
// The load is the closed loop of TestKillNineUnderLoad: a case goes on once the
// event of its present state is on the topic, so that a change that the sweeps
// lose stops its case for good.
func TestKillNineOfPollers(t *testing.T) {
	t.Parallel()
	kafka := counterpart.SharedKafka(t)
	registry := counterpart.StartRegistry(t, nil)
	w := newSweptWorld(t, kafka, registry)
	w.bridge(t, "topics", "apply", "--replication", "1")
	for _, r := range w.replicas {
		r.start(t)
	}
	loop := newClosedLoop(t, w.world, 1<<20, isTyped) // more than there is time for
	eventually(t, "every account is swept", func() bool {
		return !slices.Contains(w.owners(), -1)
	})
	const seed = 5
	random := rand.New(rand.NewPCG(seed, uint64(*pollKills)))
	for kill := range *pollKills {
		if kill%5 == 0 {
			w.pause(t, random)
		}
		w.kill(t, random)
	}
	loop.halt(t)
	metrics := w.scrape(t)
	for _, r := range w.replicas {
		r.stop(t)
	}

	t.Log("every event is there, every process stopped")
	w.checkCursors(t)
	verdict := w.judge(t, metrics)
	if due := loop.dues(); verdict.Events < due || due == 0 {
		t.Errorf("%d events for %d changes with a status type", verdict.Events, due)
	}
	w.checkRequests(t)
	t.Logf("seed %d: %s", seed, w.figures())
}

// isTyped says that the step's change is an event, whether a webhook tells of it
// or not.
func isTyped(a scrsim.Advanced) bool { return a.Change.StatusType != "progress" }

// sweptWorld is a world whose first two replicas poll, each with users of its own,
// so that the simulator can tell who asks. The third processes, and is left alone.
type sweptWorld struct {
	*world

	owner   map[string]int // the polling replica by the username that it has
	strikes []strike
}

// strike is what befell a polling replica.
type strike struct {
	victim int
	at     time.Time
	woke   time.Time // zero for a kill
	took   []time.Duration
}

// slowBy is how long each answer takes at least, so that there is something to be
// in the midst of.
const slowBy = 150 * time.Millisecond

func newSweptWorld(t *testing.T, kafka *counterpart.Kafka, registry *counterpart.Registry) *sweptWorld {
	t.Helper()
	accounts := scrsim.ExampleAccounts("")
	s := &sweptWorld{owner: make(map[string]int)}
	for i := range accounts {
		a := &accounts[i]
		first := a.Credentials[0]
		second := scrsim.Credential{Username: a.ClientID + ".OTHER", Password: "other-" + first.Password, DataPassword: "other-" + first.DataPassword}
		a.Credentials = []scrsim.Credential{first, second}
		a.Webhook.Username, a.Webhook.Password = a.ClientID+".HOOK", "sim-hook-"+a.ClientID
		s.owner[first.Username], s.owner[second.Username] = 0, 1
	}
	s.world = newWorldOf(t, "pollkill.", kafka, registry, scrsim.Config{
		Accounts: accounts, Seed: 7,
		ListLimit: window/len(accounts) + 10, // what moves in one second fits in, what moves in a minute does not
	})
	if err := s.sim.SetFaults(scrsim.Faults{All: scrsim.FaultSet{Slow: 1, SlowBy: scrsim.Duration(slowBy)}}); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "BRIDGE_POLL_CLOSED_EVERY=1s", "BRIDGE_POLL_OPEN_EVERY=1s", "BRIDGE_POLL_RECONCILE_EVERY=30s",
		"BRIDGE_POLL_OVERLAP=1m", "BRIDGE_POLL_PAST=1h")
	for i, role := range []string{rolePoll, rolePoll, roleProcess} {
		r := newReplica(t, s.world, i)
		r.args = []string{"run", "--roles", role}
		if i == 1 {
			for n, a := range accounts {
				c := a.Credentials[1]
				r.env = append(r.env, fmt.Sprintf("BRIDGE_ACCOUNT_%d_USERNAME=%s", n+1, c.Username),
					fmt.Sprintf("BRIDGE_ACCOUNT_%d_PASSWORD=%s", n+1, c.Password),
					fmt.Sprintf("BRIDGE_ACCOUNT_%d_DATA_PASSWORD=%s", n+1, c.DataPassword))
			}
		}
		s.replicas = append(s.replicas, r)
	}
	return s
}

// lists are the list requests of an account, by when they came.
func (s *sweptWorld) lists(clientID string) []scrsim.Request {
	lists := slices.DeleteFunc(s.sim.Requests(clientID), func(r scrsim.Request) bool { return r.Operation != "GET /cases/full" })
	slices.SortStableFunc(lists, func(a, b scrsim.Request) int { return a.At.Compare(b.At) })
	return lists
}

// owners are the replicas that made the last list request of each account, -1 for
// none.
func (s *sweptWorld) owners() []int {
	owners := make([]int, len(s.accounts))
	for i, a := range s.accounts {
		owners[i] = -1
		if lists := s.lists(a.ClientID); len(lists) > 0 {
			owners[i] = s.owner[lists[len(lists)-1].User]
		}
	}
	return owners
}

// kill ends the owner of an account at a random point of a list, and starts it
// again once the other one has taken over.
func (s *sweptWorld) kill(t *testing.T, random *rand.Rand) {
	t.Helper()
	hit, owned := s.aim(random)
	hit.at = time.Now()
	s.replicas[hit.victim].kill(t)
	s.awaitTakeOver(t, &hit, owned)
	s.replicas[hit.victim].start(t)
	s.struck(t, hit)
}

// pause stops the owner of an account at a random point of a list, and lets it go
// on once the other one has taken over.
func (s *sweptWorld) pause(t *testing.T, random *rand.Rand) {
	t.Helper()
	hit, owned := s.aim(random)
	r := s.replicas[hit.victim]
	hit.at = time.Now()
	if err := r.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.awaitTakeOver(t, &hit, owned)
	hit.woke = time.Now()
	if err := r.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, r.name+" goes on", func() bool {
		return slices.ContainsFunc(r.takeOvers(t), func(o accountLine) bool { return o.at.After(hit.woke) })
	})
	s.struck(t, hit)
}

func (s *sweptWorld) struck(t *testing.T, hit strike) {
	t.Helper()
	s.strikes = append(s.strikes, hit)
	t.Logf("strike %d, %v ago, at %s: %d accounts taken over by %v", len(s.strikes), time.Since(hit.at).Round(time.Millisecond),
		s.replicas[hit.victim].name, len(hit.took), slices.Max(hit.took).Round(time.Millisecond))
}

// aim waits for a random moment, and gives the owner of a random account and all
// accounts that it has then.
func (s *sweptWorld) aim(random *rand.Rand) (hit strike, owned []string) {
	<-time.After(time.Duration(random.Int64N(int64(4 * time.Second))))
	owners := s.owners()
	hit.victim = owners[random.IntN(len(owners))]
	for i, a := range s.accounts {
		if owners[i] == hit.victim {
			owned = append(owned, a.ClientID)
		}
	}
	return hit, owned
}

// awaitTakeOver waits until the other replica has asked for the accounts of one
// that was struck.
func (s *sweptWorld) awaitTakeOver(t *testing.T, hit *strike, owned []string) {
	t.Helper()
	for _, clientID := range owned {
		eventually(t, "account "+clientID+" is taken over", func() bool {
			lists := s.lists(clientID)
			i := slices.IndexFunc(lists, func(r scrsim.Request) bool { return r.At.After(hit.at) && s.owner[r.User] != hit.victim })
			if i < 0 {
				return false
			}
			hit.took = append(hit.took, lists[i].At.Sub(hit.at))
			return true
		})
		if took := hit.took[len(hit.took)-1]; took > 20*time.Second {
			t.Errorf("account %s was taken over after %v", clientID, took)
		}
	}
}

// checkRequests sees that no account was swept by two replicas beside each other,
// and that one which was stopped made no more than one request as what it was
// before.
func (s *sweptWorld) checkRequests(t *testing.T) {
	t.Helper()
	for _, a := range s.accounts {
		lists := s.lists(a.ClientID)
		late := make(map[time.Time]bool) // of those who did not know yet
		for _, hit := range s.strikes {
			if n := s.lateRequests(t, hit, a.ClientID, lists, late); n > 1 {
				t.Errorf("%s sent %d requests for account %s after it woke up as its former owner", s.replicas[hit.victim].name, n, a.ClientID)
			}
		}
		lists = slices.DeleteFunc(lists, func(r scrsim.Request) bool { return late[r.At] })
		moves := 0
		for i := 1; i < len(lists); i++ {
			last, next := lists[i-1], lists[i]
			if last.User == next.User {
				continue
			}
			moves++
			if end := s.endOf(t, last); next.At.Before(end) {
				t.Errorf("account %s: %s asked at %v, %v before the answer to %s was written", a.ClientID,
					next.User, next.At, end.Sub(next.At), last.User)
			}
		}
		// Each strike moves an account away, and its victim's return moves it back.
		if most := 2*len(s.strikes) + 2; moves > most {
			t.Errorf("account %s went %d times from one to the other, in %d strikes", a.ClientID, moves, len(s.strikes))
		}
	}
}

// endOf is when a replica was done with a list request: with its answer, or before
// it, when the group took the account from it and it hung up. The simulator notices
// that a moment later.
func (s *sweptWorld) endOf(t *testing.T, list scrsim.Request) time.Time {
	t.Helper()
	end := list.At.Add(time.Duration(list.Took))
	for _, released := range s.replicas[s.owner[list.User]].accountLines(t, "account released") {
		if released.clientID == list.ClientID && released.at.After(list.At) && released.at.Before(end) {
			return released.at
		}
	}
	return end
}

// lateRequests counts what a replica that was stopped asked for an account from
// when it woke up until the group gave it the account again, and notes when.
func (s *sweptWorld) lateRequests(t *testing.T, hit strike, clientID string, lists []scrsim.Request, late map[time.Time]bool) (n int) {
	t.Helper()
	if hit.woke.IsZero() {
		return 0
	}
	until := time.Now()
	for _, o := range s.replicas[hit.victim].takeOvers(t) {
		if o.clientID == clientID && o.at.After(hit.woke) {
			until = o.at
			break
		}
	}
	for _, r := range lists {
		if s.owner[r.User] == hit.victim && r.At.After(hit.woke) && r.At.Before(until) {
			late[r.At] = true
			n++
		}
	}
	return n
}

// accountLine is a line of a log that tells of an account.
type accountLine struct {
	clientID string
	at       time.Time
	kind     ingest.SweepKind // of a sweep
	began    time.Time        // of a sweep
}

func (r *replica) takeOvers(t *testing.T) []accountLine {
	t.Helper()
	return r.accountLines(t, "account taken over for sweeps")
}

func (r *replica) accountLines(t *testing.T, msg string) (all []accountLine) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(r.log.bytes()))
	for lines.Scan() {
		var line struct {
			Time     time.Time `json:"time"`
			Msg      string    `json:"msg"`
			ClientID string    `json:"client_id"`
			Kind     string    `json:"kind"`
			Began    time.Time `json:"began"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == msg {
			all = append(all, accountLine{line.ClientID, line.Time, ingest.SweepKind(line.Kind), line.Began})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// checkCursors sees that whoever comes next finds where the sweeps were.
func (s *sweptWorld) checkCursors(t *testing.T) {
	t.Helper()
	client, err := kgo.NewClient(append(ingest.ProducerOpts(), s.opts()...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	cursors, err := ingest.NewCursors(client, s.opts(), s.prefix+"poll-cursor", nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := cursors.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range s.accounts {
		c := all[schemas.LiveCursorKey(a.ClientID)]
		if c.Sweeps == nil || c.Sweeps.ClosedUntil == nil || time.Since(*c.Sweeps.ClosedUntil) > time.Minute || c.Sweeps.OpenAt == nil {
			var sweeps schemas.Sweeps
			if c.Sweeps != nil {
				sweeps = *c.Sweeps
			}
			t.Errorf("account %s: the cursor of %v says closed until %v, open at %v", a.ClientID, c.UpdatedAt, sweeps.ClosedUntil, sweeps.OpenAt)
		}
	}
}

// figures tell what the strikes came to.
func (s *sweptWorld) figures() string {
	var took []time.Duration
	var kills, within, requests int
	for _, hit := range s.strikes {
		took = append(took, hit.took...)
		if hit.woke.IsZero() {
			kills++
		}
	}
	for _, a := range s.accounts {
		lists := s.lists(a.ClientID)
		requests += len(lists)
		for _, hit := range s.strikes {
			within += len(slices.DeleteFunc(slices.Clone(lists), func(r scrsim.Request) bool {
				return s.owner[r.User] != hit.victim || r.At.After(hit.at) || r.At.Add(time.Duration(r.Took)).Before(hit.at)
			}))
		}
	}
	slices.Sort(took)
	return fmt.Sprintf("%d kills, %d pauses, %d lists under way at those moments; %d accounts taken over after %v, %v, %v (least, median, most); %d lists",
		kills, len(s.strikes)-kills, within, len(took), took[0].Round(time.Millisecond), took[len(took)/2].Round(time.Millisecond),
		took[len(took)-1].Round(time.Millisecond), requests)
}
