package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"mezhved/adapter/journal"
)

// manifestMark is the first line of a manifest. The second is JSON and no number, so
// that no manifest is a checkpoint, although the same key signs both.
const manifestMark = "mezhved backup 1"

// Manifest says what a backup is. It is readable without any key: an operator's age of
// the last backup, and whether all of it is still there, are no secret.
type Manifest struct {
	ID      string    `json:"id"` // sorts by time
	Began   time.Time `json:"began"`
	At      time.Time `json:"at"` // the point: by the database's clock, what was committed before is in it
	Node    string    `json:"node"`
	Program string    `json:"program"` // version of the program that made it

	Schema   int64  `json:"schema"`   // migration that the database was at
	Server   string `json:"server"`   // version of PostgreSQL
	Position string `json:"position"` // of its write-ahead log, at or before the point

	// The journal at the point, and its latest checkpoint there.
	Origin     string `json:"origin"`
	Size       int64  `json:"size"`
	Root       string `json:"root"` // base64
	Checkpoint string `json:"checkpoint,omitempty"`

	Index   []string `json:"index"`   // objects that together are the Index
	Objects string   `json:"objects"` // hex SHA-256 of the list of objects
	Count   int      `json:"count"`   // of objects
	New     int64    `json:"new"`     // bytes, encrypted, that were not there before this backup

	Keys    string   `json:"keys"`              // apart, with (the data), or none
	Secrets string   `json:"secrets,omitempty"` // hex SHA-256 of the file with the secrets
	Gaps    []string `json:"gaps,omitempty"`    // what should be in it and is not
}

// Index is what a backup has, and how it is put together from objects. It is encrypted
// to the recipients of the data.
type Index struct {
	Database Content              `json:"database"` // of pg_dump, custom format
	Folders  map[string][]File    `json:"folders"`  // by the setting that names the folder
	Settings map[string][]Setting `json:"settings"` // single files, by the setting that names them
	Store    []File               `json:"store"`    // of the file store: each has a key of its own among the secrets
}

// Content is bytes in objects.
type Content struct {
	Objects []string `json:"objects,omitempty"`
	Size    int64    `json:"size"`
	SHA256  string   `json:"sha256"` // of the plain bytes
}

// File is a file of a folder.
type File struct {
	Path string    `json:"path"` // with slashes
	Mode uint32    `json:"mode"`
	Mod  time.Time `json:"mod"`
	Content
}

// Setting is a file that a setting of the configuration names.
type Setting struct {
	Path string `json:"path"` // where it was
	Content
}

// Sign makes a manifest's file. skey is the log's.
func (m *Manifest) Sign(skey string) ([]byte, error) {
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: manifestMark + "\n" + string(text) + "\n"}, signer)
}

// ErrUnsigned says that a manifest is not signed with the key that it was held against.
var ErrUnsigned = errors.New("the manifest is not signed with the log's key")

// OpenManifest reads a manifest's file. With a verifier key (vkey) the signature is
// proved; without one it is read, and proves nothing.
func OpenManifest(file []byte, vkey string) (*Manifest, error) {
	text, _, ok := bytes.Cut(file, []byte("\n\n"))
	if !ok {
		return nil, errors.New("this is no manifest of a backup")
	}
	said := string(text) + "\n"
	if vkey != "" {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, fmt.Errorf("the log's key %q: %w", vkey, err)
		}
		n, err := note.Open(file, note.VerifierList(verifier))
		if err != nil {
			return nil, fmt.Errorf("%w (%s): %w", ErrUnsigned, verifier.Name(), err)
		}
		said = n.Text
	}
	body, ok := strings.CutPrefix(said, manifestMark+"\n")
	if !ok {
		return nil, errors.New("this is no manifest of a backup, or one of a later release: take the program of that release")
	}
	m := new(Manifest)
	if err := json.Unmarshal([]byte(body), m); err != nil {
		return nil, fmt.Errorf("the manifest: %w", err)
	}
	return m, nil
}

// Hash is the root of the log at the point.
func (m *Manifest) Hash() (h journal.Hash, err error) {
	root, err := base64.StdEncoding.DecodeString(m.Root)
	if err != nil || len(root) != len(h) {
		return h, errors.New("the manifest has no root of the log")
	}
	return journal.Hash(root), nil
}

func hexDigest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
