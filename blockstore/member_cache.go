package blockstore

import (
	"encoding/binary"

	"github.com/ibgib/ibgib-node/ibgib"
)

// memberCacheSets is the number of sets of a memberCache, of two members each;
// a member is about 300 bytes.
const memberCacheSets = 8192

type memberKey struct {
	share Share
	hash  ibgib.Hash
}

// memberCache remembers closed members, which never change while they stay. A
// member has two places; the one used longer ago is given to the next.
type memberCache struct {
	sets [][2]cachedMember
}

type cachedMember struct {
	key memberKey
	m   *member
}

func newMemberCache() *memberCache { return &memberCache{} }

// set is the place of a key; hashes are random bits.
func (c *memberCache) set(k *memberKey) *[2]cachedMember {
	return &c.sets[binary.LittleEndian.Uint32(k.hash[8:])%memberCacheSets]
}

func (c *memberCache) get(k memberKey) *member {
	if c.sets == nil {
		return nil
	}
	set := c.set(&k)
	if set[0].key == k {
		return set[0].m
	}
	if set[1].key == k {
		set[0], set[1] = set[1], set[0]
		return set[0].m
	}
	return nil
}

func (c *memberCache) put(k memberKey, m *member) {
	if c.sets == nil {
		c.sets = make([][2]cachedMember, memberCacheSets)
	}
	set := c.set(&k)
	if set[0].key != k {
		set[1] = set[0]
	}
	set[0] = cachedMember{k, m}
}

func (c *memberCache) drop(k memberKey) {
	if c.sets == nil {
		return
	}
	for i, m := range c.set(&k) {
		if m.key == k {
			c.set(&k)[i] = cachedMember{}
		}
	}
}

func (c *memberCache) clear() { c.sets = nil }
