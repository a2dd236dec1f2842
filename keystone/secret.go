package keystone

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// secretSize is the length of a master secret of ours, in bytes.
const secretSize = 32

// redacted is what is printed in the place of a secret.
const redacted = "[secret]"

// Secret is a master secret, or the secret of a pool that is derived from one.
// Copies share their memory, so that Zero wipes them all. However it is
// printed or marshalled, it shows nothing. The zero Secret is none.
type Secret struct {
	// memory returns what all copies share. It is a function because no printer can
	// look into one. Package fmt does not call the methods of what lies in a hidden
	// field of another struct, but prints what it finds there, through pointers too.
	memory func() *[]byte
}

// newSecret returns the secret with this text, which it keeps.
func newSecret(text []byte) Secret {
	return Secret{func() *[]byte { return &text }}
}

// NewSecret draws a master secret of 32 bytes from random.
func NewSecret(random io.Reader) (Secret, error) {
	var raw [secretSize]byte
	defer clear(raw[:])
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return Secret{}, fmt.Errorf("keystone: draw a secret: %w", err)
	}
	return newSecret(hex.AppendEncode(nil, raw[:])), nil
}

// sessionInfo sets the secrets of sessions apart from all else that is derived.
const sessionInfo = "ibgib session secret v1"

// Session derives the secret of a session from that of the primary and a salt, which
// is random, need not be secret, and is used once: HKDF-SHA256 of the 32 bytes of s.
// So no secret has to be stored for each session, and what seals that of the primary
// seals them all. s is one of NewSecret or ParseSecret.
func (s Secret) Session(salt [32]byte) (Secret, error) {
	var raw [secretSize]byte
	defer clear(raw[:])
	if text := s.text(); len(text) != 2*secretSize {
		return Secret{}, errSecretForm
	} else if _, err := hex.Decode(raw[:], text); err != nil {
		return Secret{}, errSecretForm
	}
	derived, err := hkdf.Key(sha256.New, raw[:], salt[:], sessionInfo, secretSize)
	defer clear(derived)
	if err != nil {
		return Secret{}, fmt.Errorf("keystone: derive a secret: %w", err)
	}
	return newSecret(hex.AppendEncode(nil, derived)), nil
}

// errSecretForm does not say what it found there.
var errSecretForm = errors.New("keystone: a master secret is 64 lower-case hex digits")

// ParseSecret reads a master secret from what Reveal returned: 64 lower-case
// hex digits. The Secret has memory of its own; the caller wipes text.
func ParseSecret(text []byte) (Secret, error) {
	if len(text) != 2*secretSize {
		return Secret{}, errSecretForm
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return Secret{}, errSecretForm
		}
	}
	return TextSecret(text)
}

// TextSecret returns the master secret of a keystone that the TypeScript service
// made, where it is a text of any form. The Secret has memory of its own.
func TextSecret(text []byte) (Secret, error) {
	if len(text) == 0 {
		return Secret{}, errors.New("keystone: a master secret is not empty")
	}
	return newSecret(bytes.Clone(text)), nil
}

// IsZero reports whether there is no secret, or it has been wiped.
func (s Secret) IsZero() bool { return len(s.text()) == 0 }

// Reveal returns a copy of the text, to be stored. The caller wipes it.
func (s Secret) Reveal() []byte { return bytes.Clone(s.text()) }

// Equal compares in constant time.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare(s.text(), other.text()) == 1
}

// Zero wipes the secret and all copies of it.
func (s Secret) Zero() {
	if s.memory != nil {
		clear(*s.memory())
		*s.memory() = nil
	}
}

// text returns what enters the derivation.
func (s Secret) text() []byte {
	if s.memory == nil {
		return nil
	}
	return *s.memory()
}

// String shows nothing of the secret.
func (s Secret) String() string { return redacted }

// GoString shows nothing of the secret.
func (s Secret) GoString() string { return redacted }

// Format shows nothing of the secret, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// MarshalText shows nothing of the secret; package encoding/json uses it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON shows nothing of the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
