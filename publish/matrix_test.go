package publish

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/sabotage"
)

// matrixRow is one outside step of the publisher. Its name is that of the crash
// point in the sources: TestEveryStepHasItsRow holds the two together.
type matrixRow struct {
	step string
	what string
	// nth: which time the process takes the step; 0 is the first.
	nth int
	// moves: only a transaction that moves the position is struck.
	moves bool
	// hook: the step is no request, and passes through sabotage.Process.Step.
	hook bool
	// only: the faults that the step can have; nil: all.
	only []sabotage.Fault
	// older: brokers before 4.0 have this step, as a request of its own.
	older bool
	// provoke brings a process to the step that it would not take by itself.
	provoke func(*scene, *actor)
	// late: the store is away until the states are told, and only the transaction
	// that brings the records is struck.
	late bool
	// archives: the account's closed cases are archived.
	archives bool
	// static: the memberships have instance ids.
	static bool
	// ends: the step is part of the process's end, so another one always goes on.
	ends bool
}

func matrixRows() []matrixRow {
	return []matrixRow{
		{step: "inspect", what: "ask for the topics' ids and partition counts"},
		{step: "coordinator", what: "find the coordinator of group or transaction"},
		{step: "join", what: "join the group"},
		{step: "assignment", what: "take the group's assignment"},
		{step: "membership", what: "confirm the membership before the producer is opened"},
		{step: "heartbeat", what: "keep the membership"},
		{step: "open", what: "open the producer: fence whoever had it before"},
		{step: "barrier", what: "produce the barrier"},
		{step: "barrier end", what: "commit the barrier"},
		{step: "restore", what: "fetch case-state up to the barrier"},
		{step: "list offsets", what: "ask for the bounds of the inbox"},
		{step: "fetch", what: "fetch triggers from the inbox"},
		{step: "decode", what: "decode a trigger: bytes that are not ours", hook: true, only: []sabotage.Fault{sabotage.NotApplied}},
		{step: "send on", what: "produce a misplaced trigger to its own partition"},
		{step: "read", what: "read the case from the API", hook: true},
		{step: "read records", what: "read the case with the content of its records", hook: true},
		{step: "store record", what: "put a record into the store", hook: true},
		{step: "archive", what: "archive closed cases at the source", hook: true, archives: true, provoke: closeCase},
		{step: "look up", what: "fetch the parked trigger of a due retry"},
		{step: "begin", what: "add partitions to the transaction", older: true},
		{step: "produce", what: "produce events, letters, states and position"},
		{step: "end", what: "commit them"},
		{step: "produce", what: "once more", nth: 1},
		{step: "end", what: "once more", nth: 1},
		{step: "produce", what: "the first that move the position", moves: true},
		{step: "end", what: "commit what moves the position", moves: true},
		{step: "produce", what: "the event that brings late records", late: true, provoke: bringBack},
		{step: "end", what: "commit it", late: true, provoke: bringBack},
		{step: "note", what: "note the progress in the group's offsets"},
		{step: "close", what: "close the client of a worker that was fenced", hook: true, provoke: fenceTwice},
		{step: "leave", what: "leave the group at a stop", provoke: stopBeside, ends: true},
		{step: "leave as instance", what: "give up a static membership", provoke: stopBeside, ends: true, static: true},
	}
}

// fenceTwice has another client open the worker's producers, so that the workers
// close theirs.
func fenceTwice(w *scene, _ *actor) {
	w.t.Helper()
	for p := range matrixPartitions {
		stray := w.newClient(kgo.TransactionalID(fmt.Sprintf("%sprocess-%d", w.prefix, p)))
		if _, _, err := stray.ProducerID(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		stray.Close()
	}
	w.move(matrixCases()...)
}

// bringBack has the store take records again.
func bringBack(w *scene, _ *actor) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = false
}

// closeCase closes a case, which is archived then.
func closeCase(w *scene, _ *actor) { w.move(closingCases()[0]) }

// stopBeside asks the process to stop, and waits for nothing.
func stopBeside(_ *scene, a *actor) { a.cancel() }

// matrixCases are the cases that change in every round: two of each partition.
func matrixCases() []string { return ofEachPartition(2, caseName) }

// closingCases are cases that close with their first change: one of each
// partition.
func closingCases() []string {
	return ofEachPartition(1, func(i int) string { return fmt.Sprintf("%s%04d", closing, i) })
}

const closing = "CLOSING0"

// ofEachPartition takes the first n names that belong to each partition.
func ofEachPartition(n int, name func(i int) string) []string {
	var cases []string
	for p := range int32(matrixPartitions) {
		for i, left := 0, n; left > 0; i++ {
			if id := name(i); partitionOf(id, matrixPartitions) == p {
				cases, left = append(cases, id), left-1
			}
		}
	}
	return cases
}

// misplacedCase is the case whose trigger is put into the wrong partition.
const misplacedCase = "MISPLACED"

// matrixCell is one cell: a step, what goes wrong there, and who goes on.
type matrixCell struct {
	matrixRow
	fault sabotage.Fault
	fate  sabotage.Fate
}

// play lets history happen, the fault strike, somebody go on, and the process
// that was struck come back; and then compares all topics with the truth. It
// returns the time from the fault until all that was waiting had been told.
func (c matrixCell) play(w *scene) time.Duration {
	w.t.Helper()
	w.static, w.archives, w.late = c.static, c.archives, c.late
	cases := matrixCases()
	first := w.start("first", nil)
	w.move(cases...)
	w.awaitTold()
	if err := first.stop(); err != nil {
		w.t.Fatal(err)
	}

	if !c.archives {
		// First in the inbox: nobody looks again at a case that has closed. Open ones
		// are looked at again for a while, which would hide that a trigger was lost.
		w.move(closingCases()...)
	}
	w.move(cases...)
	w.badInput(misplacedCase)
	w.away = c.late
	old := w.start("old", func(p *sabotage.Process) {
		if c.provoke == nil || !c.hook {
			c.arm(w, p)
		}
	})
	if c.provoke != nil {
		w.awaitTold()
		if c.hook {
			c.arm(w, old.Process)
		}
		c.provoke(w, old)
	}
	select {
	case <-old.Struck():
	case <-time.After(2 * time.Minute):
		w.t.Fatal("the step was never taken: the fault proves nothing")
	}
	struck := time.Now()
	if c.fate == sabotage.New {
		old.cancel() // it is dead already, and this ends what is left of it in memory
	}
	if c.fate != sabotage.Same || c.ends {
		next := w.start("next", nil)
		w.await("take-over", next.takenOver)
	}
	w.awaitTold()
	took := time.Since(struck)

	w.move(cases...)
	old.Release()
	w.awaitTold()
	w.move(cases...)
	w.awaitTold()
	w.await("the rest", w.unsettled)
	if c.fate == sabotage.Zombie && !c.ends && !old.WentOn() {
		w.t.Error("the zombie did nothing after it woke up: it proves nothing")
	}
	for _, a := range w.actors[1:] {
		if err := a.stop(); err != nil {
			w.t.Error(err)
		}
	}
	w.judge()
	return took
}

func (c matrixCell) arm(w *scene, p *sabotage.Process) {
	if c.hook {
		p.ArmStep(c.fault, c.fate, c.step)
		return
	}
	l, taken := newLens(w.topics, w.names), 0
	for partition, position := range w.positions() {
		l.positions[fmt.Sprintf("%sprocess-%d", w.prefix, partition)] = position
	}
	p.ArmRequest(c.fault, c.fate, func(req kmsg.Request) bool {
		if l.look(req) != c.step || c.moves && !l.moved || c.late && !l.completed {
			return false
		}
		taken++
		return taken > c.nth
	})
}

// name is the step, with the number of the time that it is taken.
func (r matrixRow) name() string {
	if r.moves {
		return r.step + " moving"
	}
	if r.late {
		return r.step + " late"
	}
	if r.nth == 0 {
		return r.step
	}
	return fmt.Sprintf("%s %d", r.step, r.nth+1)
}

func (r matrixRow) cells() []matrixCell {
	faults := r.only
	if faults == nil {
		faults = sabotage.Faults()
	}
	var cells []matrixCell
	for _, fault := range faults {
		for _, fate := range sabotage.Fates() {
			cells = append(cells, matrixCell{r, fault, fate})
		}
	}
	return cells
}

// P2, P3: whatever outside step of the publisher fails, however, and whoever
// goes on, every change is told by exactly one event, in order.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	var table matrixTable
	t.Cleanup(func() { t.Log(table.String()) })
	for _, row := range matrixRows() {
		for _, cell := range row.cells() {
			t.Run(fmt.Sprintf("%s/%s/%s", row.name(), cell.fault, cell.fate), func(t *testing.T) {
				t.Parallel()
				// The detector sees each step fail once; how, is nothing to it.
				if counterpart.UnderRace && cell.fault != sabotage.Applied {
					counterpart.SkipUnderRace(t)
				}
				t.Cleanup(func() { table.ended(cell, t.Failed()) })
				synctest.Test(t, func(t *testing.T) { table.took(cell, cell.play(newVirtualScene(t, cell.older))) })
			})
		}
	}
}

// newVirtualScene is a scene inside a synctest bubble: its clock moves when all
// wait.
func newVirtualScene(t *testing.T, older bool) *scene {
	t.Helper()
	network := &kfake.VirtualNetwork{}
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
	}
	if older {
		opts = append(opts, kfake.MaxVersions(kversion.V3_9_0()))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return newScene(t, network.DialContext, cluster.ListenAddrs(), "test.")
}

// matrixTable is what a reader of the test's output sees.
type matrixTable struct {
	mu    sync.Mutex
	cells map[string]string // guarded by mu
}

func (m *matrixTable) key(c matrixCell) string { return fmt.Sprint(c.name(), c.fault, c.fate) }

func (m *matrixTable) took(c matrixCell, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cells == nil {
		m.cells = make(map[string]string)
	}
	m.cells[m.key(c)] = fmt.Sprintf("%.1fs", d.Seconds())
}

func (m *matrixTable) ended(c matrixCell, failed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if failed || m.cells[m.key(c)] == "" {
		if m.cells == nil {
			m.cells = make(map[string]string)
		}
		m.cells[m.key(c)] = "FAILED"
	}
}

// String is the table: the time from the fault until all that waited was told.
func (m *matrixTable) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-18s %-22s %12s %12s %12s\n", "step", "fault", "same process", "new process", "zombie")
	for _, row := range matrixRows() {
		for _, fault := range sabotage.Faults() {
			var times []string
			for _, fate := range sabotage.Fates() {
				times = append(times, m.cells[m.key(matrixCell{row, fault, fate})])
			}
			if strings.Join(times, "") != "" {
				fmt.Fprintf(&b, "%-18s %-22s %12s %12s %12s\n", row.name(), fault, times[0], times[1], times[2])
			}
		}
	}
	return b.String()
}
