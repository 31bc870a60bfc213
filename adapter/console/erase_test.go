package console

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/postgres"
	"mezhved/envelopes"
)

const snils = "112-233-445 95"

// personal plays an exchange about a person, with an attachment and a file, and a
// refused call. It gives the MessageIDs of the request and of the answer, and the
// incident.
func (d *desk) personal() (request, answer, incident string) {
	d.t.Helper()
	incident, _ = d.refused(strings.Replace(adaptertest.ContentFor(adaptertest.Extract1, snils), "77:01", "x", 1))
	muni, registry := d.Party("MUNI"), d.Party("REGISTRY")
	sent := muni.Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Extract1, snils), Stored: []envelopes.AttachmentReference{d.Bring("scan.txt", []byte("scan of "+snils))}})
	if sent.Fault != nil {
		d.t.Fatal(sent.Fault)
	}
	request = sent.Receipt.MessageID
	got := registry.Await(envelopes.GetRequest, "")
	if a := registry.Ack(request); a.Fault != nil {
		d.t.Fatal(a.Fault)
	}
	reply := registry.Reply(got.Message.ReplyTo, adaptertest.Reply{Content: strings.Replace(adaptertest.Answer(adaptertest.Extract1), "Иванова", snils, 1), Files: map[string][]byte{"a.txt": []byte(snils)}})
	if reply.Fault != nil {
		d.t.Fatal(reply.Fault)
	}
	answer = muni.Await(envelopes.GetResponse, "").Message.Metadata.MessageID
	if a := muni.Ack(answer); a.Fault != nil {
		d.t.Fatal(a.Fault)
	}
	d.Eventually("the file store has let go of the file", func() bool { return !bytes.Contains(d.Files("files"), []byte(snils)) })
	d.settle()
	return request, answer, incident
}

// about names where a person stands in the requests of the sample service.
func (d *desk) about(field, xpath string) {
	d.t.Helper()
	d.Write("services/extract/1.0/service.yaml", "title: Выписка из реестра\nroot:\n  namespace: "+adaptertest.Extract1+"\n  request: ExtractRequest\n  response: ExtractResponse\n"+
		"providers: [REGISTRY]\ncallers: [MUNI, MFC]\npersonal:\n  request:\n    - {field: "+field+", xpath: "+xpath+"}\n")
	d.Reload()
}

func (d *desk) bundle(id string) []byte {
	d.t.Helper()
	a := d.ask(auditorToken, "/api/v1/journal/bundle?exchange="+id, nil)
	if a.StatusCode != http.StatusOK {
		d.t.Fatalf("bundle: %d %s", a.StatusCode, a.body)
	}
	return a.body
}

// verifies checks a bundle as an auditor does at home, and says whether it holds
// the person's number.
func (d *desk) verifies(bundle []byte) (tells bool) {
	d.t.Helper()
	if _, err := audit.VerifyBundle(bytes.NewReader(bundle), int64(len(bundle)), d.policy); err != nil {
		d.t.Errorf("the bundle does not verify: %v", err)
	}
	z, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	d.must(err)
	for _, f := range z.File {
		r, err := f.Open()
		d.must(err)
		var b bytes.Buffer
		_, err = b.ReadFrom(r)
		d.must(err)
		tells = tells || strings.Contains(b.String(), snils)
	}
	return tells
}

func (d *desk) verifyLog() {
	d.t.Helper()
	cp, err := d.book.Checkpoint(context.Background())
	d.must(err)
	report, err := audit.VerifyLog(context.Background(), d.book, d.policy, cp.Note, nil)
	if err != nil || !report.OK() {
		d.t.Errorf("the log does not verify: %v %v", err, report)
	}
}

func (d *desk) nowhere(what string, dump []byte) {
	d.t.Helper()
	for place, b := range map[string][]byte{"the database": dump, "the topics": d.Records(), "the file store": d.Files("files"), "the gateway's log": []byte(d.Log.String())} {
		if adaptertest.Holds(b, snils) {
			d.t.Errorf("%s: %s holds the number", what, place)
		}
	}
}

// A person's exchange is erased: keys, bytes and values. Neither the database nor
// the topics nor the files nor the vault can give it any more, whoever asks; the log
// and what was taken from it before still verify; the trace says when and on what
// ground. A backup of the database from before is of no use, and is held to it.
func TestAPersonsContentIsErased(t *testing.T) {
	d := openDesk(t, adaptertest.WithFiles())
	d.about("snils", "/ExtractRequest/RegionCode")
	adaptertest.PostgresTool(t, "pg_dump")
	const ground = "152-FZ, art. 21, request 17"
	other := d.exchange()
	request, answer, incident := d.personal()
	before, backup := d.bundle(request), d.Dump()
	if !d.verifies(before) {
		t.Fatal("the bundle from before holds no envelope: nothing is tried here")
	}
	d.nowhere("before", backup)
	d.SQL("CREATE TABLE control AS SELECT '" + snils + "'::bytea")
	if !adaptertest.Holds(d.Dump(), snils) || !bytes.Contains(d.Records(), []byte(request)) {
		t.Fatal("the dumps do not show what is there: nothing is tried here")
	}
	d.SQL("DROP TABLE control")

	erase := func(order map[string]any) (ErasedContent, reply) {
		t.Helper()
		a := d.ask(operatorToken, "/api/v1/content/erase", order)
		if a.StatusCode != http.StatusOK {
			return ErasedContent{}, a
		}
		return readJSON[ErasedContent](d, a), a
	}
	ids := []string{request, incident}
	person := map[string]any{"field": "snils", "value": strings.NewReplacer("-", "", " ", "").Replace(snils)}
	about := map[string]any{"question": map[string]any{"person": person}, "preview": true}
	if seen, a := erase(about); seen.Count != 2 {
		t.Errorf("about the person: %+v %s", seen, a.body)
	}
	if seen, a := erase(map[string]any{"ids": ids, "exchange": true, "preview": true}); seen.Count != 3 || len(seen.Messages) != 2 || seen.Erased != 0 {
		t.Fatalf("preview: %+v %s", seen, a.body)
	}
	for what, try := range map[string]map[string]any{
		"without a ground": {"ids": ids, "exchange": true, "expect": 3}, "without a count": {"ids": ids, "exchange": true, "ground": ground},
		"with a wrong count": {"ids": ids, "exchange": true, "ground": ground, "expect": 2}, "of nothing": {"ground": ground},
		"of what is not there": {"ids": []string{"no-such-id"}, "ground": ground},
	} {
		if _, a := erase(try); a.StatusCode < 400 || a.StatusCode > 499 {
			t.Errorf("an order %s: %d %s", what, a.StatusCode, a.body)
		}
	}
	if a := d.ask(auditorToken, "/api/v1/content/erase", map[string]any{"ids": ids, "preview": true}); a.StatusCode != http.StatusForbidden {
		t.Errorf("an auditor erases: %d", a.StatusCode)
	}
	if done, a := erase(map[string]any{"ids": ids, "exchange": true, "ground": ground, "expect": 3}); done.Erased != 3 {
		t.Fatalf("erased: %+v %s", done, a.body)
	}
	if done, a := erase(map[string]any{"ids": ids, "exchange": true, "ground": ground, "expect": 3}); done.Count != 3 || done.Erased != 0 {
		t.Errorf("erased again: %+v %s", done, a.body)
	}
	d.settle()
	if found := readJSON[Found](d, d.ask(auditorToken, "/api/v1/journal/search", map[string]any{"person": person})); found.Count != 0 {
		t.Errorf("%d entries are still found by the person", found.Count)
	}

	says := func() {
		t.Helper()
		for _, id := range []string{request, answer} {
			trace := ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+id)
			for _, m := range trace.Messages {
				if m.Erased.IsZero() || m.Ground != ground {
					t.Errorf("the trace of %s says of %s: %v %q", id, m.MessageID, m.Erased, m.Ground)
				}
				a := d.ask(auditorToken, m.Envelope, nil)
				if a.StatusCode != http.StatusGone || !strings.Contains(string(a.body), ground) {
					t.Errorf("the envelope of %s: %d %s", m.MessageID, a.StatusCode, a.body)
				}
			}
			told := 0
			for _, e := range trace.Events {
				if e.Kind == string(journal.KindErased) && e.Ground == ground && e.Target != nil {
					told++
				}
			}
			if told != 2 {
				t.Errorf("%d entries in the trace of %s tell of the erasure, want 2", told, id)
			}
			if page := d.visit("/console/trace/"+id, "en"); !strings.Contains(page, ground) {
				t.Errorf("the page of %s does not say the ground", id)
			}
		}
		refused := ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+incident).Refusal
		if refused == nil || refused.Erased.IsZero() || refused.Ground != ground || refused.Kept != 0 {
			t.Errorf("the refusal: %+v", refused)
		}
		if a := d.ask(auditorToken, "/api/v1/incidents/"+incident+"/envelope", nil); a.StatusCode != http.StatusGone {
			t.Errorf("the refused envelope: %d %s", a.StatusCode, a.body)
		}
		if a := d.ask(auditorToken, ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+other).Messages[0].Envelope, nil); a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), "77:01:000101:42") {
			t.Errorf("another exchange's envelope: %d", a.StatusCode)
		}
	}
	says()
	d.nowhere("after", d.Dump())
	d.verifyLog()
	d.verifies(before)
	if d.verifies(d.bundle(request)) {
		t.Error("a bundle that is taken now holds the number")
	}
	// A record of the topic cannot be opened any more.
	for _, r := range d.Bus.Published() {
		of := slices.IndexFunc(r.Headers, func(h adapter.Header) bool { return h.Key == "message-id" })
		if of < 0 || string(r.Headers[of].Value) != request {
			continue
		}
		var gone *adapter.ErasedError
		if _, err := d.RecordValue(r); !errors.As(err, &gone) {
			t.Errorf("a record of the erased message: %v", err)
		}
	}

	// The backup is put back. The vault is as it was: nothing can be read.
	d.stop()
	d.Stop()
	restored := d.Restore(backup)
	for _, id := range []string{request, answer} {
		found, err := restored.Find(context.Background(), adapter.MessageID(id))
		if err != nil || len(found) != 1 || found[0].Erased == nil || len(found[0].Body) > 0 {
			t.Errorf("the restored database gives %s: %+v, %v", id, found, err)
		}
	}
	for _, want := range []postgres.Reerased{{Lines: 1, Content: 3}, {}} {
		if again, err := restored.Reerase(context.Background(), nil, true, "operator duty"); err != nil || again != want {
			t.Errorf("erased again: %+v, %v, want %+v", again, err, want)
		}
	}
	found, err := restored.Find(context.Background(), adapter.MessageID(request))
	if err != nil || found[0].Erased == nil || found[0].Erased.Ground != ground {
		t.Errorf("after it the request is %+v, %v", found, err)
	}
	d.nowhere("after the restored backup", d.Dump())
}

// A call that was refused after its content was proved is found by the person, told in a
// report, and erased with him; one whose content proves nothing is not.
func TestARefusedCallIsFoundByThePerson(t *testing.T) {
	d := openDesk(t)
	d.about("snils", "/ExtractRequest/RegionCode")
	adaptertest.PostgresTool(t, "pg_dump")
	content := adaptertest.ContentFor(adaptertest.Extract1, snils)
	refused := d.Party("OBLAST").Send(adaptertest.Request{Content: content}) // has no access to the service
	if refused.Fault == nil {
		t.Fatal("it was accepted: nothing is tried here")
	}
	d.refused(strings.Replace(content, "77:01", "x", 1))
	d.settle()
	if adaptertest.Holds(d.Dump(), snils) {
		t.Error("the database holds the number in the clear")
	}
	person := map[string]any{"field": "snils", "value": snils}
	rep := readJSON[Report](d, d.ask(auditorToken, "/api/v1/journal/report", map[string]any{"person": person}))
	if len(rep.Inquiries) != 0 || len(rep.Refused) != 1 || rep.Refused[0].Sender != "OBLAST" || rep.Refused[0].Incident == "" || rep.Refused[0].Service != "extract" {
		t.Fatalf("the report: %+v", rep)
	}
	incident := rep.Refused[0].Incident
	if page := string(d.ask(auditorToken, "/api/v1/journal/report/page", map[string]any{"person": person, "lang": "en"}).body); !strings.Contains(page, "Refused calls about this person") {
		t.Error("the page does not tell of it")
	}
	order := map[string]any{"question": map[string]any{"person": person}, "ground": "order 7", "expect": 1}
	if done := readJSON[ErasedContent](d, d.ask(operatorToken, "/api/v1/content/erase", order)); done.Erased != 1 {
		t.Fatalf("erased: %+v", done)
	}
	d.settle()
	if left, err := d.book.Mentions(context.Background(), journal.PersonalField{Field: "snils", Value: snils}, time.Time{}, time.Time{}); err != nil || len(left) > 0 {
		t.Errorf("still found by the person: %+v, %v", left, err)
	}
	if a := d.ask(auditorToken, "/api/v1/incidents/"+incident+"/envelope", nil); a.StatusCode != http.StatusGone {
		t.Errorf("the refused envelope: %d %s", a.StatusCode, a.body)
	}
	d.verifyLog()
}

// With four eyes an order waits for another operator, and both stand in the entry.
func TestErasureNeedsFourEyes(t *testing.T) {
	d := openDesk(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Keep.FourEyes = true }))
	id := d.exchange()
	d.settle()
	head, err := NewToken("head", Operator, "operator-token-for-tests-0002")
	d.must(err)
	d.console.ReplaceTokens(append(*d.console.tokens.Load(), head))
	order := map[string]any{"ids": []string{id}, "ground": "order 7"}
	proposed := readJSON[ErasedContent](d, d.ask(operatorToken, "/api/v1/content/erase", order))
	if proposed.Proposal == "" || proposed.Erased != 0 {
		t.Fatalf("proposed: %+v", proposed)
	}
	trace := ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+id)
	if !trace.Messages[0].Erased.IsZero() {
		t.Error("erased before it was confirmed")
	}
	waiting := readJSON[ErasedContent](d, d.ask(operatorToken, "/api/v1/content/erase", map[string]any{"preview": true})).Waiting
	if len(waiting) != 1 || waiting[0].ID != proposed.Proposal || waiting[0].Ground != "order 7" || len(waiting[0].Messages) != 1 {
		t.Errorf("waiting: %+v", waiting)
	}
	confirm := map[string]any{"proposal": proposed.Proposal}
	if a := d.ask(operatorToken, "/api/v1/content/erase", confirm); a.StatusCode != http.StatusForbidden {
		t.Errorf("who proposed it confirms it: %d %s", a.StatusCode, a.body)
	}
	if a := d.ask("operator-token-for-tests-0002", "/api/v1/content/erase", confirm); readJSON[ErasedContent](d, a).Erased != 1 {
		t.Errorf("confirmed: %s", a.body)
	}
	// Twice is once: it says what became of it, and no other entry tells of it.
	if again := readJSON[ErasedContent](d, d.ask("operator-token-for-tests-0002", "/api/v1/content/erase", confirm)); again.Erased != 1 || again.Before == nil || again.Before.By != "operator head" {
		t.Errorf("confirmed twice: %+v", again)
	}
	if left := readJSON[ErasedContent](d, d.ask(operatorToken, "/api/v1/content/erase", map[string]any{"preview": true})).Waiting; len(left) != 0 {
		t.Errorf("still waiting: %+v", left)
	}
	if a := d.ask("operator-token-for-tests-0002", "/api/v1/content/erase", map[string]any{"proposal": "01a200c3-ff6e-713b-a695-b1d40770f4ba"}); a.StatusCode != http.StatusNotFound || !strings.Contains(string(a.body), "week") {
		t.Errorf("a proposal that nobody made: %d %s", a.StatusCode, a.body)
	}
	d.settle()
	rows, err := d.book.Search(context.Background(), postgres.Query{Kind: journal.KindErased})
	d.must(err)
	if len(rows) != 1 {
		t.Fatalf("%d entries tell of it", len(rows))
	}
	open, err := d.book.Openings(context.Background(), rows[0].Index)
	d.must(err)
	actors := map[string]string{}
	for _, o := range open {
		actors[o.Field] = o.Value
	}
	if actors["actor"] != "operator duty" || actors["confirmed-by"] != "operator head" {
		t.Errorf("the entry names %v", actors)
	}
}

// With four eyes who has looked for a person is forgotten with him, too, also where he
// was looked for after the order was proposed.
func TestReadingsFallWithThePersonUnderFourEyes(t *testing.T) {
	d := openDesk(t, adaptertest.WithFiles(), adaptertest.WithConfig(func(c *adapter.Config) { c.Keep.FourEyes = true }))
	head, err := NewToken("head", Operator, "operator-token-for-tests-0002")
	d.must(err)
	d.console.ReplaceTokens(append(*d.console.tokens.Load(), head))
	d.about("snils", "/ExtractRequest/RegionCode")
	d.personal()
	person := map[string]any{"field": "snils", "value": snils}
	look := func() {
		t.Helper()
		if a := d.ask(auditorToken, "/api/v1/journal/search", map[string]any{"person": person}); a.StatusCode != http.StatusOK {
			t.Fatalf("looking: %d %s", a.StatusCode, a.body)
		}
		d.settle()
	}
	named := func() (n int) {
		t.Helper()
		rows, err := d.book.Search(context.Background(), postgres.Query{Kind: journal.KindEvidenceRead, Limit: 500})
		d.must(err)
		for _, row := range rows {
			open, err := d.book.Openings(context.Background(), row.Index)
			d.must(err)
			for _, o := range open {
				if strings.NewReplacer("-", "", " ", "").Replace(snils) == o.Value {
					n++
				}
			}
		}
		return n
	}
	look()
	proposed := readJSON[ErasedContent](d, d.ask(operatorToken, "/api/v1/content/erase", map[string]any{"question": map[string]any{"person": person}, "ground": "order 7", "expect": 2}))
	if proposed.Proposal == "" {
		t.Fatalf("proposed: %+v", proposed)
	}
	if a := d.ask(operatorToken, "/api/v1/content/erase", map[string]any{"preview": true}); strings.Contains(string(a.body), "sought") {
		t.Errorf("the list of proposals says by what people are found: %s", a.body)
	}
	look()
	if n := named(); n != 2 {
		t.Fatalf("%d readings name the person before: nothing is tried here", n)
	}
	if done := readJSON[ErasedContent](d, d.ask("operator-token-for-tests-0002", "/api/v1/content/erase", map[string]any{"proposal": proposed.Proposal})); done.Erased != 2 {
		t.Fatalf("confirmed: %+v", done)
	}
	d.settle()
	if n := named(); n != 0 {
		t.Errorf("%d readings still name the person", n)
	}
	if left, err := d.book.Mentions(context.Background(), journal.PersonalField{Field: "snils", Value: snils}, time.Time{}, time.Time{}); err != nil || len(left) > 0 {
		t.Errorf("still found by the person: %+v, %v", left, err)
	}
	dump := d.Dump()
	token, err := d.book.Sought(journal.PersonalField{Field: "snils", Value: snils})
	d.must(err)
	for _, one := range token {
		if bytes.Contains(dump, []byte(hex.EncodeToString(one))) || bytes.Contains(dump, []byte(base64.StdEncoding.EncodeToString(one))) {
			t.Error("the database still holds a token of the person")
		}
	}
}

// Values behind an entry are no way round them.
func TestErasureOfValuesNeedsFourEyes(t *testing.T) {
	d := openDesk(t, adaptertest.WithConfig(func(c *adapter.Config) { c.Keep.FourEyes = true }))
	head, err := NewToken("head", Operator, "operator-token-for-tests-0002")
	d.must(err)
	d.console.ReplaceTokens(append(*d.console.tokens.Load(), head))
	id := d.exchange()
	d.settle()
	rows, err := d.book.Trace(context.Background(), id)
	d.must(err)
	index := rows[0].Index
	values := func() int {
		open, err := d.book.Openings(context.Background(), index)
		d.must(err)
		return len(open)
	}
	before := values()
	order := map[string]any{"fields": []string{journal.FieldDigest}, "ground": "order 7"}
	proposed := readJSON[Erased](d, d.ask(operatorToken, fmt.Sprintf("/api/v1/journal/entries/%d/erase", index), order))
	if proposed.Proposal == "" || len(proposed.Erased) != 0 || values() != before {
		t.Fatalf("proposed: %+v, values %d of %d", proposed, values(), before)
	}
	waiting := readJSON[ErasedContent](d, d.ask(operatorToken, "/api/v1/content/erase", map[string]any{"preview": true})).Waiting
	if len(waiting) != 1 || waiting[0].Target == nil || *waiting[0].Target != index || len(waiting[0].Fields) != 1 {
		t.Errorf("waiting: %+v", waiting)
	}
	confirm := map[string]any{"proposal": proposed.Proposal}
	if a := d.ask(operatorToken, "/api/v1/content/erase", confirm); a.StatusCode != http.StatusForbidden || values() != before {
		t.Errorf("who proposed it confirms it: %d %s", a.StatusCode, a.body)
	}
	if a := d.ask("operator-token-for-tests-0002", "/api/v1/content/erase", confirm); readJSON[ErasedContent](d, a).Erased != 1 || values() != before-1 {
		t.Errorf("confirmed: %s, values %d of %d", a.body, values(), before)
	}
	d.settle()
	erased, err := d.book.Search(context.Background(), postgres.Query{Kind: journal.KindErased})
	d.must(err)
	if len(erased) != 1 || erased[0].Leaf.Target == nil || *erased[0].Leaf.Target != index || len(erased[0].Leaf.Commit) != 2 {
		t.Errorf("the entries that tell of it: %+v", erased)
	}
}

// With a vault that lacks a key nobody is found, and that is said: neither a preview nor an
// order, nor the one for a value, ends as if there were nothing to erase.
func TestNothingIsErasedOfAPersonWhoseKeyIsMissing(t *testing.T) {
	d := openDesk(t, adaptertest.WithFiles())
	d.about("snils", "/ExtractRequest/RegionCode")
	d.SQL("UPDATE release_gate SET since = '-infinity'") // values are sealed together
	d.Clock.Advance(time.Minute)
	const together = "SELECT count(*) FROM journal_opening WHERE tokens <> '{}' AND substring(sealed FOR 4) = '\\x0000ff7f'"
	d.Eventually("values are sealed together", func() bool {
		d.personal()
		return d.Number(together) > 0
	})
	rows, err := d.book.Search(context.Background(), postgres.Query{Values: []journal.PersonalField{{Field: "snils", Value: snils}}, Kind: journal.KindAccepted, Descending: true})
	d.must(err)
	if len(rows) == 0 {
		t.Fatal("the person is not found with the whole vault: nothing is tried here")
	}
	d.settle()
	keys, err := filepath.Glob(filepath.Join(d.Dir, "vault", "*.key"))
	d.must(err)
	away := t.TempDir()
	for _, key := range keys {
		if filepath.Base(key) != "blind.key" {
			d.must(os.Rename(key, filepath.Join(away, filepath.Base(key))))
		}
	}
	about := map[string]any{"question": map[string]any{"person": map[string]any{"field": "snils", "value": snils}}, "ground": "order 7", "expect": 0}
	about["preview"] = true
	d.Eventually("the vault has seen that the keys are away", func() bool {
		return d.ask(operatorToken, "/api/v1/content/erase", about).StatusCode == http.StatusConflict
	})
	for _, preview := range []bool{true, false} {
		about["preview"] = preview
		a := d.ask(operatorToken, "/api/v1/content/erase", about)
		if a.StatusCode != http.StatusConflict || !strings.Contains(string(a.body), "Nothing was erased") || !strings.Contains(string(a.body), "personal-") {
			t.Errorf("preview %v: %d %s", preview, a.StatusCode, a.body)
		}
	}
	for _, row := range rows {
		if _, names := row.Leaf.Committed("snils"); names {
			a := d.ask(operatorToken, fmt.Sprintf("/api/v1/journal/entries/%d/erase", row.Index), map[string]any{"fields": []string{"snils"}, "ground": "order 7"})
			if a.StatusCode != http.StatusConflict || !strings.Contains(string(a.body), "Nothing was erased") {
				t.Errorf("the value of entry %d: %d %s", row.Index, a.StatusCode, a.body)
			}
		}
	}
	// Nor do searches keep silent of what they cannot look at, and nothing is accepted.
	person := map[string]any{"person": map[string]any{"field": "snils", "value": snils}}
	lacking := func(what string, u *postgres.Unopened, least int) {
		t.Helper()
		if u == nil || u.Entries < least || len(u.Keys) == 0 || !strings.HasPrefix(u.Keys[len(u.Keys)-1], "personal-") {
			t.Errorf("%s: could not be opened: %+v, want %d or more", what, u, least)
		}
	}
	lacking("search", readJSON[Found](d, d.ask(operatorToken, "/api/v1/journal/search", person)).Unopened, 1)
	lacking("report", readJSON[Report](d, d.ask(auditorToken, "/api/v1/journal/report", person)).Unopened, 1)
	lacking("readings", readJSON[Readings](d, d.ask(auditorToken, "/api/v1/journal/readings", person)).Unopened, 1)
	lacking("entry", ok[Single](d, auditorToken, fmt.Sprintf("/api/v1/journal/entries/%d?openings=true", rows[0].Index)).Unopened, 1)
	description := described(d, t)
	for path, schema := range map[string]string{"/api/v1/journal/search": "Found", "/api/v1/journal/report": "Report", "/api/v1/journal/readings": "Readings"} {
		var v any
		d.must(json.Unmarshal(d.ask(auditorToken, path, person).body, &v))
		d.must(description.check(description.at("components", "schemas", schema).(map[string]any), v, path))
	}
	for _, path := range []string{"/console/search", "/console/report"} {
		if page := d.submit(path, url.Values{"field": {"snils"}, "value": {snils}}); !strings.Contains(page, "Показано не всё") || !strings.Contains(page, "personal-") {
			t.Errorf("%s does not say that not all is shown: %s", path, page)
		}
	}
	d.Eventually("nothing is accepted", func() bool {
		return d.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Extract1, snils)}).Fault != nil
	})
	if made, err := filepath.Glob(filepath.Join(d.Dir, "vault", "personal-*.key")); err != nil || len(made) > 0 {
		t.Errorf("made anew: %v, %v", made, err)
	}
	for _, key := range keys {
		if filepath.Base(key) != "blind.key" {
			d.must(os.Rename(filepath.Join(away, filepath.Base(key)), key))
		}
	}
	d.Eventually("the keys are back", func() bool {
		return d.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Extract1, snils)}).Fault == nil
	})
	d.settle()
	if again := readJSON[Found](d, d.ask(operatorToken, "/api/v1/journal/search", person)); again.Unopened != nil || again.Count < int64(len(rows)) {
		t.Errorf("with the whole vault: %+v", again)
	}
	said := d.console.eraseProblem(&postgres.KeysMissingError{Keys: []string{"snils-2026-03"}}).(*Problem)
	if ru := said.Say("ru"); !strings.Contains(ru, "нет ключей snils-2026-03") || !strings.Contains(ru, "Ничего не удалено") {
		t.Errorf("in Russian: %s", ru)
	}
}

// Evidence says what is not in it for want of a key, so that nobody takes a part for the
// whole; and a person of whom nothing could be looked at is not told as one of whom the log
// knows nothing.
func TestEvidenceSaysWhatCouldNotBeOpened(t *testing.T) {
	d := openDesk(t, adaptertest.WithFiles())
	d.about("snils", "/ExtractRequest/RegionCode")
	d.SQL("UPDATE release_gate SET since = '-infinity'") // values are sealed together
	d.Clock.Advance(time.Minute)
	d.Eventually("values are sealed together", func() bool {
		d.personal()
		return d.Number("SELECT count(*) FROM journal_opening WHERE tokens <> '{}' AND substring(sealed FOR 4) = '\\x0000ff7f'") > 0
	})
	d.settle()
	report := func() reply {
		return d.ask(auditorToken, "/api/v1/journal/report/bundle", map[string]any{"person": map[string]string{"field": "snils", "value": snils}})
	}
	titled := func(what string, a reply, want ...string) {
		t.Helper()
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", what, a.StatusCode, a.body)
		}
		e, err := audit.VerifyBundle(bytes.NewReader(a.body), int64(len(a.body)), d.policy)
		d.must(err)
		for _, w := range want {
			if !strings.Contains(e.Title, w) {
				t.Errorf("%s: %q does not say %q", what, e.Title, w)
			}
		}
		if len(want) == 0 && strings.Contains(e.Title, "NOT ALL") {
			t.Errorf("%s: %q", what, e.Title)
		}
	}
	titled("a report with the whole vault", report())
	d.SQL("CREATE TABLE opening_of_before PARTITION OF journal_opening DEFAULT")
	d.SQL("UPDATE journal_opening SET key = regexp_replace(key, '[0-9]{4}-[0-9]{2}$', '2020-01')") // which nobody has
	if a := report(); a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "personal-2020-01") {
		t.Errorf("a report of which nothing can be opened: %d %s", a.StatusCode, a.body)
	}
	last, _, _ := d.personal()
	titled("a report", report(), "report: snils", "НЕ ВСЁ", "нет ключей personal-2020-01", "NOT ALL", "entries or more could not be opened, for want of the keys personal-2020-01")
	titled("a question", d.ask(auditorToken, "/api/v1/journal/bundle?kind=accepted", nil), "kind=accepted", "НЕ ВСЁ", "NOT ALL", "envelope-2020-01")
	titled("an exchange of which all is there", d.ask(auditorToken, "/api/v1/journal/bundle?exchange="+last, nil))
}

// What is asked for by a question is erased as well, after a look at the count.
func TestContentIsErasedByAQuestion(t *testing.T) {
	d := openDesk(t)
	first := d.exchange()
	d.exchange()
	d.settle()
	question := map[string]any{"sender": "MUNI", "kind": "accepted"}
	seen := readJSON[ErasedContent](d, d.ask(operatorToken, "/api/v1/content/erase", map[string]any{"question": question, "preview": true}))
	if seen.Count != 2 {
		t.Fatalf("preview: %+v", seen)
	}
	done := readJSON[ErasedContent](d, d.ask(operatorToken, "/api/v1/content/erase", map[string]any{"question": question, "ground": "order 7", "expect": 2}))
	if done.Erased != 2 {
		t.Errorf("erased: %+v", done)
	}
	for _, m := range ok[Trace](d, auditorToken, "/api/v1/journal/trace/"+first).Messages {
		if (m.Sender == "MUNI") == m.Erased.IsZero() {
			t.Errorf("%s of %s: erased %v", m.Direction, m.Sender, m.Erased)
		}
	}
}
