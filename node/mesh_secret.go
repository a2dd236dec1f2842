package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/ibgib/ibgib-node/protocol"
)

// ReadMeshSecret reads the file of a mesh secret. It fails with fs.ErrNotExist
// if there is none, and with ErrInput if others may read it or if it is too short or
// too long.
func ReadMeshSecret(path string) ([]byte, error) {
	secret, err := readMeshSecret(path)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	return secret, nil
}

func readMeshSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("%w: mesh secret: %s is no file", ErrInput, path)
	case runtime.GOOS != "windows" && mode.Perm()&0o077 != 0:
		return nil, fmt.Errorf("%w: mesh secret: others on this machine may read or change %s, its mode is %04o; chmod 600 changes that", ErrInput, path, mode.Perm())
	}
	const slack = 64 // white space around it
	secret, err := io.ReadAll(io.LimitReader(f, protocol.MaxSecret+slack+1))
	if err != nil {
		return nil, err
	}
	if _, err := protocol.NewMeshSecret(secret); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInput, path, err)
	}
	return secret, nil
}

// WriteMeshSecret makes a new mesh secret, 32 random bytes in hex, in a new file
// that only its owner may read. It fails with fs.ErrExist if there is one.
func WriteMeshSecret(path string) (err error) {
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return fmt.Errorf("node: mesh secret: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("node: mesh secret: %w", err)
	}
	_, err = f.WriteString(hex.EncodeToString(secret[:]) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("node: mesh secret: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}
