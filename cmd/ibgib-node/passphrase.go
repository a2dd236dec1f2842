package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ibgib/ibgib-node/node"
)

// credentialName is the name that a systemd unit gives the passphrase as a credential
// (LoadCredential=, SetCredential=).
const credentialName = "ibgib-node-passphrase"

// readPassphrase returns the passphrase of the keystone's secret: from the file
// descriptor of --passphrase-fd, or the credential of a systemd unit; none if there
// is neither. The descriptor is read once.
func (c *cli) readPassphrase() ([]byte, error) {
	if c.passphrase == nil {
		in, err := c.openPassphrase()
		if err != nil || in == nil {
			return nil, err
		}
		defer in.Close()
		if c.passphrase, err = node.ReadPassphrase(in); err != nil {
			return nil, err
		}
	}
	return bytes.Clone(c.passphrase), nil
}

func (c *cli) openPassphrase() (io.ReadCloser, error) {
	if c.passphraseFD >= 0 {
		f := os.NewFile(uintptr(c.passphraseFD), "passphrase")
		if f == nil {
			return nil, fmt.Errorf("there is no file descriptor %d", c.passphraseFD)
		}
		return f, nil
	}
	folder := os.Getenv("CREDENTIALS_DIRECTORY")
	if folder == "" {
		return nil, nil
	}
	f, err := os.Open(filepath.Join(folder, credentialName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

// unlock reads the secret of the node's keystone before it starts. A wrong or missing
// passphrase ends the start; a node without its secret runs, but signs nothing.
func (c *cli) unlock(n *node.Node, log *slog.Logger) error {
	err := n.UnlockKeystone()
	switch {
	case errors.Is(err, node.ErrSealed):
		return withHint(&statusError{exitProblems, err.Error()}, "ibgib-node run --passphrase-fd 3%s 3<FILE\nor the systemd credential %s", c.dataFlag(), credentialName)
	case err != nil:
		log.Warn("the keystone cannot sign", "error", err)
	}
	return nil
}
