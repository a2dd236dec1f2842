// Package datadir knows the files of a node's data directory and writes them
// so that a crash leaves the old or the new content, never a part. Packages
// node and node/api use it.
package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ibgib/ibgib-node/blockstore"
)

// Dir is the path of a data directory. In it are:
//
//	format      version of this layout
//	store/      blocks and index (package blockstore)
//	peer.key    libp2p private key
//	keystone.json which keystone is the node's
//	keystones/  histories of keystones; secrets of the node's
//	sessions.json which session keystones the node uses
//	trust.json  trusted peers
//	invites.json invites that others may redeem
//	listen.json where the node listened last
//	wants.json  what it lacks of what peers named
//	contacts.json addresses of trusted peers
//	announced.json timelines that the DHT is told of
//	follows.json   timelines whose heads come from one keystone
//	marks.json     peers that gave something else than what was fetched
//	dht.json    what the part in the DHT remembers
//	api.token   token of the control API
//	api.addr    where the control API listens, while it does
//	api.sock    its unix socket
type Dir string

// formatVersion is the version of the layout.
const formatVersion = 1

// ErrNewer says that a newer version of the program made the directory.
var ErrNewer = errors.New("data directory has a newer format")

// Open creates the directory if there is none, and checks its format.
func Open(path string) (Dir, error) {
	if path == "" {
		return "", errors.New("no data directory given")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	d := Dir(path)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	text, err := os.ReadFile(d.Format())
	if errors.Is(err, fs.ErrNotExist) {
		return d, WriteFile(d.Format(), []byte(strconv.Itoa(formatVersion)+"\n"), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	switch {
	case err != nil || version < 1:
		return "", fmt.Errorf("data directory: %s does not hold a version number", d.Format())
	case version > formatVersion:
		return "", fmt.Errorf("%w: %d, this program knows up to %d; install the newer program", ErrNewer, version, formatVersion)
	}
	return d, nil
}

// Missing returns the name of a file or folder that a directory in use must have
// and that is gone, or "". Without this check a new, empty one would take its
// place. The files are made in the order store, peer key, the rest.
func (d Dir) Missing() (string, error) {
	later := []string{d.Store(), d.PeerKey(), d.Trust(), d.Listen()}
	for i, path := range later[:2] {
		if _, err := os.Stat(path); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		for _, after := range later[i+1:] {
			if _, err := os.Stat(after); err == nil {
				return filepath.Base(path), nil
			}
		}
	}
	return "", nil
}

// restoring is the folder in which a store is restored, before it has its place.
const restoring = "store" + blockstore.RestoringSuffix

// IsRestoring tells whether a directory with these entries is one in which a store is
// being restored, or was when the program was killed. There is nothing else in it.
func IsRestoring(entries []fs.DirEntry) bool {
	is := false
	for _, e := range entries {
		switch e.Name() {
		case restoring:
			is = true
		case "format":
		default:
			return false
		}
	}
	return is
}

func (d Dir) file(name string) string { return filepath.Join(string(d), name) }

// Format is the file with the version of the layout.
func (d Dir) Format() string { return d.file("format") }

// Store is the folder of the blockstore.
func (d Dir) Store() string { return d.file("store") }

// PeerKey is the file of the libp2p private key.
func (d Dir) PeerKey() string { return d.file("peer.key") }

// Keystone is the file that names the node's keystone.
func (d Dir) Keystone() string { return d.file("keystone.json") }

// Keystones is the folder of what is known of keystones, and of the secrets.
func (d Dir) Keystones() string { return d.file("keystones") }

// Sessions is the file of the node's session keystones.
func (d Dir) Sessions() string { return d.file("sessions.json") }

// Trust is the file of the trust list.
func (d Dir) Trust() string { return d.file("trust.json") }

// Invites is the file of open invites.
func (d Dir) Invites() string { return d.file("invites.json") }

// Listen is the file that remembers listen addresses.
func (d Dir) Listen() string { return d.file("listen.json") }

// Wants is the file of what the node lacks.
func (d Dir) Wants() string { return d.file("wants.json") }

// Contacts is the file of addresses of trusted peers.
func (d Dir) Contacts() string { return d.file("contacts.json") }

// Announced is the file of timelines that the DHT is told of.
func (d Dir) Announced() string { return d.file("announced.json") }

// Follows is the file of timelines that are followed.
func (d Dir) Follows() string { return d.file("follows.json") }

// Marks is the file of peers that did not give what was fetched.
func (d Dir) Marks() string { return d.file("marks.json") }

// DHT is the file of what the part in the DHT remembers.
func (d Dir) DHT() string { return d.file("dht.json") }

// APIToken is the file of the control API's token.
func (d Dir) APIToken() string { return d.file("api.token") }

// APIAddr is the file that says where the control API listens.
func (d Dir) APIAddr() string { return d.file("api.addr") }

// Config is the configuration file, which a person writes.
func (d Dir) Config() string { return d.file("config.yaml") }

// APISocket is the unix socket of the control API.
func (d Dir) APISocket() string { return d.file("api.sock") }

// WriteAPIAddr notes where the control API listens, and for which directory,
// so that a copy of the directory does not lead to the node of the original.
func (d Dir) WriteAPIAddr(addr string) error {
	return WriteFile(d.APIAddr(), []byte(addr+"\n"+string(d)+"\n"), 0o600)
}

// ReadAPIAddr returns what WriteAPIAddr noted, for this directory. It fails with
// fs.ErrNotExist if nothing is noted, or only for another directory.
func (d Dir) ReadAPIAddr() (string, error) {
	text, err := os.ReadFile(d.APIAddr())
	if err != nil {
		return "", err
	}
	addr, rest, _ := strings.Cut(string(text), "\n")
	noted, err := os.Stat(strings.TrimSuffix(rest, "\n"))
	if err != nil {
		return "", fs.ErrNotExist
	}
	here, err := os.Stat(string(d))
	if err != nil {
		return "", err
	}
	if !os.SameFile(noted, here) {
		return "", fs.ErrNotExist
	}
	return addr, nil
}

// ErrDamaged is wrapped by errors of ReadJSON about a file that holds something else
// than it should.
var ErrDamaged = errors.New("the file is damaged")

// ReadJSON reads into v what WriteJSON has written. Without the file it returns false.
// Where it fails, v may have been filled in part.
func ReadJSON(path string, v any) (found bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return true, fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	return true, nil
}

// WriteJSON puts v in the place of the file, as WriteFile does, for its owner only.
func WriteJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(text, '\n'), 0o600)
}

// WriteFile puts content in the place of the file, whole and durable, or leaves
// what is there.
func WriteFile(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename durable. Some file systems cannot sync a directory,
// which is no reason to fail.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = f.Sync()
	return f.Close()
}
