//go:build !race

package node_test

// Each kill test kills this often, in work on this many heads or ibGibs.
const (
	killRounds = 6
	killHeads  = 5_000

	resumeRounds = 4
	resumeIbGibs = 5_000
)
