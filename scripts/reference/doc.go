// Package reference measures other ways to do what the node does, beside which its own
// figures stand. It is a module of its own, so that what it needs is no dependency of the
// node. Run it with
//
//	cd scripts/reference && go test -bench . -benchtime 1x
package reference
