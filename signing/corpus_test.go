package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/envelopes/xmltape"
)

var update = flag.Bool("update", false, "make testdata/keys and testdata/signing/documents anew")

// The corpus is a folder of signed documents with their verdicts, for the tests of
// this package and for those of the command line. keys are its signers.
var corpusKeys = map[string]KeyType{"ecdsa": KeyECDSA256, "rsa": KeyRSA2048, "gost256": KeyGOST256, "gost512": KeyGOST512}

// corpusVerdict is what verdicts.json says of one document.
type corpusVerdict struct {
	Verdict    string   `json:"verdict"`
	Code       Code     `json:"code,omitempty"`
	Role       Role     `json:"role"`
	Form       string   `json:"writer_form,omitempty"`
	Deviations []string `json:"deviations,omitempty"`
}

var corpusNow = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func corpusDir(t testing.TB) string {
	return filepath.Join(repoRoot(t), "testdata", "signing", "documents")
}

// corpusSigner reads a key of testdata/keys. The files are open to everyone, as a
// repository's are, so they are not loaded as a gateway's key would be.
func corpusSigner(t testing.TB, name string) (Signer, *Identity) {
	t.Helper()
	dir := filepath.Join(repoRoot(t), "testdata", "keys")
	data, err := os.ReadFile(filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParsePrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := certificateFile(filepath.Join(dir, name+".crt"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(key, cert, "")
	if err != nil {
		t.Fatal(err)
	}
	return s, &Identity{cert, key}
}

func TestCorpus(t *testing.T) {
	if *update {
		makeKeys(t)
		makeCorpus(t)
	}
	dir := corpusDir(t)
	data, err := os.ReadFile(filepath.Join(dir, "verdicts.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]corpusVerdict
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	root, err := certificateFile(filepath.Join(repoRoot(t), "testdata", "keys", "root.crt"))
	if err != nil {
		t.Fatal(err)
	}
	gostRoot, err := certificateFile(filepath.Join(repoRoot(t), "testdata", "keys", "root-gost.crt"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := NewTrust(TrustOptions{Roots: []*Certificate{root, gostRoot}})
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, Options{Trust: trust})
	files, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil || len(files) != len(want) {
		t.Fatalf("%d documents, %d verdicts, %v", len(files), len(want), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := verdictsOf(t, v, doc)
		if fmt.Sprint(got) != fmt.Sprint(want[name]) {
			t.Errorf("%s: got %+v, want %+v", name, got, want[name])
		}
	}
}

func verdictsOf(t testing.TB, v *Verifier, doc []byte) []corpusVerdict {
	t.Helper()
	tape := new(xmltape.Tape)
	if err := tape.Parse(doc, xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	var out []corpusVerdict
	for _, x := range v.Explain(tape, corpusNow, 100) {
		c := corpusVerdict{Verdict: x.Verdict, Code: x.Code, Role: x.Role, Form: x.WriterForm}
		for _, d := range x.Deviations {
			c.Deviations = append(c.Deviations, d.Name)
		}
		out = append(out, c)
	}
	return out
}

// makeKeys makes a root for the usual keys and one for GOST, and an identity of
// each kind below it; all are valid from 2026 to 2046.
func makeKeys(t *testing.T) {
	dir := filepath.Join(repoRoot(t), "testdata", "keys")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	save := func(name string, id *Identity) {
		key, cert, err := id.PEM()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name+".key"), key, 0o644), os.WriteFile(filepath.Join(dir, name+".crt"), cert, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	authority := func(name string, kind KeyType) *TestCA {
		id, err := SelfSigned(TestSubject{CommonName: "Mezhved test root " + string(kind), Key: kind, CA: true, Lifetime: 20 * 365 * 24 * time.Hour}, begin)
		if err != nil {
			t.Fatal(err)
		}
		save(name, id)
		return &TestCA{id.Certificate, id.Key}
	}
	usual, gostCA := authority("root", KeyECDSA256), authority("root-gost", KeyGOST256)
	for name, kind := range corpusKeys {
		ca := usual
		if strings.HasPrefix(name, "gost") {
			ca = gostCA
		}
		id, err := ca.Issue(TestSubject{CommonName: "Информационная система " + name, Organization: "Администрация города", Key: kind, Lifetime: 19 * 365 * 24 * time.Hour}, begin)
		if err != nil {
			t.Fatal(err)
		}
		save(name, id)
	}
	stranger, err := SelfSigned(TestSubject{CommonName: "Посторонний", Lifetime: 19 * 365 * 24 * time.Hour}, begin)
	if err != nil {
		t.Fatal(err)
	}
	save("stranger", stranger)
	expired, err := usual.Issue(TestSubject{CommonName: "Просроченный", Lifetime: 30 * 24 * time.Hour}, begin)
	if err != nil {
		t.Fatal(err)
	}
	save("expired", expired)
}

// makeCorpus makes the documents and writes down their verdicts. Whoever runs it
// reads the difference before committing it.
func makeCorpus(t *testing.T) {
	dir := corpusDir(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	for name := range corpusKeys {
		s, _ := corpusSigner(t, name)
		docs["valid-"+name] = signedRequest(t, explainContent, s)
	}
	s, id := corpusSigner(t, "ecdsa")
	good := docs["valid-ecdsa"]
	value := between(good, "<ds:SignatureValue>", "</")
	stranger, _ := corpusSigner(t, "stranger")
	expired, _ := corpusSigner(t, "expired")
	plain, slot := request(explainContent)
	target := parse(t, plain).Root().First().First().Child(typesNS, "SenderProvidedRequestData")
	as := func(apply func(*deviant)) string {
		var d deviant
		apply(&d)
		m := methodByURI(string(s.Algorithm()))
		info := appendSignedInfo(nil, m, []byte("SIGNED_BY_CONSUMER"), digestOf(digestByURI(string(m.digest)), d.octets(target)))
		return string(Splice([]byte(plain), slot, assemble(t, info, s)))
	}
	tape := parse(t, good)
	sig, _ := caller(tape)
	der, err := ecdsa.SignASN1(rand.Reader, id.Key.(*ecdsa.PrivateKey), digestOf(digestByURI(string(SHA256)), canonicalOctets(sig.First(), Exclusive)))
	if err != nil {
		t.Fatal(err)
	}
	docs["jdk-writer"] = as(func(d *deviant) { d.escape = "jdk" })
	docs["escaping-missing"] = as(func(d *deviant) { d.escape = "canonical" })
	docs["prefix-order"] = as(func(d *deviant) { d.prefixes = "attributes-first" })
	docs["counter-restored"] = as(func(d *deviant) { d.counter = "restored" })
	docs["text-trimmed"] = as(func(d *deviant) { d.trim = "trim" })
	docs["pretty-printed"] = strings.ReplaceAll(good, "><ds:", ">\n  <ds:")
	docs["value-der"] = strings.Replace(good, value, b64(der), 1)
	docs["base64-wrapped-crlf"] = strings.Replace(good, value, value[:40]+"&#13;\n"+value[40:], 1)
	docs["content-changed"] = strings.Replace(good, "один", "одна", 1)
	docs["reencoded"] = strings.Replace(signedRequest(t, `<q:a xmlns:q="urn://q">Объект</q:a>`, s), "Объект", "РћР±СЉРµРєС‚", 1)
	docs["stranger"] = signedRequest(t, explainContent, stranger)
	docs["expired"] = signedRequest(t, explainContent, expired)
	docs["duplicate-id"] = strings.Replace(good, "<S:Body>", `<S:Body ID="SIGNED_BY_CONSUMER">`, 1)
	docs["wrong-target"] = strings.Replace(good, `Id="SIGNED_BY_CONSUMER"`, `Id="SOMETHING_ELSE"`, 1)
	docs["no-signature"] = plain
	docs["several-valid"] = holes(t, registry("1.3"), s, "C1", "R1", "R2", "PERSON", "SENDER", "SMEV")
	docs["several-inner-changed"] = strings.Replace(docs["several-valid"], `<q:a xmlns:q="urn://q">2</q:a>`, `<q:a xmlns:q="urn://q">3</q:a>`, 1)
	gost := docs["valid-gost256"]
	gostValue := between(gost, "<ds:SignatureValue>", "</")
	gostSig, _ := caller(parse(t, gost))
	var r structureReader
	st, err := r.read(gostSig)
	if err != nil {
		t.Fatal(err)
	}
	reversed := slices.Clone(st.value)
	slices.Reverse(reversed)
	docs["gost-reversed"] = strings.Replace(gost, gostValue, b64(reversed), 1)

	root, err := certificateFile(filepath.Join(repoRoot(t), "testdata", "keys", "root.crt"))
	if err != nil {
		t.Fatal(err)
	}
	gostRoot, err := certificateFile(filepath.Join(repoRoot(t), "testdata", "keys", "root-gost.crt"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := NewTrust(TrustOptions{Roots: []*Certificate{root, gostRoot}})
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, Options{Trust: trust})
	verdicts := map[string][]corpusVerdict{}
	for name, doc := range docs {
		if err := os.WriteFile(filepath.Join(dir, name+".xml"), []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		verdicts[name+".xml"] = verdictsOf(t, v, []byte(doc))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	if err := enc.Encode(verdicts); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "verdicts.json"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}
