package signing

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// Octets is what a detached signature covers: bytes at hand, or the digests of
// those that are not.
type Octets struct {
	Bytes  []byte
	Digest func(Digest) ([]byte, error) // nil: of Bytes
}

func (o Octets) digest(d int) ([]byte, error) {
	if o.Digest != nil {
		return o.Digest(digests[d].uri)
	}
	return digestOf(d, o.Bytes), nil
}

// OctetsOf are octets that open gives to read: once for each digest asked for.
func OctetsOf(open func() (io.ReadCloser, error)) Octets {
	return Octets{Digest: func(d Digest) ([]byte, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		h := digests[digestByURI(string(d))].new()
		_, err = io.Copy(h, r)
		return h.Sum(nil), err
	}}
}

// SignedFile says who signed octets outside of XML. Only a Verifier makes one
// that is not empty.
type SignedFile struct {
	certificate *Certificate
	algorithm   Algorithm
	claimed     time.Time
	revocation  []*RevocationAnswer
	unchecked   error

	timestamp    *Timestamp
	timestampErr error
}

// Timestamp is the token over the signature's value that an authority has given
// (CAdES-T): the signature was there at its time. nil when there is none, and with an
// error when none of those that are there can be relied on; the signature holds
// nevertheless. The authority must be under the Verifier's roots, if it has any.
func (s SignedFile) Timestamp() (*Timestamp, error) { return s.timestamp, s.timestampErr }

// Certificate is whose key signed.
func (s SignedFile) Certificate() *Certificate { return s.certificate }

// Algorithm is the signature algorithm.
func (s SignedFile) Algorithm() Algorithm { return s.algorithm }

// Unchecked is as for Signed.
func (s SignedFile) Unchecked() error { return s.unchecked }

// Revocation is as for Signed.
func (s SignedFile) Revocation() []*RevocationAnswer { return s.revocation }

// Claimed is the time of signing as the signer states it; zero when he does not.
func (s SignedFile) Claimed() time.Time { return s.claimed }

// VerifyCMS proves a detached CMS signature (RFC 5652; "PKCS#7" in MR 3.3, 4.3.1
// and appendix 3) over octets, under this Verifier's policy, at this moment. der
// may have lengths of the indefinite form. There is one signer; his signed
// attributes have at least content type and message digest. His certificate
// stands in the signature or is one of known. An error is an *Error, whose
// Slip says what the signer did where that can be told, or that of octets.Digest.
func (v *Verifier) VerifyCMS(der []byte, octets Octets, known ...*Certificate) (SignedFile, error) {
	return v.VerifyCMSAt(der, octets, v.opt.Now(), known...)
}

// VerifyCMSAt is VerifyCMS with certificates judged as of another moment.
func (v *Verifier) VerifyCMSAt(der []byte, octets Octets, at time.Time, known ...*Certificate) (SignedFile, error) {
	c, err := readCMS(der)
	if err != nil {
		return SignedFile{}, err
	}
	cert, err := v.signerOf(c, known)
	if err != nil {
		return SignedFile{}, err
	}
	if err := c.choose(cert); err != nil {
		return SignedFile{}, err
	}
	if !v.allowed[c.method.uri] {
		return SignedFile{}, &Error{Code: BadAlgorithm, Detail: fmt.Sprintf("signature algorithm %s is not allowed", c.method.name), Certificate: cert}
	}
	if err := v.judge(cert, c.method, at); err != nil {
		return SignedFile{}, err
	}
	if err := c.checkValue(cert, octets); err != nil {
		return SignedFile{}, err
	}
	v.certs.keep(cert, nil)
	if err := c.checkDigest(cert, octets); err != nil {
		return SignedFile{}, err
	}
	decided, unchecked, e := v.revocation(cert, at)
	if e != nil {
		return SignedFile{}, e
	}
	f := SignedFile{cert, c.method.uri, c.claimed, decided, unchecked, nil, nil}
	f.timestamp, f.timestampErr = v.timestampOf(c)
	return f, nil
}

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSigningCertV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
)

// cmsDigests and cmsKeys are the identifiers of CMS for the lines of our tables.
// An identifier of a signature names the kind of key, and the digest where it has
// one in it. The first of a digest or kind is the one that we write.
var cmsDigests = []struct {
	oid    asn1.ObjectIdentifier
	digest Digest
}{
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, SHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, SHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, SHA512},
	{asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 2, 2}, Streebog256},
	{asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 2, 3}, Streebog512},
	{asn1.ObjectIdentifier{1, 2, 643, 2, 2, 9}, GOST94},
}

var cmsKeys = []struct {
	oid    asn1.ObjectIdentifier
	kind   keyKind
	digest Digest // empty: any
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, rsaKey, ""},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, rsaKey, SHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, rsaKey, SHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, rsaKey, SHA512},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, ecdsaKey, SHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, ecdsaKey, SHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, ecdsaKey, SHA512},
	{asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 1, 1}, gost2012Key256, ""},
	{asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 3, 2}, gost2012Key256, Streebog256},
	{asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 1, 2}, gost2012Key512, ""},
	{asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 3, 3}, gost2012Key512, Streebog512},
	{asn1.ObjectIdentifier{1, 2, 643, 2, 2, 19}, gost2001Key, ""},
	{asn1.ObjectIdentifier{1, 2, 643, 2, 2, 3}, gost2001Key, GOST94},
}

// cms is a SignedData of one signer, read.
type cms struct {
	certificates [][]byte
	issuer       []byte // of the signer's certificate, as a name in DER, with serial
	serial       []byte // as an INTEGER in DER
	keyID        []byte // or this
	digest       int    // in digests
	signature    asn1.ObjectIdentifier
	method       *method
	attributes   []byte // as they are signed: a SET
	value        []byte

	content    []byte   // of an attached one: id-ct-TSTInfo
	timestamps [][]byte // tokens over value, which the signer or somebody later has added (CAdES-T)
	wantDigest []byte
	claimed    time.Time
	certHash   []byte // of the signer's certificate, by certDigest; nil when not stated
	certDigest int
}

// slip is a refusal of a kind that is known: signers are told what they did.
func slip(code Code, name, en, ru string) *Error {
	return &Error{Code: code, Detail: en, Slip: &Deviation{Name: name, English: en, Russian: ru}}
}

func notCMS(en, ru string) *Error {
	return slip(Malformed, "not-cms", "not a CMS signature: "+en, "это не подпись PKCS#7: "+ru)
}

// readCMS reads ContentInfo { signedData, SignedData } over detached octets.
func readCMS(der []byte) (*cms, error) { return readSigned(der, oidData) }

// readSigned reads one over content of a type: detached data, or what stands inside.
func readSigned(der []byte, want asn1.ObjectIdentifier) (*cms, error) {
	if len(der) > maxCMS {
		return nil, notCMS(fmt.Sprintf("%d bytes, at most %d are read", len(der), maxCMS), fmt.Sprintf("%d байт, читается не более %d", len(der), maxCMS))
	}
	plain, err := definite(der)
	if err != nil {
		return nil, notCMS("BER: "+err.Error(), "нарушена структура ASN.1")
	}
	broken := notCMS("its structure is not that of RFC 5652", "структура не соответствует RFC 5652")
	input := cryptobyte.String(plain)
	var info, explicit, data, content, set cryptobyte.String
	var kind asn1.ObjectIdentifier
	if !input.ReadASN1(&info, tag.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&kind) {
		return nil, broken
	}
	if !kind.Equal(oidSignedData) {
		return nil, notCMS("its type is "+kind.String()+", not signedData", "тип "+kind.String()+" вместо signedData")
	}
	var version int
	if !info.ReadASN1(&explicit, context0) || !info.Empty() || !explicit.ReadASN1(&data, tag.SEQUENCE) || !explicit.Empty() ||
		!data.ReadASN1Integer(&version) || !data.ReadASN1(&set, tag.SET) || !data.ReadASN1(&content, tag.SEQUENCE) || !content.ReadASN1ObjectIdentifier(&kind) {
		return nil, broken
	}
	c := &cms{}
	if want.Equal(oidTSTInfo) {
		var inside cryptobyte.String
		if !content.ReadASN1(&inside, context0) || !inside.ReadASN1Bytes(&c.content, tag.OCTET_STRING) || !inside.Empty() {
			return nil, broken
		}
	}
	if !content.Empty() {
		return nil, slip(Malformed, "attached-content", "the content stands inside the signature: a detached one is wanted", "внутри подписи лежит само содержимое: нужна отсоединённая (detached) подпись")
	}
	if !kind.Equal(want) {
		return nil, slip(Malformed, "content-type", "the content type is "+kind.String()+", not data", "тип содержимого "+kind.String()+" вместо data (1.2.840.113549.1.7.1)")
	}
	var bag, signers, signer cryptobyte.String
	var present bool
	if !data.ReadOptionalASN1(&bag, &present, context0) {
		return nil, broken
	}
	for !bag.Empty() {
		var cert cryptobyte.String
		var t tag.Tag
		if !bag.ReadAnyASN1Element(&cert, &t) {
			return nil, broken
		}
		if t == tag.SEQUENCE { // the other forms are no X.509 certificates
			c.certificates = append(c.certificates, cert)
		}
	}
	if !data.SkipOptionalASN1(tag.Tag(1).Constructed().ContextSpecific()) || !data.ReadASN1(&signers, tag.SET) || !data.Empty() || !signers.ReadASN1(&signer, tag.SEQUENCE) {
		return nil, broken
	}
	if !signers.Empty() {
		return nil, slip(Malformed, "several-signers", "more than one signer: one is wanted", "подписавших несколько: нужен один SignerInfo")
	}
	if err := c.readSigner(signer, want); err != nil {
		return nil, err
	}
	return c, nil
}

var context0 = tag.Tag(0).Constructed().ContextSpecific()

// readSigner reads SignerInfo.
func (c *cms) readSigner(s cryptobyte.String, content asn1.ObjectIdentifier) error {
	broken := notCMS("SignerInfo is not that of RFC 5652", "SignerInfo не соответствует RFC 5652")
	var version int
	var sid, algorithm, attributes cryptobyte.String
	if !s.ReadASN1Integer(&version) {
		return broken
	}
	if s.PeekASN1Tag(tag.Tag(0).ContextSpecific()) {
		if !s.ReadASN1(&sid, tag.Tag(0).ContextSpecific()) {
			return broken
		}
		c.keyID = sid
	} else {
		var issuer, serial cryptobyte.String
		if !s.ReadASN1(&sid, tag.SEQUENCE) || !sid.ReadASN1Element(&issuer, tag.SEQUENCE) || !sid.ReadASN1Element(&serial, tag.INTEGER) || !sid.Empty() {
			return broken
		}
		c.issuer, c.serial = issuer, serial
	}
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1(&algorithm, tag.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid) {
		return broken
	}
	if c.digest = cmsDigest(oid); c.digest < 0 {
		return slip(BadAlgorithm, "digest-algorithm", "digest algorithm "+oid.String()+" is not known", "алгоритм хэша "+oid.String()+" не поддерживается")
	}
	var signed bool
	var whole cryptobyte.String
	if s.PeekASN1Tag(context0) {
		signed = s.ReadASN1Element(&whole, context0)
	}
	if !signed {
		return slip(Malformed, "no-signed-attributes", "there are no signed attributes: contentType and messageDigest are wanted", "нет подписанных атрибутов: нужны contentType и messageDigest")
	}
	// They are signed as the SET that they are, not under the tag that they have here.
	c.attributes = slices.Clone(whole)
	c.attributes[0] = byte(tag.SET)
	if !whole.ReadASN1(&attributes, context0) || !s.ReadASN1(&algorithm, tag.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&c.signature) ||
		!s.ReadASN1Bytes(&c.value, tag.OCTET_STRING) {
		return broken
	}
	var unsigned cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&unsigned, &present, tag.Tag(1).Constructed().ContextSpecific()) || !s.Empty() {
		return broken
	}
	c.readTimestamps(unsigned)
	return c.readAttributes(attributes, content)
}

// readTimestamps looks for tokens among the attributes that nobody has signed. What
// cannot be read there is passed by, as all else there is.
func (c *cms) readTimestamps(s cryptobyte.String) {
	for !s.Empty() {
		var attribute, values, token cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !s.ReadASN1(&attribute, tag.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&oid) || !attribute.ReadASN1(&values, tag.SET) {
			return
		}
		for oid.Equal(oidSignatureTimestamp) && len(c.timestamps) < 4 && values.ReadASN1Element(&token, tag.SEQUENCE) {
			c.timestamps = append(c.timestamps, token)
		}
	}
}

func cmsDigest(oid asn1.ObjectIdentifier) int {
	for _, d := range cmsDigests {
		if d.oid.Equal(oid) {
			return digestByURI(string(d.digest))
		}
	}
	return -1
}

// readAttributes reads the signed attributes that say something. Each may be
// there once and has one value.
func (c *cms) readAttributes(s cryptobyte.String, content asn1.ObjectIdentifier) error {
	broken := notCMS("its signed attributes are not those of RFC 5652", "подписанные атрибуты не соответствуют RFC 5652")
	seen := map[string]bool{}
	for !s.Empty() {
		var attribute, values cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !s.ReadASN1(&attribute, tag.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&oid) || !attribute.ReadASN1(&values, tag.SET) || !attribute.Empty() || seen[oid.String()] {
			return broken
		}
		seen[oid.String()] = true
		ok := true
		switch {
		case oid.Equal(oidContentType):
			var kind asn1.ObjectIdentifier
			if ok = values.ReadASN1ObjectIdentifier(&kind) && values.Empty(); ok && !kind.Equal(content) {
				return slip(Malformed, "content-type", "the attribute contentType is "+kind.String()+", not data", "атрибут contentType равен "+kind.String()+" вместо data (1.2.840.113549.1.7.1)")
			}
		case oid.Equal(oidMessageDigest):
			ok = values.ReadASN1Bytes(&c.wantDigest, tag.OCTET_STRING) && values.Empty()
		case oid.Equal(oidSigningTime):
			ok = readTime(&values, &c.claimed) && values.Empty()
		case oid.Equal(oidSigningCertV2):
			ok = c.readSigningCertificate(values)
		}
		if !ok {
			return broken
		}
	}
	for _, needed := range []struct {
		oid  asn1.ObjectIdentifier
		name string
	}{{oidContentType, "contentType"}, {oidMessageDigest, "messageDigest"}} {
		if !seen[needed.oid.String()] {
			return slip(Malformed, "no-signed-attributes", "the signed attribute "+needed.name+" is missing", "нет подписанного атрибута "+needed.name)
		}
	}
	return nil
}

func readTime(s *cryptobyte.String, out *time.Time) bool {
	if s.PeekASN1Tag(tag.UTCTime) {
		return s.ReadASN1UTCTime(out)
	}
	return s.ReadASN1GeneralizedTime(out)
}

// readSigningCertificate reads the first ESSCertIDv2 (RFC 5035): the hash of the
// certificate that the signer says is his.
func (c *cms) readSigningCertificate(values cryptobyte.String) bool {
	var signing, list, first, algorithm cryptobyte.String
	if !values.ReadASN1(&signing, tag.SEQUENCE) || !signing.ReadASN1(&list, tag.SEQUENCE) || !list.ReadASN1(&first, tag.SEQUENCE) {
		return false
	}
	c.certDigest = digestByURI(string(SHA256))
	if first.PeekASN1Tag(tag.SEQUENCE) {
		var oid asn1.ObjectIdentifier
		if !first.ReadASN1(&algorithm, tag.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid) {
			return false
		}
		c.certDigest = cmsDigest(oid)
	}
	return first.ReadASN1Bytes(&c.certHash, tag.OCTET_STRING) && c.certDigest >= 0
}

// signerOf finds the certificate that the signature names.
func (v *Verifier) signerOf(c *cms, known []*Certificate) (*Certificate, error) {
	for _, der := range c.certificates {
		if len(der) > MaxCertificate {
			continue
		}
		cert, err := v.certs.get(der)
		if err != nil {
			return nil, &Error{Code: CertificateMalformed, Detail: "a certificate of the signature cannot be read", Err: err}
		}
		if c.names(cert) {
			return cert, nil
		}
	}
	for _, cert := range known {
		if cert != nil && c.names(cert) {
			return cert, nil
		}
	}
	return nil, slip(CertificateMissing, "certificate-missing", "the signer's certificate is not in the signature", "сертификата подписавшего нет внутри подписи")
}

// names says whether the signature is by this certificate's holder. What it
// states about the certificate besides is checked with it.
func (c *cms) names(cert *Certificate) bool {
	if c.keyID != nil {
		return len(c.keyID) > 0 && bytes.Equal(c.keyID, cert.X509.SubjectKeyId)
	}
	serial, err := asn1.Marshal(cert.X509.SerialNumber)
	return err == nil && bytes.Equal(c.issuer, cert.X509.RawIssuer) && bytes.Equal(c.serial, serial)
}

// choose finds the line of the table that identifiers and key agree on.
func (c *cms) choose(cert *Certificate) error {
	unfit := func(en, ru string) error {
		e := slip(BadAlgorithm, "signature-algorithm", en, ru)
		e.Certificate = cert
		return e
	}
	name := c.signature.String()
	for _, k := range cmsKeys {
		if !k.oid.Equal(c.signature) {
			continue
		}
		d := digests[c.digest]
		if k.digest != "" && k.digest != d.uri {
			return unfit("signature algorithm "+name+" does not go with "+d.name, "алгоритм подписи "+name+" не сочетается с хэшем "+d.name)
		}
		for i := range methods {
			if m := &methods[i]; m.kind == k.kind && m.digest == d.uri {
				c.method = m
				return nil
			}
		}
		return unfit("keys of "+name+" do not go with "+d.name, "ключи "+name+" не сочетаются с хэшем "+d.name)
	}
	return unfit("signature algorithm "+name+" is not known", "алгоритм подписи "+name+" не поддерживается")
}

// checkValue verifies the signature over the signed attributes.
func (c *cms) checkValue(cert *Certificate, octets Octets) error {
	if c.certHash != nil {
		if subtle.ConstantTimeCompare(digestOf(c.certDigest, cert.DER), c.certHash) != 1 {
			e := slip(ValueInvalid, "signing-certificate", "the signed attribute signingCertificateV2 names another certificate", "подписанный атрибут signingCertificateV2 называет другой сертификат")
			e.Certificate = cert
			return e
		}
	}
	if c.holds(cert, c.attributes, c.value) {
		return nil
	}
	// What is signed is the DER encoding of the attributes, whatever the encoding in
	// the message (RFC 5652, 5.4): some signers sort them for the one and not for the
	// other. The set is the same, so nothing else is signed by it.
	if sorted, ok := derSet(c.attributes); ok && c.holds(cert, sorted, c.value) {
		return nil
	}
	return &Error{Code: ValueInvalid, Detail: "the value does not match attributes and certificate", Certificate: cert, Slip: c.explainValue(cert, octets)}
}

// holds says whether value, in the form of CMS, signs octets.
func (c *cms) holds(cert *Certificate, octets, value []byte) bool {
	return c.holdsDigest(cert, digestOf(c.digest, octets), value)
}

func (c *cms) holdsDigest(cert *Certificate, sum, value []byte) bool {
	if p, ok := cert.key.(*ecdsaPublicKey); ok {
		var err error
		if value, err = ecdsaValue(p.k.Curve, value); err != nil {
			return false
		}
	}
	return cert.key.verify(c.method, sum, value)
}

// explainValue looks for the slip that would make the value right.
func (c *cms) explainValue(cert *Certificate, octets Octets) *Deviation {
	sum := digestOf(c.digest, c.attributes)
	switch p := cert.key.(type) {
	case *gostPublicKey:
		if d := p.otherForm(sum, c.value); d != nil {
			return d
		}
	case *ecdsaPublicKey:
		if p.verify(c.method, sum, c.value) {
			return &Deviation{Name: "value-form", English: "the ECDSA value is r || s, not a DER sequence", Russian: "значение ECDSA записано как r || s, а не последовательностью DER"}
		}
	}
	tagged := slices.Clone(c.attributes)
	tagged[0] = byte(context0)
	if c.holds(cert, tagged, c.value) {
		return &Deviation{Name: "attributes-tag", English: "the attributes were signed under their tag [0], not as a SET", Russian: "атрибуты подписаны с тегом [0], а не как SET"}
	}
	if sum, err := octets.digest(c.digest); err == nil && c.holdsDigest(cert, sum, c.value) {
		return &Deviation{Name: "attributes-not-signed", English: "the content itself was signed, not the attributes", Russian: "подписано само содержимое, а не атрибуты"}
	}
	return nil
}

// checkDigest compares the octets with what the attributes say of them.
func (c *cms) checkDigest(cert *Certificate, octets Octets) error {
	got, err := octets.digest(c.digest)
	if err != nil {
		return fmt.Errorf("digest of what is signed: %w", err)
	}
	if subtle.ConstantTimeCompare(got, c.wantDigest) == 1 {
		return nil
	}
	return &Error{Code: DigestMismatch, Detail: "the octets are not what was signed", Certificate: cert, Slip: c.explainDigest(got, octets)}
}

// explainDigest looks for the slip that would make the digest right.
func (c *cms) explainDigest(got []byte, octets Octets) *Deviation {
	d := &digests[c.digest]
	if len(c.wantDigest) != d.size {
		return &Deviation{Name: "digest-length", English: fmt.Sprintf("messageDigest has %d bytes, %s has %d", len(c.wantDigest), d.name, d.size), Russian: fmt.Sprintf("в messageDigest %d байт, у %s их %d", len(c.wantDigest), d.name, d.size)}
	}
	backwards := slices.Clone(got)
	slices.Reverse(backwards)
	if bytes.Equal(backwards, c.wantDigest) {
		return &Deviation{Name: "digest-reversed", English: "the octets of messageDigest are in reverse", Russian: "байты messageDigest записаны в обратном порядке"}
	}
	if octets.Digest != nil {
		return nil
	}
	text := octets.Bytes
	for _, s := range []struct {
		name, en, ru string
		octets       []byte
	}{
		{"signed-base64", "the base64 of the file was signed, not the file", "подписан текст base64, а не сам файл", []byte(base64.StdEncoding.EncodeToString(text))},
		{"signed-digest", "the digest of the file was signed as if it were the file", "подписан хэш файла, а не сам файл", got},
		{"line-ends-rewritten", "the file was signed with line ends CR LF", "файл подписан с концами строк CR LF", bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))},
		{"line-ends-rewritten", "the file was signed with line ends LF", "файл подписан с концами строк LF", bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))},
		{"empty", "nothing was signed: the digest is that of no octets", "подписан пустой файл", nil},
	} {
		if bytes.Equal(digestOf(c.digest, s.octets), c.wantDigest) {
			return &Deviation{Name: s.name, English: s.en, Russian: s.ru}
		}
	}
	return nil
}

// SignCMS makes a detached CMS signature over octets, in DER, with the signer's
// certificate, content type, message digest, time of signing, and the hash of
// the certificate (CAdES-BES).
func SignCMS(ctx context.Context, octets Octets, signer Signer, now time.Time) ([]byte, error) {
	cert := signer.Certificate()
	m := methodByURI(string(signer.Algorithm()))
	if m == nil {
		return nil, &Error{Code: SignerFailed, Detail: fmt.Sprintf("signature algorithm %q is not known", signer.Algorithm())}
	}
	d := digestByURI(string(m.digest))
	sum, err := octets.digest(d)
	if err != nil {
		return nil, fmt.Errorf("digest of what is to be signed: %w", err)
	}
	digestOID, keyOID := writtenCMS(m)
	attributes := signedAttributes(digestOID, sum, digestOf(d, cert.DER), now)
	value, err := signer.Sign(ctx, attributes)
	if err != nil {
		return nil, &Error{Code: SignerFailed, Detail: "the key's holder did not sign", Err: err}
	}
	if m.kind == ecdsaKey {
		value = appendECDSA(nil, value[:len(value)/2], value[len(value)/2:])
	}
	serial, err := asn1.Marshal(cert.X509.SerialNumber)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) { // ContentInfo
		b.AddASN1ObjectIdentifier(oidSignedData)
		b.AddASN1(context0, func(b *cryptobyte.Builder) {
			b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) { // SignedData
				b.AddASN1Int64(1)
				b.AddASN1(tag.SET, func(b *cryptobyte.Builder) { addAlgorithm(b, digestOID) })
				b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidData) })
				b.AddASN1(context0, func(b *cryptobyte.Builder) { b.AddBytes(cert.DER) })
				b.AddASN1(tag.SET, func(b *cryptobyte.Builder) {
					b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) { // SignerInfo
						b.AddASN1Int64(1)
						b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
							b.AddBytes(cert.X509.RawIssuer)
							b.AddBytes(serial)
						})
						addAlgorithm(b, digestOID)
						b.AddBytes(append([]byte{byte(context0)}, attributes[1:]...))
						addAlgorithm(b, keyOID)
						b.AddASN1OctetString(value)
					})
				})
			})
		})
	})
	return b.Bytes()
}

// writtenCMS are the identifiers that we write for a method: of its digest, and
// of its key or signature.
func writtenCMS(m *method) (digest, key asn1.ObjectIdentifier) {
	for _, d := range cmsDigests {
		if d.digest == m.digest {
			digest = d.oid
		}
	}
	for _, k := range cmsKeys {
		if key == nil && k.kind == m.kind && (k.digest == "" || k.digest == m.digest) {
			key = k.oid
		}
	}
	return digest, key
}

// addAlgorithm writes an AlgorithmIdentifier; RSA keys alone have NULL parameters.
func addAlgorithm(b *cryptobyte.Builder, oid asn1.ObjectIdentifier) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if strings.HasPrefix(oid.String(), "1.2.840.113549.1.1.") {
			b.AddASN1NULL()
		}
	})
}

// signedAttributes is the SET that is signed, in the order of DER.
func signedAttributes(digest asn1.ObjectIdentifier, sum, certHash []byte, now time.Time) []byte {
	attribute := func(oid asn1.ObjectIdentifier, value func(*cryptobyte.Builder)) []byte {
		var b cryptobyte.Builder
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1(tag.SET, value)
		})
		return b.BytesOrPanic()
	}
	list := [][]byte{
		attribute(oidContentType, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidData) }),
		attribute(oidMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(sum) }),
		attribute(oidSigningTime, func(b *cryptobyte.Builder) {
			if y := now.UTC().Year(); y >= 1950 && y < 2050 {
				b.AddASN1UTCTime(now.UTC())
			} else {
				b.AddASN1GeneralizedTime(now.UTC())
			}
		}),
		attribute(oidSigningCertV2, func(b *cryptobyte.Builder) {
			b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
						if cmsDigest(digest) != digestByURI(string(SHA256)) { // the default, which DER leaves out
							addAlgorithm(b, digest)
						}
						b.AddASN1OctetString(certHash)
					})
				})
			})
		}),
	}
	return setOf(list)
}

// setOf is the SET of elements in the order of DER.
func setOf(list [][]byte) []byte {
	slices.SortFunc(list, bytes.Compare)
	var b cryptobyte.Builder
	b.AddASN1(tag.SET, func(b *cryptobyte.Builder) {
		for _, a := range list {
			b.AddBytes(a)
		}
	})
	return b.BytesOrPanic()
}

// derSet puts the elements of a SET into the order of DER; it says false where they
// have that order already.
func derSet(set []byte) ([]byte, bool) {
	var list [][]byte
	var in, element cryptobyte.String
	whole := cryptobyte.String(set)
	if !whole.ReadASN1(&in, tag.SET) {
		return nil, false
	}
	for !in.Empty() {
		if !in.ReadAnyASN1Element(&element, new(tag.Tag)) {
			return nil, false
		}
		list = append(list, element)
	}
	sorted := setOf(list)
	return sorted, !bytes.Equal(sorted, set)
}

// ParseCMS takes a signature out of a file: PEM, base64 or DER.
func ParseCMS(file []byte) ([]byte, error) {
	file = plainText(file)
	if len(file) > 0 && file[0] == 0x30 {
		return file, nil
	}
	if block, _ := pem.Decode(file); block != nil {
		return block.Bytes, nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(file)), ""))
	if err != nil || len(der) == 0 {
		return nil, errors.New("neither DER nor base64 nor PEM")
	}
	return der, nil
}
