package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
	"github.com/ibgib/ibgib-node/node/form"
)

// exitCode is how the process ends. Scripts rely on the numbers.
type exitCode int

const (
	exitOK          exitCode = 0
	exitProblems    exitCode = 1
	exitUsage       exitCode = 2
	exitNotFound    exitCode = 3
	exitInUse       exitCode = 4
	exitUnreachable exitCode = 5
	exitUntrusted   exitCode = 6
	exitPeer        exitCode = 7
	exitInternal    exitCode = 8
	exitCanceled    exitCode = 130 // 128 + SIGINT
	exitPipe        exitCode = 141 // 128 + SIGPIPE
)

// exitTable says when each code is used, and by which words an error with it is
// named with --json.
func exitTable() []exitMeaning {
	return []exitMeaning{
		{exitOK, "all done; for run: stopped in good order", nil},
		{exitProblems, "something was refused, or problems were found",
			[]api.Code{codeProblems, api.CodeRefused, api.CodeRejected, api.CodeMissingLink, api.CodeOutside, api.CodeTooLarge}},
		{exitUsage, "the command line, or config.yaml, is wrong",
			[]api.Code{api.CodeBadRequest}},
		{exitNotFound, "no such ibGib, timeline, peer, file or data directory",
			[]api.Code{api.CodeNotFound}},
		{exitInUse, "another process has the store open, or another sync is under way",
			[]api.Code{api.CodeInUse, api.CodeBusy}},
		{exitUnreachable, "no connection to the other node, or it was lost",
			[]api.Code{api.CodeUnreachable, api.CodeTimeout, api.CodeNoDaemon, api.CodeBrokenStream, api.CodeClosed}},
		{exitUntrusted, "one of the two nodes does not trust the other",
			[]api.Code{api.CodeUntrusted}},
		{exitPeer, "the other node broke the protocol, or something asked for is not supported",
			[]api.Code{api.CodeProtocol, api.CodeLimit, api.CodeUnsupported, api.CodeNoEndpoint, api.CodeWrongMethod}},
		{exitInternal, "anything else: disk, damaged store, a bug",
			[]api.Code{api.CodeInternal, api.CodeCorrupt, api.CodeDiskFull, api.CodeUnauthorized, api.CodeForbidden}},
		{exitCanceled, "stopped by Ctrl-C or SIGTERM",
			[]api.Code{api.CodeCanceled}},
		{exitPipe, "whoever read the output has closed it", nil},
	}
}

type exitMeaning struct {
	code  exitCode
	when  string
	words []api.Code // the first one names errors that are not the control API's
}

// codeProblems names the end of a command that did its work and found problems.
const codeProblems api.Code = "problems"

// wordOf returns the word for errors with an exit code.
func wordOf(code exitCode) api.Code {
	for _, m := range exitTable() {
		if m.code == code && len(m.words) > 0 {
			return m.words[0]
		}
	}
	return api.CodeInternal
}

// exitCodeOf sorts an error. ctx is that of the command.
func exitCodeOf(ctx context.Context, err error) exitCode {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, syscall.EPIPE) {
		return exitPipe
	}
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return exitCanceled
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.code
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		return exitCodeOfAPI(e.Code)
	}
	if _, ok := errors.AsType[*ibgib.Refusal](err); ok {
		return exitProblems
	}
	if _, ok := errors.AsType[*ibgib.TransformError](err); ok {
		return exitProblems
	}
	switch {
	case errors.Is(err, blockstore.ErrBadBackup):
		return exitProblems
	case errors.Is(err, node.ErrInput), errors.Is(err, form.ErrForm), errors.Is(err, syscall.EISDIR):
		return exitUsage
	case errors.Is(err, blockstore.ErrInUse):
		return exitInUse
	case errors.Is(err, blockstore.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return exitNotFound
	}
	return exitInternal
}

func exitCodeOfAPI(word api.Code) exitCode {
	for _, m := range exitTable() {
		if slices.Contains(m.words, word) {
			return m.code
		}
	}
	return exitInternal
}

// usageError is a command line that cannot be understood.
type usageError struct {
	text string
	cmd  *cobra.Command // whose help says more; nil if unknown
}

func (e *usageError) Error() string { return e.text }

func usage(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), cmd}
}

// statusError is an error of this package that has its exit code.
type statusError struct {
	code exitCode
	text string
}

func (e *statusError) Error() string { return e.text }

// problems ends a command that did its work and found problems.
func problems(format string, args ...any) error {
	return &statusError{exitProblems, fmt.Sprintf(format, args...)}
}

// hintError is an error with what to do about it.
type hintError struct {
	err  error
	hint string // lines for a person; printable
}

func (e *hintError) Error() string { return e.err.Error() }

func (e *hintError) Unwrap() error { return e.err }

func withHint(err error, format string, args ...any) error {
	return &hintError{err, fmt.Sprintf(format, args...)}
}
