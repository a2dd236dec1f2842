package dht

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// ServiceName returns the name under which the nodes of a mesh announce
// themselves on the local network: that of the tag of its secret if there is one,
// else that of its name. From the first nothing can be learned of the secret, if
// that cannot be guessed; the second is no secret at all.
//
// It has the form that RFC 6763 demands of a service, "_ib-" and 12 characters,
// and "._udp".
func ServiceName(mesh, secretTag string) (string, error) {
	from, info := []byte(secretTag), "ibgib mdns name of a mesh secret v1"
	if secretTag == "" {
		from, info = []byte(mesh), "ibgib mdns name of a mesh v1"
	}
	key, err := hkdf.Key(sha256.New, from, nil, info, 8)
	if err != nil {
		return "", err
	}
	text := strings.ToLower(base32.StdEncoding.EncodeToString(key))
	return "_ib-" + text[:12] + "._udp", nil
}
