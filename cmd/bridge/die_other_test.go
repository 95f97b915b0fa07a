//go:build !linux

package main

import "os/exec"

// dieWithTest is the test's cleanup alone where the system knows no parent-death
// signal.
func dieWithTest(*exec.Cmd) {}
