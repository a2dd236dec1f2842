//go:build !linux

package node

// residentBytes does not know how to ask this system.
func residentBytes() int64 { return 0 }
