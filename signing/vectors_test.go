package signing

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

// outcomeOf tries a vector under VerifyForeign with every algorithm of the table
// allowed, legacy ones too, and gives "verifies", "no signature" or the code of
// the refusal, the gate's with "gate: " before it.
func outcomeOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tape := new(xmltape.Tape)
	if err := tape.Parse(data, xmltape.Limits{}); err != nil {
		var e *xmltape.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		return "gate: " + string(e.Code)
	}
	var all []Algorithm
	for _, m := range methods {
		all = append(all, m.uri)
	}
	sig := firstSignature(tape)
	if !sig.Valid() {
		return "no signature"
	}
	if _, err = verifier(t, Options{SignatureOnly: true, Algorithms: all}).VerifyForeign(sig); err == nil {
		return "verifies"
	}
	return string(code(err))
}

func firstSignature(tape *xmltape.Tape) xmltape.Node {
	for i := range tape.Tokens {
		if n := tape.NodeAt(i); n.Is(Namespace, "Signature") {
			return n
		}
	}
	return xmltape.Node{}
}

var tableRow = regexp.MustCompile("(?m)^\\| `([^`]+\\.xml)` \\| ([^|]+) \\| ([^|]+) \\|$")

// The table in docs/signatures.md says of every vector whether it verifies or by
// which rule it is refused; this test holds it to that.
func TestVectorsTable(t *testing.T) {
	root := sharedFile(t, "vectors", "xmldsig")
	doc, err := os.ReadFile(filepath.Join(repoRoot(t), "docs", "signatures.md"))
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for _, row := range tableRow.FindAllSubmatch(doc, -1) {
		table[string(row[1])] = strings.TrimSpace(string(row[2]))
		if len(bytes.TrimSpace(row[3])) == 0 {
			t.Errorf("%s: the table gives no reason", row[1])
		}
	}
	found, verified := 0, 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".xml" {
			return err
		}
		found++
		rel, _ := filepath.Rel(root, path)
		got, want := outcomeOf(t, path), table[filepath.ToSlash(rel)]
		if got != want {
			t.Errorf("%s: got %q, the table says %q", rel, got, want)
		}
		if got == "verifies" {
			verified++
		}
		delete(table, filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range table {
		t.Errorf("%s is in the table and not among the vectors", name)
	}
	t.Logf("%d vectors, %d verify", found, verified)
}

// A vector that verifies stops verifying when one character of what it covers
// changes.
func TestVectorsChanged(t *testing.T) {
	root := sharedFile(t, "vectors", "xmldsig")
	data, err := os.ReadFile(filepath.Join(root, "aleksey-xmldsig-01", "enveloped-gost2012-256.xml"))
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, Options{SignatureOnly: true})
	for old, want := range map[string]Code{"Hello": DigestMismatch, "REC-xml-c14n": BadAlgorithm, "TA0on": ValueInvalid, "/4PGJ": ValueInvalid, "not(ancestor": BadAlgorithm} {
		tape := parse(t, strings.Replace(string(data), old, "h"+old[1:], 1))
		if _, err := v.VerifyForeign(firstSignature(tape)); code(err) != want {
			t.Errorf("%s changed: got %v, want %s", old, err, want)
		}
	}
}

// The canonical octets that the exclusive canonicalisation example of the interop
// suite gives for each of its references, which are by Id and without XPath.
func TestExclusiveOutputs(t *testing.T) {
	path := sharedFile(t, "vectors", "xmldsig", "santuario-c14n", "interop", "c14n", "Y1")
	data, err := os.ReadFile(filepath.Join(path, "exc-signature.xml"))
	if err != nil {
		t.Fatal(err)
	}
	tape := parse(t, string(data))
	var ids idIndex
	target, err := ids.only(tape, []byte("to-be-signed"))
	if err != nil || !target.Valid() {
		t.Fatal(target.Valid(), err)
	}
	i := 0
	for ref := range firstSignature(tape).Child(Namespace, "SignedInfo").Children() {
		if ref.Local() != "Reference" {
			continue
		}
		want, err := os.ReadFile(filepath.Join(path, fmt.Sprintf("c14n-%d.txt", i)))
		if err != nil {
			t.Fatal(err)
		}
		method, prefixes, err := readC14N(ref.Child(Namespace, "Transforms").First())
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := Canonicalize(&got, Subset{Element: target, Prefixes: prefixes}, method); err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("reference %d, %s, prefixes %q:\ngot  %q\nwant %q", i, method.URI(), prefixes, got.String(), want)
		}
		i++
	}
	if i != 4 {
		t.Errorf("%d outputs compared, want 4", i)
	}
}

// What is refused for SHA-1 or SHA-224 alone would verify otherwise: the rest of
// the work is done right on these files too.
func TestVectorsBehindThePolicy(t *testing.T) {
	root := sharedFile(t, "vectors", "xmldsig")
	const dsig, more = "http://www.w3.org/2000/09/xmldsig#", "http://www.w3.org/2001/04/xmldsig-more#"
	oldMethods, oldDigests := methods, digests
	t.Cleanup(func() { methods, digests = oldMethods, oldDigests })
	methods = append(slices.Clone(methods),
		method{uri: dsig + "rsa-sha1", name: "RSA-SHA1", digest: dsig + "sha1", kind: rsaKey, hash: crypto.SHA1},
		method{uri: more + "rsa-sha224", name: "RSA-SHA224", digest: more + "sha224", kind: rsaKey, hash: crypto.SHA224},
		method{uri: more + "ecdsa-sha1", name: "ECDSA-SHA1", digest: dsig + "sha1", kind: ecdsaKey})
	digests = append(slices.Clone(digests),
		digestMethod{uri: dsig + "sha1", name: "SHA-1", size: 20, new: sha1.New},
		digestMethod{uri: more + "sha224", name: "SHA-224", size: 28, new: sha256.New224})
	for file, want := range map[string]string{
		"aleksey-xmldsig-01/enveloping-sha1-rsa-sha1.xml":               "verifies",
		"aleksey-xmldsig-01/enveloping-sha224-rsa-sha224.xml":           "verifies",
		"aleksey-xmldsig-01/enveloping-sha1-ecdsa-sha1.xml":             "verifies",
		"aleksey-xmldsig-01/enveloping-rsa-x509chain.xml":               "verifies",
		"aleksey-xmldsig-01/enveloping-expired-cert.xml":                "verifies",
		"phaos-xmldsig-three/signature-rsa-enveloped.xml":               "key-unfit",           // 1024 bits
		"phaos-xmldsig-three/signature-rsa-detached-xslt-transform.xml": "certificate-missing", // KeyValue
	} {
		if got := outcomeOf(t, filepath.Join(root, filepath.FromSlash(file))); got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
}
