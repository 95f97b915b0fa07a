//go:build !linux

package lab

import (
	"os/exec"
	"syscall"
)

// DieWithParent keeps an interrupt at the terminal from the process. Where the
// system knows no parent-death signal, ending it is the caller's cleanup alone.
func DieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
