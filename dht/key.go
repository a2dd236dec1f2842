package dht

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/ibgib/ibgib-node/ibgib"
)

// TimelineKey returns the key under which those who have a timeline announce it:
// the CID of its tjp. addr is the address of any of its frames; of an ibGib that is
// no later frame, such as a tjp itself, the key is its own CID. A primitive has
// none.
func TimelineKey(addr ibgib.Addr) (cid.Cid, error) {
	gib := addr.TjpGib()
	if gib == "" {
		return ibgib.CID(addr)
	}
	tjp, err := ibgib.ParseAddr(addr.Ib() + "^" + gib)
	if err != nil {
		return cid.Undef, fmt.Errorf("dht: key of %s: %w", addr, err)
	}
	return ibgib.CID(tjp)
}

// RendezvousKey returns the key under which the nodes of a mesh announce
// themselves in a DHT: that of the tag of its secret if there is one, else that of
// its name. From the first nothing can be learned of the secret, if that cannot be
// guessed, nor of the name that ServiceName makes of it.
func RendezvousKey(mesh, secretTag string) (cid.Cid, error) {
	from, info := []byte(secretTag), "ibgib dht key of a mesh secret v1"
	if secretTag == "" {
		from, info = []byte(mesh), "ibgib dht key of a mesh v1"
	}
	digest, err := hkdf.Key(sha256.New, from, nil, info, sha256.Size)
	if err != nil {
		return cid.Undef, err
	}
	hash, err := multihash.Encode(digest, multihash.SHA2_256)
	if err != nil {
		return cid.Undef, err
	}
	return cid.NewCidV1(cid.Raw, hash), nil
}
