package journal

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxProof bounds a .tlog-proof file, in bytes.
const MaxProof = MaxCheckpoint + 8<<10

// MarshalProof writes a https://c2sp.org/tlog-proof: that the entry at index is
// in the log of the signed checkpoint.
func MarshalProof(index int64, hashes []Hash, checkpoint []byte) []byte {
	p := proof.TLogProof{Index: uint64(index), Checkpoint: checkpoint, Hashes: make([][32]byte, len(hashes))}
	for i, h := range hashes {
		p.Hashes[i] = h
	}
	return p.Marshal()
}

// Proven is an entry that a policy's signers vouch for.
type Proven struct {
	Index      int64
	Leaf       Leaf
	Bytes      []byte // the leaf as it stands in the log
	Checkpoint *Checkpoint
}

// VerifyProof checks everything between a leaf's bytes and the signatures: the
// leaf's form, the path to the root, the checkpoint. There is one spelling of a
// proof; any other is refused. Extra data is not used in this log and refused.
func VerifyProof(policy *Policy, leaf, tlogProof []byte) (*Proven, error) {
	if len(tlogProof) > MaxProof {
		return nil, fmt.Errorf("proof has %d bytes, at most %d are allowed", len(tlogProof), MaxProof)
	}
	var p proof.TLogProof
	if err := p.Unmarshal(tlogProof); err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	if p.ExtraData != nil || !bytes.Equal(p.Marshal(), tlogProof) || p.Index > maxInteger {
		return nil, errors.New("proof is not in its only spelling")
	}
	c, err := policy.Open(p.Checkpoint)
	if err != nil {
		return nil, err
	}
	hashes := make(tlog.RecordProof, len(p.Hashes))
	for i, h := range p.Hashes {
		hashes[i] = h
	}
	index := int64(p.Index)
	if index >= c.Tree.N {
		return nil, fmt.Errorf("proof is for entry %d of a log of %d entries", index, c.Tree.N)
	}
	if err := CheckInclusion(c.Tree, index, leaf, hashes); err != nil {
		return nil, err
	}
	l, err := ParseLeaf(leaf)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	return &Proven{Index: index, Leaf: l, Bytes: leaf, Checkpoint: c}, nil
}
