package blockstore

import (
	"encoding/binary"

	"github.com/ibgib/ibgib-node/ibgib"
)

// An absence knows hashes that are certainly no members of a share: all that
// have not been added to it since the share was empty. It saves the search for
// what a first sync or an import brings. It is a Bloom filter in parts, each
// eight times as large as the one before.
type absence struct {
	parts []absencePart
	full  bool // too many members: nothing is certain any more
}

type absencePart struct {
	bits  []uint64
	count int
}

const (
	absenceFirst    = 1 << 10 // words of 64 bits of the first part: 8 KiB
	absenceParts    = 4       // the last part has 4 MiB and takes 3 million hashes
	absenceBits     = 10      // bits for each hash, which leaves one false answer in a hundred
	absenceProbes   = 5
	absenceProbeLen = 4 // bytes of the hash that one probe uses
)

// lacks tells whether h is certainly not among those added.
func (a *absence) lacks(h *ibgib.Hash) bool {
	if a.full {
		return false
	}
	for i := range a.parts {
		if a.parts[i].has(h) {
			return false
		}
	}
	return true
}

// add counts a hash in.
func (a *absence) add(h *ibgib.Hash) {
	if a.full {
		return
	}
	if n := len(a.parts); n == 0 || a.parts[n-1].count >= 64*len(a.parts[n-1].bits)/absenceBits {
		if n == absenceParts {
			*a = absence{full: true}
			return
		}
		a.parts = append(a.parts, absencePart{bits: make([]uint64, absenceFirst<<(3*n))})
	}
	p := &a.parts[len(a.parts)-1]
	p.count++
	for i := range absenceProbes {
		at := p.at(h, i)
		p.bits[at/64] |= 1 << (at % 64)
	}
}

func (p *absencePart) has(h *ibgib.Hash) bool {
	for i := range absenceProbes {
		at := p.at(h, i)
		if p.bits[at/64]&(1<<(at%64)) == 0 {
			return false
		}
	}
	return true
}

// at is the bit of one probe; hashes are random bits, and a peer that chooses
// them only makes its own blocks slower.
func (p *absencePart) at(h *ibgib.Hash, probe int) uint32 {
	return binary.LittleEndian.Uint32(h[absenceProbeLen*probe:]) % uint32(64*len(p.bits))
}

// watchAbsence begins to note what is added to a share that has no member.
func (s *Store) watchAbsence(share Share) error {
	if _, known := s.absent[share]; known {
		return nil
	}
	a := new(absence)
	snap := s.snapshot()
	defer snap.release()
	err := snap.scanKeys(sharePrefix(prefixMember, share), nil, func([]byte) (bool, error) {
		a = nil
		return false, nil
	})
	if err == nil {
		s.absent[share] = a
	}
	return err
}
