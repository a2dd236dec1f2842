package blockstore

import (
	"log/slog"

	"github.com/dgraph-io/badger/v4"
)

// BadgerOptions lets the reference benchmark open Badger as the store does.
func BadgerOptions(dir string, log *slog.Logger) badger.Options {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return badgerOptions(dir, log)
}
