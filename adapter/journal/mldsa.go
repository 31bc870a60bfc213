package journal

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	cosign "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// algMLDSA is the type of a cosigner's ML-DSA-44 key (https://c2sp.org/tlog-cosignature).
const algMLDSA = 6

// MLDSAKey is a second key of a log, ML-DSA-44 (FIPS 204): a signature that holds even
// when Ed25519 does not any more. Its cosignature is one more line of a checkpoint,
// which verifiers that do not know it pass by; a Policy that wants it names the key as
// it names a witness's, and counts it in its quorum.
type MLDSAKey struct {
	signer *cosign.SubtreeSigner
}

// NewMLDSAKey makes an ML-DSA-44 key of the given name: skey is secret, vkey is for
// policies.
func NewMLDSAKey(name string) (skey, vkey string, err error) { return cosign.GenerateMLDSAKey(name) }

// ParseMLDSAKey reads an skey that NewMLDSAKey has made.
func ParseMLDSAKey(skey string) (*MLDSAKey, error) {
	s, err := cosign.NewMLDSASigner(skey)
	if err != nil {
		return nil, errors.New("signing key is not an ML-DSA-44 note key (PRIVATE+KEY+name+hash+data)")
	}
	return &MLDSAKey{s}, nil
}

// Cosign makes the line of a signature over a tree and a time.
func (k *MLDSAKey) Cosign(origin string, tree tlog.Tree, at time.Time) (string, error) {
	sig, err := k.signer.SignSubtree(uint64(at.Unix()), origin, 0, uint64(tree.N), tree.Hash[:])
	if err != nil {
		return "", fmt.Errorf("sign with ML-DSA-44: %w", err)
	}
	raw := binary.BigEndian.AppendUint32(nil, k.signer.KeyHash())
	return "— " + k.signer.Name() + " " + base64.StdEncoding.EncodeToString(append(raw, sig...)) + "\n", nil
}

// mldsaVerifier takes the vkey of an ML-DSA-44 cosigner, in its one spelling.
func mldsaVerifier(vkey string) (v note.Verifier, public []byte, err error) {
	name, rest, _ := strings.Cut(vkey, "+")
	id, data, _ := strings.Cut(rest, "+")
	public, err = base64.StdEncoding.Strict().DecodeString(data)
	if err != nil || len(public) == 0 || public[0] != algMLDSA {
		return nil, nil, fmt.Errorf("key of %s is not an ML-DSA-44 verifier key", name)
	}
	v, err = cosign.NewMLDSAVerifier(vkey)
	if err != nil || id != fmt.Sprintf("%08x", v.KeyHash()) || strings.ContainsAny(name, " \n") {
		return nil, nil, fmt.Errorf("key of %s: its number is not that of its name and key", name)
	}
	return v, public, nil
}

// isMLDSA tells by a vkey's text what kind of key it is.
func isMLDSA(vkey string) bool {
	_, rest, _ := strings.Cut(vkey, "+")
	_, data, _ := strings.Cut(rest, "+") // which may have this character too
	raw, err := base64.StdEncoding.DecodeString(data[:min(len(data), 4)])
	return err == nil && bytes.HasPrefix(raw, []byte{algMLDSA})
}
