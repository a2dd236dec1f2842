//go:build unix && !linux

package identity

import (
	"fmt"
	"os"
	"syscall"
)

// placeOf tells one folder from a copy of it: by the number that its file system
// gives it. A folder that is moved within a file system keeps it.
func placeOf(folder string) (string, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return "", err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("inode %d", stat.Ino), nil
	}
	return "", nil
}
