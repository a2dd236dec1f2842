//go:build !linux && !darwin && !freebsd

package blockstore

import "errors"

// freeSpace does not know how to ask this system.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
