package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// errorOf turns an error of a node into what the API reports.
func errorOf(err error) *Error {
	e := *codedError(err)
	e.Message = Plain(e.Message)
	return &e
}

func codedError(err error) *Error {
	e := &Error{Code: CodeInternal, Message: err.Error(), err: err}
	var (
		own       *Error
		sagaError *saga.Error
		transform *ibgib.TransformError
		refusal   *ibgib.Refusal
		rejection *timeline.Rejection
		invalid   *keystone.Invalid
		exhausted *keystone.ExhaustedError
		missing   *node.MissingLinkError
		outside   *node.OutsideError
		unmerged  *timeline.Unmergeable
		tooLarge  *http.MaxBytesError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &sagaError):
		e.Code, e.Rule = Code(sagaError.Code.String()), sagaError.Reason
		e.Remote, e.Retry = sagaError.Remote, sagaError.Retry
		who := ""
		if e.Remote {
			who = "the other side: "
		}
		e.Message = strings.Replace(e.Message, sagaError.Error(), who+sagaError.Text, 1) // Code says the rest
	case errors.As(err, &transform):
		e.Code, e.Rule = CodeRefused, string(transform.Rule)
	case errors.As(err, &refusal):
		e.Code, e.Rule = CodeRefused, string(refusal.Rule)
	case errors.As(err, &rejection):
		e.Code, e.Rule = CodeRejected, rejection.Rule
	case errors.As(err, &unmerged):
		e.Code, e.Rule = CodeRefused, unmerged.Reason
	case errors.As(err, &invalid):
		e.Code, e.Rule = CodeRejected, string(invalid.Violations[0].Rule)
	case errors.As(err, &exhausted):
		e.Code = CodeRefused
	case errors.As(err, &missing):
		e.Code = CodeMissingLink
	case errors.As(err, &outside):
		e.Code = CodeOutside
	case errors.As(err, &tooLarge):
		e.Code = CodeTooLarge
	default:
		for _, s := range sentinels {
			if errors.Is(err, s.err) {
				e.Code = s.code
				break
			}
		}
	}
	return e
}

// sentinels are tried in this order: what is corrupt can also be missing.
var sentinels = []struct {
	err  error
	code Code
}{
	{blockstore.ErrCorrupt, CodeCorrupt},
	{ibgib.ErrCorrupt, CodeCorrupt},
	{blockstore.ErrDiskFull, CodeDiskFull},
	{blockstore.ErrNotFound, CodeNotFound},
	{blockstore.ErrInUse, CodeInUse},
	{blockstore.ErrBusy, CodeBusy},
	{node.ErrSubscribers, CodeBusy},
	{blockstore.ErrClosed, CodeClosed},
	{node.ErrClosed, CodeClosed},
	{node.ErrInput, CodeBadRequest},
	{timeline.ErrCannotKeep, CodeRefused},
	{keystone.ErrRevoked, CodeRefused},
	{keystone.ErrDisputed, CodeRefused},
	{keystone.ErrNoPool, CodeRefused},
	{keystone.ErrWrongSecret, CodeRefused},
	{keystone.ErrCosigKey, CodeRefused},
	{node.ErrUnconfirmed, CodeRefused},
	{node.ErrNoSecret, CodeRefused},
	{node.ErrSealed, CodeRefused},
	{node.ErrFormat, CodeUnsupported},
	{node.ErrNoDHT, CodeUnsupported},
	{context.Canceled, CodeCanceled},
	{context.DeadlineExceeded, CodeTimeout},
}

// status is the HTTP status that goes with a code.
func (c Code) status() int {
	switch c {
	case CodeBadRequest:
		return http.StatusBadRequest
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeForbidden, CodeUntrusted:
		return http.StatusForbidden
	case CodeNotFound, CodeNoEndpoint:
		return http.StatusNotFound
	case CodeWrongMethod:
		return http.StatusMethodNotAllowed
	case CodeRefused, CodeRejected, CodeMissingLink, CodeOutside:
		return http.StatusUnprocessableEntity
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeInUse, CodeBusy:
		return http.StatusConflict
	case CodeUnreachable, CodeProtocol, CodeLimit:
		return http.StatusBadGateway
	case CodeTimeout:
		return http.StatusGatewayTimeout
	case CodeUnsupported:
		return http.StatusNotImplemented
	case CodeDiskFull:
		return http.StatusInsufficientStorage
	case CodeClosed, CodeCanceled:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
