package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"mezhved/adapter"
	"mezhved/adapter/journal"
	"mezhved/adapter/journal/audit"
	"mezhved/adapter/registry"
	"mezhved/adapter/reports"
	"mezhved/adapter/reports/paper"
	"mezhved/adapter/reports/workbook"
	"mezhved/adapter/terms"
)

// figureParameters are those of a report of figures, in the order of the API's description.
var figureParameters = []string{"period", "from", "to", "asOf", "zone", "service", "party", "test"}

// formParameters say how it is written.
var formParameters = []string{"form", "lang", "table"}

// figuresTime is how long one report may take to make.
const figuresTime = 10 * time.Minute

// askFigures reads a question for a report of figures. Days and periods without a zone
// are of zone. A period that has not ended is looked at as of now.
func (c *Console) askFigures(kind string, values url.Values, zone *time.Location) (reports.Question, error) {
	q := reports.Question{Kind: reports.Kind(kind), Zone: zone}
	known := slices.Concat(figureParameters, formParameters)
	for name, list := range values {
		if !slices.Contains(known, name) {
			return q, problem(http.StatusBadRequest, Text{"У этого вопроса нет параметра %q; есть %s.", "%q is no parameter of this question; there are %s."}, name, strings.Join(known, ", "))
		}
		if len(list) > 1 {
			return q, problem(http.StatusBadRequest, Text{"%s: указано больше одного раза (%d).", "%s is given %d times."}, name, len(list))
		}
		if len(list[0]) > 512 || list[0] != storable(list[0]) {
			return q, problem(http.StatusBadRequest, Text{"%s: ожидается текст в UTF-8 без нулевых символов, не длиннее 512 байт.", "%s: a text in UTF-8 without zero characters, of 512 bytes at most, is expected."}, name)
		}
	}
	given := func(name string) string { return strings.TrimSpace(values.Get(name)) }
	// What the reports' own room says of a question is English; a page says it in Russian.
	unclear := func(russian string, err error) error {
		return &Problem{Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest, Detail: fmt.Sprintf("The question is not understood: %v.", err), russian: russian}
	}
	if name := given("zone"); name != "" {
		var err error
		if q.Zone, err = time.LoadLocation(name); err != nil {
			return q, unclear(fmt.Sprintf("Часовой пояс %q неизвестен: ожидается имя, например Europe/Moscow.", name), err)
		}
	}
	now := c.Now().UTC().Truncate(time.Second)
	var err error
	if q.Period, err = reports.Bounds(given("period"), given("from"), given("to"), now, q.Zone); err != nil {
		return q, unclear(fmt.Sprintf("Период непонятен. Ожидается либо год, квартал, месяц или день (2026, 2026-Q3, 2026-11, 2026-11-29), либо начало и конец: так же названные или время с поясом (2026-03-02T15:04:05+03:00). Конец позже начала, в период не входит, и до него не больше %d дней.", reports.LongestPeriod/(24*time.Hour)), err)
	}
	q.Name, q.Service, q.Party, q.Tests = given("period"), given("service"), given("party"), reports.Tests(given("test"))
	if s := given("asOf"); s != "" {
		if q.AsOf, err = reports.Moment(s, q.Zone); err != nil {
			return q, unclear("По состоянию на когда? Ожидается время с поясом (2026-03-02T15:04:05+03:00) или день, месяц, квартал, год.", err)
		}
	}
	if !q.Period.From.Before(now) || q.AsOf.After(now) {
		return q, problem(http.StatusBadRequest, Text{"Это время ещё не наступило.", "That time has not come yet."})
	}
	if q.AsOf.IsZero() && q.Period.To.After(now) {
		q.AsOf = now.In(q.Zone)
	}
	catalog := c.Gateway().Catalog()
	q.Calendar, q.Target = catalog.Calendar, c.Gateway().Config().Quality.Target()
	q.Targets = catalog.Targets(q.Target)
	if err := q.Check(); err != nil {
		return q, unclear(fmt.Sprintf("Отчёт так составить нельзя: вид его один из %v, тестовые сообщения — no, with или only, а момент, на который он составлен, лежит внутри периода.", reports.Kinds), err)
	}
	return q, nil
}

// figureZone is the zone of reports: the desk's, by the name under which everybody
// knows it.
func (c *Console) figureZone() *time.Location {
	if c.Zone == terms.Moscow {
		if zone, err := time.LoadLocation("Europe/Moscow"); err == nil {
			return zone
		}
	}
	return c.Zone
}

// figures makes a report, of what stands under the latest checkpoint. One is made at a
// time: each reads the log.
func (c *Console) figures(ctx context.Context, q reports.Question) (*reports.Report, error) {
	if c.Journal == nil {
		return nil, errElsewhere
	}
	select {
	case c.counting <- struct{}{}:
		defer func() { <-c.counting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	cp, err := c.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	if cp == nil {
		return nil, problem(http.StatusServiceUnavailable, Text{"Контрольной точки ещё нет, и считать не по чему; пока журнал работает, их подписывают каждую секунду.", "There is no checkpoint yet to count under; one is signed every second while the journal works."})
	}
	hold, release := c.holding(ctx, 0)
	defer release()
	return reports.Make(ctx, q, c.entries(), reports.Log{Origin: cp.Origin, Size: cp.Tree.N, Root: cp.Tree.Hash}, c.Journal, hold)
}

// standEvery is how often it is looked whether there is something to stand on.
const standEvery = time.Minute

// Stand makes, as the log grows, what reports begin with (reports.Standing), until ctx
// ends. It works as long as it rests, and never beside a report.
func (c *Console) Stand(ctx context.Context) error {
	wait := standEvery
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		began := time.Now()
		made, err := c.stand(ctx)
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("reports read the log from further back than they would have to", "error", err)
		}
		if wait = standEvery; made {
			wait = time.Since(began)
		}
	}
}

// stand makes one, when it is time for it.
func (c *Console) stand(ctx context.Context) (made bool, err error) {
	select {
	case c.counting <- struct{}{}:
		defer func() { <-c.counting }()
	case <-ctx.Done():
		return false, nil
	}
	cp, err := c.checkpoint(ctx)
	if err != nil || cp == nil {
		return false, err
	}
	hold, release := c.holding(ctx, 0)
	defer release()
	return c.Journal.Stand(ctx, c.Gateway().Catalog().Calendar, c.entries(), cp.Tree.N, hold)
}

// entries is the log, with what was archived.
func (c *Console) entries() journal.TileSource {
	dir := c.Gateway().Config().Journal.Retention.Dir
	if dir == "" {
		return c.Journal
	}
	return archived{c.Journal, audit.DirSource{FS: os.DirFS(dir)}}
}

// archived reads from the archive what the database does not have any more.
type archived struct{ here, archive journal.TileSource }

func (a archived) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	data, err := a.here.Tile(ctx, level, n, width)
	if errors.Is(err, fs.ErrNotExist) {
		return a.archive.Tile(ctx, level, n, width)
	}
	return data, err
}

// figuresReading is the question as the journal keeps it.
func figuresReading(q reports.Question, values url.Values) reading {
	what := reading{act: "figures", query: string(q.Kind) + "?" + values.Encode()}
	for _, name := range figureParameters {
		if values.Get(name) != "" {
			what.fields = append(what.fields, name)
		}
	}
	return what
}

// askedFigures makes the report that a call asks for, after noting that it is asked.
func (c *Console) askedFigures(r *http.Request, who Actor, kind string, values url.Values, zone *time.Location) (*reports.Report, error) {
	q, err := c.askFigures(kind, values, zone)
	if err != nil {
		return nil, err
	}
	if err := c.note(r.Context(), who, figuresReading(q, values)); err != nil {
		return nil, err
	}
	report, err := c.figures(r.Context(), q)
	if err != nil {
		return nil, err
	}
	return report, c.nobody(report)
}

// nobody refuses a report of a service or party that is not registered and that nothing
// in the period names: noughts for a mistyped name would pass for an answer. What was
// taken out of the registry has its report as long as it has entries.
func (c *Console) nobody(r *reports.Report) error {
	if len(r.Tables[0].Rows) > 0 {
		return nil
	}
	q, catalog := &r.Question, c.Gateway().Catalog()
	if q.Service != "" && !slices.ContainsFunc(catalog.Services(), func(s *registry.Service) bool { return s.Name == q.Service }) {
		return problem(http.StatusBadRequest, Text{"Вида сведений %q нет, и записей о нём за этот период нет.", "There is no service %q, and no entry of it in this period."}, q.Service)
	}
	if q.Party != "" && catalog.Party(adapter.Mnemonic(q.Party)) == nil {
		return problem(http.StatusBadRequest, Text{"Участника %q нет, и записей о нём за этот период нет.", "There is no party %q, and no entry of it in this period."}, q.Party)
	}
	return nil
}

func (c *Console) serveFigures(w http.ResponseWriter, r *http.Request, who Actor) error {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(figuresTime)) // not every writer has deadlines
	values := r.URL.Query()
	form := paper.Form(values.Get("form"))
	if form == "" {
		form = paper.JSON
	}
	if !slices.Contains(paper.Forms, form) {
		return problem(http.StatusBadRequest, Text{"form: %q — не из числа %v.", "form: %q is none of %v."}, string(form), paper.Forms)
	}
	if lang := values.Get("lang"); lang != "" && lang != "ru" && lang != "en" {
		return problem(http.StatusBadRequest, Text{"lang: ожидается ru или en, а не %q.", "lang: ru or en is expected, not %q."}, lang)
	}
	kind := chi.URLParam(r, "kind")
	rep, err := c.askedFigures(r, who, kind, values, c.figureZone())
	if err != nil {
		return err
	}
	var b bytes.Buffer
	var none *paper.NoTableError
	contentType := form.ContentType()
	if form == paper.XLSX {
		contentType, err = workbook.ContentType, workbook.Write(&b, rep, values.Get("lang"))
	} else {
		err = paper.Write(&b, form, rep, paper.Options{Lang: values.Get("lang"), Named: c.named, Table: values.Get("table")})
	}
	if errors.As(err, &none) {
		return problem(http.StatusBadRequest, Text{"table: таблицы %q в этом отчёте нет; есть %s.", "table: there is no table %q in this report; there are %s."}, none.Name, strings.Join(none.Has, ", "))
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	if form != paper.JSON && form != paper.Text {
		h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%s.%s"`, kind, rep.Question.Period.From.Format("20060102"), form))
	}
	answer := b.Bytes()
	if form == paper.HTML || form == paper.Text {
		answer = []byte(visibleLines(b.String()))
	}
	w.Write(answer) // a reader who went away is no error of ours
	return nil
}

// figuresPage is a report of figures on the desk.
type figuresPage struct {
	Kind   string
	Title  string
	Kinds  []figuresKind
	Values map[string]string // as they were asked for
	Body   template.HTML
	Takes  []figuresTake // addresses of what can be taken away
}

type figuresKind struct{ Kind, Title, Address string }

type figuresTake struct{ Form, Address string }

func (c *Console) pageFigures(r *http.Request, who Actor) (any, error) {
	kind := chi.URLParam(r, "kind")
	if kind == "" {
		kind = string(reports.Service)
	}
	to := readerOf(r)
	values := r.URL.Query()
	for name, v := range values { // a browser sends every field of a form
		if len(v) == 1 && strings.TrimSpace(v[0]) == "" {
			values.Del(name)
		}
	}
	zone := c.figureZone()
	if to.utc {
		zone = time.UTC
		values.Set("zone", "UTC") // so that what is taken away is what was shown
	}
	rep, err := c.askedFigures(r, who, kind, values, zone)
	if err != nil {
		return nil, err
	}
	p := &figuresPage{Kind: kind, Title: paper.Title(rep.Question.Kind).In(to.lang), Values: map[string]string{}}
	for _, k := range reports.Kinds {
		other := url.Values{}
		for _, name := range []string{"period", "from", "to", "service", "party", "test"} {
			if s := values.Get(name); s != "" {
				other.Set(name, s)
			}
		}
		p.Kinds = append(p.Kinds, figuresKind{string(k), paper.Short(k).In(to.lang), (&url.URL{Path: "/console/reports/" + string(k), RawQuery: other.Encode()}).String()})
	}
	for name := range values {
		p.Values[name] = values.Get(name)
	}
	if p.Body, err = paper.Body(rep, paper.Options{Lang: to.lang, Named: c.named}); err != nil {
		return nil, err
	}
	for _, form := range []paper.Form{paper.HTML, paper.XLSX, paper.CSV, paper.JSON} {
		take := clone(values)
		take.Set("form", string(form))
		take.Set("lang", to.lang)
		p.Takes = append(p.Takes, figuresTake{strings.ToUpper(string(form)), "/api/v1/reports/" + kind + "?" + take.Encode()})
	}
	return p, nil
}
