package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// maxSocketPath is the longest path of a unix socket that every system takes,
// in bytes.
const maxSocketPath = 103

// unixPrefix begins the address of a unix socket.
const unixPrefix = "unix:"

// listenAt opens the listener that addr asks for; see Options.Addr. name is how
// clients find it.
func listenAt(dir datadir.Dir, addr string) (l net.Listener, name string, err error) {
	if addr == "" {
		addr = unixPrefix + dir.APISocket()
		if len(dir.APISocket()) > maxSocketPath {
			addr = "127.0.0.1:0"
		}
	}
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		if path == "" {
			return nil, "", fmt.Errorf("%w: api address %q names no socket: it must be unix:PATH", node.ErrInput, addr)
		}
		if path, err = filepath.Abs(path); err != nil {
			return nil, "", err
		}
		l, err = listenUnix(path)
		return l, unixPrefix + path, err
	}
	if err := checkLoopback(addr); err != nil {
		return nil, "", err
	}
	if l, err = net.Listen("tcp", addr); err != nil {
		return nil, "", err
	}
	return l, l.Addr().String(), nil
}

// checkLoopback refuses what others than this machine can reach.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%w: api address %q: must be unix:PATH or a loopback address with a port, such as 127.0.0.1:0", node.ErrInput, addr)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%w: api address %q: the control API listens on loopback only, such as 127.0.0.1 or ::1", node.ErrInput, addr)
	}
	return nil
}

// listenUnix listens on a socket that only its owner may use. One that nobody
// listens on any more is replaced.
func listenUnix(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%w: the path of a unix socket has at most %d bytes, this one has %d: %s; use a shorter one, or 127.0.0.1:0",
			node.ErrInput, maxSocketPath, len(path), path)
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%w: %s is there and is no socket", node.ErrInput, path)
	case err == nil:
		if c, err := net.Dial("unix", path); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("%w: somebody else listens on %s", node.ErrInput, path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
