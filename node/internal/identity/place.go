package identity

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// state is the content of the file that says which keystone is the node's, and
// where it last knew for certain which of its frames is the newest one.
type state struct {
	Version int        `json:"version"`
	Genesis ibgib.Addr `json:"genesis"`
	// Next is the keystone that a handover has begun to.
	Next     *ibgib.Addr  `json:"next,omitempty"`
	Previous []ibgib.Addr `json:"previous,omitempty"` // oldest first
	// Epoch is that of the store and Place that of its folder: other ones mean that
	// the directory was restored or copied.
	Epoch string `json:"epoch"`
	Place string `json:"place"`
}

const (
	stateVersion = 1
	// maxPrevious bounds how many keystones of before are remembered.
	maxPrevious = 100
)

func readState(path string) (s state, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	if s.Version != stateVersion {
		return s, fmt.Errorf("%s has version %d, this program knows %d", path, s.Version, stateVersion)
	}
	if s.Genesis.IsZero() {
		return s, errors.New(path + " names no keystone")
	}
	return s, nil
}

func (s state) write(path string) error { return datadir.WriteJSON(path, s) }

func epochText(epoch [16]byte) string { return hex.EncodeToString(epoch[:]) }
