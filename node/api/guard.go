package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// guard lets through who has the token, and no web page of another origin.
// host is what the Host header must be; empty for a unix socket, which no
// browser reaches. /healthz is open.
func guard(h http.Handler, host, token string, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r := newReply(w, log)
		origin := q.Header.Values("Origin")
		switch {
		case host != "" && q.Host != host:
			r.fail(&Error{Code: CodeForbidden, Message: "the Host of the request is not the address of this API"})
		case len(origin) > 0 && (host == "" || len(origin) > 1 || origin[0] != "http://"+host):
			r.fail(&Error{Code: CodeForbidden, Message: "requests of other origins are refused"})
		case q.URL.Path == "/healthz" && q.Method != http.MethodGet && q.Method != http.MethodHead:
			r.wrongMethod(q, http.MethodGet)
		case q.URL.Path == "/healthz":
			health(r, q, token)
		case !authorized(q, token):
			w.Header().Set("WWW-Authenticate", "Bearer")
			r.fail(&Error{Code: CodeUnauthorized, Message: "the request needs the token of this API, as Authorization: Bearer TOKEN"})
		default:
			h.ServeHTTP(w, q)
		}
	})
}

func authorized(q *http.Request, token string) bool {
	given, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
	// Of equal length, so that the time does not tell how much is right.
	have, want := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return ok && subtle.ConstantTimeCompare(have[:], want[:]) == 1
}

// Health is the answer of /healthz.
type Health struct {
	OK bool `json:"ok"`
	// Proof shows that the node knows the token, see proofOf; empty if the
	// request has no nonce.
	Proof string `json:"proof,omitempty"`
}

// maxNonce bounds the nonce of a health request, in bytes.
const maxNonce = 128

// health tells that the node is up. A client sends a nonce and learns whether
// it talks to the owner of the token before it sends the token itself.
func health(r *reply, q *http.Request, token string) {
	answer := Health{OK: true}
	if nonce := q.URL.Query().Get("nonce"); nonce != "" && len(nonce) <= maxNonce {
		answer.Proof = proofOf(token, nonce)
	}
	r.value(answer)
}

// proofOf returns the hex HMAC-SHA-256 of "ibgib-node healthz " and the nonce,
// with the token as key.
func proofOf(token, nonce string) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("ibgib-node healthz " + nonce))
	return hex.EncodeToString(mac.Sum(nil))
}

// tokenSize is the length of a token, in hex digits.
const tokenSize = 64

// loadToken returns the token of a data directory, and makes one if there is
// none.
func loadToken(dir datadir.Dir) (string, error) {
	token, err := readToken(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	var b [tokenSize / 2]byte
	rand.Read(b[:])
	token = hex.EncodeToString(b[:])
	return token, datadir.WriteFile(dir.APIToken(), []byte(token+"\n"), 0o600)
}

func readToken(dir datadir.Dir) (string, error) {
	text, err := os.ReadFile(dir.APIToken())
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if len(token) != tokenSize {
		return "", fmt.Errorf("%s does not hold a token; remove it to get a new one", dir.APIToken())
	}
	return token, nil
}
