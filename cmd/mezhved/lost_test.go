package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/party"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes"
)

// lossy is a way to a gateway on which answers can get lost: the call arrives and
// is carried out, and the connection breaks before the answer.
type lossy struct {
	*adaptertest.World
	url  string
	lose atomic.Bool         // the answers
	keys map[string][]string // the flags of a party
}

func newLossy(t *testing.T) *lossy {
	t.Helper()
	// The commands go by the machine's clock, and the tests move the world's.
	anyTime := adaptertest.WithConfig(func(c *adapter.Config) { c.Limits.PollAge = new(yamlfile.Period) })
	l := &lossy{World: adaptertest.Start(t, anyTime), keys: map[string][]string{}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		on, _ := http.NewRequestWithContext(r.Context(), r.Method, l.URL+r.URL.Path, bytes.NewReader(body))
		on.Header = r.Header
		answer, err := http.DefaultClient.Do(on)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer answer.Body.Close()
		if l.lose.Load() {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, answer.Body)
	}))
	t.Cleanup(proxy.Close)
	l.url = proxy.URL + "/smev/v1.2/ws"
	for _, name := range []string{"MUNI", "REGISTRY"} {
		dir := t.TempDir()
		if code, text := l.run("", "keys", "new", "--name", name, "--out", dir); code != 0 {
			t.Fatal(text)
		}
		cert, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
		if err != nil {
			t.Fatal(err)
		}
		l.Write("parties/"+name+"/terminal.pem", string(cert))
		l.keys[name] = []string{"--url", l.url, "--key", filepath.Join(dir, "key.pem"), "--cert", filepath.Join(dir, "cert.pem")}
	}
	l.Reload()
	return l
}

// run runs the program.
func (l *lossy) run(in string, args ...string) (code int, text string) {
	var out bytes.Buffer
	code = run(args, strings.NewReader(in), &out, &out)
	return code, out.String()
}

// as runs a command of a party; it must end with the code.
func (l *lossy) as(want int, mnemonic, in string, args ...string) string {
	l.T.Helper()
	code, text := l.run(in, append(args, l.keys[mnemonic]...)...)
	if code != want {
		l.T.Errorf("mezhved %s: exit code %d, want %d\n%s", strings.Join(args, " "), code, want, text)
	}
	return text
}

// taken are the requests that have come to a provider up to the one with the id: a
// queue keeps the order of acceptance.
func (l *lossy) taken(mnemonic, last string) (ids []string) {
	l.T.Helper()
	l.Eventually("request "+last+" comes", func() bool {
		a := l.Party(mnemonic).Get(envelopes.GetRequest, adapter.QName{}, "")
		if a.Message != nil {
			ids = append(ids, a.Message.Metadata.MessageID)
		}
		return slices.Contains(ids, last)
	})
	return ids
}

// leftOver are the unanswered calls that lie in folders.
func leftOver(t *testing.T, dirs ...string) (names []string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && strings.Contains(e.Name(), "unanswered-") {
				names = append(names, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return names
}

var anID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// A call whose answer is lost ends with exit code 3, which says that the same call
// may be repeated. It may: the bus takes it once, whatever the call is made of.
func TestACallWhoseAnswerIsLostIsRepeated(t *testing.T) {
	l := newLossy(t)
	state, dir := t.TempDir(), t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	content := adaptertest.Content(adaptertest.Extract1)
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// A request to answer, and one to acknowledge.
	l.as(0, "MUNI", content, "send")
	l.as(0, "MUNI", content, "send")
	l.AwaitQueued(2)
	inbox := filepath.Join(dir, "inbox")
	for range 2 {
		l.as(0, "REGISTRY", "", "poll", "requests", "--out", inbox)
	}
	got, err := os.ReadDir(inbox)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	changed := file("changed.xml", content)
	calls := []struct {
		what, party, in string
		args            []string
	}{
		{"a file", "MUNI", "", []string{"send", file("a.xml", content)}},
		{"another file with the same content", "MUNI", "", []string{"send", file("b.xml", content)}},
		{"the same file for another node", "MUNI", "", []string{"send", "--node", "N2", file("a.xml", content)}},
		{"a file that is changed afterwards", "MUNI", "", []string{"send", changed}},
		{"a file beside which nothing can be written", "MUNI", "", []string{"send", file(strings.Repeat("x", 250), content)}},
		{"standard input", "MUNI", content, []string{"send", "-"}},
		{"an answer", "REGISTRY", adaptertest.Answer(adaptertest.Extract1), []string{"reply", "--to", "@" + filepath.Join(inbox, got[0].Name(), "replyto.txt"), "-"}},
		{"a status", "REGISTRY", "", []string{"reply", "--to", "@" + filepath.Join(inbox, got[1].Name(), "replyto.txt"), "--status", "1", "--text", "в работе", "--param", "a=1", "--param", "b=2"}},
		{"an acknowledgement", "REGISTRY", "", []string{"ack", got[1].Name()}},
	}
	lost := make([]string, len(calls))
	round := func(want int) {
		t.Helper()
		var all sync.WaitGroup
		for i, c := range calls {
			all.Go(func() { lost[i] = l.as(want, c.party, c.in, c.args...) })
		}
		all.Wait()
	}
	l.lose.Store(true)
	round(exitUnavailable)
	ids := make([]string, len(calls))
	for i, c := range calls {
		if !strings.Contains(lost[i], "may have arrived. Make the same call again") {
			t.Errorf("%s: it does not say what to do:\n%s", c.what, lost[i])
		}
		ids[i] = anID.FindString(lost[i])
	}
	slices.Sort(ids)
	if ids[0] == "" || len(slices.Compact(ids)) != len(calls) {
		t.Errorf("two calls have one id, or one has none: %v", ids)
	}
	if n := len(leftOver(t, dir, state)); n != len(calls) {
		t.Errorf("%d calls are remembered, want %d", n, len(calls))
	}
	l.lose.Store(false)
	file("changed.xml", content+"<!-- other bytes -->")
	first := slices.Clone(lost)
	round(0)
	for i, c := range calls {
		was, is := anID.FindString(first[i]), anID.FindString(lost[i][strings.LastIndex(strings.TrimSpace(lost[i]), "\n")+1:])
		if c.what == "an acknowledgement" {
			is = was // it prints none
		}
		if repeated := strings.Contains(lost[i], "it is repeated as "+was); (c.args[1] != changed) != repeated && c.what != "an acknowledgement" || (was == is) != (c.args[1] != changed) {
			t.Errorf("%s: %s was repeated as %s\n%s", c.what, was, is, lost[i])
		}
	}
	// One remains: nobody knows what became of the bytes before the change.
	if left := leftOver(t, dir, state); len(left) != 1 || !strings.HasPrefix(left[0], changed) {
		t.Errorf("remembered are %q", left)
	}
	// Answered calls are over: made again, they are new ones.
	last := anID.FindString(l.as(0, "MUNI", "", "send", filepath.Join(dir, "a.xml")))
	if slices.Contains(ids, last) {
		t.Errorf("an answered call was repeated: %s", last)
	}
	// Six lost ones, the changed one and the last: none of them doubled.
	if taken := l.taken("REGISTRY", last); len(taken) != 8 || len(slices.Compact(slices.Sorted(slices.Values(taken)))) != 8 {
		t.Errorf("the provider has %q, want 8 requests", taken)
	}
	// A second acknowledgement without a lost one is what it always was.
	l.as(exitNo, "REGISTRY", "", "ack", got[1].Name())
	l.as(exitNo, "REGISTRY", adaptertest.Answer(adaptertest.Extract1), "reply", "--to", "@"+filepath.Join(inbox, got[0].Name(), "replyto.txt"), "-")
	l.Check()
}

// Where nothing can be kept, the call says so and names the id.
func TestACallThatCannotBeRememberedNamesItsID(t *testing.T) {
	l := newLossy(t)
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "")
	content := adaptertest.Content(adaptertest.Extract1)
	l.lose.Store(true)
	said := l.as(exitUnavailable, "MUNI", content, "send")
	id := anID.FindString(said)
	if !strings.Contains(said, "Send it again with --id "+id) {
		t.Error(said)
	}
	l.lose.Store(false)
	if again := l.as(0, "MUNI", content, "send", "--id", id); !strings.HasPrefix(again, id) {
		t.Error(again)
	}
	last := anID.FindString(l.as(0, "MUNI", content+" ", "send"))
	if taken := l.taken("REGISTRY", last); !slices.Equal(taken, []string{id, last}) {
		t.Errorf("the provider has %q, want %s and %s, once", taken, id, last)
	}
	// Two like calls at once are two requests; nobody waits.
	dir := t.TempDir()
	path := filepath.Join(dir, "a.xml")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	held := rememberCall(path, "11111111-1111-1111-8111-111111111111", []byte("call"))
	other := rememberCall(path, "22222222-2222-1222-8222-222222222222", []byte("call"))
	if held.MessageID == other.MessageID || !other.Since.IsZero() || len(leftOver(t, dir)) != 2 {
		t.Errorf("%+v, %+v", held, other)
	}
	// The first ends, the second is killed; then one that was killed while it wrote.
	held.forget()
	other.file.Close()
	if u := rememberCall(path, "33333333-3333-1333-8333-333333333333", []byte("call")); u.MessageID != other.MessageID || u.Since.IsZero() {
		t.Errorf("after a kill: %+v", u)
	} else if err := u.file.Truncate(50); err != nil {
		t.Error(err)
	} else {
		u.file.Close()
	}
	if u := rememberCall(path, "33333333-3333-1333-8333-333333333333", []byte("call")); u.MessageID[0] != '3' || !u.Since.IsZero() {
		t.Errorf("after a kill before anything was sent: %+v", u)
	}
}

// What cannot be stored whole is not acknowledged, and comes again; what comes again
// does not touch what its owner has laid beside it.
func TestPollStoresAMessageWholeOrNotAtAll(t *testing.T) {
	l := newLossy(t)
	sent := anID.FindString(l.as(0, "MUNI", adaptertest.Content(adaptertest.Extract1), "send"))
	l.AwaitQueued(1)
	inbox := filepath.Join(t.TempDir(), "inbox")
	folder := filepath.Join(inbox, sent)
	if err := errors.Join(os.MkdirAll(inbox, 0o755), os.WriteFile(folder, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	l.as(exitUsage, "REGISTRY", "", "poll", "requests", "--out", inbox, "--ack")
	if left, err := os.ReadDir(inbox); err != nil || len(left) != 1 {
		t.Errorf("a message that could not be stored leaves %v, %v", left, err)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	again := func(args ...string) {
		t.Helper()
		l.Clock.Advance(l.Config.Queues.Lease.D() + time.Minute)
		l.AwaitQueued(1)
		l.as(0, "REGISTRY", "", append([]string{"poll", "requests", "--wait", "1m", "--out", inbox}, args...)...)
	}
	again()
	note := filepath.Join(folder, "response.xml")
	if err := errors.Join(os.WriteFile(note, []byte("mine"), 0o644), os.Truncate(filepath.Join(folder, "content.xml"), 1)); err != nil {
		t.Fatal(err)
	}
	again("--ack")
	for name, want := range map[string]string{"response.xml": "mine", "content.xml": adaptertest.Content(adaptertest.Extract1), "envelope.xml": "<", "replyto.txt": ""} {
		if b, err := os.ReadFile(filepath.Join(folder, name)); err != nil || !strings.HasPrefix(string(b), want) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if left, err := os.ReadDir(inbox); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	l.Check()
}

// A folder's name comes from the bus. Nothing but a MessageID is taken for one.
func TestAHostileMessageIDIsNoFolder(t *testing.T) {
	dir := t.TempDir()
	inbox := filepath.Join(dir, "inbox")
	good := "8D384E7D-c6cb-11f0-8de9-0242ac120002"
	for _, id := range []string{good, "", ".", "..", "../x", "/tmp/x", "a/b", "a\\b", strings.Repeat("x", 5000), good + "\x00", good[:35] + "/", "../" + good[3:], "con", "-rf", good + "\n"} {
		f, err := newMessageFolder(inbox, id)
		if err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		if err := errors.Join(writeSynced(filepath.Join(f.unfinished, "x"), nil), f.commit()); err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		f.abandon()
		name := filepath.Base(f.name)
		if filepath.Dir(f.name) != inbox || (name == id) != (id == good) || id != good && !regexp.MustCompile(`^no-message-id-[0-9a-f]{16}$`).MatchString(name) {
			t.Errorf("%.40q is stored in %s", id, f.name)
		}
	}
	outside, err := os.ReadDir(dir)
	if err != nil || len(outside) != 1 {
		t.Errorf("%v, %v", outside, err)
	}
	if inside, err := os.ReadDir(inbox); err != nil || len(inside) != 15 {
		t.Errorf("%d folders, %v", len(inside), err)
	}
}

// TestASampleIsSentWithoutATrace: what is remembered of a call whose answer did not come is
// not put among the samples that a test protocol is over: the version would be back at the
// stage test.
func TestASampleIsSentWithoutATrace(t *testing.T) {
	state, version := t.TempDir(), t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	for _, c := range []struct {
		folder string
		beside bool
	}{{"samples", false}, {"samples/invalid", false}, {"reference/one", false}, {"../elsewhere/a/b/c", true}} {
		folder := filepath.Join(version, c.folder)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, dir := range map[string]string{"service.yaml": version, "request.xml": folder} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(folder, "request.xml")
		first := rememberCall(file, party.NewMessageID(time.Now()), []byte("call"))
		if beside, _ := filepath.Glob(file + ".unanswered-*"); len(beside) > 0 != c.beside {
			t.Errorf("%s: kept as %q", c.folder, beside)
		}
		if first.file == nil {
			t.Fatalf("%s: the call is kept nowhere", c.folder)
		}
		_ = first.file.Close() // as if the process had ended
		if again := rememberCall(file, party.NewMessageID(time.Now()), []byte("call")); again.MessageID != first.MessageID {
			t.Errorf("%s: the same call is repeated as %s, not as %s", c.folder, again.MessageID, first.MessageID)
		}
	}
}
