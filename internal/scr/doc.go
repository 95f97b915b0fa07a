// Package scr speaks the POSTIDENT SCR-Ident API: HTTP, authentication, JWE and
// the meaning of the answers.
package scr
