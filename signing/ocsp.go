package signing

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

// RFC 6960. The parser of golang.org/x/crypto/ocsp cannot check responses that
// GOST keys sign, so the response is read here; the request is its work.
type (
	ocspEnvelope struct {
		Status   asn1.Enumerated
		Response ocspBytes `asn1:"explicit,tag:0,optional"`
	}
	ocspBytes struct {
		Type     asn1.ObjectIdentifier
		Response []byte
	}
	ocspBasic struct {
		TBS          asn1.RawValue
		Algorithm    pkix.AlgorithmIdentifier
		Signature    asn1.BitString
		Certificates []asn1.RawValue `asn1:"explicit,tag:0,optional"`
	}
	ocspData struct {
		Version    int `asn1:"optional,default:0,explicit,tag:0"`
		Responder  asn1.RawValue
		ProducedAt time.Time `asn1:"generalized"`
		Responses  []ocspSingle
		Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
	}
	ocspSingle struct {
		ID         ocspID
		Good       asn1.Flag        `asn1:"tag:0,optional"`
		Revoked    ocspRevoked      `asn1:"tag:1,optional"`
		Unknown    asn1.Flag        `asn1:"tag:2,optional"`
		ThisUpdate time.Time        `asn1:"generalized"`
		NextUpdate time.Time        `asn1:"generalized,explicit,tag:0,optional"`
		Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
	}
	ocspID struct {
		Hash         pkix.AlgorithmIdentifier
		NameHash     []byte
		KeyHash      []byte
		SerialNumber *big.Int
	}
	ocspRevoked struct {
		At     time.Time       `asn1:"generalized"`
		Reason asn1.Enumerated `asn1:"explicit,tag:0,optional"`
	}
)

var (
	oidOCSPBasic = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidSHA1      = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
)

// maxOCSP bounds what is read of an answer.
const maxOCSP = 1 << 20

// ocspAnswer is what a responder said of one certificate.
type ocspAnswer struct {
	revoked    bool
	revokedAt  time.Time
	thisUpdate time.Time
	nextUpdate time.Time // zero: not stated
	as         *RevocationAnswer
}

// askOCSP asks one configured endpoint.
func askOCSP(ctx context.Context, client *httpClient, url string, cert, issuer *Certificate, at time.Time) (*ocspAnswer, error) {
	request, err := ocsp.CreateRequest(cert.X509, issuer.X509, nil)
	if err != nil {
		return nil, err
	}
	data, err := postOCSP(ctx, client, url, request)
	if err != nil {
		return nil, err
	}
	answer, err := parseOCSP(data, cert, issuer, at)
	if err != nil {
		return nil, err
	}
	answer.as = &RevocationAnswer{"ocsp", url, data, sha256.Sum256(data), answer.thisUpdate, answer.nextUpdate}
	return answer, nil
}

// parseOCSP reads a response and makes sure that it is about cert and signed by
// its issuer, or by a responder that the issuer has appointed.
func parseOCSP(data []byte, cert, issuer *Certificate, at time.Time) (*ocspAnswer, error) {
	basic, said, err := readOCSP(data)
	if err != nil {
		return nil, err
	}
	if !anyBy(basic.signers(issuer), issuer, at) {
		return nil, errOCSPSigner
	}
	return said.about(cert, issuer)
}

// readOCSP reads a response, of which nothing is proved then.
func readOCSP(data []byte) (*ocspBasic, *ocspData, error) {
	var envelope ocspEnvelope
	if rest, err := asn1.Unmarshal(data, &envelope); err != nil || len(rest) > 0 {
		return nil, nil, errors.New("OCSP response is not understood")
	}
	if envelope.Status != 0 {
		return nil, nil, fmt.Errorf("OCSP responder refused with status %d", envelope.Status)
	}
	if !envelope.Response.Type.Equal(oidOCSPBasic) {
		return nil, nil, fmt.Errorf("OCSP response of type %s", envelope.Response.Type)
	}
	basic, said := new(ocspBasic), new(ocspData)
	if rest, err := asn1.Unmarshal(envelope.Response.Response, basic); err != nil || len(rest) > 0 {
		return nil, nil, errors.New("OCSP basic response is not understood")
	}
	if _, err := asn1.Unmarshal(basic.TBS.FullBytes, said); err != nil {
		return nil, nil, errors.New("OCSP response data is not understood")
	}
	return basic, said, nil
}

// about is what the response says of cert.
func (d *ocspData) about(cert, issuer *Certificate) (*ocspAnswer, error) {
	for i := range d.Responses {
		s := &d.Responses[i]
		if !s.ID.names(cert, issuer) {
			continue
		}
		switch {
		case bool(s.Unknown):
			return nil, errors.New("OCSP responder does not know the certificate")
		case bool(s.Good):
			return &ocspAnswer{thisUpdate: s.ThisUpdate, nextUpdate: s.NextUpdate}, nil
		case !s.Revoked.At.IsZero():
			return &ocspAnswer{revoked: true, revokedAt: s.Revoked.At, thisUpdate: s.ThisUpdate, nextUpdate: s.NextUpdate}, nil
		}
	}
	return nil, errors.New("OCSP response is about another certificate")
}

// names tells whether the response's identifier, in the hash that our request
// asked with, is that of cert.
func (id *ocspID) names(cert, issuer *Certificate) bool {
	if !id.Hash.Algorithm.Equal(oidSHA1) || id.SerialNumber.Cmp(cert.X509.SerialNumber) != 0 {
		return false
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.X509.RawSubjectPublicKeyInfo, &spki); err != nil {
		return false
	}
	name, key := sha1.Sum(issuer.X509.RawSubject), sha1.Sum(spki.Key.RightAlign())
	return bytes.Equal(id.NameHash, name[:]) && bytes.Equal(id.KeyHash, key[:])
}

var errOCSPSigner = errors.New("OCSP response is signed neither by the issuer nor by a responder that it has appointed")

// signers are those whose signature the response bears: the issuer, or responders that it has
// appointed, whatever their dates.
func (b *ocspBasic) signers(issuer *Certificate) (by []*Certificate) {
	holds := func(by *Certificate) bool {
		return checkX509Signature(by, signatureAlgorithm(b.Algorithm.Algorithm), b.Algorithm.Algorithm, b.TBS.FullBytes, b.Signature.RightAlign()) == nil
	}
	if holds(issuer) {
		return []*Certificate{issuer}
	}
	for i, raw := range b.Certificates {
		if i == 4 {
			break
		}
		responder, err := ParseCertificate(raw.FullBytes)
		if err != nil {
			continue
		}
		appointed := false
		for _, u := range responder.X509.ExtKeyUsage {
			appointed = appointed || u == x509.ExtKeyUsageOCSPSigning
		}
		if appointed && bytes.Equal(responder.X509.RawIssuer, issuer.X509.RawSubject) &&
			checkCertificateSignature(issuer, responder) == nil && holds(responder) {
			by = append(by, responder)
		}
	}
	return by
}

// anyBy says that one of the signers could sign at a moment. The issuer's dates are its
// chain's concern.
func anyBy(signers []*Certificate, issuer *Certificate, at time.Time) bool {
	return slices.ContainsFunc(signers, func(c *Certificate) bool { return c == issuer || c.checkDates(at) == nil })
}

// signatureAlgorithm names the algorithms that responders use besides GOST.
func signatureAlgorithm(oid asn1.ObjectIdentifier) x509.SignatureAlgorithm {
	switch oid.String() {
	case "1.2.840.113549.1.1.11":
		return x509.SHA256WithRSA
	case "1.2.840.113549.1.1.12":
		return x509.SHA384WithRSA
	case "1.2.840.113549.1.1.13":
		return x509.SHA512WithRSA
	case "1.2.840.10045.4.3.2":
		return x509.ECDSAWithSHA256
	case "1.2.840.10045.4.3.3":
		return x509.ECDSAWithSHA384
	case "1.2.840.10045.4.3.4":
		return x509.ECDSAWithSHA512
	}
	return x509.UnknownSignatureAlgorithm
}
