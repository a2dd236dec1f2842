package saga

// Pace exposes how much a machine does at a time.
type Pace struct {
	InlineEntries, PageEntries, PageHashes, PageRows int
	Offers, WalkBlocks, WalkBytes                    int
	Payload, Item, Credit, Held                      int
}

// SetPace makes the windows of a machine small.
func (m *Machine) SetPace(p Pace) {
	m.setPace(pace{
		inlineEntries: p.InlineEntries, pageEntries: p.PageEntries, pageHashes: p.PageHashes, pageRows: p.PageRows,
		offers: p.Offers, walkBlocks: p.WalkBlocks, walkBytes: p.WalkBytes,
		payload: p.Payload, item: p.Item, credit: p.Credit, held: p.Held,
	})
}
