//go:build linux || darwin || freebsd

package blockstore

import "syscall"

// freeSpace returns how many bytes an ordinary user can still write in the folder.
func freeSpace(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
