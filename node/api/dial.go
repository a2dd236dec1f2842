package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// healthTimeout bounds the question whether a node runs.
const healthTimeout = 5 * time.Second

// Dial returns a client for the node that runs on a data directory. With
// CodeNoDaemon there is none; a file that a dead node left behind counts as
// none, also if somebody else listens where it listened.
func Dial(ctx context.Context, dataDir string) (*Client, error) {
	dir := datadir.Dir(dataDir)
	addr, err := dir.ReadAPIAddr()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Code: CodeNoDaemon, Message: "no node runs on " + dataDir, err: err}
	}
	if err != nil {
		return nil, errorOf(err)
	}
	token, err := readToken(dir)
	if err != nil {
		return nil, errorOf(err)
	}
	c := newClient(addr, token)
	if err := c.prove(ctx); err != nil {
		c.Close()
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, lost(ctx, err)
		}
		return nil, &Error{
			Code: CodeNoDaemon, err: err,
			Message: fmt.Sprintf("no node runs on %s: it says it listens at %s, but there: %v", dataDir, addr, err),
		}
	}
	return c, nil
}

// newClient returns a client for an address as Server.Addr gives it.
func newClient(addr, token string) *Client {
	network, host := "tcp", addr
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		network, addr, host = "unix", path, "localhost"
	}
	return &Client{
		host: host, token: token,
		http: &http.Client{
			Transport: &http.Transport{
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					var d net.Dialer
					c, err := d.DialContext(ctx, network, addr)
					if err != nil {
						return nil, err
					}
					return &watchedConn{Conn: c, closed: make(chan struct{})}, nil
				},
				DisableCompression: true,
				WriteBufferSize:    64 << 10,
				ReadBufferSize:     64 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// prove checks that the node at the other end knows the token, without sending
// it.
func (c *Client) prove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	nonce := rand.Text()
	u := url.URL{Scheme: "http", Host: c.host, Path: "/healthz", RawQuery: url.Values{"nonce": {nonce}}.Encode()}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	answer, err := c.http.Do(q)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return err
	}
	var health Health
	if json.Unmarshal(text, &health) != nil || !hmac.Equal([]byte(health.Proof), []byte(proofOf(c.token, nonce))) {
		return errors.New("something else answers")
	}
	return nil
}
