package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"html"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/journal/journaltest"
	"mezhved/adapter/journal/remote"
	"mezhved/signing/tsatest"

	"golang.org/x/crypto/ocsp"
)

// audit runs the program.
func mezhvedAudit(t *testing.T, want int, args ...string) (out string) {
	t.Helper()
	var o, e bytes.Buffer
	if got := run(args, &o, &e); got != want {
		t.Fatalf("mezhved-audit %s: status %d, want %d\n%s%s", strings.Join(args, " "), got, want, &o, &e)
	}
	return o.String() + e.String()
}

// write puts content into a file of the test's directory.
func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestVerifyABundle(t *testing.T) {
	d, sender := journaltest.NewDesk(t), journaltest.NewSender(t)
	b, _ := d.Exhibited(d.Filled(1, 100), audit.Exhibit{Envelope: sender.Request(false), Certificate: sender.Signer.Certificate().DER})
	dir := t.TempDir()
	bundle, policy := write(t, dir, "b.zip", b), write(t, dir, "policy", d.Policy.Text())
	contains(t, mezhvedAudit(t, 0, "verify", "--policy", policy, bundle), "VERIFIED under", "snils = 11223344595", "signature of caller holds: ", "signature of file plan holds: ", "acknowledged", "was not looked at")
	anchors := write(t, dir, "ca.pem", sender.CA.Certificate.PEM())
	contains(t, mezhvedAudit(t, 0, "verify", "--policy", policy, "--anchors", anchors, bundle), "valid then, by CN=Test CA", "nothing in the bundle says whether they were revoked")
	foreign := write(t, dir, "foreign.pem", journaltest.NewSender(t).CA.Certificate.PEM())
	contains(t, mezhvedAudit(t, 1, "verify", "--policy", policy, "--anchors", foreign, bundle), "NOT verified", "FINDING: signature of caller", "does not hold")
	contains(t, mezhvedAudit(t, 0, "verify", bundle), "the policy is the bundle's own")
	contains(t, mezhvedAudit(t, 0, "report", "--policy", policy, "--lang", "ru", bundle), "Выписка из журнала", "Петрова &lt;Анна&gt; &amp; Ко")
	contains(t, mezhvedAudit(t, 0, "report", "--policy", policy, "--lang", "en", bundle), "Extract from the journal")
	stranger := write(t, dir, "stranger", journaltest.NewDesk(t).Policy.Text())
	contains(t, mezhvedAudit(t, 1, "verify", "--policy", stranger, bundle), "NOT verified")
	contains(t, mezhvedAudit(t, 2, "verify", "--policy", write(t, dir, "none", nil), bundle), "the policy cannot be used", "none: policy needs")
	proofs := filepath.Join(dir, "proofs")
	contains(t, mezhvedAudit(t, 0, "proofs", "--policy", policy, bundle, proofs), "8 entries and their proofs")
	leaf, err := os.ReadFile(filepath.Join(proofs, "100.json"))
	if err != nil {
		t.Fatal(err)
	}
	proof, err := os.ReadFile(filepath.Join(proofs, "100.tlog-proof"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := journal.VerifyProof(d.Policy, leaf, proof); err != nil || p.Index != 100 {
		t.Errorf("the proof of entry 100 alone: %v", err)
	}
	b[len(b)/2] ^= 1
	contains(t, mezhvedAudit(t, 1, "verify", "--policy", policy, write(t, dir, "bad.zip", b)), "NOT verified")
	mezhvedAudit(t, 2, "verify")
	mezhvedAudit(t, 2, "nonsense")
	contains(t, mezhvedAudit(t, 0, "--help"), "Examples:")
}

// What the maker of evidence has written into it does not speak for the verifier.
func TestEvidenceDoesNotSpeakForItself(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(3, 40)
	var zip bytes.Buffer
	read := journal.Event{Time: d.Clock.Now(), Message: "read-me"}
	title := "x\nb.zip: VERIFIED under policy\x1b[2J\u202eevil"
	if err := d.Bundler(book).Write(context.Background(), &zip, title, []audit.Exhibit{{Index: 3}}, read); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out := mezhvedAudit(t, 0, "verify", write(t, dir, "b.zip", zip.Bytes()))
	if strings.Contains(out, "\nb.zip: VERIFIED") || strings.ContainsAny(out, "\x1b\u202e") {
		t.Errorf("the title speaks:\n%s", out)
	}
	contains(t, out, "asked for  x⟨U+000A⟩b.zip: VERIFIED under policy⟨U+001B⟩[2J⟨U+202E⟩evil")
}

func TestVerifyALog(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(2, 900)
	early := d.Checkpoint(d.Forged(9, 300)).Note // signed by the same key, of another history
	dir, policy := t.TempDir(), ""
	policy = write(t, t.TempDir(), "policy", d.Policy.Text())
	files := book.Files()
	for name, content := range files {
		write(t, dir, name, content)
	}
	contains(t, mezhvedAudit(t, 0, "verify", "log", "--policy", policy, dir), "VERIFIED: 0 missing, 0 changed", "checked    900 entries")
	contains(t, mezhvedAudit(t, 1, "verify", "log", "--policy", policy, "--known", write(t, t.TempDir(), "early", early), dir), "FINDING", "changed")
	bundle := bytes.Clone(files["tile/entries/001"])
	bundle[700] ^= 1
	write(t, dir, "tile/entries/001", bundle)
	contains(t, mezhvedAudit(t, 1, "verify", "log", "--policy", policy, dir), "FINDING", "NOT VERIFIED")
	os.Remove(filepath.Join(dir, "tile", "entries", "001"))
	contains(t, mezhvedAudit(t, 1, "verify", "log", "--policy", policy, dir), "FINDING", "cannot be read")
}

func TestMirror(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(3, 500)
	server := httptest.NewServer(&remote.Server{Log: book, Slog: slog.New(slog.DiscardHandler), Admit: remote.Bearer("secret")})
	defer server.Close()
	dir, files := filepath.Join(t.TempDir(), "m"), t.TempDir()
	policy, token := write(t, files, "policy", d.Policy.Text()), write(t, files, "token", []byte("secret\n"))
	args := []string{"mirror", "--policy", policy, "--token-file", token, server.URL, dir}
	contains(t, mezhvedAudit(t, 1, "mirror", "--policy", policy, server.URL, dir), "401")
	contains(t, mezhvedAudit(t, 0, args...), "first visit: 500 entries, 0 missing")
	if err := book.Add(journaltest.Events(4, 70)...); err != nil {
		t.Fatal(err)
	}
	d.Clock.Move(time.Minute)
	if err := d.Settle(d.Sequencer(book)); err != nil {
		t.Fatal(err)
	}
	contains(t, mezhvedAudit(t, 0, args...), "70 new entries; 0 missing, 0 changed since your last visit on ")
	contains(t, mezhvedAudit(t, 0, "verify", "log", "--policy", policy, dir), "2 earlier checkpoints", "VERIFIED")
	for _, wrong := range [][2]string{{"--period=2026-Q5", `the report cannot be made: period "2026-Q5"`}, {"--size=9999", "the report cannot be made: the mirror has 5"}, {"--promise=a=50", "the report cannot be made: --promise a=50"}} {
		contains(t, mezhvedAudit(t, 2, "report", "log", "service", "--policy", policy, wrong[0], dir), wrong[1])
	}
	book.Restore(d.Forged(5, 900))
	contains(t, mezhvedAudit(t, 1, args...), "CHANGED", "Checkpoint of the last visit:")
}

// shown is a log whose front end may show an older checkpoint, as a cache does.
type shown struct {
	*journaltest.Book
	older *journal.Checkpoint
}

func (l *shown) Checkpoint(ctx context.Context) (*journal.Checkpoint, error) {
	if l.older != nil {
		return l.older, nil
	}
	return l.Book.Checkpoint(ctx)
}

// What mirror says is true of the folder: it mends what it can, names what it
// cannot, and misses what it remembered.
func TestMirrorTellsTheTruth(t *testing.T) {
	d := journaltest.NewDesk(t)
	book := d.Filled(13, 500)
	front := &shown{Book: book}
	slow := make(chan bool)
	hold := sync.OnceFunc(func() { slow <- true; <-slow })
	held := false
	handler := &remote.Server{Log: front, Slog: slog.New(slog.DiscardHandler), Admit: remote.Bearer("secret")}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if held && r.URL.Path != "/checkpoint" {
			hold()
		}
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	dir, files := filepath.Join(t.TempDir(), "m"), t.TempDir()
	policy, token := write(t, files, "policy", d.Policy.Text()), write(t, files, "token", []byte("secret\n"))
	args := []string{"mirror", "--policy", policy, "--token-file", token, server.URL, dir}
	verify := []string{"verify", "log", "--policy", policy, dir}
	grow := func(seed uint64) {
		t.Helper()
		if err := book.Add(journaltest.Events(seed, 300)...); err != nil {
			t.Fatal(err)
		}
		d.Clock.Move(time.Minute)
		if err := d.Settle(d.Sequencer(book)); err != nil {
			t.Fatal(err)
		}
	}
	mezhvedAudit(t, 0, args...)
	front.older = d.Checkpoint(book)
	grow(14)
	older := front.older
	front.older = nil
	contains(t, mezhvedAudit(t, 0, args...), "300 new entries; 0 missing, 0 changed", "looked at  all 800 entries")

	// A lagging front end is no fork.
	front.older = older
	contains(t, mezhvedAudit(t, 0, args...), "older      the log was shown as it was with 500 entries", "this mirror has 800", "0 new entries; 0 missing")
	front.older = nil

	// What the disk has lost is fetched again.
	bundle := filepath.Join(dir, "tile", "entries", "001")
	if err := os.Truncate(bundle, 900); err != nil {
		t.Fatal(err)
	}
	quick := mezhvedAudit(t, 0, append(slices.Clone(args), "--quick")...)
	contains(t, quick, "looked at  entries 768 to 799;", "the 768 before them as they were is not said")
	contains(t, mezhvedAudit(t, 0, args...), "MENDED: tile/entries/001: entry bundle ends inside an entry; put right", "0 new entries; 0 missing")
	contains(t, mezhvedAudit(t, 0, verify...), "VERIFIED")

	// Two runs in one folder.
	grow(15)
	held = true
	first := make(chan string)
	go func() { first <- mezhvedAudit(t, 0, args...) }()
	<-slow
	contains(t, mezhvedAudit(t, 2, args...), "in use by a mirror run, process ", "nothing was looked at or touched")
	contains(t, mezhvedAudit(t, 2, verify...), "in use by a mirror run")
	slow <- true
	contains(t, <-first, "300 new entries; 0 missing")
	contains(t, mezhvedAudit(t, 0, verify...), "VERIFIED")

	// The memory is taken away.
	checkpoint := filepath.Join(dir, "checkpoints", "500")
	if err := os.Remove(checkpoint); err != nil {
		t.Fatal(err)
	}
	contains(t, mezhvedAudit(t, 1, args...), "FINDING: checkpoints/500 was remembered and cannot be verified: it is gone", "1 findings")
	contains(t, mezhvedAudit(t, 1, verify...), "FINDING: checkpoints/500", "NOT VERIFIED")
	write(t, dir, "checkpoints/500", older.Note)
	mezhvedAudit(t, 0, args...)
	write(t, dir, "mirror.json", []byte("{"))
	contains(t, mezhvedAudit(t, 1, args...), "FINDING: mirror.json was remembered and cannot be verified")

	// A fork is remembered.
	if err := os.Remove(filepath.Join(dir, "mirror.json")); err != nil {
		t.Fatal(err)
	}
	honest := book.Snapshot()
	book.Restore(d.Forged(16, 1300))
	contains(t, mezhvedAudit(t, 1, args...), "CHANGED", "Checkpoint of the last visit:", "This mirror goes no further")
	book.Restore(honest)
	contains(t, mezhvedAudit(t, 1, args...), "CHANGED", "kept in forks/")
	contains(t, mezhvedAudit(t, 1, verify...), "CHANGED", "NOT VERIFIED: 1 findings")
}

func TestKeygen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	public := strings.TrimSpace(mezhvedAudit(t, 0, "keygen", "witness.example.gov", path))
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := audit.NewCosigner(t.TempDir(), strings.TrimSpace(string(secret)), nil, time.Now)
	if err != nil || c.Key() != public {
		t.Errorf("%v, key %s, printed %s", err, c.Key(), public)
	}
	mezhvedAudit(t, 1, "keygen", "witness.example.gov", path) // never overwrites
}

// The offline build has no HTTP among its imports, and package net only because
// crypto/x509 reads addresses with it: of what opens a connection nothing is linked
// in. No build may have a database or Kafka, or the room of who writes the log.
func TestImports(t *testing.T) {
	for _, c := range []struct {
		tags      string
		forbidden *regexp.Regexp
	}{
		{"offline", regexp.MustCompile(`(?m)^(net/.*http.*|net/textproto|os/exec|.*pgx.*|.*kafka.*|github.com/go-chi/.*|database/sql|mezhved/adapter|mezhved/adapter/(postgres|kafka|journal/remote|journal/clerk|console).*)$`)},
		{"", regexp.MustCompile(`(?m)^(.*pgx.*|.*kafka.*|github.com/go-chi/.*|database/sql|mezhved/adapter|mezhved/adapter/(postgres|kafka|journal/clerk|console).*)$`)},
	} {
		list, err := exec.Command("go", "list", "-deps", "-tags", c.tags, ".").Output()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(list, []byte("mezhved/adapter/journal\n")) {
			t.Fatalf("go list says\n%s", list)
		}
		if bad := c.forbidden.FindAllString(string(list), -1); bad != nil {
			t.Errorf("with tags %q the program imports %v", c.tags, bad)
		}
	}
	bin := filepath.Join(t.TempDir(), "mezhved-audit")
	for tags, sockets := range map[string]bool{"offline": false, "": true} {
		if out, err := exec.Command("go", "build", "-tags", tags, "-o", bin, ".").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		symbols, err := exec.Command("go", "tool", "nm", bin).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := regexp.MustCompile(`net\.\(\*netFD\)|net\.sysSocket|syscall\.(S|s)ocket\b|syscall\.(C|c)onnect\b`).Match(symbols); got != sockets {
			t.Errorf("with tags %q the program can open a connection: %t, want %t", tags, got, sockets)
		}
	}
	list, err := exec.Command("go", "list", "-deps", "mezhved/adapter/journal", "mezhved/adapter/journal/audit").Output()
	if err != nil || regexp.MustCompile(`(?m)^(net/.*http.*|net/textproto|os/exec)$`).Match(list) {
		t.Errorf("adapter/journal or its room audit imports the network (%v)", err)
	}
}

// earlyStamp is a bundle that a witness of the policy has cosigned, whose time stamp is of
// before there was one.
func earlyStamp(t *testing.T) ([]byte, *journal.Policy) {
	t.Helper()
	d := journaltest.NewDesk(t)
	d.TSA = func([]byte) []byte { return []byte("a token, which is not looked at") }
	b, _ := d.Exchange(d.Filled(6, 300), []byte("<envelope/>"))
	skey, vkey, err := journal.NewKey("witness.example")
	if err != nil {
		t.Fatal(err)
	}
	key, err := journal.ParseSigningKey(skey)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := journal.ParsePolicy([]byte(strings.TrimSuffix(string(d.Policy.Text()), "quorum none\n") + "witness w " + vkey + "\nquorum w\n"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	made := zip.NewWriter(&out)
	for _, f := range z.File {
		content, err := fs.ReadFile(z, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == "proof" {
			_, note, _ := strings.Cut(string(content), "\n\n")
			text, _, _ := strings.Cut(note, "\n\n")
			content = append(content, key.Cosign(text+"\n", d.Clock.Now())...)
		}
		w, err := made.Create(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(content)
	}
	made.Close()
	return out.Bytes(), policy
}

// The page's script verifies the same bundles in Node.js, with its own Ed25519
// and with the platform's, and refuses changed ones.
func TestPageVerifiesWhatTheProgramVerifies(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node.js is not installed: the page's script cannot be run here")
	}
	page := mezhvedAudit(t, 0, "page")
	script := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindStringSubmatch(page)
	if script == nil {
		t.Fatal("the page has no script")
	}
	contains(t, page, `content="default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval';`)
	if regexp.MustCompile(`(?i)(src|href)=|fetch\(|XMLHttpRequest|import\(`).MatchString(page) {
		t.Error("the page reaches out for something")
	}
	d := journaltest.NewDesk(t)
	b, _ := d.Exchange(d.Filled(6, 300), []byte("<envelope>"+strings.Repeat("текст", 500)+"</envelope>"))
	dir := t.TempDir()
	write(t, dir, "0-good.zip", b)
	files := map[string][]byte{}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	for name := range files {
		if name == "README.txt" || strings.HasPrefix(name, "report.") {
			continue // the page says that it does not vouch for these
		}
		for _, at := range []float64{0.1, 0.5, 0.9} {
			var out bytes.Buffer
			z := zip.NewWriter(&out)
			for other, content := range files {
				w, err := z.Create(other)
				if err != nil {
					t.Fatal(err)
				}
				if other == name {
					content = bytes.Clone(content)
					content[int(at*float64(len(content)))] ^= 1
				}
				w.Write(content)
			}
			z.Close()
			write(t, dir, strings.ReplaceAll(name, "/", "_")+strings.Repeat("x", int(at*10))+".zip", out.Bytes())
		}
	}
	early, witnessed := earlyStamp(t)
	write(t, dir, "early", early)
	write(t, dir, "early.policy", witnessed.Text())
	if e, err := audit.VerifyBundle(bytes.NewReader(early), int64(len(early)), witnessed); err != nil || e.Unstamped == nil {
		t.Fatalf("the program says %v of a time stamp of before a witness", err)
	}
	for from, to := range map[string]string{"bundle-1.zip": "old", "bundle-1.policy": "old.policy"} {
		b, err := os.ReadFile(filepath.Join("../../adapter/journal/audit/testdata", from))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, to, b)
	}
	write(t, dir, "policy", d.Policy.Text())
	write(t, dir, "foreign", journaltest.NewDesk(t).Policy.Text())
	run := write(t, dir, "run.js", []byte(script[1]+`
const fs = require('fs'), dir = process.argv[2], policy = fs.readFileSync(dir + '/policy', 'utf8'), foreign = fs.readFileSync(dir + '/foreign', 'utf8');
const attempt = async (name, policy) => { try { const r = await verifyBundle(new Uint8Array(fs.readFileSync(dir + '/' + name)), policy); return 'ok ' + r.pinned + ' ' + r.entries.length + (r.unstamped ? ' unstamped' : ''); } catch (e) { return 'no ' + e.message; } };
(async () => {
  const out = {};
  for (const name of fs.readdirSync(dir)) if (name.endsWith('.zip')) out[name] = await attempt(name, policy);
  out.own = await attempt('0-good.zip', '');
  out.foreign = await attempt('0-good.zip', foreign);
  out.early = await attempt('early', fs.readFileSync(dir + '/early.policy', 'utf8'));
  out.old = await attempt('old', fs.readFileSync(dir + '/old.policy', 'utf8'));
  ed25519 = ed25519ByHand;
  out.byHand = await attempt('0-good.zip', policy);
  out.foreignByHand = await attempt('0-good.zip', foreign);
  console.log(JSON.stringify(out));
})();`))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "--no-warnings", run, dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, &errs)
	}
	var got map[string]string
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for name, verdict := range got {
		switch name {
		case "0-good.zip", "byHand":
			if verdict != "ok true 7" {
				t.Errorf("%s: %s", name, verdict)
			}
		case "old":
			if verdict != "ok true 5" {
				t.Errorf("%s: %s", name, verdict)
			}
		case "early":
			if verdict != "ok true 7 unstamped" {
				t.Errorf("%s: %s", name, verdict)
			}
		case "own":
			if verdict != "ok false 7" {
				t.Errorf("%s: %s", name, verdict)
			}
		default:
			if refused++; !strings.HasPrefix(verdict, "no ") {
				// A cosignature line of the log, of which only the time can be told:
				// every change of it must still be refused, so nothing is exempt.
				t.Errorf("%s: %s", name, verdict)
			}
		}
	}
	if refused < 30 {
		t.Errorf("only %d changed bundles were tried", refused)
	}
}

// byHand is README.txt of a bundle, "BY HAND", as a script: $1 is an entry, with
// nothing but openssl, xxd, base64 and sha256sum. It prints what each step gives.
const byHand = `set -eu
N=$1
hash() { sha256sum | cut -d' ' -f1; }
hex() { base64 -d | xxd -p -c 64; }
csplit -s -f part proof '/^$/'
tail -n +2 part01 >checkpoint
{ cat leaves.jsonl; cat export/leaf.json; } >all
entries=($(sed -n 's/^entries //p' part00))
hashes=($(tail -n +3 part00))
next=0
root() { # of the entries from $1 up to $2 of the log: into $h
  local k=1 left here=
  for L in ${!entries[@]}; do [ ${entries[$L]} -ge $1 ] && [ ${entries[$L]} -lt $2 ] && here=$L; done
  if [ -z "$here" ]; then h=$(echo ${hashes[$next]} | hex); next=$((next + 1)); return; fi
  if [ $(($2 - $1)) = 1 ]; then h=$({ printf '\0'; sed -n $((here + 1))p all | tr -d '\n'; } | hash); return; fi
  while [ $((k * 2)) -lt $(($2 - $1)) ]; do k=$((k * 2)); done
  root $1 $(($1 + k)); left=$h
  root $(($1 + k)) $2
  h=$(echo 01$left$h | xxd -r -p | hash)
}
root 0 $(sed -n 2p checkpoint)
[ $next = ${#hashes[@]} ]
[ $h = $(sed -n 3p checkpoint | hex) ] && echo "root ok"
head -3 checkpoint >text
sed -n 5p checkpoint | cut -d' ' -f3 | base64 -d | tail -c 64 >sig
KEY=$(sed -n 's/^log [^+]*+[^+]*+//p' policy)
{ echo 302a300506032b6570032100 | xxd -r -p; echo $KEY | base64 -d | tail -c 32; } >key.der
openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in text -sigfile sig
opened() { sed 's/[{}]/\n/g' $1 | grep "\"field\":\"$2\"" | sed "s/.*\"$3\":\"\([^\"]*\)\".*/\1/"; }
SALT=$(opened openings/$N.json snils salt | hex)
C=$(sed -n 's/.*"snils":"\([^"]*\)".*/\1/p' leaves.jsonl | hex)
[ "$(printf %s "$(opened openings/$N.json snils value)" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$SALT | sed 's/.*= //')" = $C ] && echo "value ok"
[ $(hash <envelopes/$N.xml) = $(opened openings/$N.json digest value) ] && echo "envelope ok"
[ $(hash <manifest.json) = $(opened export/opening.json digest value) ] && echo "manifest ok"
`

func TestTheRecipeByHandWorks(t *testing.T) {
	for _, tool := range []string{"bash", "openssl", "xxd", "sha256sum", "csplit", "base64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: the recipe for checking by hand cannot be tried here", tool)
		}
	}
	d := journaltest.NewDesk(t)
	book := d.Filled(8, 700)
	b, indexes := d.Exchange(book, []byte("<envelope/>"))
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, f.Name, content)
	}
	cmd := exec.Command("bash", "-c", byHand, "by-hand", strconv.FormatInt(indexes[0], 10))
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, string(out), "root ok", "Signature Verified Successfully", "value ok", "envelope ok", "manifest ok")
}

// browserProgram is what the page is made whole with, compiled from the code as it
// stands: what "make browser" left here may be older.
func browserProgram(t *testing.T) fstest.MapFS {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
	if err != nil {
		t.Skipf("this Go has no wasm_exec.js, and the page cannot be made whole: %v", err)
	}
	wasm := filepath.Join(t.TempDir(), "browser.wasm")
	build := exec.Command("go", "build", "-tags", "offline", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", wasm, "./browser") // as make browser does
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(wasm)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(program)
	z.Close()
	return fstest.MapFS{pageProgram: {Data: packed.Bytes()}, pageRuntime: {Data: runtime}}
}

// alone are the files of a program that was built without its part for browsers.
func alone(t *testing.T) fstest.MapFS {
	t.Helper()
	page, err := os.ReadFile("page/verify.html")
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"page/verify.html": {Data: page}}
}

func TestPageWithoutItsProgram(t *testing.T) {
	files := alone(t)
	page, whole, err := assemblePage(files)
	if err != nil || whole || !bytes.Equal(page, files["page/verify.html"].Data) {
		t.Errorf("whole %t, %v", whole, err)
	}
	for _, name := range []string{pageProgram, pageRuntime} { // half of it is none of it
		files := alone(t)
		files[name] = &fstest.MapFile{Data: []byte("half")}
		if page, whole, err := assemblePage(files); err != nil || whole || bytes.Contains(page, []byte("half</script>")) {
			t.Errorf("with %s alone: whole %t, %v", name, whole, err)
		}
	}
}

// No network is linked into the program in the page: not the browser's either.
func TestImportsOfThePagesProgram(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-tags", "offline", "./browser")
	list.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	deps, err := list.Output()
	if err != nil || !bytes.Contains(deps, []byte("mezhved/adapter/journal/papers\n")) {
		t.Fatalf("%v\n%s", err, deps)
	}
	if bad := regexp.MustCompile(`(?m)^(net/.*http.*|os/exec|.*pgx.*|.*kafka.*|mezhved/adapter|mezhved/adapter/journal/(remote|clerk))$`).FindAllString(string(deps), -1); bad != nil {
		t.Errorf("the program in the page imports %v", bad)
	}
}

// The page itself, opened from a file in a browser: bundle and certificates are put
// into its file fields, the button is pressed, and both opinions are read: the page's
// own about the log, and the program's about signatures.
func TestPageInABrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: the page cannot be opened here")
	}
	d, sender := journaltest.NewDesk(t), journaltest.NewSender(t)
	secret, second, err := journal.NewMLDSAKey(journaltest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	if d.Signer.MLDSA, err = journal.ParseMLDSAKey(secret); err != nil {
		t.Fatal(err)
	}
	_, stranger, err := journal.NewMLDSAKey(journaltest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	certificate, request := sender.Signer.Certificate().DER, sender.Request(false)
	book := d.Filled(9, 100)
	exhibited := func(envelope, certificate []byte, answers ...[]byte) []byte {
		b, _ := d.Exhibited(book, audit.Exhibit{Envelope: envelope, Certificate: certificate, Answers: answers})
		return b
	}
	ca, at := sender.CA.Certificate.X509, journaltest.Start
	answer := func(status int) []byte {
		b, err := ocsp.CreateResponse(ca, ca, ocsp.Response{Status: status, SerialNumber: sender.Signer.Certificate().X509.SerialNumber, ThisUpdate: at.Add(-time.Minute), NextUpdate: at.Add(time.Hour), RevokedAt: at.Add(-time.Hour)}, sender.CA.Key)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	known, revoked := exhibited(request, certificate, answer(ocsp.Good)), exhibited(request, certificate, answer(ocsp.Revoked))
	good := exhibited(request, certificate)
	changed := bytes.Clone(good)
	changed[bytes.Index(changed, []byte("leaves.jsonl"))+100] ^= 1
	resigned := exhibited(bytes.Replace(request, []byte("Кто?"), []byte("Что?"), 1), certificate)
	exchanged := exhibited(request, sender.Issue(48*time.Hour).Certificate().DER)
	policy, anchors := string(d.Policy.Text()), string(sender.CA.Certificate.PEM())
	twice := func(key string) string { // a policy that wants the ML-DSA signature as well
		return strings.Replace(policy, "quorum none\n", "witness second "+key+"\nquorum second\n", 1)
	}
	foreign := string(journaltest.NewSender(t).CA.Certificate.PEM())

	bare := alone(t)
	whole := browserProgram(t)
	maps.Copy(whole, bare)
	type opinions struct{ Verdict, Signatures, Entries string } // the page's boxes
	type try struct {
		name, policy, anchors string
		bundle                []byte
		want                  opinions // what is in each
		tsa                   string
	}
	// Every attempt is made in one page, one after the other.
	opened := func(t *testing.T, files fstest.MapFS, last string, tries []try) (got []opinions) {
		page, _, err := assemblePage(files)
		if err != nil {
			t.Fatal(err)
		}
		list := []map[string]any{}
		for _, c := range tries {
			list = append(list, map[string]any{"policy": c.policy, "anchors": c.anchors, "bundle": c.bundle, "tsa": c.tsa})
		}
		tasks, err := json.Marshal(list) // escapes what would end the script
		if err != nil {
			t.Fatal(err)
		}
		driver := `<pre id="got"></pre><script>
const choose = (id, name, content) => { const given = new DataTransfer(); if (content.length > 0) given.items.add(new File([content], name)); document.getElementById(id).files = given.files; };
(async () => {
  const got = [], box = id => document.getElementById(id).outerHTML;
  for (const c of ` + string(tasks) + `) {
    choose('bundle', 'b.zip', Uint8Array.from(atob(c.bundle), c => c.charCodeAt(0)));
    choose('anchors', 'ca.pem', c.anchors);
    choose('tsa', 'tsa.pem', c.tsa);
    document.getElementById('policy').value = c.policy;
    document.getElementById('go').click();
    // The browser's clock below is virtual and leaps to its end when nothing is timed, and
    // goes on while WebAssembly is compiled elsewhere: each tick is real work.
    await new Promise(done => { const waiting = setInterval(() => { if (document.getElementById('` + last + `').className) { clearInterval(waiting); done(); } else for (let i = 0, x = 0; i < 1e6; i++) x += Math.sqrt(i); }, 1); });
    got.push({ Verdict: box('verdict'), Signatures: box('signatures'), Entries: box('entries') });
  }
  document.getElementById('got').textContent = JSON.stringify(got);
})();
</script></body>`
		dir, at := t.TempDir(), bytes.LastIndex(page, []byte("</body>"))
		path := write(t, dir, "verify.html", slices.Concat(page[:at], []byte(driver), page[at+len("</body>"):]))
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--user-data-dir="+filepath.Join(dir, "profile"), "--virtual-time-budget=9000000", "--dump-dom", "file://"+path)
		cmd.WaitDelay = time.Second
		out, err := cmd.Output()
		if err != nil {
			t.Skipf("chromium does not run here: %v", err)
		}
		text := regexp.MustCompile(`(?s)<pre id="got">(.*?)</pre>`).FindSubmatch(out)
		if text == nil {
			t.Fatalf("the browser shows\n%s", out)
		}
		if err := json.Unmarshal([]byte(html.UnescapeString(string(text[1]))), &got); err != nil || len(got) != len(tries) {
			t.Fatalf("of %d attempts %d ended: %v\n%s", len(tries), len(got), err, text[1])
		}
		return got
	}
	judge := func(t *testing.T, files fstest.MapFS, last string, tries []try) {
		for i, got := range opened(t, files, last, tries) {
			want := tries[i].want
			if !strings.Contains(got.Verdict, want.Verdict) || !strings.Contains(got.Signatures, want.Signatures) || !strings.Contains(got.Entries, want.Entries) {
				t.Errorf("%s: the page says %+v, want %+v", tries[i].name, got, want)
			}
		}
	}
	const fine, own, bad = `class="good"`, `class="own"`, `class="bad"`
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		last  string
		tries []try
	}{
		{"without the program", bare, "verdict", []try{
			{"good", policy, "", good, opinions{fine, `hidden=""`, "envelope, "}, ""},
			{"its own policy", "", "", good, opinions{own, `hidden=""`, "acknowledged"}, ""},
			{"changed", policy, "", changed, opinions{bad, `hidden=""`, ""}, ""},
		}},
		{"whole", whole, "signatures", []try{
			{"good", policy, anchors, good, opinions{fine, own, "snils = 11223344595"}, ""}, // polls and Acks are not signed here
			{"good, told", policy, anchors, good, opinions{fine, "Signatures proved: 2.", ""}, ""},
			{"its caller", policy, anchors, good, opinions{fine, "signature of caller holds: ", ""}, ""},
			{"its path", policy, anchors, good, opinions{fine, "valid then, by CN=Test CA", ""}, ""},
			{"not revoked", policy, anchors, known, opinions{fine, "not revoked, by the OCSP of", ""}, ""},
			{"revoked", policy, anchors, revoked, opinions{fine, "FINDING: signature of caller", ""}, ""},
			{"no anchors", policy, "", good, opinions{fine, "2 — сходятся, но чьи сертификаты, не проверено", ""}, ""},
			{"its own policy", "", anchors, good, opinions{own, own, ""}, ""},
			{"ML-DSA", twice(second), anchors, good, opinions{"is for the program mezhved-audit to check", "Signatures proved: 2.", ""}, ""},
			{"ML-DSA of another", twice(stranger), anchors, good, opinions{bad, "SIGNATURES NOT PROVED", ""}, ""},
			{"changed", policy, anchors, changed, opinions{bad, "SIGNATURES NOT PROVED", ""}, ""},
			{"foreign anchors", policy, foreign, good, opinions{fine, bad, ""}, ""},
			{"no certificates", policy, "nonsense", good, opinions{fine, "the certificates chosen as anchors cannot be used", ""}, ""},
			{"changed signature", policy, anchors, resigned, opinions{fine, bad, ""}, ""},
			{"changed signature, told", policy, anchors, resigned, opinions{fine, "FINDING: signature of caller", ""}, ""},
			{"exchanged certificate", policy, anchors, exchanged, opinions{fine, bad, ""}, ""},
			{"exchanged certificate, told", policy, anchors, exchanged, opinions{fine, "it is made with another certificate", ""}, ""},
		}},
	} {
		t.Run(c.name, func(t *testing.T) { judge(t, c.files, c.last, c.tries) })
	}
	t.Run("time stamp", func(t *testing.T) {
		tsa, signed := tsatest.New(t), d.Checkpoint(book)
		body, err := journal.CheckpointBody(signed.Note)
		if err != nil {
			t.Fatal(err)
		}
		bundler := d.Bundler(book)
		stamped := func(read string, token []byte) []byte {
			bundler.Stamped = func(context.Context, int64) (*journal.Stamped, error) {
				return &journal.Stamped{Checkpoint: signed.Note, Token: token}, nil
			}
			var out bytes.Buffer
			if err := bundler.Write(t.Context(), &out, "an entry", []audit.Exhibit{{Index: 7}}, journal.Event{Time: d.Clock.Now(), Message: read}); err != nil {
				t.Fatal(err)
			}
			return out.Bytes()
		}
		sound, over := stamped("read-1", tsa.Stamp(body)), stamped("read-2", tsa.Stamp([]byte("something else")))
		root, foreign := string(tsa.Root.PEM()), string(tsatest.New(t).Root.PEM())
		judge(t, whole, "signatures", []try{
			{"of the authority", policy, "", sound, opinions{fine, "Отметка времени / time stamp: 20", ""}, root},
			{"nobody's", policy, "", sound, opinions{fine, "whose it is was not looked at", ""}, ""},
			{"of another authority", policy, "", sound, opinions{fine, "SIGNATURES NOT PROVED: NOT verified: the time stamp", ""}, foreign},
			{"over something else", policy, "", over, opinions{fine, "SIGNATURES NOT PROVED: NOT verified: the time stamp", ""}, root},
		})
	})
}

// The printed report fits a telephone: nothing of it has to be scrolled to the side. In
// a bundle it is as the format has it.
func TestTheReportFitsATelephone(t *testing.T) {
	d, sender := journaltest.NewDesk(t), journaltest.NewSender(t)
	b, _ := d.Exhibited(d.Filled(1, 100), audit.Exhibit{Envelope: sender.Request(false), Certificate: sender.Signer.Certificate().DER})
	dir := t.TempDir()
	page := mezhvedAudit(t, 0, "report", "--policy", write(t, dir, "policy", d.Policy.Text()), "--lang", "ru", write(t, dir, "b.zip", b))
	contains(t, page, `<meta name="viewport" content="width=device-width`)
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: the page is not measured")
	}
	page = strings.Replace(page, "</body>", `<script>document.title = 'measured ' + [...document.querySelectorAll('table')].every(e => e.getBoundingClientRect().right <= innerWidth) + ' ' + (document.documentElement.scrollWidth <= innerWidth)</script></body>`, 1)
	frame := write(t, dir, "frame.html", []byte(`<iframe id="f" width="390" height="800" srcdoc="`+html.EscapeString(page)+`"></iframe><script>addEventListener('load', () => { document.title = document.getElementById('f').contentDocument.title })</script>`))
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--user-data-dir="+filepath.Join(dir, "profile"), "--virtual-time-budget=10000", "--dump-dom", "file://"+frame)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("chromium does not run here: %v", err)
	}
	if !strings.Contains(string(out), "<title>measured true true</title>") {
		t.Errorf("at 390 pixels: %s", regexp.MustCompile(`<title>.*</title>`).Find(out))
	}
}
