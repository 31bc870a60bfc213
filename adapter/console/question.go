package console

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"mezhved/adapter/journal"
	"mezhved/adapter/postgres"
	"mezhved/adapter/subject"
)

// question is what is asked of the journal, in the words of the API. The JSON
// form is the body of POST /journal/search; the same names are the parameters of
// the GET forms, except person, ground and case, which must not stand in an address.
type question struct {
	From        string  `json:"from,omitempty"`
	To          string  `json:"to,omitempty"`
	Kind        string  `json:"kind,omitempty"`
	Sender      string  `json:"sender,omitempty"`
	Recipient   string  `json:"recipient,omitempty"`
	Service     string  `json:"service,omitempty"`
	Version     string  `json:"version,omitempty"`
	Outcome     string  `json:"outcome,omitempty"`
	Channel     string  `json:"channel,omitempty"`
	Reference   string  `json:"reference,omitempty"`
	Test        string  `json:"test,omitempty"` // no or only; else tests are as everything else
	ID          string  `json:"id,omitempty"`
	Certificate string  `json:"certificate,omitempty"`
	Incident    string  `json:"incident,omitempty"`
	Person      *person `json:"person,omitempty"`
	Ground      string  `json:"ground,omitempty"` // like person, and case, too: not in an address
	Case        string  `json:"case,omitempty"`
	Order       string  `json:"order,omitempty"` // newest (default) or oldest
	After       string  `json:"after,omitempty"` // "next" of the page before
	Limit       int     `json:"limit,omitempty"` // of a page: 50, 500 at most

	zone  *time.Location // of days and times that have none; nil: UTC
	query postgres.Query
}

// person is a value that entries commit to, such as a snils.
type person struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// Sizes of a page.
const (
	pageDefault = 50
	pageMost    = 500
)

// fields are the parameters by name, in the order of the API's description.
func (q *question) fields() []struct {
	name  string
	value *string
} {
	return []struct {
		name  string
		value *string
	}{
		{"from", &q.From}, {"to", &q.To}, {"kind", &q.Kind}, {"sender", &q.Sender}, {"recipient", &q.Recipient}, {"service", &q.Service},
		{"version", &q.Version}, {"outcome", &q.Outcome}, {"channel", &q.Channel}, {"reference", &q.Reference}, {"test", &q.Test}, {"id", &q.ID}, {"certificate", &q.Certificate}, {"incident", &q.Incident},
		{"order", &q.Order}, {"after", &q.After},
	}
}

// ask reads the question of a request. others are parameters that the path has
// beside those of a question. A parameter that nobody knows is an error: a
// mistyped restriction must not answer with everything.
func ask(r *http.Request, others ...string) (*question, error) {
	q := &question{}
	if r.Method == http.MethodPost {
		d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 64<<10))
		d.DisallowUnknownFields()
		if err := d.Decode(q); err != nil {
			return nil, problem(http.StatusBadRequest, Text{"Вопрос — не тот объект JSON, который описан: %v.", "The question is not the JSON object of the description: %v."}, err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, problem(http.StatusBadRequest, Text{"За вопросом следует что-то ещё.", "Something follows the question."})
		}
	} else if err := q.read(r.URL.Query(), others); err != nil {
		return nil, err
	}
	return q, q.check()
}

func (q *question) read(values url.Values, others []string) error {
	known := slices.Clone(others)
	known = append(known, "limit")
	for _, f := range q.fields() {
		known = append(known, f.name)
		*f.value = strings.TrimSpace(values.Get(f.name))
	}
	for name, list := range values {
		if !slices.Contains(known, name) {
			return problem(http.StatusBadRequest, Text{"У этого вопроса нет параметра %q; есть %s.", "%q is no parameter of this question; there are %s."}, name, strings.Join(known, ", "))
		}
		if len(list) > 1 {
			return problem(http.StatusBadRequest, Text{"%s: указано больше одного раза (%d).", "%s is given %d times."}, name, len(list))
		}
	}
	if s := values.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return problem(http.StatusBadRequest, Text{"limit: ожидается число от 1 до %d, а не %q.", "limit: a number from 1 to %d is expected, not %q."}, pageMost, s)
		}
		q.Limit = n
	}
	return nil
}

// check turns the words into the journal's question.
func (q *question) check() error {
	p := &q.query
	for _, f := range q.fields() {
		if len(*f.value) > 512 || *f.value != storable(*f.value) {
			return problem(http.StatusBadRequest, Text{"%s: ожидается текст в UTF-8 без нулевых символов, не длиннее 512 байт.", "%s: a text in UTF-8 without zero characters, of 512 bytes at most, is expected."}, f.name)
		}
	}
	var err error
	if p.From, err = moment("from", q.From, q.zone); err != nil {
		return err
	}
	if p.To, err = moment("to", q.To, q.zone); err != nil {
		return err
	}
	p.Kind, p.Sender, p.Recipient, p.Service, p.Version = journal.Kind(q.Kind), q.Sender, q.Recipient, q.Service, q.Version
	p.Channel, p.Reference = q.Channel, q.Reference
	if p.Tests, err = testsOf(q.Test); err != nil {
		return err
	}
	p.Outcome, p.ID, p.Certificate, p.Incident = q.Outcome, q.ID, strings.ToLower(q.Certificate), q.Incident
	if q.Kind != "" && !slices.Contains(kinds, p.Kind) {
		return problem(http.StatusBadRequest, Text{"kind: события %q нет; есть %s.", "kind: there is no event %q; there are %s."}, q.Kind, listed(kinds))
	}
	if raw, err := hex.DecodeString(p.Certificate); p.Certificate != "" && (err != nil || len(raw) != 32) {
		return problem(http.StatusBadRequest, Text{"Сертификат: ожидаются 64 шестнадцатеричные цифры, SHA-256 сертификата (openssl x509 -outform der | sha256sum).", "certificate: 64 hexadecimal digits are expected, the SHA-256 of the certificate (openssl x509 -outform der | sha256sum)."})
	}
	switch q.Order {
	case "", "newest":
		p.Descending = true
	case "oldest":
	default:
		return problem(http.StatusBadRequest, Text{"order: ожидается newest или oldest, а не %q.", "order: newest or oldest is expected, not %q."}, q.Order)
	}
	if q.After != "" {
		if p.After, err = strconv.ParseInt(q.After, 10, 64); err != nil || p.After < 0 {
			return problem(http.StatusBadRequest, Text{"after: ожидается значение next предыдущей страницы, а не %q.", "after: the value of next of the page before is expected, not %q."}, q.After)
		}
		p.HasAfter = true
	}
	if q.Limit < 0 || q.Limit > pageMost {
		return problem(http.StatusBadRequest, Text{"limit: ожидается число от 1 до %d, а не %d.", "limit: a number from 1 to %d is expected, not %d."}, pageMost, q.Limit)
	}
	if p.Limit = q.Limit; p.Limit == 0 {
		p.Limit = pageDefault
	}
	if q.Person != nil {
		if q.Person.Field == "" || q.Person.Value == "" {
			return problem(http.StatusBadRequest, Text{"Поиск по значению: нужны и поле, и значение.", "person: field and value are both needed."})
		}
		if !journal.ValidName(q.Person.Field) || len(q.Person.Field) > subject.LongestName {
			return problem(http.StatusBadRequest, Text{"Поле: ожидается имя вроде snils, а не %q.", "person: a field such as snils is expected, not %q."}, clipped(q.Person.Field, 40))
		}
		p.Values = append(p.Values, journal.PersonalField{Field: q.Person.Field, Value: q.Person.Value})
	}
	for _, one := range [][2]string{{subject.Ground, q.Ground}, {subject.Case, q.Case}} {
		if one[1] != "" {
			p.Values = append(p.Values, journal.PersonalField{Field: one[0], Value: one[1]})
		}
	}
	return nil
}

// testsOf reads what is to be done with messages that are marked TestMessage.
func testsOf(s string) (postgres.Tests, error) {
	switch t := postgres.Tests(s); t {
	case postgres.TestsToo, postgres.NoTests, postgres.TestsOnly:
		return t, nil
	}
	return "", problem(http.StatusBadRequest, Text{"test: ожидается no или only, а не %q.", "test: no or only is expected, not %q."}, s)
}

// moment reads a time with its zone, or a day, which begins it, or a time of the
// zone that is given: UTC in the API, on a page the one in which it shows times.
func moment(name, s string, zone *time.Location) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if zone == nil {
		zone = time.UTC
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05", "02.01.2006", "02.01.2006 15:04"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil && t.UTC().Year() > 0 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, problem(http.StatusBadRequest, Text{"%s: ожидается время вида 2026-03-02T15:04:05+03:00 или день вида 2026-03-02, а не %q.", "%s: a time such as 2026-03-02T15:04:05+03:00 or a day such as 2026-03-02 (UTC) is expected, not %q."}, name, s)
}

// values are the question as parameters, for the next page and for exports. A
// person is left out.
func (q *question) values() url.Values {
	v := url.Values{}
	for _, f := range q.fields() {
		if *f.value != "" {
			v.Set(f.name, *f.value)
		}
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// reading is the question as the journal keeps it.
func (q *question) reading(act string) reading {
	text := q.values().Encode()
	r := reading{act: act, query: text}
	for _, f := range q.fields() {
		if *f.value != "" && f.name != "order" && f.name != "after" {
			r.fields = append(r.fields, f.name)
		}
	}
	// The values themselves stand under their own names.
	for _, v := range q.query.Values {
		r.query += " " + v.Field
		r.fields, r.values, r.always = append([]string{v.Field}, r.fields...), append(r.values, v), true
	}
	return r
}

// kinds are the events that can be asked for.
var kinds = []journal.Kind{
	journal.KindAccepted, journal.KindRefused, journal.KindRouted, journal.KindQueued, journal.KindDelivered, journal.KindReturned,
	journal.KindAcknowledged, journal.KindAnswered, journal.KindExpired, journal.KindDueSoon, journal.KindOverdue, journal.KindDead, journal.KindStrangers,
	journal.KindConfigChanged, journal.KindErased, journal.KindEvidenceRead, journal.KindAlarm, journal.KindPeriodClose, journal.KindKeyChanged, journal.KindUnknown,
}

func listed(list []journal.Kind) string {
	var out []string
	for _, k := range list {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

// param is a part of the path, decoded. What no text of the database can be
// becomes a text that none is, so that it is looked for and not found.
func param(r *http.Request, name string) string {
	raw := chi.URLParam(r, name)
	if r.URL.RawPath != "" { // else chi has routed by the decoded path
		if s, err := url.PathUnescape(raw); err == nil {
			raw = s
		}
	}
	return storable(raw)
}

// storable is the text with U+FFFD for what PostgreSQL takes into no text: bytes
// that are not UTF-8, and zero characters.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
