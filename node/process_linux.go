package node

import (
	"bytes"
	"os"
	"strconv"
)

// residentBytes returns how much physical memory this process takes, 0 if that
// cannot be told. The second field of statm is in pages; see proc_pid_statm(5).
func residentBytes() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
