package adapter

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// authenticate proves which registered system calls: its signature stands where
// the operation prescribes, covers what the operation prescribes, and its
// certificate is registered for one party. Only here c.party is set.
//
// When the signature fails, the layout of the envelope is looked at first, as
// the real bus does: a sender whose envelope is broken hears of that.
func (g *Gateway) authenticate(ctx context.Context, c *call) error {
	defer c.stage("authenticate")()
	sig, target := c.envelope.Caller()
	if !sig.Valid() || !target.Valid() {
		if err := c.envelope.Check(); err != nil {
			return err
		}
		return because("signature-missing")
	}
	if claimed, ok := claimedCertificate(sig); ok {
		c.claimed = claimed
		if c.catalog.PartyOf(claimed) == nil {
			// A stranger whatever the signature says: those who come too often
			// are turned away before it costs us arithmetic.
			c.counted = true
			if err := g.strangers.admit(c.remote); err != nil {
				return err
			}
		}
	}
	if err := c.holding.Hold(ctx, c.holding.bytes+int64(signing.Cost(c.envelope.Tape()))); err != nil {
		return err
	}
	signed, err := g.verifier.VerifyAt(sig, target, c.started)
	if err != nil {
		var e *signing.Error
		if errors.As(err, &e) {
			if bad := c.envelope.Check(); bad != nil {
				return bad
			}
		}
		return err
	}
	cert := signed.Certificate()
	party := c.catalog.PartyOf(cert.SHA256)
	if party == nil {
		return because("stranger", cert.Subject())
	}
	c.signed, c.party = signed, party
	c.holding.Prove("party " + string(party.Mnemonic))
	c.event.Sender = string(party.Mnemonic)
	c.event.Certificate = hexDigest(cert.SHA256)
	return g.rates.admit(party, c.started)
}

// claimedCertificate is the digest of the certificate that a signature brings
// along. Nothing is proved about it: it may only be used to refuse more cheaply.
func claimedCertificate(sig xmltape.Node) (sum [32]byte, ok bool) {
	ds := sig.Space()
	cert := sig.Child(ds, "KeyInfo").Child(ds, "X509Data").Child(ds, "X509Certificate")
	if !cert.Valid() {
		return sum, false
	}
	if off, end := cert.Range(); end-off > 32<<10 {
		return sum, false
	}
	text := strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, string(cert.Text()))
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return sum, false
	}
	return sha256.Sum256(der), true
}

// verifyPersonal checks the official's signature (ЭП-СП) over the content.
func (g *Gateway) verifyPersonal(c *call, s *Service, sig, content xmltape.Node, id string) error {
	switch {
	case !sig.Valid() && s.Personal == PersonalRequired:
		return because("personal-signature-missing", id)
	case !sig.Valid():
		return nil
	case s.Personal == PersonalForbidden:
		return because("personal-signature-forbidden", id)
	}
	_, err := g.personal.VerifyAt(sig, content, c.started)
	var e *signing.Error
	if errors.As(err, &e) {
		return refuseSignature("ЭП-СП", e)
	}
	return err
}

// verifyFile checks a file's own signature (SignaturePKCS7): of an official or,
// when no person signs, of the calling system (MR 3.3, 4.3.1 and 4.5.4).
func (g *Gateway) verifyFile(c *call, s *Service, name string, pkcs7 []byte, octets signing.Octets) error {
	if len(pkcs7) == 0 {
		if s.FileSignature == PersonalRequired {
			return because("file-signature-missing", name)
		}
		return nil
	}
	_, err := g.personal.VerifyCMSAt(pkcs7, octets, c.started, c.signed.Certificate())
	var e *signing.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return refuseFile(name, e)
	}
	return unavailable(err)
}
