package journal

import (
	"bufio"
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

	cosign "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/witness"
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

// checkpointText is the body of https://c2sp.org/tlog-checkpoint.
func checkpointText(origin string, tree tlog.Tree) string {
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
	h, ok := decodeHash([]byte(lines[2]))
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

// Policy says whose signatures are enough: the log's key, and which of which
// witnesses. It is what an auditor must get from somebody other than the log.
type Policy struct {
	log     note.Verifier
	time    note.Verifier // the same key, for its timestamped cosignature
	witness witness.Group
	text    []byte
}

// ParsePolicy reads a policy in the format of https://c2sp.org/tlog-policy with
// one line for each thing:
//
//	log <vkey> [<url>]
//	witness <name> <vkey> <url>
//	group <name> <n|any|all> <members...>
//	quorum <name|none>
//
// There is exactly one log. "quorum none" trusts the log's signature alone.
func ParsePolicy(text []byte) (*Policy, error) {
	p := &Policy{text: bytes.Clone(text)}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || fields[0] != "log" {
			continue
		}
		if len(fields) < 2 || p.log != nil {
			return nil, errors.New("policy must have one line 'log <vkey>'")
		}
		if err := p.setLog(fields[1]); err != nil {
			return nil, err
		}
	}
	if p.log == nil {
		return nil, errors.New("policy has no line 'log <vkey>'")
	}
	var err error
	if p.witness, err = witness.ParsePolicy(text); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return p, nil
}

// LogPolicy is the policy that trusts the log's own signature and no witness.
func LogPolicy(vkey string) (*Policy, error) {
	return ParsePolicy([]byte("log " + vkey + "\nquorum none\n"))
}

func (p *Policy) setLog(vkey string) error {
	var err error
	if p.log, err = note.NewVerifier(vkey); err != nil {
		return fmt.Errorf("policy: log key %q: %w", vkey, err)
	}
	if p.time, err = cosign.NewVerifierForCosignatureV1(vkey); err != nil {
		return fmt.Errorf("policy: log key %q: %w", vkey, err)
	}
	return nil
}

// Origin is the name of the log that the policy is about.
func (p *Policy) Origin() string { return p.log.Name() }

// Text is the policy as it was parsed.
func (p *Policy) Text() []byte { return p.text }

// Witnesses gives the add-checkpoint URL of every witness and its verifier.
func (p *Policy) Witnesses() map[string]note.Verifier { return p.witness.Endpoints() }

// Quorum is how many of the policy's top group must cosign; 0 is none.
func (p *Policy) Quorum() int { return p.witness.N }

// QuorumError says that a checkpoint carries the log's signature but too few of
// the witnesses'.
type QuorumError struct {
	Origin string
	Size   int64
}

func (e *QuorumError) Error() string {
	return fmt.Sprintf("checkpoint %d of %s lacks the cosignatures that the policy asks for", e.Size, e.Origin)
}

// Open verifies a signed checkpoint: the log's signature and the witnesses'
// quorum. A *QuorumError comes with the checkpoint filled in, for a caller that
// is itself collecting cosignatures.
func (p *Policy) Open(signed []byte) (*Checkpoint, error) {
	if len(signed) > MaxCheckpoint {
		return nil, fmt.Errorf("checkpoint has %d bytes, at most %d are allowed", len(signed), MaxCheckpoint)
	}
	n, err := note.Open(signed, note.VerifierList(p.log, p.time))
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	c := &Checkpoint{Note: bytes.Clone(signed)}
	if c.Origin, c.Tree, err = parseCheckpointText(n.Text); err != nil {
		return nil, err
	}
	if c.Origin != p.Origin() {
		return nil, fmt.Errorf("checkpoint is of %q, the policy is about %q", c.Origin, p.Origin())
	}
	signedByLog := false
	for _, s := range n.Sigs {
		if s.Hash == p.log.KeyHash() {
			signedByLog = true
		} else if c.Signed, err = cosign.CoSigV1Timestamp(s); err != nil {
			return nil, fmt.Errorf("checkpoint: %w", err)
		}
	}
	if !signedByLog {
		return nil, fmt.Errorf("checkpoint of %s has a time but not the log's signature", c.Origin)
	}
	if !p.witness.Satisfied(signed) {
		return c, &QuorumError{c.Origin, c.Tree.N}
	}
	return c, nil
}

// NewKey makes an Ed25519 key for a log or witness of the given name: skey is
// secret, vkey is for policies. A log's name is its origin, a schemaless URL.
func NewKey(name string) (skey, vkey string, err error) {
	return note.GenerateKey(rand.Reader, name)
}

// key is an Ed25519 key from an skey, for signing with our own clock.
type key struct {
	name string
	priv ed25519.PrivateKey
}

func parseKey(skey string) (*key, error) {
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
	return &key{signer.Name(), ed25519.NewKeyFromSeed(raw[1:])}, nil
}

// vkey is the public half, as policies name it.
func (k *key) vkey() string {
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

// line is a signature line: em dash, name, base64 of key hash and signature.
func (k *key) line(alg byte, sig []byte) string {
	h := sha256.New()
	io.WriteString(h, k.name+"\n")
	h.Write([]byte{alg})
	h.Write(k.priv.Public().(ed25519.PublicKey))
	raw := append(h.Sum(nil)[:4], sig...)
	return "— " + k.name + " " + base64.StdEncoding.EncodeToString(raw) + "\n"
}

func (k *key) sign(text string) string {
	return k.line(algEd25519, ed25519.Sign(k.priv, []byte(text)))
}

// cosign signs text and time, as https://c2sp.org/tlog-cosignature has it.
func (k *key) cosign(text string, at time.Time) string {
	seconds := uint64(at.Unix())
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", seconds, text)
	sig := binary.BigEndian.AppendUint64(nil, seconds)
	return k.line(algCosignature, append(sig, ed25519.Sign(k.priv, []byte(message))...))
}
