package protocol

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/signing"
	"mezhved/signing/tsatest"
)

var made = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// a version's folder with everything that a protocol is over.
func version(t *testing.T) Version {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"service.yaml": "title: Проба\n", "s.xsd": "<schema/>", "samples/request.xml": "<a/>", "samples/invalid/no.xml": "<!-- refused by cvc-type: так нельзя -->\n<b/>",
		"reference/one/request.xml": "<a/>", "scenarios/yes.yaml": "answer: yes\n", "samples/.hidden": "x",
	} {
		write(t, dir, name, text)
	}
	return Version{Dir: dir, Service: "probe", Version: "1.1.0", Request: "{urn:p}A", Response: "{urn:p}B", Schema: strings.Repeat("ab", 32),
		Rules:  Rules{[]Setting{{"personalSignature", "required"}, {"routing.xpath", "/A/B"}}, []Edition{{"regions", "2026-01", strings.Repeat("ef", 32)}}},
		Before: &Before{Version: "1.0.0", Schema: strings.Repeat("cd", 32)}}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(text), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// document is a protocol of a version that passed.
func document(t *testing.T, v Version) *Document {
	t.Helper()
	files, err := Take(v.Dir)
	must(t, err)
	return &Document{
		Form: Form, Service: v.Service, Version: v.Version, Title: "Проба <пера> & «кавычки»\u2028", Request: v.Request, Response: v.Response, Schema: v.Schema, Files: files, Digest: files.Digest(), Settings: v.Rules.Settings, Dictionaries: v.Rules.Dictionaries,
		Before:       &Before{Version: v.Before.Version, Schema: v.Before.Schema, Changes: 1, Breaking: []string{}},
		Participants: []Participant{{Operator, "OP", "Оператор"}, {Provider, "REG", "Реестр"}, {Caller, "MFC", "МФЦ"}},
		Cases:        []Case{{Sample, "samples/request.xml", "принято", "принято", true, 12}}, Defects: []Defect{}, Passed: true, Made: made, Millis: 12, Program: "mezhved test",
	}
}

type person struct {
	signer signing.Signer
	Signer
}

func participant(t *testing.T, name string, key signing.KeyType, at time.Time) person {
	t.Helper()
	id, err := signing.SelfSigned(signing.TestSubject{CommonName: name, Key: key, Lifetime: 365 * 24 * time.Hour}, at)
	must(t, err)
	s, err := id.Signer()
	must(t, err)
	return person{s, Signer{name, [][32]byte{id.Certificate.SHA256}}}
}

func flaws(s *Standing) (out []string) {
	for _, f := range s.Flaws {
		out = append(out, f.String())
	}
	return out
}

// A document has one writing: whatever is changed in it makes another document, or none.
func TestOneWriting(t *testing.T) {
	src := document(t, version(t)).Encode()
	d, err := Parse(src)
	must(t, err)
	if !bytes.Equal(d.Encode(), src) || !bytes.Contains(src, []byte("«кавычки»\u2028")) || !bytes.Contains(src, []byte("<пера> & ")) {
		t.Errorf("written again: %s", d.Encode())
	}
	for _, other := range [][]byte{
		append([]byte(" "), src...), append(slices.Clone(src), '\n'), bytes.Replace(src, []byte(`"passed":true`), []byte(`"passed": true`), 1),
		bytes.Replace(src, []byte(`"passed":true`), []byte(`"passed":true,"passed":true`), 1), bytes.Replace(src, []byte(`"passed":true`), []byte(`"passed":true,"more":1`), 1),
		bytes.Replace(src, []byte(`"millis":12`), []byte(`"millis":12.0`), 1), bytes.Replace(src, []byte("Проба"), []byte(`\u041fроба`), 1),
		bytes.Replace(src, []byte(Form), []byte("mezhved-protocol/9"), 1), append(slices.Clone(src), src...),
	} {
		if _, err := Parse(other); err == nil {
			t.Errorf("taken: %.80q", other)
		}
	}
	for i := range src {
		changed := slices.Clone(src)
		changed[i] ^= 1
		if d, err := Parse(changed); err == nil && !bytes.Equal(d.Encode(), changed) {
			t.Fatalf("byte %d: read, and written otherwise", i)
		}
	}
}

// The protocol that all have signed holds; a byte, a file, a signature, a key that is
// not what it was, is named.
func TestWhatHolds(t *testing.T) {
	v := version(t)
	op, reg := participant(t, "OP", signing.KeyECDSA256, made), participant(t, "REG", signing.KeyGOST256, made)
	v.Signers = []Signer{op.Signer, reg.Signer}
	if s := Examine(v); s.Holds() || !slices.Contains(flaws(s), "protocol/protocol.json: there is no test protocol: make one with mezhved services test") {
		t.Errorf("without a protocol: %v", flaws(s))
	}
	d := document(t, v)
	must(t, Write(v.Dir, d))
	ctx := context.Background()
	must(t, Sign(ctx, v.Dir, "OP", op.signer, made.Add(time.Hour)))
	if got := flaws(Examine(v)); len(got) != 1 || !strings.Contains(got[0], "REG.p7s: REG has not signed") {
		t.Errorf("signed by one of two: %v", got)
	}
	must(t, Sign(ctx, v.Dir, "REG", reg.signer, made.Add(time.Hour)))
	s := Examine(v)
	if !s.Holds() || len(s.Signatures) != 2 || s.Digest != DigestOf(d.Encode()) {
		t.Fatalf("signed by both: %v", flaws(s))
	}
	page, err := os.ReadFile(filepath.Join(v.Dir, "protocol", FileHTML))
	must(t, err)
	for _, want := range []string{"Протокол испытаний", "Проба &lt;пера&gt;", s.Digest, "CN=REG", "samples/invalid/no.xml", d.Digest, "20.11.2026 13:00"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not have %q", want)
		}
	}
	for _, c := range []struct {
		name, want string
		change     func(*Version)
	}{
		{"a byte of a sample", "samples/request.xml: was changed", func(v *Version) { write(t, v.Dir, "samples/request.xml", "<a />") }},
		{"a byte of the schema", "s.xsd: was changed", func(v *Version) { write(t, v.Dir, "s.xsd", "<schema />") }},
		{"a byte of a scenario", "scenarios/yes.yaml: was changed", func(v *Version) { write(t, v.Dir, "scenarios/yes.yaml", "answer: no\n") }},
		{"a sample more", "samples/invalid/more.xml: was added", func(v *Version) { write(t, v.Dir, "samples/invalid/more.xml", "<c/>") }},
		{"a sample less", "samples/invalid/no.xml: was there", func(v *Version) { must(t, os.Remove(filepath.Join(v.Dir, "samples/invalid/no.xml"))) }},
		{"schemas put together otherwise", "service.yaml: the schema is put together", func(v *Version) { v.Schema = strings.Repeat("00", 32) }},
		{"a setting", "service.yaml: personalSignature was changed", func(v *Version) {
			v.Rules.Settings = []Setting{{"personalSignature", "optional"}, v.Rules.Settings[1]}
		}},
		{"a setting more", "service.yaml: codes was added", func(v *Version) { v.Rules.Settings = append(slices.Clone(v.Rules.Settings), Setting{"codes", "x"}) }},
		{"a setting less", "service.yaml: routing.xpath was there", func(v *Version) { v.Rules.Settings = v.Rules.Settings[:1] }},
		{"a byte of a dictionary", "service.yaml: the dictionary regions 2026-01 was changed", func(v *Version) {
			v.Rules.Dictionaries = []Edition{{"regions", "2026-01", strings.Repeat("00", 32)}}
		}},
		{"another edition of a dictionary", "service.yaml: the dictionary regions 2026-02 was added", func(v *Version) {
			v.Rules.Dictionaries = []Edition{{"regions", "2026-02", strings.Repeat("ef", 32)}}
		}},
		{"settings that were edited away by a form of before", "has no settings and dictionaries", func(v *Version) {
			edited := *d
			edited.Form = FormFiles
			write(t, v.Dir, "protocol/protocol.json", string(edited.Encode()))
		}},
		{"another root", "service.yaml: the roots are others", func(v *Version) { v.Request = "{urn:p}C" }},
		{"no comparison with the version before", "was not compared with that of version 1.0.0", func(v *Version) {
			first := *d
			first.Before = nil
			write(t, v.Dir, "protocol/protocol.json", string(first.Encode()))
		}},
		{"a case that was edited", "case 1 has not passed", func(v *Version) {
			edited := *d
			edited.Cases = slices.Clone(d.Cases)
			edited.Cases[0].Passed = false
			write(t, v.Dir, "protocol/protocol.json", string(edited.Encode()))
		}},
		{"a digest of other files", "its digest is not that of the files", func(v *Version) {
			edited := *d
			edited.Digest = strings.Repeat("00", 32)
			write(t, v.Dir, "protocol/protocol.json", string(edited.Encode()))
		}},
		{"a folder of another version", "is of probe 1.1.0", func(v *Version) { v.Version = "1.2.0" }},
		{"a key that is registered no more", "OP.p7s: is signed with a certificate (CN=OP", func(v *Version) {
			v.Signers = []Signer{{"OP", [][32]byte{participant(t, "OP", signing.KeyECDSA256, made).Certificates[0]}}, reg.Signer}
		}},
		{"somebody else's signature", "REG.p7s: is signed with a certificate", func(v *Version) {
			src, err := os.ReadFile(filepath.Join(v.Dir, "protocol/OP.p7s"))
			must(t, err)
			write(t, v.Dir, "protocol/REG.p7s", string(src))
		}},
		{"signed before the certificate was valid", "OP.p7s: is signed outside the dates", func(v *Version) {
			must(t, Sign(ctx, v.Dir, "OP", op.signer, made.AddDate(0, 0, -2)))
		}},
		{"signed before the protocol was made", "OP.p7s: is signed before the protocol was made", func(v *Version) {
			later := *d
			later.Made = made.AddDate(0, 0, 3)
			write(t, v.Dir, "protocol/protocol.json", string(later.Encode()))
			must(t, Sign(ctx, v.Dir, "OP", op.signer, made.AddDate(0, 0, 1)))
		}},
		{"samples behind a link to a folder that is passed over", "is a link to a folder", func(v *Version) {
			must(t, os.Rename(filepath.Join(v.Dir, "samples"), filepath.Join(v.Dir, "_samples")))
			must(t, os.Symlink("_samples", filepath.Join(v.Dir, "samples")))
		}},
		{"no signature at all", "OP.p7s: the signature does not hold", func(v *Version) { write(t, v.Dir, "protocol/OP.p7s", "nothing") }},
		{"a byte of the protocol", "OP.p7s: the signature does not hold", func(v *Version) {
			more := *d
			more.Millis++
			write(t, v.Dir, "protocol/protocol.json", string(more.Encode()))
		}},
		{"tests that were not passed", "the tests were not passed", func(v *Version) {
			bad := *d
			bad.Passed, bad.Defects = false, []Defect{{Case: 1, File: "samples/request.xml", Rule: "r", Text: "t"}}
			write(t, v.Dir, "protocol/protocol.json", string(bad.Encode()))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := v
			changed.Dir = t.TempDir()
			must(t, os.CopyFS(changed.Dir, os.DirFS(v.Dir)))
			c.change(&changed)
			s := Examine(changed)
			if s.Holds() || !strings.Contains(strings.Join(flaws(s), "\n"), c.want) {
				t.Errorf("got %v, want %q", flaws(s), c.want)
			}
		})
	}
	t.Run("another version before, or another as it was, does not take it out of use", func(t *testing.T) {
		for want, before := range map[string]*Before{"now version 1.0.5": {Version: "1.0.5"}, "as it was then": {Version: "1.0.0", Schema: strings.Repeat("00", 32)}} {
			changed := v
			changed.Before = before
			if s := Examine(changed); !s.Holds() || s.Outdated == nil || !strings.Contains(s.Outdated.String(), want) {
				t.Errorf("%+v: %v, %v", before, flaws(s), s.Outdated)
			}
		}
		if Examine(v).Outdated != nil {
			t.Error("the same version before is said to be another")
		}
	})
	t.Run("a new protocol takes the signatures away", func(t *testing.T) {
		later := *d
		later.Made = made.AddDate(0, 0, 1)
		must(t, Write(v.Dir, &later))
		if held, wrong := AllSignatures(v.Dir); len(held)+len(wrong) > 0 || Examine(v).Holds() {
			t.Errorf("held %v, wrong %v", held, wrong)
		}
		must(t, Sign(ctx, v.Dir, "OP", op.signer, made))
		must(t, Write(v.Dir, &later))
		if held, _ := AllSignatures(v.Dir); len(held) != 1 {
			t.Errorf("the same protocol written again lost its signature")
		}
	})
	t.Run("one of the form of before proves what it did, and is outdated", func(t *testing.T) {
		old := v
		old.Dir = t.TempDir()
		must(t, os.CopyFS(old.Dir, os.DirFS(v.Dir)))
		was := *d
		was.Form, was.Settings, was.Dictionaries = FormFiles, nil, nil
		must(t, Write(old.Dir, &was))
		must(t, Sign(ctx, old.Dir, "OP", op.signer, made))
		must(t, Sign(ctx, old.Dir, "REG", reg.signer, made))
		if s := Examine(old); !s.Holds() || !s.OfBefore() || s.Outdated == nil || !strings.Contains(s.Outdated.String(), "says nothing of service.yaml") {
			t.Errorf("%v, %v", flaws(s), s.Outdated)
		}
		write(t, old.Dir, "s.xsd", "<schema  />")
		if s := Examine(old); s.Holds() {
			t.Error("a byte of its schema changed, and it holds")
		}
	})
	t.Run("by force", func(t *testing.T) {
		if err := Force(v, " \n", made); err == nil {
			t.Error("forced without a reason")
		}
		write(t, v.Dir, "protocol/forced.json", `{"reason":" ","digest":"`+d.Digest+`","schema":"`+v.Schema+`","at":"2026-11-20T09:00:00Z"}`)
		if s := Examine(v); s.Holds() || !strings.Contains(strings.Join(flaws(s), "\n"), "forced.json: gives no reason") {
			t.Errorf("forced with a blank reason: %v", flaws(s))
		}
		must(t, Force(v, " срочно\n", made))
		if s := Examine(v); !s.Holds() || s.Forced.Reason != "срочно" || len(s.Flaws) == 0 {
			t.Errorf("forced: %+v", s)
		}
		ruled := v
		ruled.Rules.Settings = nil
		if s := Examine(ruled); s.Holds() {
			t.Error("a setting was taken away after that, and it holds")
		}
		other := v
		other.Schema = strings.Repeat("00", 32) // of a document that is no .xsd, for one
		if s := Examine(other); s.Holds() || !strings.Contains(strings.Join(flaws(s), "\n"), "changed after the publication was forced") {
			t.Errorf("the schema was put together otherwise after that: %v", flaws(s))
		}
		write(t, v.Dir, "samples/request.xml", "<a  />")
		if s := Examine(v); s.Holds() || !strings.Contains(strings.Join(flaws(s), "\n"), "changed after the publication was forced") {
			t.Errorf("a byte changed after that: %v", flaws(s))
		}
		must(t, Unforce(v.Dir))
		must(t, Unforce(v.Dir))
	})
}

// The digest of an inventory is what sha256sum makes of the files.
func TestInventoryIsThatOfSha256sum(t *testing.T) {
	v := version(t)
	files, err := Take(v.Dir)
	must(t, err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	if want := []string{"reference/one/request.xml", "s.xsd", "samples/invalid/no.xml", "samples/request.xml", "scenarios/yes.yaml"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	one := Inventory{{"a", strings.Repeat("0", 64)}}
	if got, want := one.Digest(), DigestOf([]byte(strings.Repeat("0", 64)+"  a\n")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	must(t, os.Symlink("/etc/hostname", filepath.Join(v.Dir, "samples", "out.xml")))
	if _, err := Take(v.Dir); err == nil {
		t.Error("a link out of the folder was followed")
	}
}

func TestTextsOfAFolder(t *testing.T) {
	v := version(t)
	write(t, v.Dir, "samples/request-refused.xml", "<a/>")
	write(t, v.Dir, "samples/invalid/silent.xml", "<a/><!-- refused by cvc-type: too late -->")
	write(t, v.Dir, "reference/one/response.xml", "<b/>")
	write(t, v.Dir, "reference/two/response.xml", "<b/>")
	texts, wrong := ReadTexts(v.Dir)
	var got []string
	for _, x := range texts {
		got = append(got, string(x.Kind)+" "+x.File+" "+x.Rule+" "+x.About)
	}
	want := []string{"negative samples/request-refused.xml  ", "sample samples/request.xml  ", "negative samples/invalid/no.xml cvc-type так нельзя", "reference reference/one/request.xml  "}
	if !slices.Equal(got, want) || texts[3].Answer == nil {
		t.Errorf("got %q, want %q", got, want)
	}
	if s := (&Standing{Flaws: wrong}); len(wrong) != 2 || !strings.Contains(flaws(s)[0], "silent.xml: does not say which rule") || !strings.Contains(flaws(s)[1], "reference/two: has no request.xml") {
		t.Errorf("flaws: %v", wrong)
	}
	x := Text{Rule: "cvc-identity-constraint"}
	if !x.RefusedBy("cvc-identity-constraint.4.1") || x.RefusedBy("cvc-identity-constraints") || x.RefusedBy("cvc-type") {
		t.Error("which rules a name stands for")
	}
}

// What is read is written as it was.
func FuzzParse(f *testing.F) {
	f.Add((&Document{Form: Form, Made: made, Files: Inventory{}, Participants: []Participant{}, Cases: []Case{{Kind: Sample}}, Defects: []Defect{{Text: "\u2028<&>"}}}).Encode())
	f.Add([]byte(`{"form":"mezhved-protocol/1"}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		if d, err := Parse(src); err == nil && !bytes.Equal(d.Encode(), src) {
			t.Errorf("read, and written as %s", d.Encode())
		}
	})
}

// FuzzRefusedBy: a comment that names a rule is found whatever stands round it, and
// what is no such comment names none.
func FuzzRefusedBy(f *testing.F) {
	f.Add("<!-- refused by cvc-type: so -->\n<a/>")
	f.Add("<?xml version=\"1.0\"?><!-- refused by X--><a/>")
	f.Fuzz(func(t *testing.T, src string) {
		x := Text{Content: []byte(src)}
		if x.reason() && (x.Rule == "" || !strings.Contains(src, "refused by") || !x.RefusedBy(x.Rule)) {
			t.Errorf("rule %q of %q", x.Rule, src)
		}
	})
}

// Who has one key signs once, under however many names it is registered.
func TestOneKeySignsOnce(t *testing.T) {
	v := version(t)
	id, err := signing.SelfSigned(signing.TestSubject{CommonName: "OP"}, made)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "REG"}, NotBefore: made, NotAfter: made.AddDate(1, 0, 0)}, id.Certificate.X509, id.Key.Public(), id.Key)
	must(t, err)
	again, err := signing.ParseCertificate(der)
	must(t, err)
	must(t, Write(v.Dir, document(t, v)))
	for name, c := range map[string]*signing.Certificate{"OP": id.Certificate, "REG": again} {
		signer, err := signing.NewSigner(id.Key, c, "")
		must(t, err)
		must(t, Sign(context.Background(), v.Dir, name, signer, made.Add(time.Hour)))
	}
	v.Signers = []Signer{{"OP", [][32]byte{id.Certificate.SHA256}}, {"REG", [][32]byte{again.SHA256}}}
	if s := Examine(v); s.Holds() || !slices.Equal(flaws(s), []string{"protocol/REG.p7s: is signed with the same key as OP.p7s"}) {
		t.Errorf("got %v", flaws(s))
	}
}

// Whether a signer's certificate was revoked is asked of the lists and responders that
// callers are held against. A later revocation counts unless an authority that is believed
// says when the signature was made; where nobody can tell, the signature says so.
func TestSignersCertificatesAreAskedAbout(t *testing.T) {
	v := version(t)
	must(t, Write(v.Dir, document(t, v)))
	ca, err := signing.NewTestCA("CA", signing.KeyECDSA256, made.AddDate(-1, 0, 0))
	must(t, err)
	id, err := ca.Issue(signing.TestSubject{CommonName: "OP", Lifetime: 3 * 365 * 24 * time.Hour}, made.AddDate(0, -1, 0))
	must(t, err)
	signer, err := id.Signer()
	must(t, err)
	signed := made.Add(time.Hour)
	must(t, Sign(context.Background(), v.Dir, "OP", signer, signed))
	v.Signers = []Signer{{"OP", [][32]byte{id.Certificate.SHA256}}}
	v.Now = signed.Add(30 * 24 * time.Hour)
	file := filepath.Join(t.TempDir(), "list.crl")
	judge := func(revoked bool, authorities ...*signing.Certificate) *Judge {
		t.Helper()
		serials := []*big.Int{big.NewInt(1)}
		if revoked {
			serials = append(serials, id.Certificate.X509.SerialNumber)
		}
		list, err := ca.RevocationList(1, v.Now.Add(-time.Hour), v.Now.Add(time.Hour), serials...) // whom it names was revoked when it was made
		must(t, err)
		must(t, os.WriteFile(file, list, 0o644))
		revocation, err := signing.NewRevocation(signing.RevocationOptions{CRLs: []string{file}})
		must(t, err)
		trust, err := signing.NewTrust(signing.TrustOptions{Roots: []*signing.Certificate{ca.Certificate}, Revocation: revocation})
		must(t, err)
		j, err := NewJudge(authorities, trust, revocation)
		must(t, err)
		return j
	}
	holds := func(name, flaw, unchecked string) *Standing {
		t.Helper()
		s := Examine(v)
		var left []string
		for _, one := range s.Signatures {
			for _, u := range one.Unchecked {
				left = append(left, u.English)
			}
		}
		if s.Holds() != (flaw == "") || !strings.Contains(strings.Join(flaws(s), "\n"), flaw) || (unchecked == "") != (len(left) == 0) || !strings.Contains(strings.Join(left, "\n"), unchecked) {
			t.Errorf("%s: flaws %v, unchecked %q", name, flaws(s), left)
		}
		return s
	}
	holds("nothing is configured", "", "neither lists nor responders are configured")
	v.Judge = judge(false)
	holds("nobody has revoked it", "", "")
	later := v
	v.Now = v.Now.AddDate(1, 0, 0)
	holds("the list is old", "", "nobody can say whether certificate CN=OP")
	v = later
	v.Judge = judge(true)
	holds("revoked a month after the signature, by its own word", "no time stamp proves that the signature is older", "")

	tsa := tsatest.New(t)
	must(t, Sign(context.Background(), v.Dir, "OP", signer, time.Now().UTC())) // the authority's clock is the machine's
	v.Now = time.Now().Add(30 * 24 * time.Hour)
	plain, err := os.ReadFile(filepath.Join(v.Dir, "protocol/OP.p7s"))
	must(t, err)
	block, _ := pem.Decode(plain)
	write(t, v.Dir, "protocol/OP.p7s", string(tsatest.WithTimestamps(t, block.Bytes, tsa.Stamp(tsatest.Value(t, block.Bytes)))))
	v.Judge = judge(true, tsa.Root)
	if s := holds("revoked a month after the signature, by an authority's", "", ""); len(s.Signatures) != 1 || !s.Signatures[0].Stamped {
		t.Errorf("the stamp of an authority that is believed: %+v", s.Signatures)
	}
	v.Judge = judge(true, ca.Certificate)
	holds("the stamp is of somebody", "no time stamp proves that the signature is older", "")
	v.Judge = judge(false, ca.Certificate)
	holds("the stamp is of somebody, nobody has revoked the certificate", "", "its time stamp proves nothing")
	v.Judge = judge(false)
	if s := holds("no authority is configured", "", "no authority is configured"); s.Signatures[0].Stamped {
		t.Error("a stamp of nobody is believed")
	}
}
