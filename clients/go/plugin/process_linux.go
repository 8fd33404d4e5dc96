package plugin

import (
	"os"
	"syscall"
)

// dieWithParent lets the kernel end this process when the one that started it ends, however it does.
func dieWithParent() {
	parent := os.Getppid()
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
	if os.Getppid() != parent { // it ended before the kernel knew
		os.Exit(exitRefused)
	}
}
