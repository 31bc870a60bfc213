package journal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxCheckpoint bounds a signed checkpoint with all its cosignatures, in bytes.
const MaxCheckpoint = 64 << 10

// Checkpoint is a verified tree head: somebody whom the Policy names has signed
// that the log of this origin had this size and root.
type Checkpoint struct {
	Origin string
	Tree   tlog.Tree
	Signed time.Time // the log's own word for when, zero if it gave none
	Note   []byte    // the signed note, with cosignatures
}

// CheckpointText is the body of https://c2sp.org/tlog-checkpoint.
func CheckpointText(origin string, tree tlog.Tree) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, tree.N, base64.StdEncoding.EncodeToString(tree.Hash[:]))
}

// parseCheckpointText reads the body and accepts no second spelling of it. Lines
// after the third are extensions and are ignored.
func parseCheckpointText(text string) (origin string, tree tlog.Tree, err error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) != 4 || lines[0] == "" {
		return "", tree, errors.New("checkpoint has fewer than three lines")
	}
	n, err := strconv.ParseInt(lines[1], 10, 64)
	h, ok := decodeHash(lines[2])
	if err != nil || !ok || n < 0 || n > maxInteger || strconv.FormatInt(n, 10) != lines[1] {
		return "", tree, errors.New("checkpoint has a malformed size or root")
	}
	if empty, _ := tlog.TreeHash(0, nil); n == 0 && h != empty {
		return "", tree, errors.New("checkpoint of an empty log has a root that is not the empty one")
	}
	return lines[0], tlog.Tree{N: n, Hash: h}, nil
}

// PeekCheckpoint reads origin, size and root of a checkpoint and checks no
// signature: for finding out which policy is needed, never for relying on it.
func PeekCheckpoint(signed []byte) (origin string, tree tlog.Tree, err error) {
	text, _, ok := bytes.Cut(signed, []byte("\n\n"))
	if !ok {
		return "", tree, errors.New("checkpoint has no signatures")
	}
	return parseCheckpointText(string(text) + "\n")
}

// QuorumError says that a checkpoint carries the log's signature but too few of
// the witnesses'.
type QuorumError struct {
	Origin string
	Size   int64
}

func (e *QuorumError) Error() string {
	return fmt.Sprintf("checkpoint %d of %s lacks the cosignatures that the policy asks for", e.Size, e.Origin)
}

// MergeCosignatures adds the signature lines of other to signed. Both must carry
// the same text; lines that are there already are not added twice.
func MergeCosignatures(signed []byte, lines []byte) ([]byte, error) {
	out := bytes.Clone(signed)
	for line := range bytes.Lines(lines) {
		if !bytes.HasPrefix(line, []byte("— ")) || !bytes.HasSuffix(line, []byte("\n")) {
			return nil, fmt.Errorf("malformed signature line %q", line)
		}
		if !bytes.Contains(out, append([]byte("\n"), line...)) {
			out = append(out, line...)
		}
	}
	if len(out) > MaxCheckpoint {
		return nil, fmt.Errorf("checkpoint with its cosignatures has %d bytes, at most %d are allowed", len(out), MaxCheckpoint)
	}
	return out, nil
}

// NewKey makes an Ed25519 key for a log or witness of the given name: skey is
// secret, vkey is for policies. A log's name is its origin, a schemaless URL.
func NewKey(name string) (skey, vkey string, err error) {
	return note.GenerateKey(rand.Reader, name)
}

// KeyOf tells which log a signing key is of, and its verifier key, as policies name
// it.
func KeyOf(skey string) (origin, vkey string, err error) {
	k, err := ParseSigningKey(skey)
	if err != nil {
		return "", "", err
	}
	return k.name, k.Verifier(), nil
}

// SigningKey is an Ed25519 key from an skey, for signing with our own clock: a
// log's or a witness's.
type SigningKey struct {
	name string
	priv ed25519.PrivateKey
}

// ParseSigningKey reads an skey.
func ParseSigningKey(skey string) (*SigningKey, error) {
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, errors.New("signing key is not an Ed25519 note key (PRIVATE+KEY+name+hash+data)")
	}
	_, data, ok := strings.Cut(skey[len("PRIVATE+KEY+"):], "+")
	_, data, ok2 := strings.Cut(data, "+")
	raw, err := base64.StdEncoding.DecodeString(data)
	if !ok || !ok2 || err != nil || len(raw) != 1+ed25519.SeedSize {
		return nil, errors.New("signing key is not an Ed25519 note key (PRIVATE+KEY+name+hash+data)")
	}
	return &SigningKey{signer.Name(), ed25519.NewKeyFromSeed(raw[1:])}, nil
}

// Name is the log's origin or the witness's name.
func (k *SigningKey) Name() string { return k.name }

// Verifier is the public half, as policies name it: a vkey.
func (k *SigningKey) Verifier() string {
	v, err := note.NewEd25519VerifierKey(k.name, k.priv.Public().(ed25519.PublicKey))
	if err != nil {
		panic(err) // the name was checked when the key was parsed
	}
	return v
}

// signature types of https://c2sp.org/signed-note
const (
	algEd25519     = 1
	algCosignature = 4
)

// keyID is the four bytes by which a signature line names its key.
func keyID(name string, alg byte, public ed25519.PublicKey) uint32 {
	h := sha256.New()
	io.WriteString(h, name+"\n")
	h.Write([]byte{alg})
	h.Write(public)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// line is a signature line: em dash, name, base64 of key id and signature.
func (k *SigningKey) line(alg byte, sig []byte) string {
	raw := binary.BigEndian.AppendUint32(nil, keyID(k.name, alg, k.priv.Public().(ed25519.PublicKey)))
	return "— " + k.name + " " + base64.StdEncoding.EncodeToString(append(raw, sig...)) + "\n"
}

// Sign makes a plain note signature: one line.
func (k *SigningKey) Sign(text string) string {
	return k.line(algEd25519, ed25519.Sign(k.priv, []byte(text)))
}

// Cosign signs text and time, as https://c2sp.org/tlog-cosignature has it.
func (k *SigningKey) Cosign(text string, at time.Time) string {
	seconds := uint64(at.Unix())
	sig := binary.BigEndian.AppendUint64(nil, seconds)
	return k.line(algCosignature, append(sig, ed25519.Sign(k.priv, cosigned(seconds, []byte(text)))...))
}

// cosigned is what a cosignature signs.
func cosigned(seconds uint64, text []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", seconds), text...)
}

// cosigner verifies the timestamped Ed25519 cosignatures of a key.
type cosigner struct {
	name string
	id   uint32
	key  ed25519.PublicKey
}

// newCosigner takes the vkey of an Ed25519 note key (type 1) or of a cosigner's
// (type 4): the same key, named differently.
func newCosigner(vkey string) (*cosigner, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	id, data, ok := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(data)
	if !ok || err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != algEd25519 && raw[0] != algCosignature {
		return nil, fmt.Errorf("key %q is not an Ed25519 verifier key", vkey)
	}
	public := ed25519.PublicKey(raw[1:])
	if name == "" || strings.ContainsAny(name, " +\n") || id != fmt.Sprintf("%08x", keyID(name, raw[0], public)) {
		return nil, fmt.Errorf("key %q: its number is not that of its name and key", vkey)
	}
	return &cosigner{name, keyID(name, algCosignature, public), public}, nil
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.id }

func (c *cosigner) Verify(msg, sig []byte) bool {
	return len(sig) == 8+ed25519.SignatureSize && ed25519.Verify(c.key, cosigned(binary.BigEndian.Uint64(sig), msg), sig[8:])
}

// cosignatureTime is when a verified cosignature says that it was made.
func cosignatureTime(s note.Signature) (time.Time, error) {
	raw, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil || len(raw) != 4+8+ed25519.SignatureSize {
		return time.Time{}, errors.New("malformed cosignature")
	}
	seconds := binary.BigEndian.Uint64(raw[4:])
	if seconds > maxInteger/1000 {
		return time.Time{}, errors.New("cosignature of an impossible time")
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}
