package paper

import (
	"strconv"
	"strings"
	"time"

	"mezhved/adapter/reports"
)

// Word is a text in both languages.
type Word struct{ RU, EN string }

// In is the text in a language.
func (w Word) In(lang string) string {
	if lang == "en" {
		return w.EN
	}
	return w.RU
}

// TableTitle is what a table is called.
func TableTitle(t *reports.Table) Word { return tables[t.Name].title }

// Title is what a report is called.
func Title(k reports.Kind) Word { return titles[k] }

// Short is what a report is called where several stand side by side.
func Short(k reports.Kind) Word { return shorts[k] }

var shorts = map[reports.Kind]Word{
	reports.Service: {"Виды сведений", "Services"}, reports.Party: {"Ведомства", "Bodies"}, reports.Quality: {"Качество", "Quality"}, reports.Lateness: {"Просрочки", "Lateness"}, reports.Rating: {"Рейтинг", "Rating"},
}

var titles = map[reports.Kind]Word{
	reports.Service: {"Виды сведений: работа и нагрузка", "Services: work and load"}, reports.Party: {"Ведомства: работа и нагрузка", "Bodies: work and load"},
	reports.Quality: {"Качество", "Quality"}, reports.Lateness: {"Просрочки", "Lateness"}, reports.Rating: {"Рейтинг ведомств", "Rating of bodies"},
}

// ratingFormula is reports.RatingFormula for who reads Russian.
const ratingFormula = "оценка = 0,7·T + 0,2·K + 0,1·R, от 0 до 100. " +
	"T — доля запросов, на которые ответили в срок, от тех, чей срок истёк в периоде. " +
	"K — 100 % минус доля отказов по вине ведомства и запросов, которых оно не забрало или на которые не ответило за время их жизни. " +
	"R — средняя доля срока, остававшаяся при ответе (0 при опоздании). " +
	"Ведомства, у которых истёк срок меньше чем у 10 запросов, места не имеют."

var tests = map[reports.Tests]Word{
	reports.With: {"вместе с тестовыми сообщениями", "test messages included"}, reports.Only: {"только тестовые сообщения", "test messages alone"},
}

var tables = map[string]struct{ title, note Word }{
	"services": {Word{"По видам сведений", "By service"}, loadNote}, "providers": {Word{"По поставщикам", "By provider"}, loadNote},
	"senders": {Word{"По потребителям", "By consumer"}, Word{}},
	"courses": {Word{"Ход запросов", "How requests went"}, Word{"Медиана и p95: за столько времени этап прошли половина и 95 из 100 запросов.", "Median and p95: half, and 95 of 100, of the requests took no longer for the stage."}},
	"days":    {Word{"По дням", "By day"}, Word{"Просрочка отнесена ко дню, в который истёк срок.", "A request counts as late on the day on which its term ended."}},
	"stages": {Word{"Этапы", "Stages"}, Word{"В очередь: от приёма до очереди поставщика. Получение: от очереди до первой выдачи поставщику. Первый статус и ответ: от приёма. Работа: от выдачи до ответа.",
		"Queued: from acceptance to the provider's queue. Taken: from there until the provider first has it. First status and answer: from acceptance. Worked: from then until the answer."}},
	"week":     {Word{"По часам и дням недели", "By hour and weekday"}, Word{"Принятые запросы по часу приёма.", "Accepted requests by the hour of acceptance."}},
	"refusals": {Word{"Отказы по причинам", "Refusals by reason"}, Word{"", ""}},
	"quality": {Word{"Качество по видам сведений", "Quality by service"}, Word{"Доля отказов: по вине поставщика или шины от всех вызовов. Бюджет: какая часть допустимого израсходована, больше 100 % — обещание нарушено.",
		"Faults: refusals by the provider's or the bus's fault, of all calls. Budget: how much of what may go wrong has; more than 100 % breaks the promise."}},
	"lateness":   {Word{"По видам сведений и поставщикам", "By service and provider"}, Word{"Запрос относится к периоду, в котором истёк его срок.", "A request counts in the period in which its term ended."}},
	"marks":      {Word{"Отметки исполнителей", "Providers' marks"}, Word{"Код из статусов поставщика: сколько раз дан в периоде и у скольких открытых запросов он последний.", "The code in a provider's statuses: how often it was given in the period, and how many open requests bear it last."}},
	"stageTerms": {Word{"Сроки этапов", "Terms of stages"}, Word{"Этапы, срок которых истёк в периоде; у ответа это срок запроса.", "Stages whose term ended in the period; that of the answer is the request's."}},
	"bands":      {Word{"На сколько опоздали", "How late"}, Word{}},
	"latest":     {Word{"Самые большие просрочки", "The longest delays"}, Word{"Не больше 500 запросов.", "500 requests at most."}},
	"rating":     {Word{"Рейтинг", "Rating"}, Word{}},
}

var loadNote = Word{"Открыто, «срок сегодня» и прогноз — на конец периода. Прогноз: сколько открытых запросов опоздает, если отвечать по очереди в темпе последних семи дней.",
	"Open, due today and forecast are as of the period's end. Forecast: how many of the open requests will be late if they are answered one after another at the rate of the last seven days."}

var columnWords = map[string]Word{
	"service": {"Вид сведений", "Service"}, "version": {"Версия", "Version"}, "provider": {"Поставщик", "Provider"}, "sender": {"Потребитель", "Consumer"},
	"accepted": {"Принято", "Accepted"}, "answered": {"Отвечено", "Answered"}, "rejected": {"Отклонено", "Rejected"}, "lost": {"Не доставлено", "Undelivered"},
	"open": {"Открыто", "Open"}, "dueToday": {"Срок сегодня", "Due today"}, "openLate": {"Открыто просроченных", "Open and late"}, "forecastLate": {"Опоздает, прогноз", "Late by forecast"},
	"due": {"Срок истёк", "Term ended"}, "late": {"Просрочено", "Late"}, "inTime": {"В срок", "In time"}, "perDay": {"Завершается в день", "Ended a day"}, "refused": {"Отказов", "Refused"},
	"refusedBySender": {"По вине потребителя", "By consumer's fault"},
	"statuses":        {"Статусов", "Statuses"}, "returned": {"Возвратов в очередь", "Returned to queue"}, "broadcasts": {"Рассылок", "Broadcasts"},
	"queuedMedian": {"В очередь, медиана", "Queued, median"}, "queuedP95": {"p95", "p95"}, "takenMedian": {"Получение, медиана", "Taken, median"}, "takenP95": {"p95", "p95"},
	"statusMedian": {"Первый статус, медиана", "First status, median"}, "statusP95": {"p95", "p95"}, "workedMedian": {"Работа, медиана", "Worked, median"}, "workedP95": {"p95", "p95"},
	"answeredMedian": {"Ответ, медиана", "Answer, median"}, "answeredP95": {"p95", "p95"},
	"day": {"День", "Day"}, "in": {"Поступило", "Came"}, "out": {"Завершено", "Ended"}, "stage": {"Этап", "Stage"}, "count": {"Число", "Number"}, "median": {"Медиана", "Median"}, "p95": {"p95", "p95"}, "longest": {"Наибольшее", "Longest"},
	"weekday": {"День", "Day"}, "outcome": {"Ошибка", "Fault"}, "rule": {"Правило", "Rule"}, "whose": {"Чья вина", "Whose fault"}, "caller": {"Кто обращался", "Caller"}, "share": {"Доля", "Share"},
	"calls": {"Вызовов", "Calls"}, "bySender": {"Вина потребителя", "Consumer's fault"}, "byProvider": {"Вина поставщика", "Provider's fault"}, "byBus": {"Вина шины", "Bus's fault"}, "byAuthority": {"Вина УЦ", "CA's fault"},
	"faults": {"Доля отказов", "Faults"}, "faultsTarget": {"Допустимо", "Allowed"}, "faultsBudget": {"Бюджет израсходован", "Budget used"},
	"inTimeTarget": {"Обещано", "Promised"}, "inTimeBudget": {"Бюджет израсходован", "Budget used"}, "kept": {"Выполнено", "Kept"},
	"answeredInTime": {"Отвечено в срок", "Answered in time"}, "lateAnswered": {"Отвечено с опозданием", "Answered late"}, "lateOpen": {"Просрочено и открыто", "Late and open"},
	"upTo": {"Не больше", "Up to"}, "messageId": {"MessageID", "MessageID"}, "ended": {"Завершено", "Ended"},
	"place": {"Место", "Place"}, "mark": {"Оценка", "Mark"}, "T": {"T: в срок", "T: in time"}, "K": {"K: без ошибок", "K: without faults"}, "R": {"R: запас срока", "R: term left"},
}

// of some tables.
var tableColumnWords = map[string]Word{
	"marks.mark": {"Код статуса", "Status code"}, "latest.late": {"Опоздание", "Late by"}, "latest.due": {"Срок", "Due"}, "latest.accepted": {"Принят", "Accepted"}, "latest.ended": {"Завершён", "Ended"},
}

// ColumnTitle is what a column of a table is called.
func ColumnTitle(t *reports.Table, column string) Word {
	if w, ok := tableColumnWords[t.Name+"."+column]; ok {
		return w
	}
	if w, ok := columnWords[column]; ok {
		return w
	}
	return Word{column, column} // the hours of a day
}

// Values of texts that are words of ours, by column.
var valueWords = map[string]map[string]Word{
	"whose":   {"sender": {"потребителя", "consumer"}, "provider": {"поставщика", "provider"}, "bus": {"шины", "bus"}, "authority": {"удостоверяющего центра", "certificate authority"}},
	"caller":  {"party": {"участник", "party"}, "stranger": {"неизвестный", "stranger"}},
	"stage":   {"queued": {"В очередь", "Queued"}, "taken": {"Получение поставщиком", "Taken by the provider"}, "status": {"Первый статус", "First status"}, "worked": {"Работа поставщика", "Provider's work"}, "answered": {"Ответ", "Answer"}},
	"weekday": {"Mon": {"пн", "Mon"}, "Tue": {"вт", "Tue"}, "Wed": {"ср", "Wed"}, "Thu": {"чт", "Thu"}, "Fri": {"пт", "Fri"}, "Sat": {"сб", "Sat"}, "Sun": {"вс", "Sun"}},
	"upTo":    {"1h": {"1 час", "1 hour"}, "1d": {"1 сутки", "1 day"}, "3d": {"3 суток", "3 days"}, "7d": {"7 суток", "7 days"}, "30d": {"30 суток", "30 days"}, "more": {"дольше", "longer"}},
	"kept":    {"yes": {"да", "yes"}, "no": {"нет", "no"}},
}

// Show is a value as a reader sees it.
func Show(t *reports.Table, column int, v reports.Value, lang string) string {
	if !v.Given() {
		return "—"
	}
	c := t.Columns[column]
	switch c.Unit {
	case reports.Count:
		return grouped(v.Number())
	case reports.Duration:
		return lasting(v.Number(), lang)
	case reports.Percent:
		return comma(reports.Share(v.Number()).String(), lang) + "\u00a0%"
	case reports.Time:
		return time.UnixMilli(v.Number()).In(t.Zone()).Format("02.01.2006 15:04")
	}
	if v.Text() == "" {
		return "—"
	}
	if w, ok := valueWords[c.Name][v.Text()]; ok {
		return w.In(lang)
	}
	if c.Name == "day" {
		if d, err := time.Parse(time.DateOnly, v.Text()); err == nil {
			return d.Format("02.01.2006")
		}
	}
	return v.Text()
}

func comma(s, lang string) string {
	if lang == "en" {
		return s
	}
	return strings.Replace(s, ".", ",", 1)
}

func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, d := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteString("\u00a0")
		}
		b.WriteRune(d)
	}
	return b.String()
}

// lasting tells a length of time in its two largest units.
func lasting(ms int64, lang string) string {
	unit := func(ru, en string) string { return "\u00a0" + Word{ru, en}.In(lang) }
	two := func(whole int64, a string, part int64, b string) string {
		if part == 0 {
			return strconv.FormatInt(whole, 10) + a
		}
		return strconv.FormatInt(whole, 10) + a + "\u00a0" + strconv.FormatInt(part, 10) + b
	}
	s := ms / 1000
	switch {
	case ms < 1000:
		return strconv.FormatInt(ms, 10) + unit("мс", "ms")
	case s < 60:
		return comma(strconv.FormatFloat(float64(ms/100)/10, 'f', 1, 64), lang) + unit("с", "s")
	case s < 3600:
		return two(s/60, unit("мин", "min"), s%60, unit("с", "s"))
	case s < 48*3600:
		return two(s/3600, unit("ч", "h"), s/60%60, unit("мин", "min"))
	}
	return two(s/86400, unit("сут", "d"), s/3600%24, unit("ч", "h"))
}
