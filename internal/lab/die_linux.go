package lab

import (
	"os/exec"
	"syscall"
)

// DieWithParent ends the process that cmd will start with this one, however
// this one ends. A process group of its own keeps an interrupt at the terminal
// from reaching it before we have.
func DieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
