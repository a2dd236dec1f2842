package blockstore

import (
	"fmt"
	"time"
)

// DefaultDiskFloor is how many bytes of the disk the store leaves free. Badger
// maps its files into memory and moves data from one to another, which must not
// fail: there has to be room for that.
const DefaultDiskFloor = 256 << 20

// How much may be written, and how much time may pass, until the free space is
// looked at again.
const (
	spaceBytes    = 16 << 20
	spaceInterval = time.Second
)

// space watches the free space of the disk.
type space struct {
	floor int64                           // never changes, nor does free
	free  func() (bytes int64, err error) // nil: nobody knows

	// Store.mu guards these.
	written int // since the last look
	looked  time.Time
}

// newSpace watches the disk of a folder; floor is that of Options.
func newSpace(dir string, floor int64) space {
	if floor == 0 {
		floor = DefaultDiskFloor
	}
	if floor < 0 {
		return space{}
	}
	return space{floor: floor, free: func() (int64, error) { return freeSpace(dir) }}
}

// DiskSpace returns how many bytes of the disk are free and how many of them the
// store leaves free; known is false in memory and where the system cannot be
// asked. It does not wait for writers.
func (s *Store) DiskSpace() (free, floor int64, known bool) {
	if s.space.free == nil {
		return 0, 0, false
	}
	free, err := s.space.free()
	return free, s.space.floor, err == nil
}

// check fails with ErrDiskFull if less than the floor is free. While that is so it
// looks each time, otherwise now and then.
func (p *space) check() error {
	if p.free == nil || p.written < spaceBytes && !p.looked.IsZero() && time.Since(p.looked) < spaceInterval {
		return nil
	}
	free, err := p.free()
	if err != nil { // nobody knows; a write that fails will tell
		free = p.floor
	}
	if free < p.floor {
		p.looked = time.Time{}
		return fmt.Errorf("%w: %d MiB are free, %d MiB have to stay free", ErrDiskFull, free>>20, p.floor>>20)
	}
	p.written, p.looked = 0, time.Now()
	return nil
}
