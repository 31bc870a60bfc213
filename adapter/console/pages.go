package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/alarms"
	"mezhved/adapter/postgres"
	"mezhved/adapter/terms"
)

//go:embed pages
var pageFiles embed.FS

// pages are the templates of every page for every kind of reader. Each is parsed when it is
// shown first: all of them together are half a million pieces that every collection of
// garbage would look at, in a node whose desk nobody may ever open.
type pages struct {
	of    map[reader]map[string]func() *template.Template
	print map[reader]func() *template.Template // the report, as a file of its own
}

var pageNames = []string{"login", "overview", "queues", "late", "alarms", "search", "trace", "incident", "message", "entry", "report", "figures", "services", "shadow", "health", "status", "parties", "problem"}

func (c *Console) preparePages() *pages {
	p := &pages{of: map[reader]map[string]func() *template.Template{}, print: map[reader]func() *template.Template{}}
	for _, to := range []reader{{"ru", false}, {"ru", true}, {"en", false}, {"en", true}} {
		p.of[to] = map[string]func() *template.Template{}
		for _, name := range pageNames {
			p.of[to][name] = c.parsed(to, "frame", name)
		}
		p.print[to] = c.parsed(to, "print", "report")
	}
	return p
}

// parsed gives a page in its frame for a kind of reader. They are parts of the program, and a
// test parses all of them.
func (c *Console) parsed(to reader, frame, name string) func() *template.Template {
	return sync.OnceValue(func() *template.Template {
		return template.Must(template.New(frame+".html").Funcs(c.functions(to)).ParseFS(pageFiles, "pages/"+frame+".html", "pages/parts.html", "pages/"+name+".html"))
	})
}

// sheet is what every page is made of.
type sheet struct {
	Lang    string
	UTC     bool   // times are in UTC, not in the desk's zone
	Other   string // address of this page in the other language
	Zone    string // and with times in the other zone
	Tests   string // and with or without messages that are tests
	NoTests bool   // tests are left out
	Page    string
	Node    string
	Who     Actor
	Now     time.Time
	Dues    *DueTotals // nil: nobody is here, or they cannot be told now
	D       any
}

// render writes a page. It is made whole before the first byte goes out, and
// what a browser would not show as it stands is made visible in all of it.
func (c *Console) render(w http.ResponseWriter, r *http.Request, status int, name string, who Actor, data any) {
	to := readerOf(r)
	other := func(param, a, b string, isA bool) string {
		values := r.URL.Query()
		values.Set(param, a)
		if isA {
			values.Set(param, b)
		}
		return (&url.URL{Path: r.URL.Path, RawQuery: values.Encode()}).String()
	}
	s := sheet{Lang: to.lang, UTC: to.utc, Other: other("lang", "en", "ru", to.lang == "en"), Zone: other("zone", "utc", "local", to.utc),
		Tests: other("tests", "hidden", "shown", testless(r)), NoTests: testless(r), Page: name, Node: c.Gateway().Config().Node, Who: who, Now: c.Now().UTC(), D: data}
	if who.Name != "" {
		var err error
		if s.Dues, err = c.dueTotals(r.Context()); err != nil {
			c.Log.Warn("console: the head of a page has no counters", "error", err)
		}
	}
	var b bytes.Buffer
	if err := c.pages.of[to][name]().Execute(&b, s); err != nil {
		c.Log.Error("console: a page", "page", name, "error", err)
		http.Error(w, "The page could not be made; the log of the node has the cause.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(visibleLines(under(c.prefix(), b.String()))))
}

// under puts a page's addresses under the path that a proxy has given the node.
// Only a template writes them so: values have their quotes escaped.
func under(prefix, page string) string {
	if prefix == "" {
		return page
	}
	prefix = template.HTMLEscapeString(prefix)
	return strings.NewReplacer(` href="/`, ` href="`+prefix+"/", ` src="/`, ` src="`+prefix+"/", ` action="/`, ` action="`+prefix+"/").Replace(page)
}

// zoneOf is the zone in which somebody is shown times.
func (c *Console) zoneOf(to reader) *time.Location {
	if to.utc {
		return time.UTC
	}
	return c.Zone
}

// functions are what the templates may call. t chooses the language.
func (c *Console) functions(to reader) template.FuncMap {
	zone := c.zoneOf(to)
	in := func(t Text) string {
		if to.lang == "en" {
			return t.EN
		}
		return t.RU
	}
	return template.FuncMap{
		"t":        func(ru, en string) string { return in(Text{ru, en}) },
		"text":     in,
		"word":     func(s any) string { return word(fmt.Sprint(s), in) },
		"sentence": func(e Entry) string { what, _ := sentence(e.Rule, e.Outcome); return in(what) },
		"part": func(p Part, log *Log) string {
			if p.Name == "journal" && log != nil && log.Stopped != "" {
				return in(stopped(log.Stopped))
			}
			return word(p.Detail, in)
		},
		"unopened": func(u *postgres.Unopened) string { return in(unopenedSentence(u)) },
		"standing": func(s Still) string { return in(Text{stationSentences[s.Station], s.Text}) },
		"time": func(t time.Time) string {
			if t.IsZero() {
				return "—"
			}
			return t.In(zone).Format("02.01.2006 15:04:05.000")
		},
		"minute":  func(t time.Time) string { return t.In(zone).Format("02.01.2006 15:04") },
		"day":     func(t time.Time) string { return t.In(zone).Format("02.01.2006") },
		"machine": func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"age":     func(now, then time.Time) string { return age(now.Sub(then), in) },
		"zone":    func(now time.Time) string { return zoneName(zone, now, in) },
		"local":   func(now time.Time) string { return zoneName(c.Zone, now, in) },
		"named":   c.named,
		"found":   func(problem string) string { return alarms.Found(problem, to.lang) },
		"seconds": func(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 1, 64) },
		"hours":   func(hours []string) string { return hoursText(hours, in) },
		"since":   func(due time.Time) string { return age(c.Now().Sub(due), in) },
		"until":   func(due time.Time) string { return age(due.Sub(c.Now()), in) },
		"stages":  func() []string { return []string{"queued", "taken", "status", "answered"} },
		"stage":   func(s string) string { return in(Text{terms.Stage(s).Russian(), s}) },
		"period": func(s string) string {
			if t, err := terms.Parse(s); err == nil && t.Days > 0 && to.lang == "ru" {
				return t.Russian()
			} else if err == nil && t.Working {
				return strconv.Itoa(t.Days) + " working days"
			} else if err == nil && t.Days > 0 {
				return strconv.Itoa(t.Days) + " days"
			}
			d, err := time.ParseDuration(s)
			if err != nil {
				return s
			}
			return period(d, to.lang)
		},
		"left": func(days int) string { // of a certificate's life
			if d := period(time.Duration(days)*24*time.Hour, to.lang); days > 0 {
				return in(Text{"ещё " + d, d + " left"})
			}
			return in(Text{"последний день", "the last day"})
		},
		"element": func(name string) adapter.QName { // of {space}local
			space, local, _ := strings.Cut(strings.TrimPrefix(name, "{"), "}")
			return adapter.QName{Space: space, Local: local}
		},
		"number": number,
		"bar": func(n, most int64) string {
			if most == 0 {
				return "0"
			}
			return strconv.FormatFloat(100*float64(n)/float64(most), 'f', 1, 64)
		},
		"path":  url.PathEscape,
		"short": func(s string) string { return clipped(s, 13) },
		"deref": func(n *int64) int64 { return *n },
		"int64": func(n int) int64 { return int64(n) },
		"trim":  func(s string) string { return clipped(s, 400) },
		"link":  func(s string) string { return local(s) },
	}
}

// named is the name of a registered party, when it says more than its mnemonic.
func (c *Console) named(mnemonic string) string {
	p := c.Gateway().Catalog().Party(adapter.Mnemonic(mnemonic))
	if p == nil || p.Name == mnemonic {
		return ""
	}
	return p.Name
}

// number groups the digits of a count by thousands.
func number(n any) string {
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, d := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteString("\u00a0")
		}
		b.WriteRune(d)
	}
	return b.String()
}

// age tells a length of time in its largest unit.
func age(d time.Duration, in func(Text) string) string {
	switch {
	case d < 0:
		return in(Text{"0 с", "0 s"})
	case d < time.Minute:
		return fmt.Sprintf("%d "+in(Text{"с", "s"}), int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d "+in(Text{"мин", "min"}), int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d "+in(Text{"ч", "h"}), int(d.Hours()))
	}
	return fmt.Sprintf("%d "+in(Text{"дн", "days"}), int(d.Hours()/24))
}

// word is a word of the program in the reader's language; what is no word of the
// program stays as it is.
func word(s string, in func(Text) string) string {
	if t, ok := dictionary[s]; ok {
		return in(t)
	}
	return s
}

var dictionary = map[string]Text{
	"accepted": {"принято", "accepted"}, "refused": {"отказано", "refused"}, "routed": {"передано в шину", "routed"}, "queued": {"в очереди", "queued"},
	"delivered": {"выдано", "delivered"}, "returned": {"возвращено в очередь", "returned"}, "acknowledged": {"подтверждено", "acknowledged"},
	"answered": {"дан ответ", "answered"}, "expired": {"срок жизни истёк", "expired"}, "due-soon": {"срок подходит", "due soon"}, "overdue": {"срок нарушен", "overdue"}, "alarm": {"оповещение", "alarm"}, "dead": {"доставить нельзя", "dead"}, "strangers": {"отказы неизвестным", "strangers refused"},
	"config-changed": {"изменены настройки", "configuration changed"}, "erased": {"значения удалены", "values erased"}, "evidence-read": {"чтение журнала", "evidence read"},
	"period-close": {"закрытие периода", "period closed"}, "key-changed": {"смена ключа", "key changed"}, "unknown": {"неизвестная запись", "unknown row"},
	"pending": {"ожидает журнала", "pending"}, "logged": {"в журнале", "in the log"}, "proved": {"доказуемо", "provable"},
	"request": {"запрос", "request"}, "response": {"ответ", "response"}, "rejection": {"отказ поставщика", "rejection"}, "status": {"статус", "status"},
	"async": {"сообщение шлюза", "gateway's notice"}, "broadcast": {"рассылка", "broadcast"},
	"draft": {"черновик", "draft"}, "test": {"испытание", "test"}, "published": {"в эксплуатации", "published"}, "retired": {"выведена", "retired"},
	"ok": {"успешно", "ok"}, "operator": {"оператор", "operator"}, "auditor": {"аудитор", "auditor"},
	"store": {"Хранилище (PostgreSQL)", "Store (PostgreSQL)"}, "bus": {"Шина (Kafka)", "Bus (Kafka)"}, "journal": {"Журнал", "Journal"}, "clock": {"Часы", "Clock"}, "gateway": {"Шлюз", "Gateway"},
	"it does not answer": {"не отвечает", "it does not answer"},
	"accepted messages wait in the outbox until it answers":            {"принятые сообщения ждут, пока она не ответит", "accepted messages wait in the outbox until it answers"},
	"the clocks of node and database differ by more than clock.refuse": {"часы узла и базы данных расходятся больше, чем позволяет clock.refuse", "the clocks of node and database differ by more than clock.refuse"},
	"no node places events in the log, or signs it":                    {"ни один узел не вносит события в журнал или не подписывает его", "no node places events in the log, or signs it"},
	"its readiness cannot be read":                                     {"состояние прочитать не удалось", "its readiness cannot be read"},
	"it cannot be read now":                                            {"сейчас прочитать нельзя", "it cannot be read now"},
	"no checkpoint yet":                                                {"контрольной точки ещё нет", "no checkpoint yet"},
	"day":                                                              {"день", "day"}, "service": {"вид сведений", "service"}, "outcome": {"итог", "outcome"}, "sender": {"отправитель", "sender"}, "kind": {"событие", "event"}, "channel": {"вход", "door"},
	"snils": {"СНИЛС", "SNILS"}, "inn": {"ИНН", "INN"}, "ogrn": {"ОГРН", "OGRN"}, "passport": {"паспорт", "passport"}, "name-birth": {"ФИО и дата рождения", "name and date of birth"},
	"ground": {"правовое основание", "legal ground"}, "case": {"номер дела", "case"}, "service-code": {"код услуги", "code of the service"}, "consent": {"согласие", "consent"},
	"search": {"поиск", "search"}, "report": {"отчёт по человеку", "report about a person"}, "figures": {"отчёт с показателями", "report of figures"}, "report-bundle": {"отчёт с доказательствами", "report with evidence"}, "bundle": {"доказательства", "evidence"}, "impact": {"сверка сообщений с новой схемой", "messages held against a new schema"},
	"readings": {"кто читал", "who has read"}, "trace": {"путь сообщения", "trace"}, "envelope": {"содержание", "envelope"}, "entry": {"запись", "entry"}, "entries": {"записи журнала", "entries of the log"}, "proof": {"доказательство записи", "proof of an entry"},
	"totals": {"подсчёт", "totals"}, "export": {"выгрузка", "export"}, "overview": {"обзор", "overview"}, "terms": {"сроки", "terms"}, "alarms": {"оповещения", "alarms"}, "changes": {"изменения настроек", "changes of settings"}, "revocation": {"сведения об отзыве", "revocation"},
	"added": {"добавлено", "added"}, "changed": {"изменено", "changed"}, "removed": {"удалено", "removed"}, "first": {"первая запись", "first told"}, "protocol": {"протокол испытаний", "test protocol"}, "forced": {"опубликовано без протокола", "published by force"},
	"open": {"этап не пройден", "not reached"}, "reached": {"этап пройден с опозданием", "reached too late"},
	"told": {"сообщено", "told"}, "muted": {"не сообщено: правило заглушено", "not told: the rule is muted"}, "undelivered": {"сообщить не удалось", "could not be told"},
	"mute": {"правило заглушено", "rule muted"}, "unmute": {"правило снова сообщает", "rule tells again"}, "retry": {"не сообщённое пробуется снова", "what could not be told is tried again"},
	"mail": {"письмом", "by mail"}, "webhook": {"вызовом", "by webhook"},
	"short": {"короткая", "short"}, "full": {"полная", "full"},
	"true": {"тестовые", "tests"}, "false": {"не тестовые", "not tests"}, "stream": {"чтение с шины", "read on the bus"},
}

// hoursText says in words what the strip of hours shows.
func hoursText(hours []string, in func(Text) string) string {
	n := map[string]int{}
	for _, h := range hours {
		n[h]++
	}
	return fmt.Sprintf(in(Text{"за %d ч: исправно %d, с ошибками %d, без проверок %d", "%d h: well %d, with errors %d, not probed %d"}), len(hours), n["good"], n["bad"]+n["mixed"], n["none"])
}
