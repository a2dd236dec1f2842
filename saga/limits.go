package saga

// What one message, and one saga, may hold. They are part of the protocol: a
// side that keeps within them is never refused for size, and what passes one
// ends the saga with CodeLimit before anything has grown.
const (
	// MaxInlineEntries is the size of the largest map that an Init may carry,
	// in entries. This version sends less: see inlineEntries.
	MaxInlineEntries = 1000
	// MaxEntries bounds the entries of one Ack or Delta, and likewise its wants.
	MaxEntries = 2000
	// MaxHeads bounds the heads of one entry or want. A timeline with more of
	// them is left out of a saga.
	MaxHeads = 1024
	// MaxKnown bounds Want.Known.
	MaxKnown = 64
	// MaxNamedHashes bounds the hashes in all entries and wants that one side
	// sends in one saga. 64 MiB of them: a map of a million timelines.
	MaxNamedHashes = 1 << 21

	// MaxOffers bounds the hashes of one Offers list.
	MaxOffers = 1024
	// MaxOpenOffers bounds the Offers lists that wait for their Answer.
	MaxOpenOffers = 4
	// MaxOpenBlocks bounds the blocks that have been offered, and neither
	// answered as present nor sent yet.
	MaxOpenBlocks = 8 * MaxOffers
	// MaxOffered bounds the blocks offered by one side in one saga.
	MaxOffered = 1 << 26

	// MaxPayload bounds the payload of a Delta with more than one Item, in bytes.
	MaxPayload = 256 << 10
	// MaxItems bounds the items of one Delta.
	MaxItems = 8192
	// MaxItem bounds a stored form sent whole, and a chunk, in bytes. A larger
	// stored form travels in chunks.
	MaxItem = 1 << 20
	// MaxTotal bounds the stored form that chunks make up, in bytes: the
	// largest bytes payload with the largest header.
	MaxTotal = 64<<20 + 4<<20 + 16

	// InitialCredit is the payload that a side of this version is ready to
	// receive before it has stored any, in bytes.
	InitialCredit = 16 << 20
	// MaxCredit bounds the credit that a side may have been granted and not
	// used, in bytes.
	MaxCredit = 1 << 30

	// MaxLoose bounds the blocks received that no block received after them
	// has linked yet.
	MaxLoose = 1 << 18

	// MaxWorking bounds the messages of one side in a row that bring the saga no
	// further: Working, and each Delta of nothing but credit beyond one for every
	// item that has gone to that side.
	MaxWorking = 200

	// MaxRefusals bounds Commit.Refusals, and the ibGibs that a side takes and
	// refuses in one saga before it gives up with CodeRefused.
	MaxRefusals = 64
	// MaxRefusalRule and MaxRefusalText bound a Refusal's Rule and Detail, in
	// bytes.
	MaxRefusalRule = 64
	MaxRefusalText = 256

	// MaxConflicts bounds Commit.Conflicts.
	MaxConflicts = 32768
	// MaxSeal bounds Seal.Frame, in bytes.
	MaxSeal = 64 << 10
	// MaxFeatures and MaxFeature bound the features of a message and the bytes
	// of one.
	MaxFeatures = 64
	MaxFeature  = 64
	// MaxShares and MaxRoots bound the scope of an Init.
	MaxShares = 256
	// MaxForgotten bounds the roots that a side says it has forgotten.
	MaxForgotten = 1024
	MaxRoots     = 2000
)

// What this side keeps to of its own accord; a peer cannot tell.
const (
	// inlineEntries is the size of the largest map that an Init of this side
	// carries, in entries, and half of the hashes in it. It keeps equal sides
	// under 2 KiB, and a larger map costs one round trip more only if something
	// differs.
	inlineEntries = 20

	// knownBudget bounds the hashes in Want.Known of a whole saga. Wants beyond
	// it bear none, which costs offers.
	knownBudget = 1 << 19

	// sendMessages and sendBytes bound what has been handed out to be sent and
	// has not been reported as sent.
	sendMessages = 8
	sendBytes    = 1 << 20

	// walkSteps bounds the steps of the walk, and likewise the look-ups of one
	// kind, that are under way at a time.
	walkSteps = 2
	// recentHashes bounds each of the two generations of a set of hashes seen
	// lately.
	recentHashes = 1 << 16
	// maxDropped bounds the blocks dropped in one saga because something below
	// them was refused.
	maxDropped = 1 << 18
)

// pace is how much this side does and says at a time, within the limits. Tests
// make it small, so that little data passes through every window.
type pace struct {
	inlineEntries int // map size up to which an Init bears it
	pageEntries   int // entries of a message
	pageHashes    int // hashes in entries and wants of a message
	pageRows      int // timelines looked up at a time
	offers        int // blocks of an Offers list
	walkBlocks    int // blocks of a step of the walk
	walkBytes     int // bytes of a step of the walk, or of a load
	payload       int // bytes of a message with several items
	item          int // bytes of an item; more goes in chunks
	credit        int // bytes ready to be received before any is stored
	held          int // bytes of content kept of blocks that were offered
}

func standardPace() pace {
	return pace{
		inlineEntries: inlineEntries,
		pageEntries:   MaxEntries,
		pageHashes:    16384, // 512 KiB
		pageRows:      512,
		offers:        MaxOffers,
		walkBlocks:    512,
		walkBytes:     256 << 10,
		payload:       MaxPayload,
		item:          MaxItem,
		credit:        InitialCredit,
		held:          4 << 20,
	}
}
