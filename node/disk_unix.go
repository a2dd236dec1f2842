//go:build unix

package node

import (
	"io/fs"
	"syscall"
)

// diskBytes returns what a file takes on disk. The store's files are made larger
// than what is in them.
func diskBytes(info fs.FileInfo) int64 {
	const block = 512 // the unit of Blocks, on every system
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(int64(stat.Blocks)*block, info.Size())
	}
	return info.Size()
}
