package identity

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// placeOf tells one folder from a copy of it: by the number that its file system gives
// it, and by when it was made, since the number of a folder that was deleted is given to
// the next one. A folder that is moved within a file system keeps both. Not every file
// system tells when a folder was made.
func placeOf(folder string) (string, error) {
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, folder, 0, unix.STATX_INO|unix.STATX_BTIME, &stat); err != nil {
		return "", fmt.Errorf("stat %s: %w", folder, err)
	}
	if stat.Mask&unix.STATX_BTIME == 0 {
		return fmt.Sprintf("inode %d", stat.Ino), nil
	}
	return fmt.Sprintf("inode %d of %d.%09d", stat.Ino, stat.Btime.Sec, stat.Btime.Nsec), nil
}
