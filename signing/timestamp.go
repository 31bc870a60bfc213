package signing

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidTSTInfo            = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidSignatureTimestamp = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 14}
)

// MaxTimestamp is the largest answer of a time-stamping authority that is read.
const MaxTimestamp = 64 << 10

// Timestamp is a token of RFC 3161 that was proved: octets were there at a time, by
// the word of an authority. Only a Verifier makes one.
type Timestamp struct {
	certificate *Certificate
	at          time.Time
	accuracy    time.Duration
	policy      asn1.ObjectIdentifier
	serial      *big.Int
}

// Certificate is the authority's.
func (t *Timestamp) Certificate() *Certificate { return t.certificate }

// Time is when the authority says that the octets were there.
func (t *Timestamp) Time() time.Time { return t.at }

// Accuracy is how far Time may be off, by the authority's own word; zero: not stated.
func (t *Timestamp) Accuracy() time.Duration { return t.accuracy }

// Policy is the authority's, as an object identifier.
func (t *Timestamp) Policy() string { return t.policy.String() }

// tstInfo is what a token says.
type tstInfo struct {
	policy   asn1.ObjectIdentifier
	digest   int // in digests
	imprint  []byte
	serial   *big.Int
	at       time.Time
	accuracy time.Duration
	nonce    *big.Int // nil: none
}

// TimestampRequest is a request for a token over a SHA-256, with a fresh nonce, and
// for the authority's certificate in it.
func TimestampRequest(sum [32]byte) (der []byte, nonce *big.Int, err error) {
	nonce, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			addAlgorithm(b, cmsDigests[0].oid)
			b.AddASN1OctetString(sum[:])
		})
		b.AddASN1BigInt(nonce)
		b.AddASN1Boolean(true)
	})
	der, err = b.Bytes()
	return der, nonce, err
}

// TimestampToken takes the token out of an authority's answer to a request with the
// nonce. It is not proved yet.
func TimestampToken(answer []byte, nonce *big.Int) ([]byte, error) {
	if len(answer) > MaxTimestamp {
		return nil, fmt.Errorf("time stamp: the answer has %d bytes, at most %d are read", len(answer), MaxTimestamp)
	}
	var whole, status, token cryptobyte.String
	var code int
	in := cryptobyte.String(answer)
	if !in.ReadASN1(&whole, tag.SEQUENCE) || !in.Empty() || !whole.ReadASN1(&status, tag.SEQUENCE) || !status.ReadASN1Integer(&code) {
		return nil, errors.New("time stamp: the answer is not one of RFC 3161")
	}
	if code > 1 { // granted, grantedWithMods
		return nil, fmt.Errorf("time stamp: the authority refuses, status %d%s", code, refusalText(status))
	}
	if !whole.ReadASN1Element(&token, tag.SEQUENCE) || !whole.Empty() {
		return nil, errors.New("time stamp: the answer is granted and has no token")
	}
	_, info, err := readToken(token)
	if err != nil {
		return nil, err
	}
	if info.nonce == nil || info.nonce.Cmp(nonce) != 0 {
		return nil, errors.New("time stamp: the answer is to another request")
	}
	return token, nil
}

// refusalText is the free text of a PKIStatusInfo.
func refusalText(status cryptobyte.String) string {
	var list, text cryptobyte.String
	out := ""
	if status.ReadASN1(&list, tag.SEQUENCE) {
		for list.ReadASN1(&text, tag.UTF8String) {
			out += fmt.Sprintf(" %q", string(text))
		}
	}
	return out
}

// readToken reads a token: a CMS signature with TSTInfo inside.
func readToken(der []byte) (*cms, *tstInfo, error) {
	c, err := readSigned(der, oidTSTInfo)
	if err != nil {
		return nil, nil, fmt.Errorf("time stamp: %w", err)
	}
	info, err := readTSTInfo(c.content)
	return c, info, err
}

func readTSTInfo(der []byte) (*tstInfo, error) {
	broken := errors.New("time stamp: TSTInfo is not that of RFC 3161")
	var s, imprint, algorithm, accuracy cryptobyte.String
	var version int
	var oid asn1.ObjectIdentifier
	info := &tstInfo{serial: new(big.Int)}
	in := cryptobyte.String(der)
	if !in.ReadASN1(&s, tag.SEQUENCE) || !in.Empty() || !s.ReadASN1Integer(&version) || version != 1 || !s.ReadASN1ObjectIdentifier(&info.policy) ||
		!s.ReadASN1(&imprint, tag.SEQUENCE) || !imprint.ReadASN1(&algorithm, tag.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid) ||
		!imprint.ReadASN1Bytes(&info.imprint, tag.OCTET_STRING) || !imprint.Empty() || !s.ReadASN1Integer(info.serial) {
		return nil, broken
	}
	if info.digest = cmsDigest(oid); info.digest < 0 || digests[info.digest].legacy {
		return nil, fmt.Errorf("time stamp: digest algorithm %s is not taken", oid)
	}
	var when cryptobyte.String
	if !s.ReadASN1(&when, tag.GeneralizedTime) {
		return nil, broken
	}
	// Fractions of a second, which DER otherwise has not in our reader.
	at, err := time.Parse("20060102150405.999999999Z", string(when))
	if err != nil {
		return nil, broken
	}
	info.at = at.UTC()
	var present bool
	if s.PeekASN1Tag(tag.SEQUENCE) {
		var parts [3]int64 // seconds, millis, micros
		if !s.ReadASN1(&accuracy, tag.SEQUENCE) || accuracy.PeekASN1Tag(tag.INTEGER) && !accuracy.ReadASN1Integer(&parts[0]) ||
			accuracy.PeekASN1Tag(tag.Tag(0).ContextSpecific()) && !accuracy.ReadASN1Int64WithTag(&parts[1], tag.Tag(0).ContextSpecific()) ||
			accuracy.PeekASN1Tag(tag.Tag(1).ContextSpecific()) && !accuracy.ReadASN1Int64WithTag(&parts[2], tag.Tag(1).ContextSpecific()) || !accuracy.Empty() {
			return nil, broken
		}
		for i, most := range [3]int64{86400 * 365, 999, 999} {
			if parts[i] < 0 || parts[i] > most {
				return nil, broken
			}
		}
		info.accuracy = time.Duration(parts[0])*time.Second + time.Duration(parts[1])*time.Millisecond + time.Duration(parts[2])*time.Microsecond
	}
	var ordering bool
	if s.PeekASN1Tag(tag.BOOLEAN) && !s.ReadASN1Boolean(&ordering) {
		return nil, broken
	}
	if s.PeekASN1Tag(tag.INTEGER) {
		info.nonce = new(big.Int)
		if !s.ReadASN1Integer(info.nonce) {
			return nil, broken
		}
	}
	var extensions cryptobyte.String
	if !s.SkipOptionalASN1(context0) || !s.ReadOptionalASN1(&extensions, &present, tag.Tag(1).Constructed().ContextSpecific()) || !s.Empty() {
		return nil, broken
	}
	for !extensions.Empty() {
		var extension cryptobyte.String
		critical := false
		if !extensions.ReadASN1(&extension, tag.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&oid) ||
			extension.PeekASN1Tag(tag.BOOLEAN) && !extension.ReadASN1Boolean(&critical) || critical {
			return nil, fmt.Errorf("time stamp: an extension is not understood: %s", oid)
		}
	}
	return info, nil
}

// VerifyTimestamp proves a token over octets. The authority's certificate is judged
// under this Verifier's policy as of the token's own time, and must be for nothing but
// time stamps. It stands in the token or is one of known.
func (v *Verifier) VerifyTimestamp(token []byte, octets Octets, known ...*Certificate) (*Timestamp, error) {
	c, info, err := readToken(token)
	if err != nil {
		return nil, err
	}
	sum, err := octets.digest(info.digest)
	if err != nil {
		return nil, fmt.Errorf("time stamp: digest of what it is over: %w", err)
	}
	if !bytes.Equal(sum, info.imprint) {
		return nil, &Error{Code: DigestMismatch, Detail: "the time stamp is over other octets"}
	}
	cert, err := v.signerOf(c, known)
	if err != nil {
		return nil, err
	}
	if err := c.choose(cert); err != nil {
		return nil, err
	}
	if !v.allowed[c.method.uri] {
		return nil, &Error{Code: BadAlgorithm, Detail: fmt.Sprintf("signature algorithm %s is not allowed", c.method.name), Certificate: cert}
	}
	if usage := cert.X509.ExtKeyUsage; len(usage) != 1 || usage[0] != x509.ExtKeyUsageTimeStamping || len(cert.X509.UnknownExtKeyUsage) > 0 {
		return nil, &Error{Code: CertificateUsage, Certificate: cert, Detail: "the certificate is not for time stamps alone (RFC 3161, 2.3)"}
	}
	if err := v.judge(cert, c.method, info.at); err != nil {
		return nil, err
	}
	inside := Octets{Bytes: c.content}
	if err := c.checkValue(cert, inside); err != nil {
		return nil, err
	}
	if err := c.checkDigest(cert, inside); err != nil {
		return nil, err
	}
	if _, _, e := v.revocation(cert, info.at); e != nil {
		return nil, e
	}
	return &Timestamp{cert, info.at, info.accuracy, info.policy, info.serial}, nil
}

// timestampOf proves the tokens over the value of a signature, and gives the earliest.
func (v *Verifier) timestampOf(c *cms) (first *Timestamp, err error) {
	judge := v
	if v.opt.Stamps != nil {
		judge = v.opt.Stamps
	}
	var problems []error
	for _, token := range c.timestamps {
		t, err := judge.VerifyTimestamp(token, Octets{Bytes: c.value})
		switch {
		case err != nil:
			problems = append(problems, err)
		case first == nil || t.at.Before(first.at):
			first = t
		}
	}
	if first != nil {
		return first, nil
	}
	return nil, errors.Join(problems...)
}
