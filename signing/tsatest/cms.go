package tsatest

import (
	"crypto/sha256"
	"encoding/asn1"
	"testing"

	"mezhved/signing"
)

// cmsParts is a CMS signature, taken apart as far as tests need it.
type cmsParts struct {
	Type asn1.ObjectIdentifier
	Data struct {
		Version      int
		Digests      asn1.RawValue
		Content      asn1.RawValue
		Certificates asn1.RawValue
		Signers      []cmsSigner `asn1:"set"`
	} `asn1:"explicit,tag:0"`
}

type cmsSigner struct {
	Version    int
	ID         asn1.RawValue
	Digest     asn1.RawValue
	Attributes asn1.RawValue
	Algorithm  asn1.RawValue
	Value      []byte
	Unsigned   []cmsAttribute `asn1:"set,optional,tag:1"`
}

type cmsAttribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

func read(t testing.TB, der []byte) *cmsParts {
	t.Helper()
	c := new(cmsParts)
	if _, err := asn1.Unmarshal(der, c); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cmsParts) write(t testing.TB) []byte {
	t.Helper()
	der, err := asn1.Marshal(*c)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Value is the value of a CMS signature.
func Value(t testing.TB, der []byte) []byte {
	t.Helper()
	return read(t, der).Data.Signers[0].Value
}

// WithTimestamps adds tokens to a CMS signature, as CAdES-T has them.
func WithTimestamps(t testing.TB, der []byte, tokens ...[]byte) []byte {
	t.Helper()
	c := read(t, der)
	var values []asn1.RawValue
	for _, token := range tokens {
		values = append(values, asn1.RawValue{FullBytes: token})
	}
	c.Data.Signers[0].Unsigned = []cmsAttribute{{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 14}, values}}
	return c.write(t)
}

// Stamp asks for a token over octets.
func (a *TSA) Stamp(octets []byte) []byte {
	a.t.Helper()
	query, nonce, err := signing.TimestampRequest(sha256.Sum256(octets))
	if err != nil {
		a.t.Fatal(err)
	}
	answer, err := a.Answer(query)
	if err != nil {
		a.t.Fatal(err)
	}
	token, err := signing.TimestampToken(answer, nonce)
	if err != nil {
		a.t.Fatal(err)
	}
	return token
}

// WithMisused puts into a token, in place of the authority's certificate, one of the
// same key, name and number that is not for time stamps.
func (a *TSA) WithMisused(token []byte) []byte {
	a.t.Helper()
	a.issue("other.pem", "other")
	c := read(a.t, token)
	c.Data.Certificates.FullBytes, c.Data.Certificates.Bytes = nil, a.certificate("other.pem").DER
	return c.write(a.t)
}
