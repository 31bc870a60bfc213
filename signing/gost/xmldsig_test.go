package gost

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// shared finds a file beside the repository and skips the test without it.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the package")
		}
		dir = filepath.Dir(dir)
	}
	content, err := os.ReadFile(filepath.Join(dir, "..", "shared", name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("the vectors are not here: no ../shared/%s beside the repository", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The signatures of xmlsec's test suite, made by another implementation of each
// algorithm: digest, signature value, key in a certificate that an RSA chain
// leads to.
func TestXMLDSigVectors(t *testing.T) {
	for _, v := range []struct {
		file      string
		algorithm Algorithm
	}{
		{"enveloped-gost2001.xml", GOST2001},
		{"enveloped-gost2012-256.xml", GOST256},
		{"enveloped-gost2012-512.xml", GOST512},
	} {
		t.Run(v.file, func(t *testing.T) {
			document := etree.NewDocument()
			if err := document.ReadFromBytes(shared(t, "vectors/xmldsig/aleksey-xmldsig-01/"+v.file)); err != nil {
				t.Fatal(err)
			}
			signature := document.FindElement("//Signature")
			octets := func(path string) []byte {
				t.Helper()
				text := strings.Join(strings.Fields(signature.FindElement(path).Text()), "")
				decoded, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					t.Fatal(err)
				}
				return decoded
			}
			canonical := func(element *etree.Element) []byte {
				t.Helper()
				text, err := dsig.MakeC14N10RecCanonicalizer().Canonicalize(element)
				if err != nil {
					t.Fatal(err)
				}
				return text
			}
			value := octets("SignatureValue")
			wantDigest := octets("SignedInfo/Reference/DigestValue")

			var chain []*x509.Certificate
			for _, element := range signature.FindElements("KeyInfo/X509Data/X509Certificate") {
				text := strings.Join(strings.Fields(element.Text()), "")
				der, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					t.Fatal(err)
				}
				chain = append(chain, parseCertificate(t, der))
			}
			root, authority, leaf := chain[0], chain[1], chain[2]
			for _, link := range [][2]*x509.Certificate{{leaf, authority}, {authority, root}, {root, root}} {
				if err := CheckSignatureFrom(link[0], link[1]); err != nil {
					t.Errorf("chain: %v", err)
				}
			}
			key, err := PublicKeyOf(leaf)
			if err != nil {
				t.Fatal(err)
			}
			if key.Algorithm() != v.algorithm {
				t.Fatalf("key for %v, want %v", key.Algorithm(), v.algorithm)
			}

			// SignedInfo stands in the namespace that Signature declares.
			info := signature.SelectElement("SignedInfo").Copy()
			info.CreateAttr("xmlns", signature.SelectAttrValue("xmlns", ""))
			signed := canonical(info)
			if err := key.VerifyMessage(signed, value); err != nil {
				t.Errorf("signature: %v", err)
			}
			if err := key.Precomputed().VerifyMessage(signed, value); err != nil {
				t.Errorf("signature, precomputed: %v", err)
			}
			h := v.algorithm.NewHash()
			h.Write(signed)
			digest := h.Sum(nil)
			if form := key.FormOf(digest, value); form != FormXMLDSig {
				t.Errorf("form %v", form)
			}
			if form := key.FormOf(digest, reversed(value)); form != FormReversed {
				t.Errorf("reversed: form %v", form)
			}
			if err := key.VerifyMessage(signed, reversed(value)); err == nil {
				t.Error("the reversed signature is taken")
			}
			if err := key.VerifyMessage(append(signed, ' '), value); !errors.Is(err, ErrMismatch) {
				t.Errorf("changed SignedInfo: %v, want ErrMismatch", err)
			}

			signature.Parent().RemoveChild(signature)
			h.Reset()
			h.Write(canonical(document.Root()))
			if got := h.Sum(nil); !bytes.Equal(got, wantDigest) {
				t.Errorf("digest %x, want %x", got, wantDigest)
			}
		})
	}
}

// The constants of the package are those that were checked beside it.
func TestParametersAgainstShared(t *testing.T) {
	text := string(shared(t, "vectors/gost/parameters.json"))
	for _, c := range Curves() {
		if !strings.Contains(text, `"`+c.OID().String()+`"`) {
			t.Errorf("%s: %v is not in the parameters", c.Name(), c.OID())
		}
	}
	for _, p := range everyParameters {
		for _, number := range [][]byte{p.p, p.q, p.a, p.b, p.x, p.y} {
			if hexed := hexOf(number); !strings.Contains(text, `"`+hexed+`"`) {
				t.Errorf("%s is not in the parameters", hexed)
			}
		}
	}
}
