package ibgib

// Protocol constants: nodes that accept differently would diverge.
const (
	// MaxSize bounds the stored form with JSON data, and the header of a bytes
	// payload, in bytes.
	MaxSize = 4 << 20
	// MaxBytesSize bounds a bytes payload, in bytes.
	MaxBytesSize = 64 << 20
	// MaxDepth bounds the nesting of data; a scalar as data is level 1.
	MaxDepth = 64
	// MaxLinks bounds the addresses in rel8ns, repeats included.
	MaxLinks = 100_000
)
