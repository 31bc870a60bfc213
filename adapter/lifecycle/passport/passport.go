// Package passport is the page of one version of a service: all that is known of it,
// for the integrator who connects to it (what to send, with examples, how to sign,
// where) and for the call centre that is rung up when something went wrong (what it
// means and what to answer).
//
// A passport is made of what the gateway goes by: the catalog, the schema, samples
// and scenarios in the version's folder, terms, and the gateway's own table of
// refusals; nothing in it is written by hand, so it cannot say otherwise. Equal input
// makes equal bytes. Who may enter: the command line, and the desk. It reads the
// version's folder and keeps nothing, so a crash leaves nothing.
package passport

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"mezhved/adapter"
	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/lifecycle/scenario"
	"mezhved/adapter/registry"
	"mezhved/adapter/reports"
	"mezhved/adapter/terms"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// Passport is what the page says.
type Passport struct {
	*registry.Service
	Providers, Callers []Body // Callers: nil, every registered party
	Terms              []Term
	Request, Response  Message
	Negatives          []Negative
	Scenarios          []Case
	Doors              []Door
	Refusals           []Refusal
	Situations         []Situation
}

// Body is a participant.
type Body struct{ Mnemonic, Name string }

// Term is by when something has to happen.
type Term struct{ What, Term, From string }

// Message is a kind of content.
type Message struct {
	Root   registry.QName
	Fields []Field
	Spaces []Space // of its fields, but that of the root
	File   string  // of the sample
	Sample string  // empty: there is none
}

// Space is a namespace, and the prefix that names it on the page: the first sample's.
type Space struct{ Prefix, URI string }

// Field is a line of the description of a content.
type Field struct {
	xsd.Field
	Prefix  string // of its namespace; empty: the root's, or an attribute's that has none
	Example string // of the first sample that has it
}

// Negative is a sample of what is refused.
type Negative struct{ File, Rule, About, Content string }

// Case is a scenario of the test emulator.
type Case struct {
	Title string
	When  []string
	Steps string
}

// Door is an address.
type Door struct{ Version, URL string }

// Refusal is a reason of the gateway to refuse, for looking it up.
type Refusal struct {
	adapter.Reason
	Side string
}

// Situation is what somebody rings up about, and what to answer.
type Situation struct{ Seen, Why, Say string }

// Of makes the passport of a version. dir is its folder, bus the address of the doors
// without their path, such as http://bus.example:7500.
func Of(c *registry.Catalog, s *registry.Service, dir, bus string) (*Passport, error) {
	p := &Passport{Service: s, Providers: bodies(c, s.Providers), Callers: bodies(c, s.Callers())}
	texts, _ := protocol.ReadTexts(dir) // what cannot be read is told by lint
	var err error
	if p.Request, err = messageOf(s, s.Request, texts); err != nil {
		return nil, err
	}
	if s.Response.Local != "" {
		if p.Response, err = messageOf(s, s.Response, texts); err != nil {
			return nil, err
		}
	}
	for _, t := range texts {
		if t.Kind == protocol.Negative {
			p.Negatives = append(p.Negatives, Negative{t.File, cmp.Or(t.Rule, "любое правило"), t.About, string(bytes.TrimSpace(t.Content))})
		}
	}
	set, found := scenario.Open(dir, scenario.Of(s, c.Calendar))
	if bad := found.Errors(); len(bad) > 0 {
		return nil, fmt.Errorf("scenarios of %s %s: %w", s.Name, s.Version, bad)
	}
	for _, one := range set.Scenarios {
		p.Scenarios = append(p.Scenarios, caseOf(one))
	}
	p.Terms = termsOf(s)
	bus = strings.TrimRight(bus, "/")
	for _, v := range envelopes.Versions {
		p.Doors = append(p.Doors, Door{v.String(), bus + "/smev/v" + v.String() + "/ws"})
	}
	for _, r := range adapter.Reasons() {
		if p.concerns(r) {
			p.Refusals = append(p.Refusals, Refusal{r, sideRussian[r.Whose]})
		}
	}
	p.Situations = p.situations()
	return p, nil
}

func bodies(c *registry.Catalog, list []registry.Mnemonic) []Body {
	var out []Body
	for _, m := range list {
		b := Body{Mnemonic: string(m)}
		if party := c.Party(m); party != nil {
			b.Name = party.Name
		}
		out = append(out, b)
	}
	return out
}

// messageOf lists the fields of a content, with the values of its samples.
func messageOf(s *registry.Service, root registry.QName, texts []protocol.Text) (Message, error) {
	m := Message{Root: root}
	fields, err := s.Schema.Fields(xsd.Name{Space: root.Space, Local: root.Local}, xsd.Russian)
	if err != nil {
		return m, fmt.Errorf("%s %s: %w", s.Name, s.Version, err)
	}
	examples, prefixes := map[string]string{}, map[string]string{}
	for _, t := range texts {
		all := []protocol.Text{t}
		if t.Answer != nil {
			all = append(all, *t.Answer)
		}
		for _, one := range all {
			tape := new(xmltape.Tape)
			if one.Kind == protocol.Negative || tape.Parse(one.Content, xmltape.Limits{}) != nil || !tape.Root().Is(root.Space, root.Local) {
				continue
			}
			if m.Sample == "" {
				m.File, m.Sample = one.File, string(bytes.TrimSpace(one.Content))
			}
			collect(tape.Root(), "", examples, prefixes)
		}
	}
	for _, f := range fields {
		m.Fields = append(m.Fields, Field{f, m.prefix(f, prefixes), examples[f.Path]})
	}
	return m, nil
}

// prefix names the namespace of a field that has another one than the root.
func (m *Message) prefix(f xsd.Field, written map[string]string) string {
	other := f.Space != m.Root.Space && (f.Kind == xsd.ElementField || f.Kind == xsd.AttributeField && f.Space != "")
	if !other {
		return ""
	}
	for _, s := range m.Spaces {
		if s.URI == f.Space {
			return s.Prefix
		}
	}
	s := Space{"∅", ""}
	if f.Space != "" {
		s = Space{cmp.Or(written[f.Space], fmt.Sprintf("n%d", len(m.Spaces)+1)), f.Space}
	}
	m.Spaces = append(m.Spaces, s)
	return s.Prefix
}

// collect notes the first value at each place of a document, and the first prefix of
// each namespace.
func collect(n xmltape.Node, path string, into, prefixes map[string]string) {
	path += "/" + n.Local()
	note := func(path, value string) {
		if value = strings.TrimSpace(value); value != "" && into[path] == "" {
			into[path] = value
		}
	}
	if p, _, ok := strings.Cut(string(n.Bytes()[1:]), ":"+n.Local()); ok && !strings.ContainsAny(p, " \t\r\n/>=") && prefixes[n.Space()] == "" {
		prefixes[n.Space()] = p
	}
	if !n.First().Valid() {
		note(path, string(n.Text()))
	}
	t, tok := n.Tape(), n.Token()
	for i := range int(tok.NAttr) {
		a := &t.Attrs[int(tok.Attr)+i]
		_, local := t.AttrName(a)
		note(path+"/@"+string(local), string(t.AttrValue(a, nil)))
	}
	for c := range n.Children() {
		collect(c, path, into, prefixes)
	}
}

var stepRussian = map[scenario.Kind]string{
	scenario.Status: "статус", scenario.Answer: "ответ", scenario.Reject: "отказ", scenario.Fault: "ошибка СМЭВ", scenario.Silence: "ответа нет", scenario.Duplicate: "ещё раз то же сообщение",
}

func caseOf(s *scenario.Scenario) Case {
	c := Case{Title: cmp.Or(s.Title, s.Name)}
	for _, w := range s.When {
		c.When = append(c.When, w.String())
	}
	var steps []string
	for _, k := range s.Steps() {
		steps = append(steps, stepRussian[k])
	}
	c.Steps = strings.Join(steps, ", ")
	return c
}

var fromRussian = map[terms.Start]string{"": "с приёма запроса", terms.FromAccepted: "с приёма запроса", terms.FromDelivered: "с доставки поставщику", terms.FromNextWorkingDay: "с начала следующего рабочего дня"}

func termsOf(s *registry.Service) []Term {
	var out []Term
	for _, stage := range terms.Stages {
		if r, ok := s.Terms(false)[stage]; ok && !r.Term.IsZero() {
			out = append(out, Term{stage.Russian(), r.Term.Russian(), fromRussian[r.From]})
		}
	}
	return out
}

// Stage is the stage for people.
func (p *Passport) StageText() string {
	return map[registry.Stage]string{
		registry.StageDraft: "черновик: запросы не принимаются", registry.StageTest: "испытание: принимаются только запросы с TestMessage",
		registry.StagePublished: "опубликован", registry.StageRetired: "выведен из эксплуатации",
	}[p.Service.Stage]
}

// Answered is the term of the final answer; empty: none.
func (p *Passport) Answered() string {
	if p.Deadline.IsZero() {
		return ""
	}
	return p.Deadline.Russian()
}

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var page = template.Must(template.New("passport").Funcs(template.FuncMap{
	"indent": func(n int) template.HTMLAttr { return template.HTMLAttr(fmt.Sprintf(`data-depth="%d"`, min(n, 12))) },
	"mb":     func(n int64) string { return fmt.Sprintf("%.3g МБ", float64(n)/(1<<20)) },
	"kind":   func(k xsd.FieldKind) string { return kindRussian[k] },
}).Parse(pageText))

var kindRussian = map[xsd.FieldKind]string{
	xsd.ChoiceField: "одно из:", xsd.GroupField: "вместе, по порядку:", xsd.AllField: "вместе, в любом порядке:", xsd.AnyField: "любое из пространств имён",
}

// HTML is the page, complete in itself, for the screen and the printer.
func (p *Passport) HTML() ([]byte, error) {
	var b bytes.Buffer
	err := page.Execute(&b, struct {
		*Passport
		Style template.CSS
	}{p, template.CSS(pageStyle)})
	return b.Bytes(), err
}

// StyleSource is what a Content-Security-Policy has to say for the page's style.
func StyleSource() string {
	sum := sha256.Sum256([]byte("\n" + pageStyle + "\n"))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

var sideRussian = map[reports.Side]string{
	reports.Caller: "отправитель", reports.Recipient: "получатель", reports.Bus: "узел обмена", reports.Authority: "удостоверяющий центр",
}

// concerns says whether a refusal can befall messages of the service.
func (p *Passport) concerns(r adapter.Reason) bool {
	toProviders := []string{"no-reply-address", "not-the-provider", "answered", "not-a-response", "other-response"}
	switch {
	case r.Name == "undeclared", r.Name == "journal-unwritten": // said as failure and unavailable
		return false
	case r.Name == "personal-signature-missing":
		return p.Personal == registry.PersonalRequired
	case r.Name == "personal-signature-forbidden":
		return p.Personal == registry.PersonalForbidden
	case r.Name == "file-signature-missing":
		return p.FileSignature == registry.PersonalRequired
	case r.Name == "no-code", r.Name == "no-recipient":
		return p.RoutingCode() != ""
	case r.Name == "access":
		return p.Callers != nil
	case slices.Contains(toProviders, r.Name):
		return !p.Broadcast
	}
	return true
}

var rejections = []struct {
	code      envelopes.RejectionCode
	seen, why string
	say       string
}{
	{envelopes.RejectNoData, "Пришёл отказ NO_DATA", "У поставщика нет сведений по этому запросу: он понят и исполнен.", "Проверьте, верно ли указаны сведения в запросе. Если верны, таких данных у ведомства нет; это ответ, повторять запрос не нужно."},
	{envelopes.RejectAccessDenied, "Пришёл отказ ACCESS_DENIED", "Поставщик не вправе дать эти сведения по такому основанию.", "Проверьте основание запроса (дело, услугу). Вопросы о праве на сведения решает ведомство-поставщик."},
	{envelopes.RejectUnknownDescription, "Пришёл отказ UNKNOWN_REQUEST_DESCRIPTION", "Поставщик не понял, о чём запрос.", "Передайте текст отказа администратору системы, которая отправила запрос."},
	{envelopes.RejectFailure, "Пришёл отказ FAILURE", "Сбой в системе поставщика.", "Отправьте запрос заново позже. Если отказ повторяется, сообщите ведомству-поставщику номер запроса (MessageID)."},
}

// callerFaults are the refusals for which whoever sent the request has to do something.
var callerFaults = []struct {
	fault    envelopes.FaultKind
	why, say string
}{
	{envelopes.InvalidContent, "Данные запроса не соответствуют описанию вида сведений; что именно не так и где, сказано в ValidationError.", "Запрос не отправлен. Исправьте названные поля и отправьте заново; если их заполняет программа, передайте текст отказа её разработчику."},
	{envelopes.SignatureVerificationFault, "Подпись не подошла: сертификат просрочен, отозван или неизвестен, либо сообщение изменено после подписания.", "Запрос не отправлен. Передайте текст отказа администратору системы-отправителя: он проверит сертификат и подпись."},
	{envelopes.SenderIsNotRegistered, "Сертификат системы-отправителя не зарегистрирован на узле, например заменён на новый.", "Администратор системы-отправителя должен передать новый сертификат оператору узла."},
	{envelopes.MessageIsAlreadySent, "Этот запрос уже принят раньше.", "Повторять не нужно: запрос в работе, ответ придёт на первый."},
	{envelopes.StaleMessageId, "Запрос слишком долго ждал отправки или часы системы-отправителя отстают.", "Отправьте запрос заново. Если повторяется, администратор должен проверить часы."},
	{envelopes.InvalidMessageIdFormat, "Система-отправитель неверно нумерует сообщения, или её часы спешат.", "Передайте текст отказа разработчику системы-отправителя."},
	{envelopes.BusinessDataTypeIsNotSupported, "Такой версии вида сведений на узле нет, или она выведена из эксплуатации.", "Администратор системы-отправителя должен перейти на действующую версию."},
	{envelopes.AttachmentContentMiscoordination, "Вложенный файл потерян или не совпадает с описанием.", "Приложите файл ещё раз и отправьте запрос заново."},
	{envelopes.AttachmentSizeLimitExceeded, "Вложения слишком велики.", "Уменьшите файлы или разделите их на несколько запросов."},
	{envelopes.EndOfLifeReached, "Срок, до которого нужен был ответ, указан в прошлом.", "Отправьте запрос заново с более поздним сроком."},
}

// situations are what a call centre is asked, in the order in which it happens.
func (p *Passport) situations() []Situation {
	var out []Situation
	add := func(seen, why, say string) { out = append(out, Situation{seen, why, say}) }
	faults := func(side reports.Side) string {
		seen := map[envelopes.FaultKind]bool{}
		var names []string
		for _, r := range p.Refusals {
			if r.Whose == side && !seen[r.Fault] && envelopes.Declared(envelopes.V13, envelopes.SendRequest, r.Fault) {
				seen[r.Fault] = true
				names = append(names, string(r.Fault))
			}
		}
		slices.Sort(names)
		return strings.Join(names, ", ")
	}
	for _, w := range callerFaults {
		if slices.ContainsFunc(p.Refusals, func(r Refusal) bool { return r.Whose == reports.Caller && r.Fault == w.fault }) {
			add("Запрос не принят: "+string(w.fault), w.why, w.say)
		}
	}
	if p.Callers != nil {
		add("Запрос не принят: AccessDenied «Доступ запрещён»", "Ведомство не включено в число потребителей этого вида сведений.", "Доступ даёт владелец вида сведений: "+named(p.Providers)+". Повторять запрос без этого бесполезно.")
	}
	if p.RoutingCode() != "" {
		add("Запрос не принят: RecipientIsNotFound", "По коду маршрутизации ("+p.RoutingCode()+") получатель не найден.", "Проверьте код территории в запросе: к этому виду сведений подключены не все.")
	}
	add("Запрос не принят: "+faults(reports.Recipient), "Очередь получателя переполнена.", "Ничего делать не нужно: система-отправитель повторяет отправку сама. Если не прошло за час, сообщите получателю: "+named(p.Providers)+".")
	add("Запрос не принят: "+faults(reports.Bus), "Временный сбой узла обмена; принятые запросы не теряются.", "Ничего делать не нужно: система-отправитель повторяет отправку с тем же номером. Если длится дольше получаса, сообщите в поддержку узла идентификатор инцидента.")
	if p.Broadcast {
		add("Ответа нет", "Это рассылка: на неё не отвечают.", "Ответа ждать не нужно.")
		return out
	}
	switch term := p.Answered(); term {
	case "":
		add("Ответа долго нет", "Срок ответа для этого вида сведений не установлен.", "Узнайте по номеру запроса (MessageID), доставлен ли он: это видно на столе оператора узла. Доставленный запрос обрабатывает поставщик: "+named(p.Providers)+".")
	default:
		add("Ответа нет, срок не вышел", "Срок ответа: "+term+".", "Сообщите срок и попросите подождать: ответ придёт сам, повторный запрос его не ускорит.")
		add("Ответа нет, срок вышел", "Поставщик опаздывает; узел уже отметил просрочку.", "Сообщите номер запроса (MessageID) оператору узла: он видит, доставлен ли запрос и кому. Поставщик: "+named(p.Providers)+".")
	}
	add("Пришёл промежуточный статус", "Поставщик принял запрос в работу; это ещё не ответ.", "Ждать окончательного ответа: срок считается от приёма запроса.")
	for _, r := range rejections {
		add(r.seen, r.why, r.say)
	}
	add("Вместо ответа пришла ошибка СМЭВ (requestIsRejectedBySmev)", "Запрос был принят, но не доставлен: например, вышел срок жизни (EOL).", "Запрос не исполнен. Отправьте его заново; причина названа в сообщении.")
	return out
}

func named(list []Body) string {
	var out []string
	for _, b := range list {
		out = append(out, cmp.Or(b.Name, b.Mnemonic))
	}
	return strings.Join(out, ", ")
}
