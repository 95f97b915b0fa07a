// Package scrsim simulates the POSTIDENT SCR-Ident API: its answers, its
// webhooks and its faults, under the real base path
// /api/scr/v1/{clientId}/cases, so that any client of the real API works
// against it unchanged. A control API lies beside it under /sim/v1/.
//
// Cases walk through the status model of guide 4 by a plan that is drawn up
// front from a seed: a load plays the plans by itself, or a test advances them
// by hand. The simulator keeps the ground truth: every status change in order,
// whether an answer showed it, and every webhook attempt with its answer.
//
// Every personal field holds a canary, see Canaries. What the guide leaves open
// or says twice (facts C1 to C29) is a switch of Config or Account.
//
// # Results and records
//
// Each method and class has its results, by default those that guide 8 gives it
// and no others: Wire.Forbidden and FaultSet.Forbidden send the rest, too, each
// value with a mark of ForbiddenCanaries. Wire.UnknownFields adds fields that no
// guide knows, Wire.LegacyEmpty the shapes of release 16; other switches of Wire
// change the spelling of what has two.
//
// Records are PDFs and JPEGs that any reader opens, of sizes that Account.Records
// bounds. Their content comes from the seed and is made up while an answer goes
// out: one in the clear takes no memory, an encrypted one its own size once.
// Records and AllRecords tell the truth about it, with SHA-256 and size. Content
// that changes, comes late or slowly, or is malformed, is a fault.
//
// NewCase.Answer plays a case that somebody else wrote down, as it stands: such as
// GuideSample, the guide's own.
//
// # Large pasts and what came of it
//
// A History is up to a hundred million closed cases that take no memory, for
// backfills, with results if it says so. Traces tell by what kind of answer each
// change was first shown, and what became of its webhooks; Requests what was
// asked when.
//
// # Time
//
// The clock is virtual: simulated time is Config.Start plus the time since New,
// multiplied by Config.TimeScale. Timestamps, windows, expiry, retention, the
// Date header and the pauses between webhook retries are simulated time. The
// pacing of a load and the two seconds that a webhook may take are real time.
package scrsim
