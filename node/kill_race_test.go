//go:build race

package node_test

// Under the race detector the kill tests are slow and find the same.
const (
	killRounds = 3
	killHeads  = 1_000

	resumeRounds = 4
	resumeIbGibs = 2_000
)
