package ibgib

import (
	"encoding/base64"

	"github.com/ibgib/ibgib-node/ibgib/internal/jsjson"
)

// record is an ibGib on its way through the gate.
type record struct {
	content
	gib     []byte // body of the given gib, nil if missing
	unknown []byte // name of a member that is dropped, nil if there is none
}

// refuse completes a refusal with the address that the record claims.
func (in *record) refuse(r *Refusal) error {
	r.Addr = claim(unquote(in.ib), string(in.gib))
	return r
}

// readRecord reads a JSON object of any form and takes the parts of an ibGib
// from it. The parts are canonical, but the rules of an ibGib are still to be
// applied. The error is a *Refusal.
func readRecord(raw []byte) (*record, error) {
	text, err := jsjson.Canonical(make([]byte, 0, len(raw)), raw, jsjson.Options{MaxLevel: MaxDepth, KeepOuter: true, MaxLen: len(raw) + MaxSize})
	if err != nil {
		r := refuseFault(err)
		r.Addr = glimpseClaim(raw)
		return nil, r
	}
	if text[0] != '{' {
		return nil, refusal(RuleBadRecord, "no JSON object: "+excerpt(text))
	}
	in := &record{}
	var encoded []byte // the payload in base64
	var hasIb, hasData bool
	var bad *Refusal
	str := func(value []byte, rule Rule, name string) []byte {
		body := jsjson.Body(value)
		if body == nil && bad == nil {
			bad = refusal(rule, name+" is no text: "+excerpt(value))
		}
		return body
	}
	for name, value := range jsjson.Members(text) {
		switch string(name) {
		case "ib":
			hasIb = true
			in.ib = str(value, RuleBadIb, "ib")
		case "gib":
			in.gib = str(value, RuleBadGib, "gib")
		case "data":
			hasData = true
			if !isNoData(value) {
				in.data = value
			}
		case "rel8ns":
			if string(value) != "null" {
				in.rel = value
			}
		case "bytes":
			in.isBytes = true
			encoded = str(value, RuleBadRecord, "bytes")
		default:
			in.unknown = name
		}
	}
	switch {
	case bad != nil:
	case !hasIb:
		bad = refusal(RuleBadRecord, "ib is missing")
	case in.isBytes && hasData:
		bad = refusal(RuleBadRecord, "both data and bytes")
	case in.isBytes:
		in.payload = make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
		n, err := base64.StdEncoding.Strict().Decode(in.payload, encoded)
		if err != nil {
			bad = refusal(RuleBadRecord, "bytes is no standard base64: "+excerpt(encoded))
		}
		in.payload = in.payload[:n]
	}
	if bad != nil {
		return nil, in.refuse(bad)
	}
	return in, nil
}

// check applies the rules of each part, finds out about isTjp and tjp, and
// leaves out rel8ns without an address.
func (c *content) check() *Refusal {
	if c.scanContent() {
		return nil
	}
	if r := c.explain(); r != nil {
		return r
	}
	return refusal(RuleNotCanonical, "not in the canonical form")
}

// explain finds the rule of the parts that canonical content breaks.
func (c *content) explain() *Refusal {
	if r := checkIb(unquote(c.ib)); r != nil {
		return r
	}
	if len(c.rel) == 0 {
		return nil
	}
	if c.rel[0] != '{' {
		return refusal(RuleBadRel8ns, "rel8ns is no object: "+excerpt(c.rel))
	}
	links := 0
	for name, list := range jsjson.Members(c.rel) {
		if jsjson.LoneSurrogate(name) {
			return refusal(RuleLoneSurrogate, "in rel8n name "+excerpt(name))
		}
		if list[0] != '[' {
			return refusal(RuleBadRel8ns, "rel8n "+excerpt(name)+" is no list: "+excerpt(list))
		}
		for addr := range jsjson.Elements(list) {
			if links++; links > MaxLinks {
				return overLimit(RuleTooManyLinks, "addresses in rel8ns", MaxLinks)
			}
			if addr[0] != '"' {
				return refusal(RuleBadRel8ns, "rel8n "+excerpt(name)+" holds no address: "+excerpt(addr))
			}
			if r := checkAddr(unquote(jsjson.Body(addr))); r != nil {
				r.Detail = "rel8n " + excerpt(name) + ": " + r.Detail
				return r
			}
		}
	}
	return nil
}
