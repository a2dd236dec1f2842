package node

import (
	"os"

	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// Files are the paths in a data directory that a person may want to know. They
// need not exist.
type Files struct {
	Store     string `json:"store"`     // folder of blocks and index
	PeerKey   string `json:"peerKey"`   // secret
	Trust     string `json:"trust"`     // list of trusted peers
	Listen    string `json:"listen"`    // where the node listened last
	Contacts  string `json:"contacts"`  // addresses of trusted peers
	Config    string `json:"config"`    // configuration, written by a person
	APISocket string `json:"apiSocket"` // of a node that runs, unless it was told another place
	APIToken  string `json:"apiToken"`  // secret
}

// FilesOf returns the paths in the data directory dir, which it does not touch.
func FilesOf(dir string) Files {
	d := datadir.Dir(dir)
	return Files{
		Store: d.Store(), PeerKey: d.PeerKey(), Trust: d.Trust(), Listen: d.Listen(), Contacts: d.Contacts(), Config: d.Config(),
		APISocket: d.APISocket(), APIToken: d.APIToken(),
	}
}

// IsDataDir tells whether the data of a node is in the directory dir, or some of it,
// or the settings of one to come.
func IsDataDir(dir string) bool {
	d := datadir.Dir(dir)
	for _, path := range []string{d.Format(), d.Store(), d.PeerKey(), d.Config()} {
		if _, err := os.Lstat(path); err == nil {
			return true
		}
	}
	return false
}
