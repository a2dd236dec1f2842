package protocol

// What one message may hold beside the limits of package saga, which bound the
// lists of its messages. A message that passes one is refused with
// saga.CodeLimit, on the sending side too; nothing is cut. SPEC.md lists all of
// them, and they are part of the protocol: a side that sends within them is
// never refused for size.
const (
	// MaxMessage bounds the encoding of a message, in bytes, without its length
	// prefix.
	MaxMessage = 2 << 20
	// MaxHello bounds what a peer without trust may send as one message, and any
	// message of a meeting.
	MaxHello = 64 << 10

	MaxShare  = 128      // bytes of a share id
	MaxAddr   = 64 << 10 // bytes of an address
	MaxProof  = 1024     // bytes of a mesh secret proof or an invite secret
	MaxFrames = 256      // keystone frames of a message

	MaxFetchWants = 256 // blocks that a fetch asks for
	MaxAhead      = 512 // hashes that the answer names beyond them

	MaxVouched        = 250  // peers that a peer vouches for
	MaxPeerID         = 64   // bytes of a peer id among these
	MaxVouchedGenesis = 1024 // bytes of the address of its keystone
)

// maxLengthPrefix is the size of the longest length prefix.
const maxLengthPrefix = 4
