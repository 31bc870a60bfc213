package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"mezhved/envelopes/xmltape"
)

// benchContent is business content of about n bytes: Cyrillic names and values,
// attributes, a few references, no white space between elements in half of it.
func benchContent(n int) string {
	var b strings.Builder
	b.WriteString(`<r:Выписка xmlns:r="urn://mezhved/egrn/extract/1.0" xmlns:c="urn://mezhved/egrn/common/1.0">`)
	for i := 0; b.Len() < n-200; i++ {
		fmt.Fprintf(&b, `<r:Объект><c:КадастровыйНомер>77:01:%07d:%d</c:КадастровыйНомер><c:Площадь единица="кв.м">%d.5</c:Площадь>`, i*7919%10000000, i, 30+i%70)
		fmt.Fprintf(&b, "\n    <c:Адрес>г. Москва, ул. Тверская, д. %d, корп. 2 &quot;А&quot;</c:Адрес>\n    <r:Правообладатель>", i)
		fmt.Fprintf(&b, `<c:Наименование>ООО «Ромашка-%d» &amp; партнёры</c:Наименование><c:ИНН>77%08d</c:ИНН><c:Дата>2026-0%d-1%dT10:00:00+03:00</c:Дата></r:Правообладатель></r:Объект>`, i, i*31, 1+i%9, i%10)
	}
	b.WriteString(`</r:Выписка>`)
	return b.String()
}

var benchSizes = []int{4 << 10, 40 << 10, 200 << 10}

func BenchmarkTransform(b *testing.B) {
	for _, size := range benchSizes {
		doc, _ := request(benchContent(size))
		tape := parse(b, doc)
		target := tape.Root().First().First().Child(typesNS, "SenderProvidedRequestData")
		for _, form := range []Form{Woodstox, JDK} {
			b.Run(fmt.Sprintf("%s/%dK", form, size>>10), func(b *testing.B) {
				b.SetBytes(int64(len(target.Bytes())))
				b.ReportAllocs()
				for b.Loop() {
					if err := Transform(io.Discard, target, form); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkCanonicalize(b *testing.B) {
	for _, size := range benchSizes {
		doc, _ := request(benchContent(size))
		tape := parse(b, doc)
		target := tape.Root().First().First().Child(typesNS, "SenderProvidedRequestData")
		b.Run(fmt.Sprintf("%dK", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(target.Bytes())))
			b.ReportAllocs()
			for b.Loop() {
				if err := Canonicalize(io.Discard, Subset{Element: target}, Exclusive); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMessage parses and verifies a whole message, as the gateway does.
func BenchmarkMessage(b *testing.B) {
	for _, kind := range keyTypes {
		for _, size := range benchSizes {
			doc := []byte(signedRequest(b, benchContent(size), signer(b, kind)))
			v := verifier(b, Options{})
			b.Run(fmt.Sprintf("%s/%dK", kind, size>>10), func(b *testing.B) {
				tape := new(xmltape.Tape)
				b.SetBytes(int64(len(doc)))
				b.ReportAllocs()
				for b.Loop() {
					if err := tape.Parse(doc, xmltape.Limits{}); err != nil {
						b.Fatal(err)
					}
					if _, err := v.Verify(caller(tape)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, size := range benchSizes {
		doc := []byte(signedRequest(b, benchContent(size), signer(b, KeyECDSA256)))
		b.Run(fmt.Sprintf("%dK", size>>10), func(b *testing.B) {
			tape := new(xmltape.Tape)
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if err := tape.Parse(doc, xmltape.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReceipt signs the answer to a SendRequest: parse, transform, sign, splice.
func BenchmarkReceipt(b *testing.B) {
	receipt := []byte(`<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body><ns2:SendRequestResponse xmlns="` + basicNS + `" xmlns:ns2="` + typesNS + `"><ns2:MessageMetadata Id="SIGNED_BY_SMEV"><ns2:MessageId>db0486d0-3c08-11e5-95e2-d4c9eff07b77</ns2:MessageId><ns2:MessageType>REQUEST</ns2:MessageType><ns2:Sender><ns2:Mnemonic>500502_3T</ns2:Mnemonic></ns2:Sender><ns2:SendingTimestamp>2020-02-27T07:01:04.000+03:00</ns2:SendingTimestamp><ns2:Recipient><ns2:Mnemonic>FNSR01_3T</ns2:Mnemonic></ns2:Recipient><ns2:Status>requestIsQueued</ns2:Status></ns2:MessageMetadata><ns2:SMEVSignature></ns2:SMEVSignature></ns2:SendRequestResponse></S:Body></S:Envelope>`)
	slot := bytes.Index(receipt, []byte("</ns2:SMEVSignature>"))
	for _, kind := range keyTypes {
		b.Run(string(kind), func(b *testing.B) {
			s := Repeatable(signer(b, kind)) // as a gateway signs
			b.ReportAllocs()
			for b.Loop() {
				if _, err := SignInto(context.Background(), receipt, "SIGNED_BY_SMEV", slot, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBeside verifies one document, RSA-SHA256 over exclusive
// canonicalisation, detached by Id, with this package, with goxmldsig's
// canonicalizer under etree (goxmldsig's own Validate knows no detached
// signature), and with xmlsec1 where it is installed: parsing included, so the
// figures of one run can be set beside each other. xmlsec1 repeats inside one
// process; its start is left out.
func BenchmarkBeside(b *testing.B) {
	dir := b.TempDir()
	s := signer(b, KeyRSA2048)
	cert := writeFile(b, filepath.Join(dir, "c.pem"), s.Certificate().PEM())
	for _, size := range benchSizes {
		doc := `<r><m><t:T xmlns:t="urn:t" Id="T">` + benchContent(size) + `</t:T></m>%s</r>`
		signed := []byte(fmt.Sprintf(doc, foreignSignature(b, fmt.Sprintf(doc, ""), Exclusive, "", s)))
		name := fmt.Sprintf("%dK", size>>10)
		b.Run("ours/"+name, func(b *testing.B) {
			v := verifier(b, Options{})
			tape := new(xmltape.Tape)
			b.SetBytes(int64(len(signed)))
			for b.Loop() {
				if err := tape.Parse(signed, xmltape.Limits{}); err != nil {
					b.Fatal(err)
				}
				if _, err := v.VerifyForeign(tape.Root().Child(Namespace, "Signature")); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("goxmldsig/"+name, func(b *testing.B) {
			key := s.Certificate().X509.PublicKey.(*rsa.PublicKey)
			b.SetBytes(int64(len(signed)))
			for b.Loop() {
				goxmldsigVerify(b, signed, key)
			}
		})
		b.Run("xmlsec1/"+name, func(b *testing.B) {
			if _, err := exec.LookPath("xmlsec1"); err != nil {
				b.Skip("xmlsec1 is not installed")
			}
			file := writeFile(b, filepath.Join(dir, name+".xml"), signed)
			run := func(n int) time.Duration {
				begin := time.Now()
				cmd := exec.Command("xmlsec1", "--verify", "--repeat", fmt.Sprint(n), "--pubkey-cert-pem", cert, "--id-attr:Id", "urn:t:T", file)
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
				return time.Since(begin)
			}
			start := run(1)
			b.SetBytes(int64(len(signed)))
			b.ResetTimer()
			took := run(b.N+1) - start
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/op")
		})
	}
}

func goxmldsigVerify(b *testing.B, doc []byte, key *rsa.PublicKey) {
	tree := etree.NewDocument()
	if err := tree.ReadFromBytes(doc); err != nil {
		b.Fatal(err)
	}
	canonicalizer := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	target := tree.FindElement("//*[@Id='T']")
	octets, err := canonicalizer.Canonicalize(target.Copy())
	if err != nil {
		b.Fatal(err)
	}
	got := sha256.Sum256(octets)
	want := tree.FindElement("//DigestValue").Text()
	if base64.StdEncoding.EncodeToString(got[:]) != want {
		b.Fatal("digest")
	}
	octets, err = canonicalizer.Canonicalize(tree.FindElement("//SignedInfo").Copy())
	if err != nil {
		b.Fatal(err)
	}
	value, err := base64.StdEncoding.DecodeString(tree.FindElement("//SignatureValue").Text())
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256(octets)
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], value); err != nil {
		b.Fatal(err)
	}
}
