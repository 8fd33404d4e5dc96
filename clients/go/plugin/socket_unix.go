//go:build unix

package plugin

import "syscall"

// restrictAccess lets nobody else use what is made until the function that it returns is called.
func restrictAccess() func() {
	before := syscall.Umask(0o077)
	return func() { syscall.Umask(before) }
}
