// Package sabotage makes one outside step of a process fail on purpose, for the
// fault matrices of ingest and publish: the process dies there, freezes there
// and wakes up later, or goes on with a broken connection or with none that
// answers. The process is a publisher or a webhook inside the test; what makes
// it a process of its own is that all it does outside passes through a Process.
package sabotage

import "fmt"

// Fault is what goes wrong with a step.
type Fault int

// The faults.
const (
	// NotApplied: the step fails, and the other side never hears of it.
	NotApplied Fault = iota
	// Applied: the other side does it, and the answer is lost.
	Applied
	// Held: no answer comes; the request is held on its way, and arrives only
	// when Release is called, if the process waits for it so long.
	Held
	// Unanswered: no answer comes, though the other side did it; a process that
	// is frozen finds the answer when it wakes up.
	Unanswered
)

// Faults are all of them.
func Faults() []Fault { return []Fault{NotApplied, Applied, Held, Unanswered} }

// String is the fault as a table names it.
func (f Fault) String() string {
	switch f {
	case NotApplied:
		return "failed, not applied"
	case Applied:
		return "failed, applied"
	case Held:
		return "no answer, held back"
	case Unanswered:
		return "no answer, applied"
	}
	return fmt.Sprintf("fault %d", int(f))
}

// Fate is who goes on after a fault.
type Fate int

// The fates.
const (
	// Same: the process itself goes on.
	Same Fate = iota
	// New: the process dies at the step, and another takes over. What Held holds
	// back of it arrives after that.
	New
	// Zombie: the process freezes at the step, another takes over, and then it
	// wakes up and goes on from there.
	Zombie
)

// Fates are all of them.
func Fates() []Fate { return []Fate{Same, New, Zombie} }

// String is the fate as a table names it.
func (f Fate) String() string {
	switch f {
	case Same:
		return "same process"
	case New:
		return "new process"
	case Zombie:
		return "zombie"
	}
	return fmt.Sprintf("fate %d", int(f))
}
