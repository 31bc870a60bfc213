// Package gost is the room of the Russian national algorithms: the hashes
// GOST R 34.11-2012 (Streebog, RFC 6986) and GOST R 34.11-94 (RFC 5831), the
// signature GOST R 34.10-2012 (RFC 7091) with its predecessor of 2001, the
// parameter sets of RFC 4357 and RFC 7836, and the keys, certificates
// and revocation lists that carry them (RFC 9215, RFC 4491). It is Go: no cgo, no
// big.Int on any path that verifies or signs. The compression of Streebog alone
// has two more forms in assembly for amd64, one of them for processors with AVX-512 VBMI
// and GFNI; the build tag purego leaves them out.
//
// # Not a certified tool
//
// This package is NOT a certified means of cryptographic protection (СКЗИ). It
// computes what the standards say, and is tested against their examples and
// against OpenSSL's GOST engine, but no authority has examined it. A signature
// that must be qualified in law has to be made, and its verification confirmed,
// by a certified tool: a token or a cryptographic provider from a licensed
// vendor. Such a tool plugs in one floor up, in package signing, as a key
// provider or a remote signer; it hands over a crypto.Signer whose Public is a
// *PublicKey of this package and whose Sign keeps the contract of
// PrivateKey.Sign. Keys held in memory here are for tests, demonstrations and
// environments whose policy allows it.
//
// # Octets
//
// The standards leave open how numbers become octets; trade fixed it:
//
//   - a digest is read as a little-endian number;
//   - a signature in XMLDSig and X.509 is s || r, each half big-endian;
//   - a public key is x || y, each little-endian, in an OCTET STRING;
//   - CryptoPro CSP through its native interface gives the signature with all
//     octets in reverse. VerifyDigest refuses that form; FormOf recognises it, so
//     that the sender can be told.
//
// # What secrets touch
//
// Signing runs in constant time: fixed windows, tables read whole, a complete
// addition formula, inversion by a fixed number of division steps. The nonce is
// derived from key, digest and fresh randomness, so neither a broken random
// generator nor a fault that repeats a digest gives the key away. Functions
// ending in Vartime, and all of verification, see public values only. The
// hashes look tables up by their input and must not be fed secrets that an
// attacker on the same machine may learn through the cache; this package feeds
// them none.
//
// # Who may enter
//
// Nothing here reads XML, opens connections, knows the time or trusts anybody:
// a valid signature says that the holder of a key made it, and whose key it is
// and whether it may be used is for package signing to decide.
package gost
