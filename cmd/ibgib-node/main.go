package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(start()) }

// start runs the command line of the process. The first Ctrl-C or SIGTERM asks
// the command to stop, the second ends the process. A closed output is an
// error like others, not a signal, so that a store is closed in good order.
func start() int {
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	c := &cli{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	return int(c.run(ctx, os.Args[1:]))
}
