package timeline

import "github.com/ibgib/ibgib-node/ibgib"

// AdmitWithoutMerges is what Admit does with a frame after the tjp, but for the rules
// about merges.
func AdmitWithoutMerges(g ibgib.IbGib, frame FrameLookup, block Lookup) (Frame, error) {
	c := candidate{g: g, frame: frame, block: block}
	tjp, err := c.findTimeline()
	if err != nil {
		return Frame{}, err
	}
	if err := c.checkNFollows(c.pred); err != nil {
		return Frame{}, err
	}
	return c.admitted(KindUser, tjp, nil), nil
}
