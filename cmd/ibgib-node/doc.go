// The ibgib-node command keeps ibGibs, and brings them to the same state on
// every node that it syncs with. This package is the command line: it reads
// flags, calls package node by way of its control API, and prints what comes
// back. A file holds one command; root.go has what they share, exit.go every
// exit code.
//
// A command works with the daemon (ibgib-node run) that has the data directory
// open, or opens the directory itself when there is none.
//
// Results go to standard output, everything else to standard error. Text that
// others wrote is escaped before it reaches a terminal (escape.go).
package main
