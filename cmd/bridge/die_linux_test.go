package main

import (
	"os/exec"
	"syscall"
)

// dieWithTest ends the process with the test binary, however that ends.
func dieWithTest(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
