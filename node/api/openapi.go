package api

import (
	_ "embed" // of the document
	"net/http"
)

// openAPI describes the API in the form of OpenAPI 3.1. The tests hold it against
// the endpoints and the types.
//
//go:embed openapi.yaml
var openAPI []byte

func (h *handler) getOpenAPI(r *reply, q *http.Request) {
	r.w.Header().Set("Content-Type", "application/yaml")
	r.send(openAPI)
	r.end()
}
