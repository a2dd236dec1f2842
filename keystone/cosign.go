package keystone

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Members of frameDetails that are about co-signing.
const (
	memberCosigKeys = "cosigKeys"
	memberCosig     = "cosig"
)

// cosigDomain keeps a co-signature from being one over anything else.
const cosigDomain = "ibgib keystone cosig v1\x00"

// ErrCosigKey says that the key at hand is not the first one that the keystone
// lists, so that its frames cannot be co-signed with it.
var ErrCosigKey = errors.New("not the key that co-signs this keystone")

// encodeKey writes a key or signature: base64url without padding.
func encodeKey(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// decodeKey reads size bytes. There is one way to write them: the decoder alone
// would pass over line breaks and stray bits.
func decodeKey(s string, size int) ([]byte, bool) {
	if len(s) != base64.RawURLEncoding.EncodedLen(size) {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	return raw, err == nil && len(raw) == size && encodeKey(raw) == s
}

// cosigKeys reads the keys that the first frame lists; none if it has no such
// list.
func (f *findings) cosigKeys(details ibgib.Value) []ed25519.PublicKey {
	v, has := details.Get(memberCosigKeys)
	if !has {
		return nil
	}
	items := v.Items()
	if v.Kind() != ibgib.KindArray || len(items) == 0 || len(items) > MaxCosigKeys {
		f.add(RuleCosigKeys, spot{}, "cosigKeys is no list of 1 to %d keys: %s", MaxCosigKeys, shown(v))
		return nil
	}
	var keys []ed25519.PublicKey
	for _, item := range items {
		raw, ok := decodeKey(item.Str(), ed25519.PublicKeySize)
		key := ed25519.PublicKey(raw)
		switch {
		case !ok:
			f.add(RuleCosigKeys, spot{}, "no key of 32 bytes in base64url without padding: %s", shown(item))
		case slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return k.Equal(key) }):
			f.add(RuleCosigKeys, spot{}, "a key twice: %s", shown(item))
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

// cosigned reports whether a frame bears a valid co-signature by key. It is
// silent when the frame bears none.
func (f *findings) cosigned(g ibgib.IbGib, d Data, key ed25519.PublicKey) bool {
	v, has := d.Details.Get(memberCosig)
	if !has {
		return false
	}
	sig, ok := decodeKey(v.Str(), ed25519.SignatureSize)
	if !ok {
		f.add(RuleCosig, spot{}, "cosig is no signature of 64 bytes in base64url without padding: %s", shown(v))
		return false
	}
	message, err := cosigMessage(g, d.all, d.Details)
	if err != nil || !ed25519.Verify(key, message, sig) {
		f.add(RuleCosig, spot{}, "cosig is no signature of the first key over this frame")
		return false
	}
	return true
}

// cosigMessage returns what a co-signature is over: the domain, then the stored
// form of the frame without its gib and without the signature, and without
// frameDetails if that leaves them empty.
func cosigMessage(g ibgib.IbGib, data, details ibgib.Value) ([]byte, error) {
	unsigned := details.Without(memberCosig)
	if len(unsigned.Members()) == 0 {
		unsigned = ibgib.Value{}
	}
	bare, err := ibgib.New(g.Ib(), with(data, ibgib.Member{Name: memberDetails, Value: unsigned}), g.Rel8ns())
	if err != nil {
		return nil, err
	}
	return messageOf(bare), nil
}

// messageOf is cosigMessage for a frame that has no signature yet.
func messageOf(bare ibgib.IbGib) []byte {
	const head = `{"ib":"` + Ib + `"`
	gib := len(`,"gib":""`) + len(bare.Gib())
	stored := bare.Stored()
	message := make([]byte, 0, len(cosigDomain)+len(stored)-gib)
	message = append(message, cosigDomain...)
	message = append(message, head...)
	return append(message, stored[len(head)+gib:]...)
}

// cosign returns the frame with a co-signature.
func cosign(bare ibgib.IbGib, key ed25519.PrivateKey) (ibgib.IbGib, error) {
	data := bare.Data()
	details, _ := data.Get(memberDetails)
	sig := ed25519.Sign(key, messageOf(bare))
	details = details.With(memberCosig, ibgib.String(encodeKey(sig)))
	g, err := ibgib.New(bare.Ib(), data.With(memberDetails, details), bare.Rel8ns())
	if err != nil {
		return ibgib.IbGib{}, fmt.Errorf("keystone: co-sign: %w", err)
	}
	return g, nil
}

// keyList is the list of keys as it stands in frameDetails.
func keyList(keys []ed25519.PublicKey) ibgib.Value {
	items := make([]ibgib.Value, len(keys))
	for i, key := range keys {
		items[i] = ibgib.String(encodeKey(key))
	}
	return ibgib.Array(items...)
}
