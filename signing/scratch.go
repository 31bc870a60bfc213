package signing

import (
	"encoding/base64"
	"hash"
	"sync"

	"mezhved/envelopes/xmltape"
)

// scratch is what one verification or signature needs to work in; it grows to
// the size of the traffic and is used again.
type scratch struct {
	smev      smevEmitter
	plain     plainEmitter
	c14n      canonEmitter
	structure structureReader
	ids       idIndex
	hashes    []hash.Hash // by index in digests
	bounded   bounded
	sum       [64]byte
	uri       []byte
	out       []byte
	tape      *xmltape.Tape

	signer     *Certificate // by which was signed last
	signerText []byte       // its DER in base64
}

// written is a certificate's DER in base64, as it stands in signatures.
func (s *scratch) written(cert *Certificate) []byte {
	if s.signer != cert {
		s.signer, s.signerText = cert, base64.StdEncoding.AppendEncode(s.signerText[:0], cert.DER)
	}
	return s.signerText
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Cost is a bound of the memory that a verification takes beside the tape, known
// before it takes any.
func Cost(t *xmltape.Tape) int {
	return len(t.Source()) + 64<<10 // texts and values of several pieces are put together
}

// release gives a scratch back for the next one. What an unusual document has
// made large is left to the collector.
func (s *scratch) release() {
	const most = 1 << 20
	held := cap(s.ids.value) + cap(s.smev.text) + cap(s.smev.value) + cap(s.smev.names) + cap(s.c14n.value) + cap(s.structure.text) + cap(s.uri) + cap(s.out)
	if s.tape != nil {
		held += s.tape.Size()
	}
	if held > most {
		return
	}
	s.smev.out.src, s.c14n.out.src, s.structure.certs = nil, nil, nil
	scratches.Put(s)
}

// hasher gives the k-th digest algorithm, reset.
func (s *scratch) hasher(k int) hash.Hash {
	for len(s.hashes) <= k {
		s.hashes = append(s.hashes, nil)
	}
	if s.hashes[k] == nil {
		s.hashes[k] = digests[k].new()
	}
	s.hashes[k].Reset()
	return s.hashes[k]
}

// verifiedDigest is digest for an element that nobody has proved: it may have been written to
// grow.
func (s *scratch) verifiedDigest(k int, element xmltape.Node, form Form) ([]byte, error) {
	s.bounded = boundFor(s.hasher(k), element, verifiedGrowth)
	if err := s.smev.run(&s.bounded, element, form); err != nil {
		return nil, grown(err, element)
	}
	return s.hashes[k].Sum(s.sum[:0]), nil
}

// digest transforms and digests an element in one walk. The result is good until
// the next digest.
func (s *scratch) digest(k int, element xmltape.Node, form Form) ([]byte, error) {
	h := s.hasher(k)
	if err := s.smev.run(h, element, form); err != nil {
		return nil, err
	}
	return h.Sum(s.sum[:0]), nil
}

// digestSignedInfo canonicalises and digests ds:SignedInfo.
func (s *scratch) digestSignedInfo(k int, signedInfo xmltape.Node) ([]byte, error) {
	h := s.hasher(k)
	if err := s.c14n.run(h, Subset{Element: signedInfo}, Exclusive); err != nil {
		return nil, err
	}
	return h.Sum(s.sum[:0]), nil
}
