package audit

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"time"

	"mezhved/adapter/journal"
)

// Languages are those in which reports are written.
var Languages = []string{"ru", "en"}

// reportPage is of the format of bundles, like words: a bundle verifies when its
// reports are these byte for byte, so a change here makes those taken before not verify.
//
//go:embed report.html
var reportPage string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 UTC") },
}).Parse(reportPage))

// words are the report's texts in each language.
var words = map[string]map[string]string{
	"ru": {
		"Title": "Выписка из журнала межведомственного обмена", "Asked": "Запрошено", "Created": "Составлена", "Log": "Журнал", "Size": "записей в журнале",
		"Root": "Корень дерева", "Export": "О составлении этой выписки в журнале сделана запись", "Index": "Запись", "Time": "Время события", "Logged": "Внесено в журнал",
		"Kind": "Событие", "Message": "Сообщение", "Sender": "Отправитель", "Recipient": "Получатель", "Service": "Вид сведений", "Outcome": "Исход", "Where": "Место",
		"Values": "Раскрытые значения", "Envelope": "Конверт приложен; его хеш — тот, что в записи", "Gaps": "В выписку не вошли", "Deadline": "Срок",
		"Stage": "Этап", "DueQueued": "Поставить в очередь до", "DueTaken": "Получить до", "DueStatus": "Первый статус до", "Terms": "Считается от вручения", "EOL": "Срок жизни до",
		"Trust": "Эта страница — пересказ. Доказательства — в остальных файлах пакета; проверьте их программой mezhved-audit с политикой, полученной не от оператора журнала.",
	},
	"en": {
		"Title": "Extract from the journal of interdepartmental exchange", "Asked": "Asked for", "Created": "Made", "Log": "Log", "Size": "entries in the log",
		"Root": "Tree root", "Export": "The making of this extract is itself in the journal, as entry", "Index": "Entry", "Time": "Time of the event", "Logged": "Logged",
		"Kind": "Event", "Message": "Message", "Sender": "Sender", "Recipient": "Recipient", "Service": "Service", "Outcome": "Outcome", "Where": "Place",
		"Values": "Disclosed values", "Envelope": "The envelope is enclosed; its hash is the one in the entry", "Gaps": "Not in this extract", "Deadline": "Deadline",
		"Stage": "Stage", "DueQueued": "In the queue by", "DueTaken": "To be taken by", "DueStatus": "First status by", "Terms": "Counted from the delivery", "EOL": "End of life",
		"Trust": "This page only retells. The proofs are in the other files of the bundle; check them with mezhved-audit and a policy that you did not get from the journal's operator.",
	},
}

// kindNames says the kinds in Russian; in English they are as they stand.
var kindNames = map[journal.Kind]string{
	journal.KindAccepted: "принято", journal.KindRefused: "отказано", journal.KindRouted: "направлено", journal.KindQueued: "в очереди", journal.KindDelivered: "выдано", journal.KindReturned: "возвращено в очередь",
	journal.KindAcknowledged: "подтверждено", journal.KindAnswered: "получен ответ", journal.KindExpired: "истёк срок", journal.KindDueSoon: "срок подходит", journal.KindOverdue: "срок нарушен", journal.KindAlarm: "оповещение", journal.KindDead: "не доставлено", journal.KindStrangers: "обращения неизвестных",
	journal.KindConfigChanged: "изменена настройка", journal.KindErased: "стёрты значения", journal.KindEvidenceRead: "чтение журнала", journal.KindPeriodClose: "закрыт период",
	journal.KindKeyChanged: "сменён ключ журнала", journal.KindUnknown: "неизвестное событие",
}

// Printed is Report for a screen as well: as narrow as a telephone, nothing of it has to
// be scrolled to the side. What stands in a bundle is as its format has it.
func (e *Evidence) Printed(language string) ([]byte, error) {
	page, err := e.Report(language)
	if err != nil {
		return nil, err
	}
	page = bytes.Replace(page, []byte("<meta charset=\"utf-8\">\n"), []byte("<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"), 1)
	return bytes.Replace(page, []byte("</style>"), []byte(narrow+"</style>"), 1), nil
}

const narrow = `td, th, h2, p { overflow-wrap: anywhere }
@media (max-width: 40em) { body { margin: .5em auto; padding: 0 .5em } th { width: 30% } }
`

// Report is the bundle told in one of Languages, as a printable HTML page
// without scripts. The same evidence makes the same bytes.
func (e *Evidence) Report(language string) ([]byte, error) {
	w, ok := words[language]
	if !ok {
		return nil, fmt.Errorf("no report in language %q, only in %v", language, Languages)
	}
	name := func(k journal.Kind) string {
		if language == "ru" {
			return kindNames[k]
		}
		return string(k)
	}
	var out bytes.Buffer
	err := reportTemplate.Execute(&out, map[string]any{"W": w, "E": e, "Lang": language, "Name": name})
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return out.Bytes(), nil
}
