// Package remote is the journal over HTTP: it serves a log's tiles as
// https://c2sp.org/tlog-tiles has it, fetches them for a mirror, and speaks
// https://c2sp.org/tlog-witness on both sides. The journal package itself has no
// network; whoever wants one comes through here.
//
// Trust: nothing that comes over the network is believed. Tiles are checked
// against a signed checkpoint, checkpoints against a policy, by adapter/journal.
package remote

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
)

// Log is what can be served.
type Log interface {
	journal.TileSource
	// Checkpoint is the latest that is to be published, or fs.ErrNotExist.
	Checkpoint(ctx context.Context) (*journal.Checkpoint, error)
}

// Stamped is a Log whose checkpoints get time stamps.
type Stamped interface {
	// Stamped is the first checkpoint with a time stamp that covers an entry, or the
	// latest of all for journal.NoEntry, or fs.ErrNotExist.
	Stamped(ctx context.Context, entry int64) (*journal.Stamped, error)
}

// ErrForbidden from Server.Admit answers 403, ErrUnauthenticated 401.
var (
	ErrForbidden       = errors.New("only auditors may read entries")
	ErrUnauthenticated = errors.New("a token is needed: Authorization: Bearer TOKEN, mezhved-audit mirror --token-file")
)

// Server serves a log under /checkpoint, /timestamp and /tile/. Checkpoints, their time
// stamps and hash tiles are public: they say nothing about anybody. Entries go to those whom Admit
// admits; without Admit, to nobody.
type Server struct {
	Log   Log
	Admit func(*http.Request) error // for entries; the place to note the reading in the journal
	Slog  *slog.Logger
}

// ServeHTTP implements http.Handler. Mount it where the log's URL points, with
// the prefix stripped.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	var err error
	entry, stamp := strings.CutPrefix(r.URL.Path, "/timestamp")
	switch {
	case r.URL.Path == "/checkpoint":
		err = s.checkpoint(w, r)
	case stamp:
		err = s.timestamp(w, r, entry)
	default:
		err = s.tile(w, r)
	}
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "not in the log (yet)", http.StatusNotFound)
	case errors.Is(err, ErrUnauthenticated):
		http.Error(w, err.Error(), http.StatusUnauthorized)
	case errors.Is(err, ErrForbidden):
		http.Error(w, err.Error(), http.StatusForbidden)
	default:
		s.Slog.Error("journal: serve", "path", r.URL.Path, "error", err)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "the log cannot be read now", http.StatusServiceUnavailable)
	}
}

func (s *Server) checkpoint(w http.ResponseWriter, r *http.Request) error {
	c, err := s.Log.Checkpoint(r.Context())
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Length", strconv.Itoa(len(c.Note)))
	w.Write(c.Note) // a reader who went away is no error of ours
	return nil
}

// timestamp serves /timestamp, the latest stamped checkpoint, and /timestamp/N, the
// first that covers entry N.
func (s *Server) timestamp(w http.ResponseWriter, r *http.Request, entry string) error {
	log, ok := s.Log.(Stamped)
	n := journal.NoEntry
	if number, named := strings.CutPrefix(entry, "/"); named {
		var err error
		if n, err = strconv.ParseInt(number, 10, 64); err != nil || n < 0 || strconv.FormatInt(n, 10) != number {
			return fs.ErrNotExist
		}
	} else if entry != "" {
		return fs.ErrNotExist
	}
	if !ok {
		return fs.ErrNotExist
	}
	stamped, err := log.Stamped(r.Context(), n)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-cache")
	w.Write(stamped.Marshal())
	return nil
}

func (s *Server) tile(w http.ResponseWriter, r *http.Request) error {
	level, n, width, err := journal.ParseTilePath(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		return fs.ErrNotExist
	}
	h := w.Header()
	if level == journal.EntriesLevel {
		if s.Admit == nil {
			return ErrForbidden
		}
		if err := s.Admit(r); err != nil {
			return err
		}
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	data, err := s.Log.Tile(r.Context(), level, n, width)
	if err == nil {
		data, err = cut(level, width, data)
	}
	if err != nil {
		h.Del("Cache-Control")
		return err
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data)
	return nil
}

// cut brings a tile to the width that was asked for: sources may give more.
func cut(level, width int, data []byte) ([]byte, error) {
	if level != journal.EntriesLevel {
		return data[:width*tlog.HashSize], nil
	}
	entries, err := journal.Entries(data)
	if err != nil {
		return nil, err
	}
	if len(entries) < width {
		return nil, fs.ErrNotExist
	}
	n := 0
	for _, e := range entries[:width] {
		n += 2 + len(e)
	}
	return data[:n], nil
}

// Dir is a Log in a directory: a mirror, served.
type Dir struct{ audit.DirSource }

// Checkpoint implements Log.
func (d Dir) Checkpoint(context.Context) (*journal.Checkpoint, error) {
	note, err := fs.ReadFile(d.FS, "checkpoint")
	if err != nil {
		return nil, err
	}
	c := &journal.Checkpoint{Note: note}
	if c.Origin, c.Tree, err = journal.PeekCheckpoint(note); err != nil {
		return nil, fmt.Errorf("the mirror's checkpoint: %w", err)
	}
	return c, nil
}

// Bearer is an Admit for one shared token, for a log served to a few: everybody
// else is refused. The comparison takes the same time for every wrong token.
func Bearer(token string) func(*http.Request) error {
	return func(r *http.Request) error {
		got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			return ErrUnauthenticated
		}
		if token == "" || subtle.ConstantTimeCompare([]byte(got), []byte(token)) != 1 {
			return ErrForbidden
		}
		return nil
	}
}
