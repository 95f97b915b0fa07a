// Package scr speaks the POSTIDENT SCR-Ident API: HTTP, authentication, JWE and
// the meaning of the answers.
//
// A case is described once: by the wire types (wire.go), which say what is read
// of it, and the table of the fields that a source knows (unknown.go). The JSON
// decoder reads every case by them. It is slow at it, for each type takes its
// fields apart itself; so plain.go lays both beside each other and reads what is
// as plain as the API writes it in one pass, unknown fields included. What is odd
// goes to the decoder.
package scr
