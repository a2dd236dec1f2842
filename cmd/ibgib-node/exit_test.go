package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/api"
)

func TestExitCodes(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	live := t.Context()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want exitCode
	}{
		{live, nil, exitOK},
		{canceled, nil, exitOK},
		{live, problems("%d problems", 2), exitProblems},
		{live, usage(nil, "wrong"), exitUsage},
		{live, &ibgib.Refusal{Rule: ibgib.RuleBadIb}, exitProblems},
		{live, &ibgib.TransformError{Op: "mut8", Rule: ibgib.RuleNothingToDo}, exitProblems},
		{live, fs.ErrNotExist, exitNotFound},
		{live, withHint(blockstore.ErrInUse, "wait"), exitInUse},
		{live, errors.New("disk"), exitInternal},
		{live, context.Canceled, exitCanceled},
		{canceled, errors.New("disk"), exitCanceled},
		{live, &fs.PathError{Op: "write", Path: "stdout", Err: syscall.EPIPE}, exitPipe},
		{live, &api.Error{Code: api.CodeRefused}, exitProblems},
		{live, &api.Error{Code: api.CodeRejected}, exitProblems},
		{live, &api.Error{Code: api.CodeMissingLink}, exitProblems},
		{live, &api.Error{Code: api.CodeOutside}, exitProblems},
		{live, &api.Error{Code: api.CodeTooLarge}, exitProblems},
		{live, &api.Error{Code: api.CodeBadRequest}, exitUsage},
		{live, &api.Error{Code: api.CodeNotFound}, exitNotFound},
		{live, &api.Error{Code: api.CodeInUse}, exitInUse},
		{live, &api.Error{Code: api.CodeBusy}, exitInUse},
		{live, &api.Error{Code: api.CodeUnreachable}, exitUnreachable},
		{live, &api.Error{Code: api.CodeTimeout}, exitUnreachable},
		{live, &api.Error{Code: api.CodeBrokenStream}, exitUnreachable},
		{live, &api.Error{Code: api.CodeClosed}, exitUnreachable},
		{live, &api.Error{Code: api.CodeUntrusted}, exitUntrusted},
		{live, &api.Error{Code: api.CodeProtocol}, exitPeer},
		{live, &api.Error{Code: api.CodeLimit}, exitPeer},
		{live, &api.Error{Code: api.CodeUnsupported}, exitPeer},
		{live, &api.Error{Code: api.CodeNoEndpoint}, exitPeer}, // the node that runs is of another version
		{live, &api.Error{Code: api.CodeWrongMethod}, exitPeer},
		{live, &api.Error{Code: api.CodeCanceled}, exitCanceled},
		{live, &api.Error{Code: api.CodeCorrupt}, exitInternal},
		{live, &api.Error{Code: api.CodeDiskFull}, exitInternal},
		{live, &api.Error{Code: api.CodeUnauthorized}, exitInternal},
		{live, &api.Error{Code: api.CodeInternal}, exitInternal},
	} {
		if c.err != nil {
			c.err = fmt.Errorf("sync: %w", c.err)
		}
		if got := exitCodeOf(c.ctx, c.err); got != c.want {
			t.Errorf("%v: code %d, want %d", c.err, got, c.want)
		}
	}
}

// A full disk is told the same way, whether a running node or the command has met it.
func TestDiskFullSaysWhatToDo(t *testing.T) {
	for _, err := range []error{fmt.Errorf("import: %w", blockstore.ErrDiskFull), &api.Error{Code: api.CodeDiskFull, Message: "import: the disk is nearly full"}} {
		var out strings.Builder
		c := &cli{err: &out}
		c.report(err, exitCodeOf(t.Context(), err))
		if got := out.String(); !strings.Contains(got, "the disk is nearly full") || !strings.Contains(got, "make room") {
			t.Errorf("%q", got)
		}
	}
}

func TestExitTableIsComplete(t *testing.T) {
	seen := make(map[exitCode]bool)
	for _, m := range exitTable() {
		if seen[m.code] || m.when == "" {
			t.Errorf("code %d twice, or without a meaning", m.code)
		}
		seen[m.code] = true
		for _, word := range m.words {
			if exitCodeOfAPI(word) != m.code {
				t.Errorf("%s stands for code %d and %d", word, exitCodeOfAPI(word), m.code)
			}
		}
	}
	for _, code := range []exitCode{exitOK, exitProblems, exitUsage, exitNotFound, exitInUse, exitUnreachable,
		exitUntrusted, exitPeer, exitInternal, exitCanceled, exitPipe} {
		if !seen[code] {
			t.Errorf("code %d is not documented", code)
		}
	}
}

// Every command has help with an example that names it.
func TestEveryCommandHasHelp(t *testing.T) {
	c := &cli{}
	for _, cmd := range allCommands(c.rootCommand()) {
		if !cmd.Runnable() {
			continue // a help topic
		}
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s lacks a part of its help", cmd.CommandPath())
		}
	}
}
