package impact_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/impact"
	"mezhved/adapter/postgres"
	"mezhved/adapter/registry"
	"mezhved/envelopes"
)

// strict is a version that asks for the region, and for an area with two digits.
const strict = "urn://mezhved.test/extract/3.0"

func strictSchema() string {
	return strings.NewReplacer(
		`name="RegionCode" type="xs:string" minOccurs="0"`, `name="RegionCode" type="xs:string"`,
		`<xs:element name="Area" type="xs:decimal"/>`, `<xs:element name="Area"><xs:simpleType><xs:restriction base="xs:decimal"><xs:fractionDigits value="0"/></xs:restriction></xs:simpleType></xs:element>`,
	).Replace(adaptertest.Schema(strict))
}

const strictSettings = "title: Выписка\nroot: {namespace: '" + strict + "', request: ExtractRequest, response: ExtractResponse}\nproviders: [REGISTRY]\ncallers: [MUNI, MFC]\nstage: draft\n"

// sketch is the new version, in a folder that is no registry's.
func sketch(t *testing.T) *registry.Service {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "extract", "3.0")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"service.yaml": strictSettings, "s.xsd": strictSchema()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	k, found := registry.ReadSketch(dir)
	if k == nil {
		t.Fatal(found)
	}
	s, err := k.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func send(w *adaptertest.World, from, content string) string {
	w.T.Helper()
	a := w.Party(from).Send(adaptertest.Request{Content: content})
	if a.Fault != nil {
		w.T.Fatal(a.Fault)
	}
	return a.Receipt.MessageID
}

// Of each caller it is told how many of its latest messages would be refused, where and
// by which rule, and nothing of what stands in them unless it is asked for; what was
// erased is counted, tests are left out.
func TestWhomAVersionWouldRefuse(t *testing.T) {
	w := adaptertest.Start(t)
	store := w.Store.Store.(*postgres.Store)
	plain, region := adaptertest.Content(adaptertest.Extract1), adaptertest.ContentFor(adaptertest.Extract1, "77")
	for range 3 {
		send(w, "MUNI", region)
	}
	send(w, "MUNI", plain)
	gone := send(w, "MUNI", plain)
	broken := send(w, "MFC", strings.Replace(plain, "<e:Кадастр", "\n <e:Кадастр", 1))
	if a := w.Party("MFC").Send(adaptertest.Request{Content: plain, Test: true}); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	// The answer's area has a digit that the new version does not take.
	w.AwaitQueued(7)
	m := w.Party("REGISTRY").Await(envelopes.GetRequest, "").Message
	if a := w.Party("REGISTRY").Reply(m.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)}); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	erase(t, w, store, gone)

	measure := func(q impact.Question) *impact.Report {
		t.Helper()
		q.From, q.To = w.Clock.Now().Add(-time.Hour), w.Clock.Now().Add(time.Hour)
		r, err := impact.Measure(t.Context(), store, sketch(t), q, func(v string) *registry.Service { return w.Gateway.Catalog().Service("extract", v) }, func(int) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := measure(impact.Question{})
	var lines []string
	for _, p := range r.Parties {
		lines = append(lines, fmt.Sprintf("%s %s: %d read, %d refused, %d erased", p.Party, p.Direction, p.Read, p.Refused, p.Erased))
	}
	want := "MFC request: 1 read, 1 refused, 0 erased\nMUNI request: 4 read, 1 refused, 1 erased"
	if got := strings.Join(lines, "\n"); got != want || r.Refused != 2 || r.Count() != 2 || r.Erased != 1 {
		t.Errorf("measured:\n%s\nwant\n%s (%+v)", got, want, r)
	}
	reason := r.Parties[0].Reasons[0]
	if reason.Rule != "cvc-complex-type.2.4.b" || reason.Path != "/ExtractRequest" || reason.Messages != 1 || reason.Example != broken || reason.Russian+reason.English != "" {
		t.Errorf("the reason is %+v", reason)
	}
	found, err := store.Find(t.Context(), adapter.MessageID(broken))
	if err != nil {
		t.Fatal(err)
	}
	// The place is of the envelope as it was received: there the content begins.
	line := 1 + strings.Count(string(found[0].Body[:strings.Index(string(found[0].Body), "<e:ExtractRequest")]), "\n")
	if reason.Line != line && reason.Line != line+1 {
		t.Errorf("the place is line %d, the content begins in line %d", reason.Line, line)
	}

	r = measure(impact.Question{Last: 1, Answers: true, Values: true})
	if len(r.Parties) != 3 {
		t.Fatalf("with answers: %+v", r.Parties)
	}
	for _, p := range r.Parties {
		if p.Read+p.Erased != 1 {
			t.Errorf("of %s %s %d messages were read, want the latest alone", p.Party, p.Direction, p.Read)
		}
		if p.Direction == adapter.DirResponse && (len(p.Reasons) == 0 || p.Reasons[0].Path != "/ExtractResponse/Area" || !strings.Contains(p.Reasons[0].English, "54.3")) {
			t.Errorf("of the answer: %+v", p.Reasons)
		}
	}
}

func erase(t *testing.T, w *adaptertest.World, store *postgres.Store, id string) {
	t.Helper()
	for { // what is on its way is not erased
		m := w.Party("REGISTRY").Await(envelopes.GetRequest, "").Message
		w.Party("REGISTRY").Ack(m.Metadata.MessageID)
		if m.Metadata.MessageID == id {
			break
		}
	}
	found, err := store.Find(t.Context(), adapter.MessageID(id))
	if err != nil {
		t.Fatal(err)
	}
	w.Sequence() // what waits for its place in the log is not erased
	w.Eventually("it is erased", func() bool {
		n, err := store.EraseContent(t.Context(), postgres.EraseOrder{Messages: []uuid.UUID{found[0].ID}, Ground: "152-ФЗ", At: w.Clock.Now()})
		return err == nil && n == 1
	})
}

// What is accepted is held against a draft beside, and so is what the schema in force
// refuses; the sender notices nothing, tests do not count, and what is too much is
// dropped.
func TestADraftInTheShadow(t *testing.T) {
	var shadow *impact.Shadow
	w := adaptertest.Start(t, func(w *adaptertest.World) {
		w.Write("services/extract/3.0/service.yaml", strictSettings+"shadow: true\n")
		w.Write("services/extract/3.0/s.xsd", strings.Replace(strictSchema(), `\d{2}:\d{2}:\d{6,7}:\d{1,10}`, `[0-9x]{2}:\d{2}:\d{6,7}:\d{1,10}`, 1))
		adaptertest.WithRooms(func(r *adapter.Rooms) {
			shadow = impact.NewShadow(r.Store.(*adaptertest.Breakable).Store.(*postgres.Store), func() *registry.Catalog { return w.Gateway.Catalog() }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			r.Shadow = shadow.Offer
		})(w)
	})
	store := w.Store.Store.(*postgres.Store)
	send(w, "MUNI", adaptertest.ContentFor(adaptertest.Extract1, "77"))
	last := send(w, "MUNI", adaptertest.Content(adaptertest.Extract1))
	loose := strings.Replace(adaptertest.ContentFor(adaptertest.Extract1, "77"), "77:01", "7x:01", 1)
	if a := w.Party("MFC").Send(adaptertest.Request{Content: loose}); a.Fault == nil {
		t.Fatal("the schema in force was to refuse it")
	}
	if a := w.Party("MFC").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1), Test: true}); a.Fault != nil {
		t.Fatal(a.Fault)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- shadow.Run(ctx) }()
	known := func() (tallies []impact.Tally, seen []impact.Seen) {
		t.Helper()
		if err := shadow.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		tallies, err := store.ShadowTallies(t.Context())
		if err == nil {
			seen, err = store.ShadowSeen(t.Context(), 100)
		}
		if err != nil {
			t.Fatal(err)
		}
		return tallies, seen
	}
	w.Eventually("all were held against the draft", func() bool {
		tallies, _ := known()
		n := int64(0)
		for _, x := range tallies {
			n += x.Seen
		}
		return n == 3
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	tallies, seen := known()
	var lines []string
	for _, x := range tallies {
		lines = append(lines, fmt.Sprintf("%s %s %s: %d of %d", x.Version, x.Sender, x.Direction, x.Differ, x.Seen))
	}
	for _, d := range seen {
		lines = append(lines, fmt.Sprintf("%s %v %s %s %d", d.Sender, d.Looser, d.Rule, d.Path, d.Messages))
	}
	want := "3.0 MFC request: 1 of 1\n3.0 MUNI request: 1 of 2\nMFC true cvc-pattern-valid  1\nMUNI false cvc-complex-type.2.4.b /ExtractRequest 1"
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("the draft:\n%s\nwant\n%s", got, want)
	}
	if seen[1].Example != last {
		t.Errorf("the example is %s, want %s", seen[1].Example, last)
	}

	// Nobody takes any more: what does not fit is dropped, and calls go on.
	for range impact.MostWaiting + 5 {
		shadow.Offer(w.Gateway.Catalog(), adapter.Shadowed{Service: w.Gateway.Catalog().Service("extract", "1.0"), Body: []byte("x")})
	}
	if n := shadow.Waiting(); n != impact.MostWaiting { // what was dropped leaves no room for more than there is
		t.Errorf("%d octets wait, want %d", n, impact.MostWaiting)
	}
	send(w, "MUNI", adaptertest.Content(adaptertest.Extract1))

	// A draft that is no shadow any more is forgotten.
	w.Write("services/extract/3.0/service.yaml", strictSettings)
	w.Reload()
	if tallies, seen := known(); len(tallies)+len(seen) != 0 {
		t.Errorf("of no draft: %v %v", tallies, seen)
	}
	w.Check()
}
