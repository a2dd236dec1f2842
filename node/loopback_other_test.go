//go:build !linux

package node_test

import "testing"

// loopbackBytes is known on Linux alone.
func loopbackBytes(testing.TB) uint64 { return 0 }
