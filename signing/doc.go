// Package signing is the room of XML signatures: it proves who signed an
// element, and signs what the gateway sends. It knows XMLDSig, the SMEV 3
// profile of it (MR 3.3, sections 4.3-4.5), keys and certificates; it knows
// neither operations nor parties. Anyone may enter who holds a token tape of
// envelopes/xmltape, and nobody gets in with bytes that did not pass that gate.
//
// The SMEV profile is a detached signature: ds:Signature stands beside the
// element it covers and names it by an unqualified attribute Id. The octets
// that are digested come from exclusive canonicalisation followed by the
// transform urn://smev-gov-ru/xmldsig/transform; both are computed in one walk
// over the tape, without a tree and without copying what is canonical already.
//
//	tape ── Verifier.Verify(sig, target) ──> Signed ── Element() ──> business code
//	          1 the signature's own structure, strictly: no text, no unknown child
//	          2 closed lists of algorithms and transforms, exactly one Reference
//	          3 Ids unique in the whole document; the Reference names the target
//	            that the caller prescribes by position, never what a search finds
//	          4 the certificate: one, at most 8 KiB, key long enough, dates, chain
//	          5 the signature value over the canonical SignedInfo
//	          6 the digest over the target, in the Woodstox form, then the JDK form
//	          7 revocation, asked only for keys that have proved to be held
//
// Cheap refusals come first. A Signed can be made by a Verifier alone, so a
// function that takes one takes what was verified, and not a second reading of it.
//
// Files in reading order: verify, structure, ids, places (what covers what), c14n,
// transform, algorithm, gost; certificate, trust, chain, revocation, crl, ocsp;
// sign, signer, keys, remote, pkcs11; explain and what it searches; cms, for files;
// foreign, for signatures outside the profile. docs/signatures.md tells senders and operators.
//
// What an attacker could do who can write here: everything. Every comparison in
// this package is a lock of the gateway; the tests flip them one by one.
package signing
