package gost

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"

	"mezhved/signing/internal/openssl"
)

// engineSets are the parameter sets as the engine names them.
var engineSets = []struct {
	algorithm, set string
	curve          *Curve
}{
	{"gost2012_256", "A", CurveCryptoProA},
	{"gost2012_256", "B", CurveCryptoProB},
	{"gost2012_256", "C", CurveCryptoProC},
	{"gost2012_256", "XA", CurveCryptoProXchA},
	{"gost2012_256", "XB", CurveCryptoProXchB},
	{"gost2012_256", "TCA", Curve256A},
	{"gost2012_256", "TCB", Curve256B},
	{"gost2012_256", "TCC", Curve256C},
	{"gost2012_256", "TCD", Curve256D},
	{"gost2012_512", "A", Curve512A},
	{"gost2012_512", "B", Curve512B},
	{"gost2012_512", "C", Curve512C},
}

func TestEngineDigests(t *testing.T) {
	e := openssl.WithGOST(t)
	var message []byte
	for length := 0; length < 400; length += 1 + length/3 {
		for len(message) < length {
			message = append(message, byte(255-len(message)*7))
		}
		e.File("message", message)
		for name, h := range map[string]interface {
			Write([]byte) (int, error)
			Sum([]byte) []byte
		}{
			"md_gost12_256": NewStreebog256(), "md_gost12_512": NewStreebog512(), "md_gost94": NewGOST94(),
		} {
			if name == "md_gost94" && length == 0 {
				continue // the openssl.Program hashes one block of zeros then; CryptoPro and others none
			}
			h.Write(message)
			want := string(bytes.Fields(e.Run("dgst", "-r", "-"+name, "message"))[0])
			if got := hex.EncodeToString(h.Sum(nil)); got != want {
				t.Errorf("%s of %d octets: %s, the openssl.Program has %s", name, length, got, want)
			}
		}
	}
}

// Signatures, keys, certificates and requests go both ways on every parameter
// set.
func TestEngineBothWays(t *testing.T) {
	e := openssl.WithGOST(t)
	message := []byte("Запрос сведений о правах на объект недвижимости")
	e.File("message", message)
	for _, v := range engineSets {
		t.Run(v.curve.Name(), func(t *testing.T) {
			e := e
			e.T = t
			digest := "-md_gost12_256"
			if v.curve.Size() == octets512 {
				digest = "-md_gost12_512"
			}

			// What the openssl.Program makes, we read.
			e.Run("genpkey", "-algorithm", v.algorithm, "-pkeyopt", "paramset:"+v.set, "-out", "theirs.pem")
			e.Run("pkey", "-in", "theirs.pem", "-pubout", "-out", "theirs.pub")
			key, err := parsePrivatePEM(e.Read("theirs.pem"))
			if err != nil {
				t.Fatal(err)
			}
			public, err := parsePublicPEM(e.Read("theirs.pub"))
			if err != nil {
				t.Fatal(err)
			}
			if !public.Equal(key.Public()) || public.Curve() != v.curve {
				t.Errorf("public key %x on %s, private key gives %x", public.Octets(), public.Curve().Name(), key.PublicKey().Octets())
			}
			e.Run("dgst", digest, "-sign", "theirs.pem", "-out", "theirs.sig", "message")
			if err := public.VerifyMessage(message, e.Read("theirs.sig")); err != nil {
				t.Errorf("the openssl.Program's signature: %v", err)
			}
			e.Run("req", "-x509", "-new", "-key", "theirs.pem", digest, "-subj", "/CN=theirs", "-days", "36500", "-out", "theirs.crt")
			theirs := parseCertificate(t, e.Read("theirs.crt"))
			if err := CheckSignatureFrom(theirs, theirs); err != nil {
				t.Errorf("the openssl.Program's certificate: %v", err)
			}

			// What we make, the openssl.Program reads.
			ours, err := GenerateKey(nil, v.curve)
			if err != nil {
				t.Fatal(err)
			}
			e.File("ours.pem", privatePEM(ours))
			e.File("ours.pub", publicPEM(ours.PublicKey()))
			derived, err := parsePublicPEM(e.Run("pkey", "-in", "ours.pem", "-pubout"))
			if err != nil || !derived.Equal(ours.Public()) {
				t.Errorf("the openssl.Program derives another public key: %v", err)
			}
			signature, err := ours.SignMessage(nil, message, nil)
			if err != nil {
				t.Fatal(err)
			}
			e.File("ours.sig", signature)
			if out := e.Run("dgst", digest, "-verify", "ours.pub", "-signature", "ours.sig", "message"); !bytes.Contains(out, []byte("Verified OK")) {
				t.Errorf("our signature: %s", out)
			}
			e.File("other", append(message, '.'))
			if out, err := e.Try("dgst", digest, "-verify", "ours.pub", "-signature", "ours.sig", "other"); err == nil {
				t.Errorf("our signature over another message: %s", out)
			}

			template := authorityTemplate("ours")
			der, err := CreateCertificate(nil, template, template, ours.Public(), ours)
			if err != nil {
				t.Fatal(err)
			}
			root := parseCertificate(t, der)
			e.File("ours.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
			leafKey := newSigned(t, Curve256A).key
			der, err = CreateCertificate(nil, &x509.Certificate{
				SerialNumber: big.NewInt(4), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: notBefore, NotAfter: notAfter,
			}, root, leafKey.Public(), ours)
			if err != nil {
				t.Fatal(err)
			}
			e.File("leaf.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
			at := fmt.Sprint(notBefore.AddDate(0, 1, 0).Unix())
			e.Run("verify", "-attime", at, "-check_ss_sig", "-CAfile", "ours.crt", "ours.crt", "leaf.crt")
			der, err = CreateRevocationList(nil, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: notBefore, NextUpdate: notAfter}, root, ours)
			if err != nil {
				t.Fatal(err)
			}
			e.File("ours.crl", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
			e.Run("crl", "-verify", "-noout", "-CAfile", "ours.crt", "-in", "ours.crl")
		})
	}
}

// Keys and certificates of 2001, which are only verified here.
func TestEngineGOST2001(t *testing.T) {
	e := openssl.WithGOST(t)
	message := bytes.Repeat([]byte("старое сообщение "), 20)
	e.File("message", message)
	for _, set := range []string{"A", "B", "C", "XA", "XB"} {
		e.Run("genpkey", "-algorithm", "gost2001", "-pkeyopt", "paramset:"+set, "-out", "old.pem")
		e.Run("pkey", "-in", "old.pem", "-pubout", "-out", "old.pub")
		e.Run("dgst", "-md_gost94", "-sign", "old.pem", "-out", "old.sig", "message")
		key, err := parsePublicPEM(e.Read("old.pub"))
		if err != nil {
			t.Fatal(err)
		}
		if key.Algorithm() != GOST2001 {
			t.Errorf("%s: key for %v", set, key.Algorithm())
		}
		if err := key.VerifyMessage(message, e.Read("old.sig")); err != nil {
			t.Errorf("%s: %v", set, err)
		}
		if err := key.VerifyMessage(message[1:], e.Read("old.sig")); err == nil {
			t.Errorf("%s: verifies over another message", set)
		}
		e.Run("req", "-x509", "-new", "-key", "old.pem", "-md_gost94", "-subj", "/CN=old", "-days", "36500", "-out", "old.crt")
		certificate := parseCertificate(t, e.Read("old.crt"))
		if err := CheckSignatureFrom(certificate, certificate); err != nil {
			t.Errorf("%s: certificate: %v", set, err)
		}
		if _, err := parsePrivatePEM(e.Read("old.pem")); err == nil {
			t.Errorf("%s: a private key of 2001 is taken", set)
		}
	}
}

// Many short signatures on one key each way, so that a nonce or a scalar with
// leading zeros comes up.
func TestEngineManySignatures(t *testing.T) {
	e := openssl.WithGOST(t)
	e.Run("genpkey", "-algorithm", "gost2012_256", "-pkeyopt", "paramset:TCA", "-out", "key.pem")
	e.Run("pkey", "-in", "key.pem", "-pubout", "-out", "key.pub")
	key, err := parsePrivatePEM(e.Read("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		message := make([]byte, 16)
		rand.Read(message)
		e.File("message", message)
		e.Run("dgst", "-md_gost12_256", "-sign", "key.pem", "-out", "sig", "message")
		if err := key.PublicKey().VerifyMessage(message, e.Read("sig")); err != nil {
			t.Errorf("signature %d of the openssl.Program over %x: %v", i, message, err)
		}
		signature, err := key.SignMessage(nil, message, nil)
		if err != nil {
			t.Fatal(err)
		}
		e.File("sig", signature)
		e.Run("dgst", "-md_gost12_256", "-verify", "key.pub", "-signature", "sig", "message")
	}
}
