package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mezhved/signing"
)

// Write puts a document into a version's folder, with its page. Signatures over
// another one are taken away: they are none any more.
func Write(dir string, d *Document) error {
	if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
		return err
	}
	src := d.Encode()
	old, err := os.ReadFile(pathOf(dir, FileJSON))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := replace(pathOf(dir, FileJSON), src); err != nil {
		return err
	}
	if !bytes.Equal(old, src) {
		_, wrong := AllSignatures(dir)
		for _, one := range wrong {
			if err := os.Remove(filepath.Join(dir, filepath.FromSlash(one.File))); err != nil {
				return err
			}
		}
	}
	return WritePage(dir)
}

// Read is the protocol of a version's folder, and its bytes.
func Read(dir string) (*Document, []byte, error) {
	src, err := os.ReadFile(pathOf(dir, FileJSON))
	if err != nil {
		return nil, nil, err
	}
	d, err := Parse(src)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", pathOf(dir, FileJSON), err)
	}
	return d, src, nil
}

// Sign adds a participant's signature to a folder's protocol, in place of an older
// one of his, and tells it on the page.
func Sign(ctx context.Context, dir, mnemonic string, signer signing.Signer, now time.Time) error {
	_, src, err := Read(dir)
	if err != nil {
		return err
	}
	der, err := signing.SignCMS(ctx, signing.Octets{Bytes: src}, signer, now)
	if err != nil {
		return err
	}
	if err := replace(pathOf(dir, mnemonic+extension), pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: der})); err != nil {
		return err
	}
	return WritePage(dir)
}

// Forced is a publication without a protocol that holds: who answers for it has said
// why. It is over the bytes and settings that stood in the folder then, and over no others.
type Forced struct {
	Reason string    `json:"reason"`
	Digest string    `json:"digest"`          // of the Inventory
	Schema string    `json:"schema"`          // hex SHA-256 of the compiled bundle
	Rules  string    `json:"rules,omitempty"` // the Digest of Rules; empty: of a release that did not look at them
	At     time.Time `json:"at"`
}

// Force writes it. The journal hears of it from the gateways that load the folder.
func Force(v Version, reason string, now time.Time) error {
	dir := v.Dir
	if reason = strings.TrimSpace(reason); reason == "" {
		return errors.New("a publication by force needs a reason")
	}
	files, err := Take(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
		return err
	}
	src, err := json.MarshalIndent(Forced{reason, files.Digest(), v.Schema, v.Rules.Digest(), now.UTC().Truncate(time.Second)}, "", "  ")
	if err != nil {
		return err
	}
	return replace(pathOf(dir, FileForced), append(src, '\n'))
}

// Unforce takes a forced publication away.
func Unforce(dir string) error {
	if err := os.Remove(pathOf(dir, FileForced)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *Standing) forced(v Version, digest string) {
	src, err := os.ReadFile(pathOf(v.Dir, FileForced))
	if err != nil {
		return
	}
	name := folder + "/" + FileForced
	var f Forced
	switch err := json.Unmarshal(src, &f); {
	case err != nil:
		s.flaw(name, err.Error(), err.Error())
	case strings.TrimSpace(f.Reason) == "":
		s.flaw(name, "gives no reason", "не указана причина")
	case f.Digest != digest || f.Schema != v.Schema || f.Rules != "" && f.Rules != v.Rules.Digest():
		s.flaw(name, "schema, samples, settings or dictionaries were changed after the publication was forced", "схема, образцы, параметры или справочники изменены после публикации без протокола")
	default:
		s.Forced = &f
	}
}

// replace writes a file beside its place and renames it there.
func replace(name string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
