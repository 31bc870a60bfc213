package signing

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"mezhved/signing/gost"
)

// gostResponse makes an OCSP response that a GOST key signs.
func gostResponse(t *testing.T, issuer *TestCA, serial *big.Int, revoked time.Time) []byte {
	t.Helper()
	return wrapResponse(t, basicResponse(t, issuer, serial, revoked, oidSHA1))
}

func wrapResponse(t *testing.T, basic []byte) []byte {
	t.Helper()
	der, err := asn1.Marshal(ocspEnvelope{Response: ocspBytes{oidOCSPBasic, basic}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func basicResponse(t *testing.T, issuer *TestCA, serial *big.Int, revoked time.Time, hash asn1.ObjectIdentifier) []byte {
	t.Helper()
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.Certificate.X509.RawSubjectPublicKeyInfo, &spki); err != nil {
		t.Fatal(err)
	}
	name, key := sha1.Sum(issuer.Certificate.X509.RawSubject), sha1.Sum(spki.Key.RightAlign())
	single := ocspSingle{
		ID:         ocspID{pkix.AlgorithmIdentifier{Algorithm: hash, Parameters: asn1.NullRawValue}, name[:], key[:], serial},
		ThisUpdate: testNow.Add(-time.Minute), NextUpdate: testNow.Add(time.Hour),
	}
	if revoked.IsZero() {
		single.Good = true
	} else {
		single.Revoked = ocspRevoked{At: revoked, Reason: 1}
	}
	responder, err := asn1.MarshalWithParams(key[:], "explicit,tag:2")
	if err != nil {
		t.Fatal(err)
	}
	tbs, err := asn1.Marshal(ocspData{Responder: asn1.RawValue{FullBytes: responder}, ProducedAt: testNow, Responses: []ocspSingle{single}})
	if err != nil {
		t.Fatal(err)
	}
	private := issuer.Key.(*gost.PrivateKey)
	h := private.PublicKey().Algorithm().NewHash()
	h.Write(tbs)
	value, err := private.Sign(rand.Reader, h.Sum(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	basic, err := asn1.Marshal(ocspBasic{TBS: asn1.RawValue{FullBytes: tbs}, Algorithm: pkix.AlgorithmIdentifier{Algorithm: private.PublicKey().Algorithm().SignatureOID()},
		Signature: asn1.BitString{Bytes: value, BitLength: 8 * len(value)}})
	if err != nil {
		t.Fatal(err)
	}
	return basic
}

// Russian responders sign with GOST keys.
func TestOCSPByGOST(t *testing.T) {
	for _, kind := range []KeyType{KeyGOST256, KeyGOST512} {
		p := newPKI(t, kind)
		leaf, mid := p.leaf.Certificate, p.mid.Certificate
		answer, err := parseOCSP(gostResponse(t, p.mid, leaf.X509.SerialNumber, time.Time{}), leaf, mid, testNow)
		if err != nil || answer.revoked {
			t.Errorf("%s: got %+v, %v, want good", kind, answer, err)
		}
		answer, err = parseOCSP(gostResponse(t, p.mid, leaf.X509.SerialNumber, testNow.Add(-time.Hour)), leaf, mid, testNow)
		if err != nil || !answer.revoked || !answer.revokedAt.Equal(testNow.Add(-time.Hour)) {
			t.Errorf("%s: got %+v, %v, want revoked", kind, answer, err)
		}
		if _, err := parseOCSP(gostResponse(t, p.mid, big.NewInt(7), time.Time{}), leaf, mid, testNow); err == nil {
			t.Errorf("%s: an answer about another certificate was taken", kind)
		}
		if _, err := parseOCSP(gostResponse(t, newPKI(t, kind).mid, leaf.X509.SerialNumber, time.Time{}), leaf, mid, testNow); err == nil {
			t.Errorf("%s: an answer of a stranger was taken", kind)
		}
		basic := basicResponse(t, p.mid, leaf.X509.SerialNumber, time.Time{}, oidSHA1)
		for name, bad := range map[string][]byte{
			"more after the response": append(wrapResponse(t, basic), 0), "more after the basic response": wrapResponse(t, append(basic[:len(basic):len(basic)], 0)), "nothing": nil, "half": wrapResponse(t, basic)[:40],
			"another hash": wrapResponse(t, basicResponse(t, p.mid, leaf.X509.SerialNumber, time.Time{}, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1})),
		} {
			if _, err := parseOCSP(bad, leaf, mid, testNow); err == nil {
				t.Errorf("%s: %s: taken", kind, name)
			}
		}
		der := gostResponse(t, p.mid, leaf.X509.SerialNumber, time.Time{})
		for i := range der {
			changed := append([]byte(nil), der...)
			changed[i] ^= 0x10
			if a, err := parseOCSP(changed, leaf, mid, testNow); err == nil && a.revoked {
				t.Errorf("%s: byte %d changed gives another answer", kind, i)
			}
		}
	}
}

// An answer is about a certificate when hash, serial number, and the issuer's
// name and key all say so.
func TestOCSPIdentifier(t *testing.T) {
	p := newPKI(t, KeyECDSA256)
	leaf, mid := p.leaf.Certificate, p.mid.Certificate
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(mid.X509.RawSubjectPublicKeyInfo, &spki); err != nil {
		t.Fatal(err)
	}
	name, key := sha1.Sum(mid.X509.RawSubject), sha1.Sum(spki.Key.RightAlign())
	good := ocspID{pkix.AlgorithmIdentifier{Algorithm: oidSHA1}, name[:], key[:], leaf.X509.SerialNumber}
	if !good.names(leaf, mid) {
		t.Fatal("the right identifier is not recognised")
	}
	for what, change := range map[string]func(*ocspID){
		"hash": func(id *ocspID) { id.Hash.Algorithm = asn1.ObjectIdentifier{1, 2, 3} }, "name": func(id *ocspID) { id.NameHash = key[:] },
		"key": func(id *ocspID) { id.KeyHash = name[:] }, "number": func(id *ocspID) { id.SerialNumber = big.NewInt(1) },
	} {
		id := good
		change(&id)
		if id.names(leaf, mid) {
			t.Errorf("another %s: taken for the certificate", what)
		}
	}
}

func FuzzOCSP(f *testing.F) {
	p := newPKI(f, KeyECDSA256)
	f.Add([]byte{0x30, 0x03, 0x0a, 0x01, 0x06})
	f.Fuzz(func(t *testing.T, der []byte) {
		if a, err := parseOCSP(der, p.leaf.Certificate, p.mid.Certificate, testNow); err == nil {
			t.Errorf("an answer that nobody signed was taken: %+v", a)
		}
	})
}

// A certificate that called for a year has an answer of each hour, and entries that were judged
// by each: every signature is verified once.
func TestKeptAnswersAreProvedOnce(t *testing.T) {
	p := newPKI(t, KeyECDSA256)
	leaf, mid := p.leaf.Certificate, p.mid.Certificate
	const hours = 4000
	var answers [][]byte
	for i := range hours {
		at := testNow.Add(time.Duration(i) * time.Hour)
		der, err := ocsp.CreateResponse(mid.X509, mid.X509, ocsp.Response{Status: ocsp.Good, SerialNumber: leaf.X509.SerialNumber, ThisUpdate: at, NextUpdate: at.Add(time.Hour)}, p.mid.Key)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, der)
	}
	kept, began := KeptRevocation(answers...), time.Now()
	for i := range hours {
		at := testNow.Add(time.Duration(i)*time.Hour + 30*time.Minute)
		decided, unchecked, err := kept.check(leaf, mid, at, at)
		if err != nil || unchecked != nil || !bytes.Equal(decided.DER, answers[i]) {
			t.Fatalf("hour %d: %v, %v, %v", i, decided, unchecked, err)
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%d questions have taken a minute", i+1)
		}
	}
}
