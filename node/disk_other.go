//go:build !unix

package node

import "io/fs"

// diskBytes returns the size of a file; what it takes on disk may be less.
func diskBytes(info fs.FileInfo) int64 { return info.Size() }
