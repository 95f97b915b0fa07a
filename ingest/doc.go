// Package ingest turns whatever tells of a change at POSTIDENT into a trigger in
// the inbox topic that outlives a crash: a webhook, answered 200 only then
// (Webhook), a case on a list of the API (Poller, Backfill), an operator's word
// (Inbox). A trigger says look again at this case, so a doubled one is harmless,
// and none of them needs a transaction: they are acknowledged, and only then does
// their source note that it is done.
//
// # Sweeps
//
// Three sweeps an account go over its cases in windows of time (walk.go, bounds.go,
// sweep.go); agenda.go says which of them makes the next request. All of that is
// decided without I/O and clock; sweeper.go makes the requests, one at a time, for
// as long as the consumer group says that the account is this process's
// (poller.go), and writes how far it has come to poll-cursor (cursor.go). A backfill
// is one more such walk, at the rate at which the inbox is worked off (pace.go).
package ingest
