package adapter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"mezhved/adapter/registry"
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
	defer c.stage("authenticate").end()
	sig, target := c.envelope.Caller()
	if !sig.Valid() || !target.Valid() {
		if err := c.envelope.Check(); err != nil {
			return err
		}
		return because("signature-missing")
	}
	text := sig.Child(signing.Namespace, "KeyInfo").Child(signing.Namespace, "X509Data").Child(signing.Namespace, "X509Certificate").Text()
	claimed, ok := g.verifier.Kept(text)
	if !ok {
		claimed, ok = certificateDigest(text)
	}
	if ok {
		c.claimed = claimed
		if c.catalog.PartyOf(claimed) == nil {
			// A stranger whatever the signature says: those who come too often
			// are turned away before it costs us arithmetic.
			c.counted = true
			if err := g.strangers.admit(c.account()); err != nil {
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
			c.judgedBy(e.Revocation)
		}
		return err
	}
	c.judgedBy(signed.Revocation())
	cert := signed.Certificate()
	party := c.catalog.PartyOf(cert.SHA256)
	if party == nil {
		return because("stranger", cert.Subject())
	}
	c.signed, c.party = signed, party
	c.holding.Prove("party " + string(party.Mnemonic))
	c.event.Sender = string(party.Mnemonic)
	c.event.Certificate = cert.Fingerprint()
	c.unchecked("caller", signed.Unchecked())
	if err := g.rates.admit(party, c.started); err != nil {
		return err
	}
	return g.keepJudgement(ctx, c)
}

// certificateDigest is the digest of a certificate that a signature brings along,
// from its base64. Nothing is proved about it: it may only be used to refuse more
// cheaply, and to tell apart those who share an address.
func certificateDigest(text []byte) (sum [32]byte, ok bool) {
	if len(text) == 0 || len(text) > 32<<10 {
		return sum, false
	}
	if bytes.IndexByte(text, ' ') >= 0 || bytes.IndexByte(text, '\t') >= 0 { // what breaks lines the decoder passes over itself
		text = bytes.Join(bytes.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' }), nil)
	}
	var room [2 << 10]byte // nearly every certificate has it
	der, err := base64.StdEncoding.AppendDecode(room[:0], text)
	if err != nil {
		return sum, false
	}
	return sha256.Sum256(der), true
}

// seems is the party that an unproved call claims to come from by the certificate
// of its signature, which is looked for at the end of a body that could not be
// parsed. Nil: nobody we know.
func (c *call) seems() *registry.Party {
	if c.claimed == [32]byte{} && c.envelope == nil {
		end := c.body[max(0, len(c.body)-64<<10):]
		if i := bytes.LastIndex(end, []byte("X509Certificate>")); i > 0 {
			text := end[:max(0, bytes.LastIndexByte(end[:i], '<'))]
			c.claimed, _ = certificateDigest(text[bytes.LastIndexByte(text, '>')+1:])
		}
	}
	return c.catalog.PartyOf(c.claimed)
}

// ClaimedCaller is the party that registered the certificate which the signature of a call
// brings along, in base64; nil: nobody has. Nothing is proved, for who passes the call on.
func ClaimedCaller(c *registry.Catalog, certificate []byte) *registry.Party {
	claimed, ok := certificateDigest(certificate)
	if !ok {
		return nil
	}
	return c.PartyOf(claimed)
}

// account is to whom an unproved call is charged: the client certificate of its
// connection, else its address, and at an address to whom it seems to come from, so
// that strangers who share it take nothing from him.
func (c *call) account() string {
	if c.connection != "" {
		return "certificate " + c.connection
	}
	from := Neighbourhood(c.remote)
	if p := c.seems(); p != nil {
		return from + " as " + string(p.Mnemonic)
	}
	return from
}

// letPass notes in the call's journal entries a check whose outcome was let pass or
// decided.
func (c *call) letPass(rule string) {
	switch noted := strings.Fields(c.event.Rule); {
	case len(noted) == 0:
		c.event.Rule = rule
	case !slices.Contains(noted, rule):
		c.event.Rule += " " + rule
	}
}

// unchecked notes that nobody could say whether the certificate of a signature is
// revoked, which trust.failOpen lets pass: it is counted, and stands in the call's
// journal entries.
func (c *call) unchecked(whose string, why error) {
	if why == nil {
		return
	}
	c.letPass("signature." + string(signing.RevocationUnknown))
	c.g.metrics.unchecked.WithLabelValues(whose).Inc()
	c.g.log.Debug("nobody could say whether a certificate is revoked; failOpen lets it pass", "whose", whose, "reason", why)
}

// verifyPersonal checks the official's signature (ЭП-СП) over the content.
func (g *Gateway) verifyPersonal(c *call, s *registry.Service, sig, content xmltape.Node, id string) error {
	switch {
	case !sig.Valid() && s.Personal == registry.PersonalRequired:
		return because("personal-signature-missing", id)
	case !sig.Valid():
		return nil
	case s.Personal == registry.PersonalForbidden:
		return because("personal-signature-forbidden", id)
	}
	signed, err := g.personal.VerifyAt(sig, content, c.started)
	var e *signing.Error
	if errors.As(err, &e) {
		c.judgedBy(e.Revocation)
		return refuseSignature("ЭП-СП", e)
	}
	c.judgedBy(signed.Revocation())
	c.unchecked("person", signed.Unchecked())
	return err
}

// ruleFileTimestamp says of an accepted message that a file's signature has a time
// stamp of an authority that is trusted (CAdES-T); with "-unproved", that it has one
// which proves nothing.
const ruleFileTimestamp = "file-timestamp"

// verifyFile checks a file's own signature (SignaturePKCS7): of an official or,
// when no person signs, of the calling system (MR 3.3, 4.3.1 and 4.5.4).
func (g *Gateway) verifyFile(c *call, s *registry.Service, name string, pkcs7 []byte, octets signing.Octets) error {
	if len(pkcs7) == 0 {
		if s.FileSignature == registry.PersonalRequired {
			return because("file-signature-missing", name)
		}
		return nil
	}
	signed, err := g.personal.VerifyCMSAt(pkcs7, octets, c.started, c.signed.Certificate())
	var e *signing.Error
	switch {
	case err == nil:
		c.judgedBy(signed.Revocation())
		c.unchecked("file", signed.Unchecked())
		switch stamp, bad := signed.Timestamp(); {
		case stamp != nil:
			c.letPass(ruleFileTimestamp)
		case bad != nil: // the signature holds; only its time is not proved
			c.letPass(ruleFileTimestamp + "-unproved")
		}
		return nil
	case errors.As(err, &e):
		c.judgedBy(e.Revocation)
		return refuseFile(name, e)
	}
	return unavailable(err)
}
