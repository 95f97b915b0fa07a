// Package scr speaks the POSTIDENT SCR-Ident API: HTTP, authentication, JWE and
// the meaning of the answers.
//
// A case is described once: by the wire types (wire.go), which say what is read
// of it, and the table of the fields that a source knows (unknown.go). The JSON
// decoder reads every case by them. It is slow at it, for each type takes its
// fields apart itself; so plain.go lays both beside each other and reads what is
// as plain as the API writes it in one pass, unknown fields included. What is odd
// goes to the decoder.
//
// A result is all of guide 8 that an account may have (result.go). Its types are
// what is known of an answer: a plan is made of them (result_plan.go), a tree is
// built by the plan (result_tree.go), which leaves the content of records where it
// stands, and the tree is decoded (result_decode.go, result_ident.go). What classes
// and methods may not have is one table (availability.go). All that does not get
// into a result is counted (result_ledger.go) or, where that was asked for, kept
// (result_unknown.go).
package scr
