package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

const (
	// saveEvery is how many frames a keystone may grow by until its file is written
	// anew; these are replayed after a crash.
	saveEvery = 32
	// fileSuffix ends the names of the files of keystones, which are named by the gib
	// of the first frame.
	fileSuffix = ".json"
	// maxBookFile bounds what is read of a file, in bytes.
	maxBookFile = 256 << 20
	bookVersion = 1
)

// ErrBookFile says that the file of a keystone cannot be read. It can be removed:
// a keystone of somebody else is fetched again.
var ErrBookFile = errors.New("not the file of a keystone")

// bookFile is the content of the file of one keystone.
type bookFile struct {
	Version  int        `json:"version"`
	Genesis  ibgib.Addr `json:"genesis"`
	History  []byte     `json:"history"` // a snapshot
	Tip      string     `json:"tip"`     // the newest frame of the snapshot, in its stored form
	Evidence []Evidence `json:"evidence,omitempty"`
}

// load reads the files of the folder; there need not be one.
func (b *Book) load() error {
	b.known = make(map[ibgib.Addr]*record)
	files, err := os.ReadDir(b.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keystones: %w", err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), fileSuffix) || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		path := filepath.Join(b.dir, f.Name())
		genesis, r, err := readRecord(path)
		if err != nil {
			return fmt.Errorf("keystones: %s: %w", path, err)
		}
		b.known[genesis] = r
	}
	return nil
}

func readRecord(path string) (ibgib.Addr, *record, error) {
	in, err := os.Open(path)
	if err != nil {
		return ibgib.Addr{}, nil, err
	}
	defer in.Close()
	var file bookFile
	if err := json.NewDecoder(io.LimitReader(in, maxBookFile)).Decode(&file); err != nil {
		return ibgib.Addr{}, nil, fmt.Errorf("%w: %w", ErrBookFile, err)
	}
	if file.Version != bookVersion {
		return ibgib.Addr{}, nil, fmt.Errorf("%w: version %d, this program knows %d", ErrBookFile, file.Version, bookVersion)
	}
	tip, err := ibgib.Verify([]byte(file.Tip))
	if err != nil {
		return ibgib.Addr{}, nil, fmt.Errorf("%w: %w", ErrBookFile, err)
	}
	h, err := keystone.Resume(file.History, tip)
	if err != nil {
		return ibgib.Addr{}, nil, fmt.Errorf("%w: %w", ErrBookFile, err)
	}
	if h.Genesis() != file.Genesis {
		return ibgib.Addr{}, nil, fmt.Errorf("%w: it is about %s", ErrBookFile, h.Genesis())
	}
	return h.Genesis(), &record{history: h, evidence: file.Evidence, saved: h.Len()}, nil
}

// save writes the file of a keystone, with b.writing held.
func (b *Book) save(genesis ibgib.Addr, r *record) error {
	snapshot, err := r.history.AppendBinary(nil)
	if err != nil {
		return fmt.Errorf("keystones: %w", err)
	}
	text, err := json.Marshal(bookFile{
		Version: bookVersion, Genesis: genesis, History: snapshot,
		Tip: string(r.history.Tip().AppendJSON(nil)), Evidence: r.evidence,
	})
	if err == nil {
		err = os.MkdirAll(b.dir, 0o700)
	}
	if err == nil {
		err = datadir.WriteFile(filepath.Join(b.dir, genesis.Gib()+fileSuffix), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keystones: %w", err)
	}
	r.saved = r.history.Len()
	return nil
}

// Close writes what the files do not have yet.
func (b *Book) Close() error {
	b.writing.Lock()
	defer b.writing.Unlock()
	var errs []error
	for genesis, r := range b.known {
		if r.saved != r.history.Len() {
			errs = append(errs, b.save(genesis, r))
		}
	}
	return errors.Join(errs...)
}
