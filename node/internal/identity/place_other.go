//go:build !unix

package identity

import "path/filepath"

// placeOf tells one folder from a copy of it: by its path.
func placeOf(folder string) (string, error) { return filepath.Abs(folder) }
