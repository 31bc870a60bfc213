package signing

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// revocationList is a CRL made ready for questions.
type revocationList struct {
	x       *x509.RevocationList
	revoked map[string]time.Time // serial number -> when
	as      *RevocationAnswer
	makers  map[[32]byte]bool // by certificate of the list's issuer name: whether its key made the list
}

var (
	oidDeltaCRL     = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
)

// parseRevocationList reads a CRL, DER or PEM. Delta CRLs and CRLs that cover only
// some certificates or reasons are refused: absence from them means nothing.
func parseRevocationList(data []byte) (*revocationList, error) {
	data = plainText(data)
	if block, _ := pem.Decode(data); block != nil && block.Type == "X509 CRL" {
		data = block.Bytes
	}
	x, err := x509.ParseRevocationList(data)
	if err != nil {
		return nil, err
	}
	for _, e := range x.Extensions {
		switch {
		case e.Id.Equal(oidDeltaCRL):
			return nil, errors.New("a delta CRL is not read: configure the complete one")
		case e.Id.Equal(oidIssuingPoint):
			if partial(e.Value) {
				return nil, errors.New("the CRL covers only some certificates or reasons")
			}
		case e.Critical:
			return nil, fmt.Errorf("the CRL has a critical extension that is not understood: %s", e.Id)
		}
	}
	l := &revocationList{x: x, revoked: make(map[string]time.Time, len(x.RevokedCertificateEntries)), makers: map[[32]byte]bool{}}
	for _, e := range x.RevokedCertificateEntries {
		if e.ReasonCode != 8 { // removeFromCRL
			l.revoked[string(e.SerialNumber.Bytes())] = e.RevocationTime
		}
	}
	return l, nil
}

// partial tells whether an issuing distribution point says more than where the
// CRL is published.
func partial(der []byte) bool {
	var fields []asn1.RawValue
	if _, err := asn1.Unmarshal(der, &fields); err != nil {
		return true
	}
	for _, f := range fields {
		if f.Tag != 0 {
			return true
		}
	}
	return false
}

// by tells whether issuer made the list: its name, and its key's signature. Both answers are
// kept: an authority has several keys under one name when it has changed its key, and to hash
// a list again for each message costs more than the message.
func (l *revocationList) by(issuer *Certificate) bool {
	x := issuer.X509
	if !bytes.Equal(l.x.RawIssuer, x.RawSubject) || x.KeyUsage != 0 && x.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return false
	}
	made, known := l.makers[issuer.SHA256]
	if !known {
		made = checkX509Signature(issuer, l.x.SignatureAlgorithm, outerAlgorithm(l.x.Raw), l.x.RawTBSRevocationList, l.x.Signature) == nil
		makeRoom(l.makers)
		l.makers[issuer.SHA256] = made
	}
	return made
}

// fresh tells whether the list may be believed at a moment.
func (l *revocationList) fresh(at time.Time, maxAge time.Duration) bool {
	if l.x.ThisUpdate.After(at.Add(clockSkew)) {
		return false
	}
	if !l.x.NextUpdate.IsZero() && at.After(l.x.NextUpdate) {
		return false
	}
	if l.x.NextUpdate.IsZero() && maxAge == 0 {
		return false
	}
	return maxAge == 0 || at.Sub(l.x.ThisUpdate) <= maxAge
}

// clockSkew is how far ahead of ours a publisher's clock may be.
const clockSkew = 5 * time.Minute
