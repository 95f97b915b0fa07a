// Package publish turns the triggers of the inbox into status events: each
// change that a look at a case shows becomes exactly one committed event, in the
// order of the case, whatever dies.
//
// # How
//
// The consumer group decides who owns an inbox partition (owner.go). The owner
// opens a transactional producer whose id belongs to the partition; opening it
// fences the predecessor, so the epoch alone decides who may write, also for
// timers and retries that consumed nothing. Then it writes a barrier to the
// partition of case-state, reads case-state up to it into a table, and goes on
// in the inbox where the state says (restore.go).
//
// The worker's loop (worker.go) starts looks at cases (look.go), those of retries
// as far as their accounts take them (backlog.go), decides what
// finished looks mean (settle.go over the pure decide.go, retry.go, event.go),
// and writes events, dead letters, states and the position in one transaction
// (txn.go). Whatever goes wrong, the client is closed and everything in memory
// is dropped: the one recovery path is the start path.
//
// # Invariants
//
//   - Nothing is written but in the transactions of the opened producer. The one
//     exception is a trigger sent on to its own partition, which is harmless twice.
//   - The table is what case-state says plus what this opening committed. It is
//     changed only after a commit, but for what a crash may forget: when a case
//     was read last, and when its retry slot is looked at next.
//   - At most one look a case is under way, and it is settled before the next
//     begins, so reads of a case are serial.
//   - The position passes a trigger only in the transaction that holds the effect
//     of its look, or after one.
//   - A dead letter that leaves no state behind is written in the very transaction
//     in which the position passes its trigger.
package publish
