package ibgib

import (
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// CID returns the CID of an address that is no primitive. The error is a
// *Refusal with RuleBadAddress.
//
// The hash of a gib is the SHA-256 of a short text: the hashes of ib, rel8ns
// and data as 64 upper-case hex digits each, those that there are, joined in
// this order. The CID names that text as a raw block: CIDv1, raw, sha2-256,
// the hash's bytes. No content is needed to compute it, and any IPFS tool can
// check the block. All addresses with one hash share one CID.
func CID(a Addr) (cid.Cid, error) {
	h, ok := a.Hash()
	if !ok {
		return cid.Undef, refusal(RuleBadAddress, "no CID for "+excerpt(a.String()))
	}
	return HashCID(h), nil
}

// HashCID returns the CID of the addresses with this hash; see CID.
func HashCID(h Hash) cid.Cid {
	const sha256Len = len(h)
	digest := make([]byte, 0, 2+sha256Len)
	digest = append(digest, multihash.SHA2_256, byte(sha256Len))
	digest = append(digest, h[:]...)
	return cid.NewCidV1(cid.Raw, digest)
}
