package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// Options configure the API. The zero value is the default.
type Options struct {
	// Addr is where Serve listens: empty for a unix socket in the data
	// directory (or, where its path would be too long for one, a free port on
	// 127.0.0.1), "unix:PATH", or "HOST:PORT" with a loopback address.
	Addr    string
	Version string       // of the program, for the version endpoint
	Log     *slog.Logger // failures of the server; nil: nowhere
}

// Server is a control API that listens.
type Server struct {
	addr string
	dir  datadir.Dir
	http *http.Server

	serving sync.WaitGroup // the accept loop
	failed  error          // of the accept loop; read after serving

	mu       sync.Mutex // held while a handler begins
	closed   bool
	requests sync.WaitGroup // running handlers
}

// Serve listens and serves until Close. It writes api.token and api.addr into
// the data directory of n, where Dial looks for them. It fails with
// node.ErrInput for an address that others could reach.
func Serve(n *node.Node, o Options) (*Server, error) {
	s, err := serve(n, o)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return s, nil
}

func serve(n *node.Node, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{dir: datadir.Dir(n.DataDir())}
	token, err := loadToken(s.dir)
	if err != nil {
		return nil, err
	}
	l, addr, err := listenAt(s.dir, o.Addr)
	if err != nil {
		return nil, err
	}
	s.addr = addr
	host := addr
	if strings.HasPrefix(addr, unixPrefix) {
		host = ""
	}
	stopping := make(chan struct{})
	h := newHandler(n, o, stopping)
	s.http = &http.Server{
		Handler:           s.counted(h.counters.count(guard(h.mux(), host, token, o.Log))),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    256 << 10,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	s.http.RegisterOnShutdown(sync.OnceFunc(func() { close(stopping) }))
	s.serving.Go(func() { s.failed = s.accept(l, o.Log) })
	if err := s.dir.WriteAPIAddr(addr); err != nil {
		return nil, errors.Join(err, s.http.Close(), s.wait())
	}
	return s, nil
}

func (s *Server) accept(l net.Listener, log *slog.Logger) error {
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	log.Error("the control API ended", "error", err)
	return err
}

// counted counts running handlers, which http.Server does not wait for when it
// cuts their connections. None begins after wait.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return // to a connection that is cut
		}
		s.requests.Add(1)
		s.mu.Unlock()
		defer s.requests.Done()
		h.ServeHTTP(w, q)
	})
}

// Addr returns where the API listens: "unix:PATH" or "HOST:PORT".
func (s *Server) Addr() string { return s.addr }

// Close stops listening and removes api.addr, lets running requests end until
// ctx does, then cuts them. It returns when all of them have ended.
func (s *Server) Close(ctx context.Context) error {
	err := os.Remove(s.dir.APIAddr())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if s.http.Shutdown(ctx) != nil {
		err = errors.Join(err, s.http.Close())
	}
	if err = errors.Join(err, s.wait()); err != nil {
		return fmt.Errorf("api: close: %w", err)
	}
	return nil
}

func (s *Server) wait() error {
	s.serving.Wait()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.requests.Wait()
	return s.failed
}
