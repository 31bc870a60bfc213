package paper

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"mezhved/signing"
)

var ended = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func signer(t *testing.T, name string) signing.Signer {
	t.Helper()
	id, err := signing.SelfSigned(signing.TestSubject{CommonName: name, Lifetime: 30 * 24 * time.Hour}, ended.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s, err := id.Signer()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sample() *Report {
	return &Report{
		Format: Format, Kit: "mezhved test", Kind: Party, Begun: ended.Add(-time.Minute), Ended: ended, ValidUntil: ended.AddDate(0, 0, 90), Whole: true,
		Subject: Subject{URL: "http://127.0.0.1:7500/ws", Mnemonic: "MFC01", Roles: []string{"consumer"}, Certificates: []string{"ab"}, Names: []string{"CN=MFC01"}},
		Results: []Result{
			{Check: Check{ID: "party.a", Title: "Первое", Clause: "МР 3.3", Level: Must, Advice: "исправьте"}, Verdict: Passed, Exchanges: []Exchange{
				{At: ended, What: "SendRequest x", Sent: PieceOf("POST /ws", http.Header{"B": {"2"}, "A": {"1"}}, []byte("<a><b>&lt;script></b></a>")), Came: PieceOf("200 OK", nil, []byte{0xff, 0})},
			}},
			{Check: Check{ID: "party.b", Level: Should, Advice: "лучше так"}, Verdict: Failed, Why: "не так"},
			{Check: Check{ID: "party.c", Level: Must}, Verdict: Inapplicable, Why: "нет роли"},
		},
	}
}

// TestSignature: what was signed is believed until its end, by those who believe the
// signer, also when the signer's certificate has run out since.
func TestSignature(t *testing.T) {
	kit, other := signer(t, "KIT"), signer(t, "OTHER")
	file, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := Sign(t.Context(), file, kit, ended)
	if err != nil {
		t.Fatal(err)
	}
	trusted := []*signing.Certificate{kit.Certificate()}
	b, err := Verify(file, signature, trusted, ended.AddDate(0, 0, 89))
	if err != nil || !b.Fit() || b.Unfit() != nil || b.Signer.SHA256 != kit.Certificate().SHA256 {
		t.Errorf("honest: %v, %v", b, err)
	}
	if _, err := Verify(file, signature, nil, ended); err != nil {
		t.Errorf("nobody in particular is trusted: %v", err)
	}
	var over *ExpiredError
	if _, err := Verify(file, signature, trusted, ended.AddDate(0, 0, 90)); !errors.As(err, &over) {
		t.Errorf("at its end: %v", err)
	}
	var bad *signing.Error
	if _, err := Verify(file, signature, []*signing.Certificate{other.Certificate()}, ended); !errors.As(err, &bad) || bad.Code != signing.CertificateUnregistered {
		t.Errorf("another is trusted: %v", err)
	}
	if _, err := Verify(bytes.Replace(file, []byte("failed"), []byte("passed"), 1), signature, trusted, ended); !errors.As(err, &bad) || bad.Code != signing.DigestMismatch {
		t.Errorf("a verdict was changed: %v", err)
	}
	for name, src := range map[string]string{"another form": strings.Replace(string(file), Format, "other", 1), "a field more": strings.Replace(string(file), "{", `{"more":1,`, 1), "no JSON": "x"} {
		if _, err := Read([]byte(src)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func TestFit(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Report)
		fit    bool
	}{
		"a recommendation failed": {func(*Report) {}, true},
		"one that must hold":      {func(r *Report) { r.Results[1].Level = Must }, false},
		"a trial":                 {func(r *Report) { r.Whole = false }, false},
		"nothing passed":          {func(r *Report) { r.Results = r.Results[2:] }, false},
	} {
		r := sample()
		c.change(r)
		if r.Fit() != c.fit || (r.Unfit() == nil) != c.fit {
			t.Errorf("%s: fit %v, %v", name, r.Fit(), r.Unfit())
		}
	}
}

// TestPieces: bytes are kept as they came; what is too long or no text is marked.
func TestPieces(t *testing.T) {
	p := PieceOf("POST /ws", http.Header{"B": {"2"}, "A": {"1", "3"}}, []byte("межвед"))
	if p.Head != "POST /ws\nA: 1\nA: 3\nB: 2" || p.Body != "межвед" || p.Size != 12 || len(p.SHA256) != 64 {
		t.Errorf("%+v", p)
	}
	if p := PieceOf("", nil, []byte{0xff}); !p.Base64 || p.Body != "/w==" {
		t.Errorf("%+v", p)
	}
	long := strings.Repeat("я", kept) // two bytes each: the cut is within none
	if p := PieceOf("", nil, []byte("a"+long)); !p.Cut || p.Base64 || p.Size != 1+2*kept || !strings.HasPrefix("a"+long, p.Body) {
		t.Errorf("cut %v, base64 %v, %d bytes of %d", p.Cut, p.Base64, len(p.Body), p.Size)
	}
}

// TestPage: everything is on it, and what came from outside is text.
func TestPage(t *testing.T) {
	file, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	page, err := Page(sample(), file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Соответствует", "потребитель", "party.b", "лучше так", "нет роли", "&lt;b&gt;&amp;lt;script&gt;", "02.03.2026 12:00:00 МСК", "31.05.2026", "CN=MFC01"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if bytes.Contains(page, []byte("<script")) {
		t.Error("what came is markup on the page")
	}
}
