package keystone_test

import (
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// The presets are written as the TypeScript service writes its own.
func TestPresets(t *testing.T) {
	for want, c := range map[string]keystone.Config{
		`{"type":"hash-reveal-v1","salt":"x","allowedVerbs":[],"behavior":{"size":100,"replenish":"top-up","selectSequentially":2,"selectRandomly":2,"targetBindingChars":4},"algo":"SHA-256","rounds":1}`:                            keystone.StandardConfig("x"),
		`{"type":"hash-reveal-v1","salt":"revoke","allowedVerbs":["revoke"],"behavior":{"size":500,"replenish":"scorched-earth","selectSequentially":10,"selectRandomly":10,"targetBindingChars":0},"algo":"SHA-256","rounds":10}`:    keystone.RevocationConfig(),
		`{"type":"hash-reveal-v1","salt":"default","allowedVerbs":[],"behavior":{"size":100,"replenish":"top-up","selectSequentially":2,"selectRandomly":2,"targetBindingChars":4},"algo":"SHA-256","rounds":1}`:                      keystone.PrimaryConfigs()[0],
		`{"type":"hash-reveal-v1","salt":"sync","allowedVerbs":["sync"],"behavior":{"size":64,"replenish":"top-up","selectSequentially":2,"selectRandomly":2,"targetBindingChars":4},"algo":"SHA-256","rounds":1}`:                    keystone.PrimaryConfigs()[1],
		`{"type":"hash-reveal-v1","salt":"revoke","allowedVerbs":["revoke"],"behavior":{"size":32,"replenish":"scorched-earth","selectSequentially":8,"selectRandomly":8,"targetBindingChars":0},"algo":"SHA-256","rounds":10}`:       keystone.PrimaryConfigs()[2],
		`{"type":"hash-reveal-v1","salt":"session","allowedVerbs":["connect","transcript"],"behavior":{"size":16,"replenish":"top-up","selectSequentially":1,"selectRandomly":1,"targetBindingChars":0},"algo":"SHA-256","rounds":1}`: keystone.SessionConfig(),
	} {
		if got := string(ibgib.Array(c.Value()).Append(nil)); got != "["+want+"]" {
			t.Errorf("got  %s\nwant [%s]", got, want)
		}
		again, err := keystone.ParseConfig(c.Value())
		if err != nil || !ibgib.EqualValue(again.Value(), c.Value()) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// Both presets together make a keystone as the TypeScript service has it.
func TestPresetsMakeAKeystone(t *testing.T) {
	id := begin(t, signer(t, 1), true, keystone.StandardConfig(keystone.PoolDefault), keystone.RevocationConfig())
	id.sign(t, "post", target(t, 1))
	id.revoke(t)
	if r := keystone.Validate(id.frames); !r.Valid || !r.Revoked {
		t.Errorf("%+v", r)
	}
}
