package registry_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/lifecycle/conform/paper"
	"mezhved/adapter/registry"
	"mezhved/signing"
)

// TestConformance: a registration that demands a report takes the party in only with
// one that was signed by whom it names, is about this party, and shows it fit; what
// has ended is told, and lint does not let it pass.
func TestConformance(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	identity := func(name string) (signing.Signer, []byte) {
		id, err := signing.SelfSigned(signing.TestSubject{CommonName: name}, now.AddDate(0, -2, 0))
		if err != nil {
			t.Fatal(err)
		}
		s, err := id.Signer()
		if err != nil {
			t.Fatal(err)
		}
		return s, id.Certificate.PEM()
	}
	kit, kitPEM := identity("KIT")
	other, _ := identity("OTHER")
	party, partyPEM := identity("MFC01")
	good := func() *paper.Report {
		return &paper.Report{Format: paper.Format, Kit: "mezhved", Kind: paper.Party, Begun: now.Add(-time.Hour), Ended: now.Add(-time.Minute), ValidUntil: now.AddDate(0, 0, 90), Whole: true,
			Subject: paper.Subject{Mnemonic: "MFC01", Roles: []string{"consumer"}, Certificates: []string{party.Certificate().Fingerprint()}},
			Results: []paper.Result{{Check: paper.Check{ID: "party.a", Level: paper.Must}, Verdict: paper.Passed}}}
	}
	const demand = "conformance:\n  required: true\n  signers: [kit.crt]\n"
	for _, c := range []struct {
		name    string
		yaml    string
		change  func(*paper.Report)
		signer  signing.Signer
		spoil   func(dir string)
		english string // of an error; empty: it is taken
		russian string
		warning string
		lint    string // of an error that only lint finds
	}{
		{name: "good", yaml: demand},
		{name: "in its role", yaml: demand + "  roles: [consumer]\n"},
		{name: "not demanded", yaml: "conformance:\n  required: false\n", spoil: func(dir string) { remove(t, dir, "MFC01.conform.json") }},
		{name: "missing", yaml: demand, spoil: func(dir string) { remove(t, dir, "MFC01.conform.json") }, english: "MFC01.conform.json is missing", russian: "нет файла MFC01.conform.json"},
		{name: "no signature", yaml: demand, spoil: func(dir string) { remove(t, dir, "MFC01.conform.json.p7s") }, english: "p7s"},
		{name: "nobody is believed", yaml: "conformance:\n  required: true\n", english: "name the certificates", russian: "назовите сертификаты"},
		{name: "signed by another", yaml: demand, signer: other, english: "certificate-unregistered"},
		{name: "changed", yaml: demand, spoil: func(dir string) {
			file := filepath.Join(dir, "MFC01.conform.json")
			src, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(file, []byte(strings.Replace(string(src), "passed", "failed", 1)), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, english: "digest-mismatch"},
		{name: "not fit", yaml: demand, change: func(r *paper.Report) { r.Results[0].Verdict = paper.Failed }, english: "not fit: party.a", russian: "не соответствует: party.a"},
		{name: "a trial", yaml: demand, change: func(r *paper.Report) { r.Whole = false }, english: "trial", russian: "это была проба"},
		{name: "about another party", yaml: demand, change: func(r *paper.Report) { r.Subject.Mnemonic = "FNS01" }, english: "another party: FNS01", russian: "другом участнике: FNS01"},
		{name: "about another certificate", yaml: demand, change: func(r *paper.Report) { r.Subject.Certificates = []string{"ab"} }, english: "not the party's: ab", russian: "которых у участника нет: ab"},
		{name: "about a bus", yaml: demand, change: func(r *paper.Report) { r.Kind = paper.Bus }, english: "about a bus", russian: "отчёт о шине"},
		{name: "another role", yaml: demand + "  roles: [provider]\n", english: "not tried as provider", russian: "в роли: поставщик"},
		{name: "no role", yaml: demand + "  roles: [boss]\n", english: `not "boss"`, russian: `а не "boss"`},
		{name: "ends soon", yaml: demand, change: func(r *paper.Report) { r.ValidUntil = now.AddDate(0, 0, 5) }, warning: "ends on 2026-03-07"},
		{name: "has ended", yaml: demand, change: func(r *paper.Report) { r.ValidUntil = now }, warning: "ended on 2026-03-02", lint: "ended on 2026-03-02"},
	} {
		t.Run(c.name, func(t *testing.T) {
			services, parties := t.TempDir(), t.TempDir()
			r := good()
			if c.change != nil {
				c.change(r)
			}
			file, err := r.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if c.signer == nil {
				c.signer = kit
			}
			signature, err := paper.Sign(t.Context(), file, c.signer, r.Ended)
			if err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string][]byte{"MFC01.yaml": []byte(c.yaml), "MFC01.pem": partyPEM, "kit.crt": kitPEM, "MFC01.conform.json": file, "MFC01.conform.json.p7s": signature} {
				if err := os.WriteFile(filepath.Join(parties, name), content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if c.spoil != nil {
				c.spoil(parties)
			}
			reg, found := registry.Open(services, parties, func() time.Time { return now })
			switch bad := found.Errors(); {
			case c.english == "" && len(bad) > 0:
				t.Errorf("refused: %v", bad)
			case c.english == "":
				if want := strings.Contains(c.yaml, "true"); reg.Catalog().Party("MFC01").FitUntil.IsZero() == want {
					t.Errorf("fit until %s", reg.Catalog().Party("MFC01").FitUntil)
				}
			case len(bad) != 1 || !strings.Contains(bad[0].Text, c.english) || !strings.Contains(bad[0].Russian().Text, c.russian):
				t.Errorf("got %v, want one: %s, %s", bad, c.english, c.russian)
			}
			if c.warning != "" && !strings.Contains(found.Error(), c.warning) {
				t.Errorf("got %v, want the warning %s", found, c.warning)
			}
			_, lint := registry.Lint(services, parties, now)
			if bad := lint.Errors(); c.english == "" && (c.lint == "" && len(bad) > 0 || c.lint != "" && !strings.Contains(bad.Error(), c.lint)) {
				t.Errorf("lint: %v, want %q", bad, c.lint)
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}
