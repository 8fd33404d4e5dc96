//go:build !linux

package plugin

func dieWithParent() {}
