package saga

import "fmt"

// Code is the kind of a saga error, the same on the wire and in this process.
type Code uint8

// The codes.
const (
	CodeInternal    Code = iota + 1 // the side that reports it failed: disk, shutdown
	CodeProtocol                    // a message that breaks the protocol
	CodeRefused                     // more payload ibGibs than a saga bears were refused
	CodeLimit                       // a limit was passed
	CodeUntrusted                   // the peer is not trusted
	CodeBusy                        // another saga of the same peer and scope runs, or too many sagas
	CodeTimeout                     // no progress within the idle time
	CodeUnsupported                 // a mode, scope or feature that this side lacks
	CodeCanceled                    // stopped by a person or by shutdown
	CodeUnreachable                 // the connection was lost or never made
)

// String returns the stable name of the code, as --json output shows it.
func (c Code) String() string {
	switch c {
	case CodeInternal:
		return "internal"
	case CodeProtocol:
		return "protocol"
	case CodeRefused:
		return "refused"
	case CodeLimit:
		return "limit"
	case CodeUntrusted:
		return "untrusted"
	case CodeBusy:
		return "busy"
	case CodeTimeout:
		return "timeout"
	case CodeUnsupported:
		return "unsupported"
	case CodeCanceled:
		return "canceled"
	case CodeUnreachable:
		return "unreachable"
	default:
		return fmt.Sprintf("code(%d)", uint8(c))
	}
}

// Error is a saga's failure. As a Message it ends the saga on the other side;
// it is also the Go error that a failed saga returns. Remote tells whether the
// other side reported it.
type Error struct {
	ID     ID
	Code   Code
	Text   string // for people; at most MaxErrorText bytes on the wire
	Retry  bool   // trying again later may help
	Reason string // with CodeUntrusted: why a session is refused, a keystone.Reason; empty otherwise
	Remote bool   // not on the wire

	// Err is the local cause, if any; it never travels.
	Err error
}

// MaxErrorText bounds Error.Text on the wire, in bytes.
const MaxErrorText = 1024

// MaxErrorReason bounds Error.Reason, in bytes.
const MaxErrorReason = 32

// Error formats the failure for a person.
func (m *Error) Error() string {
	who := ""
	if m.Remote {
		who = "the other side: "
	}
	return fmt.Sprintf("saga: %s%s (%s)", who, m.Text, m.Code)
}

// Unwrap returns the local cause.
func (m *Error) Unwrap() error { return m.Err }

func violation(id ID, format string, args ...any) *Error {
	return &Error{ID: id, Code: CodeProtocol, Text: fmt.Sprintf(format, args...)}
}

func overLimit(id ID, format string, args ...any) *Error {
	return &Error{ID: id, Code: CodeLimit, Text: fmt.Sprintf(format, args...)}
}

func unsupported(id ID, format string, args ...any) *Error {
	return &Error{ID: id, Code: CodeUnsupported, Text: fmt.Sprintf(format, args...)}
}
