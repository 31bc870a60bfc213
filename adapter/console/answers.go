package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/postgres"
	"mezhved/adapter/subject"
)

// Found is one page of a search.
type Found struct {
	Entries []Entry `json:"entries"`
	Count   int64   `json:"count"`          // of all pages, exact
	Next    string  `json:"next,omitempty"` // parameter after of the next page; absent on the last

	Unopened *postgres.Unopened `json:"unopened,omitempty"` // what could not be looked at
}

func (c *Console) serveSearch(w http.ResponseWriter, r *http.Request, who Actor) error {
	q, err := ask(r)
	if err != nil {
		return err
	}
	if err := c.note(r.Context(), who, q.reading("search")); err != nil {
		return err
	}
	found, err := c.search(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, found)
}

func (c *Console) search(ctx context.Context, q *question) (*Found, error) {
	if c.Journal == nil {
		return nil, errElsewhere
	}
	covered, err := c.covered(ctx)
	if err != nil {
		return nil, err
	}
	// The log grows meanwhile: what was counted first is found afterwards.
	count, err := c.Journal.Count(ctx, whole(q.query))
	if err != nil {
		return nil, err
	}
	out := &Found{Entries: []Entry{}, Count: count}
	if out.Unopened, err = c.Journal.Unopened(ctx, false, q.query.Values...); err != nil {
		return nil, err
	}
	rows, next, err := c.pageOf(ctx, q)
	if err != nil {
		return nil, err
	}
	out.Next = next
	out.Count = max(out.Count, int64(len(rows)))
	for i := range rows {
		out.Entries = append(out.Entries, rowEntry(&rows[i], covered))
	}
	if out.Count == 0 && out.Unopened == nil {
		return out, c.mistyped(q)
	}
	return out, nil
}

// pageOf gives the entries of one page of a question; next is its after for the page that
// follows, empty for the last.
func (c *Console) pageOf(ctx context.Context, q *question) (rows []postgres.Row, next string, err error) {
	page := q.query
	page.Limit++ // one more tells whether there is a next page
	if rows, err = c.Journal.Search(ctx, page); err != nil {
		return nil, "", err
	}
	if len(rows) == page.Limit {
		rows = rows[:q.query.Limit]
		next = strconv.FormatInt(rows[len(rows)-1].Index, 10)
	}
	return rows, next, nil
}

// mistyped tells, where nothing was found, of a value that its field cannot have, and of a
// field that no service names: it
// would be no answer to a person. What was kept under a name of before is still found.
func (c *Console) mistyped(q *question) error {
	if q.Person == nil {
		return nil
	}
	if example := subject.Impossible(q.Person.Field, q.Person.Value); example != "" {
		return problem(http.StatusBadRequest, Text{"Поле %s: таких значений не бывает, поэтому «не найдено» ничего не значит. Ожидается значение вроде %s.", "%s has no such values, so that nothing is found under it means nothing: one such as %s is expected."},
			q.Person.Field, example)
	}
	fields := c.personalFields()
	if slices.Contains(fields, q.Person.Field) {
		return nil
	}
	return problem(http.StatusBadRequest, Text{"Поле %q не называет ни один вид сведений, поэтому «не найдено» ничего не значит. Есть поля: %s.", "No service names a field %q, so that nothing is found under it means nothing. There are: %s."},
		clipped(q.Person.Field, 40), strings.Join(fields, ", "))
}

// whole is the question without its page.
func whole(q postgres.Query) postgres.Query {
	q.After, q.HasAfter, q.Limit = 0, false, 0
	return q
}

// Total is how many entries are of one day, kind, sender, service, version,
// outcome or channel, or of tests or not, as asked.
type Total struct {
	Day     string `json:"day,omitempty"` // UTC
	Kind    string `json:"kind,omitempty"`
	Sender  string `json:"sender,omitempty"`
	Service string `json:"service,omitempty"`
	Version string `json:"version,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	Channel string `json:"channel,omitempty"`
	Test    string `json:"test,omitempty"` // "true" or "false"
	Entries int64  `json:"entries"`
}

// Totals are counts by group; together they make Count.
type Totals struct {
	By     []string `json:"by"`
	Totals []Total  `json:"totals"`
	Count  int64    `json:"count"`
}

func (c *Console) serveTotals(w http.ResponseWriter, r *http.Request, who Actor) error {
	q, err := ask(r, "by")
	if err != nil {
		return err
	}
	by := []string{"day"}
	if s := r.URL.Query().Get("by"); s != "" {
		by = strings.Split(s, ",")
	}
	for _, b := range by {
		if !slices.Contains(groups, b) {
			return problem(http.StatusBadRequest, Text{"by: %q — не из числа %s.", "by: %q is none of %s."}, b, strings.Join(groups, ", "))
		}
	}
	if err := c.note(r.Context(), who, q.reading("totals")); err != nil {
		return err
	}
	t, err := c.totals(r.Context(), q, by...)
	if err != nil {
		return err
	}
	return writeJSON(w, t)
}

// groups are what totals can be by.
var groups = []string{"day", "kind", "sender", "service", "version", "outcome", "channel", "test"}

func (c *Console) totals(ctx context.Context, q *question, by ...string) (*Totals, error) {
	if c.Journal == nil {
		return nil, errElsewhere
	}
	list, err := c.Journal.Totals(ctx, whole(q.query), by...)
	if err != nil {
		return nil, err
	}
	out := &Totals{By: by, Totals: []Total{}}
	for _, t := range list {
		out.Totals = append(out.Totals, Total(t))
		out.Count += t.Entries
	}
	return out, nil
}

func (c *Console) serveTrace(w http.ResponseWriter, r *http.Request, who Actor) error {
	id := param(r, "id")
	if err := c.note(r.Context(), who, reading{act: "trace", query: id, fields: []string{"id"}}); err != nil {
		return err
	}
	t, err := c.trace(r.Context(), id)
	if err != nil {
		return err
	}
	return writeJSON(w, t)
}

// Single is one entry with everything that is known of it.
type Single struct {
	Entry
	Leaf string `json:"leaf"` // the bytes that the log hashes, as text
	Hash string `json:"hash"` // RFC 6962 leaf hash, hexadecimal
	// Openings are the values behind the commitments that still exist, on demand
	// (openings=true).
	Openings []journal.Opening `json:"openings,omitempty"`
	// Unopened says that there may be more of them, whose key this node lacks.
	Unopened *postgres.Unopened `json:"unopened,omitempty"`
}

func (c *Console) serveEntry(w http.ResponseWriter, r *http.Request, who Actor) error {
	index, err := indexOf(r)
	if err != nil {
		return err
	}
	open := r.URL.Query().Get("openings") == "true"
	what := reading{act: "entry", query: fmt.Sprintf("entry %d openings=%t", index, open), always: open}
	if err := c.note(r.Context(), who, what); err != nil {
		return err
	}
	out, err := c.single(r.Context(), index)
	if err != nil {
		return err
	}
	if open {
		if out.Openings, err = c.Journal.Openings(r.Context(), index); err != nil {
			return err
		}
		if len(out.Openings) < len(out.Committed) {
			if out.Unopened, err = c.Journal.UnopenedAt(r.Context(), index); err != nil {
				return err
			}
		}
	}
	return writeJSON(w, out)
}

func indexOf(r *http.Request) (int64, error) {
	n, err := strconv.ParseInt(chi.URLParam(r, "index"), 10, 64)
	if err != nil || n < 0 {
		return 0, problem(http.StatusBadRequest, Text{"Ожидается номер записи, а не %q.", "The number of an entry is expected, not %q."}, chi.URLParam(r, "index"))
	}
	return n, nil
}

// entry reads one entry of the log.
func (c *Console) entry(ctx context.Context, index int64) (*postgres.Row, int64, error) {
	if c.Journal == nil {
		return nil, 0, errElsewhere
	}
	covered, err := c.covered(ctx)
	if err != nil {
		return nil, 0, err
	}
	rows, err := c.Journal.Search(ctx, postgres.Query{After: index - 1, HasAfter: index > 0, Limit: 1})
	if err != nil {
		return nil, 0, err
	}
	if len(rows) == 0 || rows[0].Index != index {
		return nil, 0, problem(http.StatusNotFound, Text{"Записи %d здесь нет: она ещё не сделана или перенесена в архив.", "The log has no entry %d here: it is not written yet, or archived."}, index)
	}
	return &rows[0], covered, nil
}

// serveProof gives the proof that an entry stands under the latest checkpoint,
// in the format of c2sp.org/tlog-proof.
func (c *Console) serveProof(w http.ResponseWriter, r *http.Request, who Actor) error {
	index, err := indexOf(r)
	if err != nil {
		return err
	}
	if c.Journal == nil {
		return errElsewhere
	}
	if err := c.note(r.Context(), who, reading{act: "proof", query: fmt.Sprintf("entry %d", index)}); err != nil {
		return err
	}
	cp, err := c.checkpoint(r.Context())
	if err != nil {
		return err
	}
	if cp == nil || cp.Tree.N <= index {
		return problem(http.StatusNotFound, Text{"Над записью %d ещё нет контрольной точки; пока журнал работает, их подписывают каждую секунду.", "No checkpoint covers entry %d yet; one is signed every second while the journal works."}, index)
	}
	hashes, err := journal.NewProver(r.Context(), cp.Tree, c.Journal).Inclusion(index)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%d.tlog-proof"`, index))
	w.Write(journal.MarshalProof(index, hashes, cp.Note))
	return nil
}

// eraseOrder is the body of an erasure.
type eraseOrder struct {
	Fields []string `json:"fields"`
	Ground string   `json:"ground"`
}

// Erased says what an erasure removed; nothing when it was gone before, or when
// another operator is to confirm it.
type Erased struct {
	Index    int64    `json:"index"`
	Erased   []string `json:"erased"`
	Proposal string   `json:"proposal,omitempty"` // which another operator is to confirm
}

func (c *Console) serveErase(w http.ResponseWriter, r *http.Request, who Actor) error {
	index, err := indexOf(r)
	if err != nil {
		return err
	}
	if c.Journal == nil {
		return errElsewhere
	}
	var order eraseOrder
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&order); err != nil {
		return problem(http.StatusBadRequest, Text{"Ожидается объект с fields и ground: %v.", "An object with fields and ground is expected: %v."}, err)
	}
	if order.Ground = strings.TrimSpace(order.Ground); order.Ground == "" || len(order.Fields) == 0 {
		return problem(http.StatusBadRequest, Text{"Для удаления нужны поля и правовое основание: оно останется в журнале.", "Erasing needs the fields and the legal ground: it is what the journal will show."})
	}
	row, _, err := c.entry(r.Context(), index)
	if err != nil {
		return err
	}
	for _, f := range order.Fields {
		if _, ok := row.Leaf.Committed(f); !ok {
			return problem(http.StatusBadRequest, Text{"Запись %d не содержит обязательства по полю %q.", "Entry %d commits to no field %q."}, index, f)
		}
	}
	actor := string(who.Role) + " " + who.Name
	if c.Gateway().Config().Keep.FourEyes {
		if c.Content == nil {
			return errElsewhere
		}
		proposal, err := c.Content.ProposeValues(r.Context(), index, order.Fields, order.Ground, actor, c.Now().UTC())
		if err != nil {
			return c.eraseProblem(err)
		}
		return writeJSON(w, Erased{Index: index, Erased: []string{}, Proposal: proposal})
	}
	gone, err := c.Journal.Erase(r.Context(), index, order.Fields, order.Ground, actor, c.Now().UTC())
	if err != nil {
		return c.eraseProblem(err)
	}
	if gone == nil {
		gone = []string{}
	}
	return writeJSON(w, Erased{Index: index, Erased: gone})
}

// bundleMost is how many entries one bundle may hold: it is made in memory.
const bundleMost = 5000

// serveBundle gives the evidence of one exchange (exchange=ID) or of a question
// as a zip that verifies without this server.
func (c *Console) serveBundle(w http.ResponseWriter, r *http.Request, who Actor) error {
	if c.Journal == nil {
		return errElsewhere
	}
	ctx, cancel := context.WithTimeout(r.Context(), 40*time.Second)
	defer cancel()
	exchange := strings.TrimSpace(r.URL.Query().Get("exchange"))
	q, err := ask(r, "exchange")
	if err != nil {
		return err
	}
	what, title := q.reading("bundle"), q.values().Encode()
	if exchange != "" {
		what, title = reading{act: "bundle", query: "exchange " + exchange, fields: []string{"exchange"}}, "exchange "+Visible(clipped(exchange, 80))
	}
	indexes, err := c.bundled(ctx, q, exchange)
	if err != nil {
		return err
	}
	hold, release := c.holding(ctx, 0)
	defer release()
	exhibits, unopened, err := c.exhibits(ctx, indexes, hold)
	if err != nil {
		return err
	}
	return c.giveBundle(ctx, w, who, what, entitled(title, unopened), exhibits)
}

// entitled is the title of a bundle, which says what was asked for, and what is not in it
// for want of keys: README and manifest of the format have no other place for that, and
// verifiers of before show it too.
func entitled(title string, unopened *postgres.Unopened) string {
	if unopened == nil {
		return title
	}
	keys := strings.Join(unopened.Keys, ", ")
	return fmt.Sprintf("%s; НЕ ВСЁ: не открыто записей — %d или больше, нет ключей %s; NOT ALL: %[2]d entries or more could not be opened, for want of the keys %[3]s", title, unopened.Entries, keys)
}

// giveBundle makes a bundle, which is an entry itself, and sends it.
func (c *Console) giveBundle(ctx context.Context, w http.ResponseWriter, who Actor, what reading, title string, exhibits []audit.Exhibit) error {
	b := audit.Bundler{Tiles: c.Journal, Stamped: c.Journal.Stamped, Policy: c.Policy, Now: c.Now, Checkpoint: c.Journal.Published(c.Cosigned).Checkpoint, Find: c.Journal.Find,
		Append: func(ctx context.Context, e journal.Event) error { return c.Store.Record(ctx, e) }}
	read := c.readEvent(who, what)
	read.Message = newMessage()
	var zip bytes.Buffer
	if err := b.Write(ctx, &zip, title, exhibits, read); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return problem(http.StatusServiceUnavailable, Text{"Запись об этом пакете ещё не стоит под контрольной точкой. Повторите запрос; если так и останется, посмотрите на состояние журнала.", "The entry that tells of this bundle does not stand under a checkpoint yet. Ask again; if it stays so, look at the state of the journal."})
		}
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", `attachment; filename="evidence-`+fileName(read.Message[:13])+`.zip"`)
	h.Set("Content-Length", strconv.Itoa(zip.Len()))
	io.Copy(w, &zip)
	return nil
}

// bundled are the entries of a bundle.
func (c *Console) bundled(ctx context.Context, q *question, exchange string) ([]postgres.Row, error) {
	var rows []postgres.Row
	if exchange != "" {
		t, err := c.trace(ctx, exchange)
		if err != nil {
			return nil, err
		}
		for _, e := range t.Events {
			if e.Index == nil {
				continue // told by the entries that come after it, in a later bundle
			}
			row, _, err := c.entry(ctx, *e.Index)
			if err != nil {
				return nil, err
			}
			rows = append(rows, *row)
		}
	} else {
		count, err := c.Journal.Count(ctx, whole(q.query))
		if err != nil {
			return nil, err
		}
		if count > bundleMost {
			return nil, problem(http.StatusBadRequest, Text{"Найдено записей: %d, а в пакет входит не больше %d. Сузьте вопрос, например по дням.", "%d entries answer this question and a bundle holds %d at most: narrow it, by days for example."}, count, bundleMost)
		}
		err = c.Journal.Each(ctx, whole(q.query), func(r postgres.Row) error {
			rows = append(rows, r)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(rows) == 0 {
		return nil, problem(http.StatusNotFound, Text{"По этому вопросу записей в журнале нет.", "No entry of the log answers this question."})
	}
	return rows, nil
}
