//go:build pkcs11

package signing

import (
	"context"
	"crypto"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/miekg/pkcs11"

	"mezhved/signing/gost"
)

// Mechanisms of GOST R 34.10-2012 are vendors' codes; these are Rutoken's.
const (
	ckmGOST256 = 0x00001201 // CKM_GOSTR3410: takes the digest
	ckmGOST512 = 0xD4321006 // CKM_GOSTR3410_512
)

// pkcs11Sessions is how many signatures one token makes at a time.
const pkcs11Sessions = 4

// digestInfo goes before a digest that CKM_RSA_PKCS signs (RFC 8017, 9.2).
var digestInfo = map[crypto.Hash][]byte{
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
	crypto.SHA384: {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30},
	crypto.SHA512: {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40},
}

// tokenSigner signs on a PKCS#11 token. Its sessions wait in a channel.
type tokenSigner struct {
	ctx      *pkcs11.Ctx
	sessions chan pkcs11.SessionHandle
	key      pkcs11.ObjectHandle
	cert     *Certificate
	method   *method
}

// modules are loaded once per process: a second C_Initialize is an error.
var (
	modulesMu sync.Mutex
	modules   = map[string]*pkcs11.Ctx{}
)

func loadModule(path string) (*pkcs11.Ctx, error) {
	modulesMu.Lock()
	defer modulesMu.Unlock()
	if c := modules[path]; c != nil {
		return c, nil
	}
	c := pkcs11.New(path)
	if c == nil {
		return nil, fmt.Errorf("PKCS#11 module %s cannot be loaded", path)
	}
	if err := c.Initialize(); err != nil {
		return nil, fmt.Errorf("PKCS#11 module %s: %w", path, err)
	}
	modules[path] = c
	return c, nil
}

func loadPKCS11(src KeySource) (Signer, error) {
	p := src.PKCS11
	id, err := hex.DecodeString(p.ID)
	if err != nil {
		return nil, fmt.Errorf("PKCS#11 key id %q is no hexadecimal number", p.ID)
	}
	if p.Label == "" && len(id) == 0 {
		return nil, errors.New("PKCS#11: the key needs a label or an id")
	}
	pin, err := readSecret(p.PINFile)
	if err != nil {
		return nil, fmt.Errorf("PKCS#11 PIN: %w", err)
	}
	c, err := loadModule(p.Module)
	if err != nil {
		return nil, err
	}
	slot, err := findToken(c, p.Token)
	if err != nil {
		return nil, err
	}
	s := &tokenSigner{ctx: c, sessions: make(chan pkcs11.SessionHandle, pkcs11Sessions)}
	for range pkcs11Sessions {
		session, err := c.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
		if err != nil {
			return nil, fmt.Errorf("PKCS#11 token %s: %w", p.Token, err)
		}
		s.sessions <- session
	}
	session := <-s.sessions
	defer func() { s.sessions <- session }()
	err = c.Login(session, pkcs11.CKU_USER, strings.TrimRight(string(pin), "\r\n"))
	if err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
		return nil, fmt.Errorf("PKCS#11 token %s: login: %w", p.Token, err)
	}
	if s.key, err = findObject(c, session, pkcs11.CKO_PRIVATE_KEY, p.Label, id); err != nil {
		return nil, err
	}
	if s.cert, err = tokenCertificate(c, session, src, id); err != nil {
		return nil, err
	}
	return s, s.choose(src.Algorithm)
}

func (s *tokenSigner) choose(algorithm Algorithm) error {
	if s.cert.key == nil {
		return fmt.Errorf("PKCS#11: certificate: %w", s.cert.keyErr)
	}
	if algorithm == "" {
		algorithm = defaultAlgorithm(s.cert.key.kind())
	}
	if s.method = methodByURI(string(algorithm)); s.method == nil || s.method.kind != s.cert.key.kind() {
		return fmt.Errorf("PKCS#11: algorithm %s does not fit a key %s", algorithm, s.cert.key)
	}
	// One signature now tells whether key and certificate belong together.
	_, err := s.Sign(context.Background(), []byte("key check"))
	return err
}

func findToken(c *pkcs11.Ctx, label string) (uint, error) {
	slots, err := c.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("PKCS#11: listing tokens: %w", err)
	}
	for _, slot := range slots {
		info, err := c.GetTokenInfo(slot)
		if err == nil && (label == "" || strings.TrimRight(info.Label, " \x00") == label) {
			return slot, nil
		}
	}
	return 0, fmt.Errorf("PKCS#11: no token %q among %d", label, len(slots))
}

func findObject(c *pkcs11.Ctx, session pkcs11.SessionHandle, class uint, label string, id []byte) (pkcs11.ObjectHandle, error) {
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}
	if label != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
	}
	if len(id) > 0 {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, id))
	}
	if err := c.FindObjectsInit(session, template); err != nil {
		return 0, fmt.Errorf("PKCS#11: looking for an object: %w", err)
	}
	defer c.FindObjectsFinal(session)
	found, _, err := c.FindObjects(session, 2)
	switch {
	case err != nil:
		return 0, fmt.Errorf("PKCS#11: looking for an object: %w", err)
	case len(found) == 0:
		return 0, fmt.Errorf("PKCS#11: no object of class %d, label %q, id %x", class, label, id)
	case len(found) > 1:
		return 0, fmt.Errorf("PKCS#11: several objects of class %d, label %q, id %x: name one by its id", class, label, id)
	}
	return found[0], nil
}

// tokenCertificate takes the certificate from the configured file or the token.
func tokenCertificate(c *pkcs11.Ctx, session pkcs11.SessionHandle, src KeySource, id []byte) (*Certificate, error) {
	if src.Certificate != "" {
		return certificateFile(src.Certificate)
	}
	object, err := findObject(c, session, pkcs11.CKO_CERTIFICATE, src.PKCS11.Label, id)
	if err != nil {
		return nil, err
	}
	attrs, err := c.GetAttributeValue(session, object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
	if err != nil {
		return nil, fmt.Errorf("PKCS#11: reading the certificate: %w", err)
	}
	return ParseCertificate(attrs[0].Value)
}

func (s *tokenSigner) Certificate() *Certificate { return s.cert }
func (s *tokenSigner) Algorithm() Algorithm      { return s.method.uri }

// Sign has the token sign the digest, and verifies what comes back: modules
// differ in the order of a GOST value, and a token may hold another key than the
// certificate's.
func (s *tokenSigner) Sign(ctx context.Context, octets []byte) ([]byte, error) {
	var session pkcs11.SessionHandle
	select {
	case session = <-s.sessions:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { s.sessions <- session }()
	digest := digestOf(digestByURI(string(s.method.digest)), octets)
	mechanism, input, err := s.mechanism(digest)
	if err != nil {
		return nil, err
	}
	if err := s.ctx.SignInit(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, s.key); err != nil {
		return nil, fmt.Errorf("PKCS#11: %w", err)
	}
	value, err := s.ctx.Sign(session, input)
	if err != nil {
		return nil, fmt.Errorf("PKCS#11: %w", err)
	}
	if key, ok := s.cert.key.(*gostPublicKey); ok {
		value = normaliseGOST(key, digest, value)
	}
	if !s.cert.key.verify(s.method, digest, value) {
		return nil, errors.New("PKCS#11: the value does not verify with the certificate: another key, or another form of value")
	}
	return value, nil
}

func (s *tokenSigner) mechanism(digest []byte) (mechanism uint, input []byte, err error) {
	switch s.method.kind {
	case rsaKey:
		prefix, ok := digestInfo[s.method.hash]
		if !ok {
			return 0, nil, fmt.Errorf("PKCS#11: no DigestInfo for %s", s.method.name)
		}
		return pkcs11.CKM_RSA_PKCS, append(append([]byte(nil), prefix...), digest...), nil
	case ecdsaKey:
		return pkcs11.CKM_ECDSA, digest, nil
	case gost2012Key256:
		return ckmGOST256, digest, nil
	case gost2012Key512:
		return ckmGOST512, digest, nil
	}
	return 0, nil, fmt.Errorf("PKCS#11: %s is not offered", s.method.name)
}

// normaliseGOST puts a token's value into the order of XMLDSig.
func normaliseGOST(key *gostPublicKey, digest, value []byte) []byte {
	half := len(value) / 2
	switch key.k.FormOf(digest, value) {
	case gost.FormReversed:
		return reversedBytes(value)
	case gost.FormSwapped:
		return append(append([]byte(nil), value[half:]...), value[:half]...)
	case gost.FormSwappedReversed:
		return append(reversedBytes(value[:half]), reversedBytes(value[half:])...)
	case gost.FormDER:
		var n struct{ A, B asn1.RawValue }
		if _, err := asn1.Unmarshal(value, &n); err != nil {
			return value
		}
		size := key.k.Curve().Size()
		out := make([]byte, 2*size)
		r, s := trimZeros(n.A.Bytes), trimZeros(n.B.Bytes)
		if len(r) > size || len(s) > size {
			return value
		}
		copy(out[size-len(s):], s)
		copy(out[2*size-len(r):], r)
		return out
	}
	return value
}

func reversedBytes(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[len(b)-1-i] = c
	}
	return out
}
