package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/registry"
	"mezhved/adapter/reports"
	"mezhved/adapter/terms"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
	"mezhved/xsd"
)

// reason names a row of the table: why a call is not carried out. Reasons are
// stable; metrics and the journal's Rule bear them.
type reason string

// row is one line of the table that every refusal goes through.
type row struct {
	fault  envelopes.FaultKind
	sub    envelopes.SignatureFault // SignatureVerificationFault only
	module string                   // of the code: SPS signatures, PP processing, DAS delivery
	n      int                      // number within the module
	text   string                   // the standard's Russian sentence (MR 3.3, appendix 6); %s are filled by the refusal
	status int                      // HTTP; SOAP 1.1 wants 500 for every fault, others are for what happens before SOAP
	do     string                   // what the sender should do next
	whose  reports.Side             // whom it is put down to; most are the caller's
}

const (
	doFixResend = "исправьте сообщение и отправьте его заново"
	doRetry     = "повторяйте отправку с тем же MessageID, пока не получите ответ"
	doRegister  = "обратитесь к оператору узла для регистрации"
	doNothing   = "повторять не нужно"
	doSupport   = "обратитесь в службу поддержки и назовите идентификатор инцидента"
)

// What may be wrong with the headers that describe the body: the sentences of
// "content-type".
const (
	saysMediaType = "Тип содержимого не поддерживается: ожидается text/xml, application/soap+xml или multipart/related."
	saysCharset   = "Кодировка символов, указанная в Content-Type, не поддерживается: ожидается UTF-8 (charset=utf-8)."
	saysEncoding  = "Сжатие тела (заголовок Content-Encoding) не поддерживается: ожидается тело без сжатия и без этого заголовка."
)

// table is the one place where a reason becomes what the sender sees.
var table = map[reason]row{
	// Before SOAP.
	"method":       {fault: envelopes.InvalidContent, module: "PP", n: 1, text: "Поддерживаются только методы POST и GET ?wsdl.", status: http.StatusMethodNotAllowed, do: "отправьте конверт методом POST"},
	"content-type": {fault: envelopes.InvalidContent, module: "PP", n: 2, text: "%s", status: http.StatusUnsupportedMediaType, do: doFixResend},
	"too-large":    {fault: envelopes.InvalidContent, module: "PP", n: 3, text: "Размер сообщения превышает допустимый: %s.", status: http.StatusRequestEntityTooLarge, do: "уменьшите сообщение или передайте файлы через файловое хранилище"},
	"incomplete":   {fault: envelopes.InvalidContent, module: "PP", n: 4, text: "Сообщение получено не полностью.", status: http.StatusBadRequest, do: doRetry},
	"wrong-door":   {fault: envelopes.InvalidContent, module: "PP", n: 5, text: "Конверт версии %s отправлен по адресу версии %s.", status: 500, do: "отправьте конверт по адресу своей версии или по адресу /ws"},

	// The envelope.
	"xml":      {fault: envelopes.InvalidContent, module: "PP", n: 54, text: "Нарушен формат бизнес-конверта.", status: 500, do: doFixResend},
	"envelope": {fault: envelopes.InvalidContent, module: "PP", n: 55, text: "Нарушен формат бизнес-конверта%s.", status: 500, do: doFixResend},

	// Signatures.
	"signature-missing":            {fault: envelopes.SignatureVerificationFault, sub: envelopes.NoSignatureFound, module: "SPS", n: 1, text: "Отсутствует ЭП-ОВ", status: 500, do: "подпишите сообщение и отправьте его заново"},
	"signature-target":             {fault: envelopes.SignatureVerificationFault, sub: envelopes.IncorrectSignatureTarget, module: "SPS", n: 2, text: "%s подписывает не тот элемент, который предписан операцией", status: 500, do: doFixResend},
	"signature-format":             {fault: envelopes.SignatureVerificationFault, sub: envelopes.PoorSOAPEnvelopeFormat, module: "SPS", n: 3, text: "Элемент подписи %s построен неверно: %s", status: 500, do: doFixResend},
	"certificate-expired":          {fault: envelopes.SignatureVerificationFault, sub: envelopes.CertificateIsExpired, module: "SPS", n: 4, text: "Срок действия сертификата %s истёк. Сертификат действителен до %s", status: 500, do: "подпишите сообщение действующим сертификатом"},
	"certificate-early":            {fault: envelopes.SignatureVerificationFault, sub: envelopes.CertificateIsExpired, module: "SPS", n: 5, text: "Срок действия сертификата %s не начался. Сертификат действителен с %s", status: 500, do: "подпишите сообщение действующим сертификатом"},
	"signature-value":              {fault: envelopes.SignatureVerificationFault, sub: envelopes.SignatureIsInvalid, module: "SPS", n: 6, text: "%s не соответствует подписанным данным: значение подписи неверно", status: 500, do: doFixResend},
	"signature-digest":             {fault: envelopes.SignatureVerificationFault, sub: envelopes.SignatureIsInvalid, module: "SPS", n: 7, text: "%s не соответствует подписанным данным: данные изменены после подписания", status: 500, do: "не изменяйте и не форматируйте сообщение после подписания; чем данные отличаются от подписанных, покажет mezhved verify --explain --lang ru; подпишите и отправьте заново"},
	"certificate-missing":          {fault: envelopes.SignatureVerificationFault, sub: envelopes.CertificateIsNotFound, module: "SPS", n: 8, text: "В %s отсутствует сертификат или он не читается", status: 500, do: doFixResend},
	"certificate-untrusted":        {fault: envelopes.SignatureVerificationFault, sub: envelopes.SignatureIsInvalid, module: "SPS", n: 9, text: "Сертификат %s не является доверенным", status: 500, do: doRegister},
	"certificate-revoked":          {fault: envelopes.SignatureVerificationFault, sub: envelopes.SignatureIsInvalid, module: "SPS", n: 10, text: "Сертификат %s отозван", status: 500, do: "получите новый сертификат"},
	"algorithm":                    {fault: envelopes.SignatureVerificationFault, sub: envelopes.SignatureIsInvalid, module: "SPS", n: 11, text: "Алгоритм или преобразование %s не поддерживается", status: 500, do: doFixResend},
	"personal-signature-missing":   {fault: envelopes.SignatureVerificationFault, sub: envelopes.NoSignatureFound, module: "SPS", n: 12, text: "ЭП-СП отсутствует в сообщении %s", status: 500, do: "подпишите содержимое ЭП-СП и отправьте сообщение заново"},
	"personal-signature-forbidden": {fault: envelopes.SignatureVerificationFault, sub: envelopes.PoorSOAPEnvelopeFormat, module: "SPS", n: 13, text: "ЭП-СП не предусмотрена для этого вида сведений (сообщение %s)", status: 500, do: doFixResend},
	"file-signature":               {fault: envelopes.SignatureVerificationFault, sub: envelopes.SignatureIsInvalid, module: "SPS", n: 21, text: "ЭП вложения %s (PKCS#7) построена неверно: %s", status: 500, do: doFixResend},
	"file-signature-missing":       {fault: envelopes.SignatureVerificationFault, sub: envelopes.NoSignatureFound, module: "SPS", n: 22, text: "У вложения %s нет ЭП (PKCS#7), для этого вида сведений она обязательна", status: 500, do: "подпишите файл (SignaturePKCS7) и отправьте сообщение заново"},
	"revocation-unknown":           {fault: envelopes.SMEVFailure, module: "SPS", n: 14, text: "Не удалось проверить, не отозван ли сертификат %s.", status: http.StatusServiceUnavailable, do: doRetry, whose: reports.Authority},

	// Who calls.
	"stranger": {fault: envelopes.SenderIsNotRegistered, module: "SPS", n: 20, text: "Предъявленный сертификат пользователя %s не зарегистрирован в СМЭВ", status: 500, do: doRegister},

	// Identifiers.
	"message-id-format": {fault: envelopes.InvalidMessageIdFormat, module: "PP", n: 10, text: "Недопустимый формат идентификатора сообщения. См. RFC-4122.", status: 500, do: "создайте MessageID как UUID версии 1 в нижнем регистре"},
	"message-id-stale":  {fault: envelopes.StaleMessageId, module: "PP", n: 11, text: "Timestamp идентификатора сообщения слишком давний.", status: 500, do: "проверьте часы и отправьте сообщение с новым MessageID"},
	"message-id-future": {fault: envelopes.InvalidMessageIdFormat, module: "PP", n: 12, text: "Timestamp идентификатора сообщения находится в будущем. См. RFC-4122.", status: 500, do: "проверьте часы и отправьте сообщение с новым MessageID"},
	"duplicate":         {fault: envelopes.MessageIsAlreadySent, module: "PP", n: 13, text: "Сообщение с идентификатором %s было послано ранее.", status: 500, do: doNothing},
	"message-id-used":   {fault: envelopes.MessageIsAlreadySent, module: "PP", n: 16, text: "Сообщение с идентификатором %s было послано ранее, и это было другое сообщение.", status: 500, do: "сообщение не принято: отправьте его с новым MessageID"},
	"answered":          {fault: envelopes.MessageIsAlreadySent, module: "PP", n: 14, text: "Окончательный ответ на запрос %s был принят ранее.", status: 500, do: doNothing},

	// What is asked.
	"not-a-type":      {fault: envelopes.BusinessDataTypeIsNotSupported, module: "PP", n: 20, text: "Неподдерживаемый тип запроса.", status: 500, do: "проверьте корневой элемент и пространство имён содержимого"},
	"wrong-category":  {fault: envelopes.BusinessDataTypeIsNotSupported, module: "PP", n: 21, text: "Попытка послать сообщение %s через метод sendRequest, в то время как этот тип сообщений зарегистрирован как %s", status: 500, do: doFixResend},
	"not-in-use":      {fault: envelopes.BusinessDataTypeIsNotSupported, module: "PP", n: 22, text: "Неподдерживаемый тип запроса: вид сведений %s %s не находится в эксплуатации (%s).", status: 500, do: "перейдите на действующую версию вида сведений"},
	"sunset":          {fault: envelopes.BusinessDataTypeIsNotSupported, module: "PP", n: 28, text: "Неподдерживаемый тип запроса: вид сведений %s %s выведен из эксплуатации, запросы принимались по %s включительно.", status: 500, do: "перейдите на действующую версию вида сведений"},
	"not-a-response":  {fault: envelopes.InvalidContent, module: "PP", n: 23, text: "Попытка послать сообщение %s через метод sendResponse, в то время как этот тип сообщений не зарегистрирован в СМЭВ.", status: 500, do: doFixResend},
	"other-response":  {fault: envelopes.IncorrectResponseContentType, module: "PP", n: 24, text: "Сообщение %s не является ответом на запрос вида сведений %s %s.", status: 500, do: doFixResend},
	"async-forbidden": {fault: envelopes.InvalidContent, module: "PP", n: 25, text: "AsyncProcessingStatus формируется только СМЭВ.", status: 500, do: doFixResend},
	"content":         {fault: envelopes.InvalidContent, module: "PP:BSV", n: 3, text: "Бизнес-данные сообщения не соответствуют схеме, зарегистрированной в СМЭВ. MessageId = %s", status: 500, do: doFixResend},
	"dictionary":      {fault: envelopes.InvalidContent, module: "PP:BSV", n: 4, text: "Бизнес-данные сообщения не соответствуют справочнику. MessageId = %s", status: 500, do: "возьмите значение из действующей версии справочника и отправьте сообщение заново"},
	"content-size":    {fault: envelopes.InvalidContent, module: "PP", n: 26, text: "Размер структурированной части сообщения превышает допустимый: %s байт.", status: 500, do: "передайте данные вложением"},
	"unsignable":      {fault: envelopes.InvalidContent, module: "PP", n: 27, text: "Содержимое нельзя подписать по правилам СМЭВ: %s", status: 500, do: doFixResend},

	// Attachments.
	"attachment-no-header":    {fault: envelopes.AttachmentContentMiscoordination, module: "PP", n: 30, text: "Количество вложений - %s, количество заголовков - %s", status: 500, do: doFixResend},
	"attachment-unknown":      {fault: envelopes.AttachmentContentMiscoordination, module: "PP", n: 31, text: "Вложение [Id=\"%s\"] не имеет заголовка.", status: 500, do: doFixResend},
	"attachment-file-store":   {fault: envelopes.AttachmentContentMiscoordination, module: "PP", n: 32, text: "Некорректная информация о фтп вложениях; message id = %s", status: 500, do: "файловое хранилище не подключено: передайте файлы в сообщении"},
	"attachment-file-twice":   {fault: envelopes.AttachmentContentMiscoordination, module: "PP", n: 34, text: "Некорректная информация о фтп вложениях; message id = %s: на файл %s ссылаются дважды.", status: 500, do: doFixResend},
	"attachment-file-missing": {fault: envelopes.AttachmentContentMiscoordination, module: "PP", n: 35, text: "Некорректная информация о фтп вложениях; message id = %s: файл %s не найден в файловом хранилище или загружен не полностью.", status: 500, do: "загрузите файл в хранилище и отправьте сообщение заново"},
	"attachment-file-digest":  {fault: envelopes.AttachmentContentMiscoordination, module: "PP", n: 36, text: "Некорректная информация о фтп вложениях; message id = %s: Hash файла %s не совпадает с хэшем загруженного (ГОСТ Р 34.11-2012, 256 бит, base64).", status: 500, do: "загрузите файл ещё раз под новым uuid или исправьте Hash и отправьте сообщение заново"},
	"attachment-file-size":    {fault: envelopes.AttachmentSizeLimitExceeded, module: "PP", n: 37, text: "Превышен максимально допустимый суммарный размер присоединённых ftp файлов.", status: 500, do: "разделите файлы на несколько сообщений"},
	"attachment-file-quota":   {fault: envelopes.QuoteLimitExceeded, module: "PP", n: 38, text: "Квота на файловое хранилище для %s превышена!", status: 500, do: "повторите отправку с тем же MessageID, когда получатели примут прежние сообщения"},
	"attachment-size":         {fault: envelopes.AttachmentSizeLimitExceeded, module: "PP", n: 33, text: "Превышен максимально допустимый суммарный размер присоединённых файлов.", status: 500, do: "уменьшите вложения"},

	// Where it goes.
	"no-recipient":     {fault: envelopes.RecipientIsNotFound, module: "PP", n: 40, text: "Невозможно определить получателя для сообщения. Полное имя корневого элемента: %s", status: 500, do: "проверьте код маршрутизации в запросе"},
	"no-code":          {fault: envelopes.RecipientIsNotFound, module: "PP", n: 41, text: "Не удалось найти получателя по причине неполноты входных данных: %s", status: 500, do: "укажите код маршрутизации в запросе"},
	"no-reply-address": {fault: envelopes.RecipientIsNotFound, module: "PP", n: 42, text: "Невозможно определить получателя для ответа на запрос. Адресная информация: %s", status: 500, do: "перенесите в To значение ReplyTo из запроса без изменений"},
	"not-the-provider": {fault: envelopes.RecipientIsNotFound, module: "PP", n: 43, text: "Невозможно определить получателя для ответа на запрос: запрос был направлен другому участнику. Адресная информация: %s", status: 500, do: doNothing},
	"access":           {fault: envelopes.AccessDenied, module: "PP", n: 44, text: "Доступ запрещён", status: 500, do: "запросите доступ к виду сведений у его владельца"},
	"end-of-life":      {fault: envelopes.EndOfLifeReached, module: "PP", n: 45, text: "Срок жизни сообщения истёк.", status: 500, do: "отправьте запрос заново с более поздним EOL"},
	"no-routing-block": {fault: envelopes.InvalidContent, module: "PP", n: 46, text: "Блок Routing не поддерживается для этого вида сведений.", status: 500, do: "отправьте запрос без блока Routing"},

	// Queues.
	"overflow":          {fault: envelopes.DestinationOverflow, module: "PP", n: 15, text: "Очередь, в которую должно быть отправлено сообщение, переполнена.", status: 500, do: doRetry, whose: reports.Recipient},
	"lane-overflow":     {fault: envelopes.DestinationOverflow, module: "PP", n: 17, text: "Очередь, в которую должно быть отправлено сообщение, переполнена: в ней ждёт предельное число сообщений вида сведений %s (%d).", status: 500, do: doRetry, whose: reports.Recipient},
	"sender-overflow":   {fault: envelopes.DestinationOverflow, module: "PP", n: 18, text: "В очереди, в которую должно быть отправлено сообщение, ждёт предельное число сообщений отправителя (%d).", status: 500, do: "повторите отправку с тем же MessageID, когда получатель примет прежние сообщения", whose: reports.Recipient},
	"no-such-queue":     {fault: envelopes.UnknownMessageType, module: "DAS", n: 3, text: "Входящая очередь запрошенного типа сообщений, принадлежащая пользователю %s не зарегистрирована в СМЭВ", status: 500, do: "проверьте селектор или запросите доступ к виду сведений"},
	"not-awaiting":      {fault: envelopes.TargetMessageIsNotFound, module: "DAS", n: 4, text: "Сообщение %s не найдено среди неподтверждённых.", status: 500, do: "проверьте, что это MessageID полученного сообщения; если так, оно подтверждено ранее или вернулось в очередь и придёт снова"},
	"rate":              {fault: envelopes.SMEVFailure, module: "PP", n: 50, text: "Превышена допустимая частота обращений.", status: http.StatusTooManyRequests, do: "повторите позже: через сколько секунд, сказано в Retry-After"},
	"pace":              {fault: envelopes.SMEVFailure, module: "PP", n: 52, text: "Принятые запросы передаются получателям с опозданием, приём новых ограничен.", status: http.StatusTooManyRequests, do: "повторите отправку с тем же MessageID: через сколько секунд, сказано в Retry-After", whose: reports.Bus},
	"party-share":       {fault: envelopes.SMEVFailure, module: "PP", n: 56, text: "Одновременно обрабатывается предельное число вызовов этой информационной системы (%d).", status: http.StatusTooManyRequests, do: "обращайтесь реже или меньшим числом соединений и повторите вызов (отправку - с тем же MessageID): через сколько секунд, сказано в Retry-After"},
	"service-share":     {fault: envelopes.SMEVFailure, module: "PP", n: 57, text: "Одновременно обрабатывается предельное число запросов вида сведений %s (%d).", status: http.StatusTooManyRequests, do: "повторите отправку с тем же MessageID: через сколько секунд, сказано в Retry-After", whose: reports.Bus},
	"no-room":           {fault: envelopes.SMEVFailure, module: "PP", n: 51, text: "Шлюз принимает слишком много данных сразу, для сообщения сейчас нет места.", status: http.StatusServiceUnavailable, do: doRetry, whose: reports.Bus},
	"unavailable":       {fault: envelopes.SMEVFailure, module: "PP", n: 90, text: "Ошибка СМЭВ. Обратитесь в службу технической поддержки.", status: http.StatusServiceUnavailable, do: doRetry, whose: reports.Bus},
	"failure":           {fault: envelopes.SMEVFailure, module: "PP", n: 91, text: "Ошибка СМЭВ. Обратитесь в службу технической поддержки.", status: 500, do: doSupport, whose: reports.Bus},
	"undeclared":        {fault: envelopes.SMEVFailure, module: "PP", n: 92, text: "Ошибка СМЭВ. Обратитесь в службу технической поддержки.", status: 500, do: doSupport, whose: reports.Bus},
	"clock":             {fault: envelopes.SMEVFailure, module: "PP", n: 94, text: "Приём приостановлен: часы узла и базы данных СМЭВ расходятся на %d с.", status: http.StatusServiceUnavailable, do: "повторяйте отправку с тем же MessageID, пока не получите ответ; оператор узла должен синхронизировать часы", whose: reports.Bus},
	"journal-unwritten": {fault: envelopes.SMEVFailure, module: "PP", n: 93, text: "Ошибка СМЭВ. Обратитесь в службу технической поддержки.", status: http.StatusServiceUnavailable, do: doRetry, whose: reports.Bus},
}

// Reason is a row of the table, for those who explain refusals to people.
type Reason struct {
	Name      string // stable; the journal's Rule where no finer one is known
	Fault     envelopes.FaultKind
	Signature envelopes.SignatureFault // of a SignatureVerificationFault
	Code      string                   // the end of the fault's Code: PP:13
	Text      string                   // of the standard; … stands for what each refusal fills in
	Do        string                   // what the sender should do next
	Whose     reports.Side
}

// Reasons lists the table in the order of its codes.
func Reasons() []Reason {
	filled := strings.NewReplacer("%s", "…", "%d", "…")
	out := make([]Reason, 0, len(table))
	for name, t := range table {
		text := filled.Replace(t.text)
		if name == "content-type" { // all of it is filled in
			text = strings.Join([]string{saysMediaType, saysCharset, saysEncoding}, " / ")
		}
		out = append(out, Reason{string(name), t.fault, t.sub, fmt.Sprintf("%s:%d", t.module, t.n), text, t.do, t.whose})
	}
	slices.SortFunc(out, func(a, b Reason) int {
		x, y := table[reason(a.Name)], table[reason(b.Name)]
		return cmp.Or(strings.Compare(x.module, y.module), cmp.Compare(x.n, y.n), strings.Compare(a.Name, b.Name))
	})
	return out
}

// refusal is why one call is not carried out: a row of the table and what fills
// it. It is the only error that an operation needs to return.
type refusal struct {
	reason reason
	args   []any  // for the row's text
	slip   string // what the sender did wrong, in Russian, where it is known
	marks  []mark
	cause  error // for the log only

	retryAfter time.Duration
	size       [2]int64 // permitted and real, AttachmentSizeLimitExceeded
	root       QName    // BusinessDataTypeIsNotSupported
	queue      Queue    // DestinationOverflow

	incident string
}

// mark is one place in the envelope that is wrong: a ValidationError of the fault.
type mark struct {
	rule      string
	text      string // Russian, for the sender alone: it may quote the message
	offset    int
	line, col int
	path      string // XPath of the element or attribute, where it is known
}

func (m mark) String() string {
	s := m.rule
	if m.line > 0 {
		s = fmt.Sprintf("at line %d, column %d: %s", m.line, m.col, m.rule)
	}
	if m.path != "" {
		s += " " + m.path
	}
	return s
}

func (r *refusal) Error() string {
	s := string(r.reason)
	if len(r.marks) > 0 {
		s += " " + r.marks[0].String()
	}
	if r.cause != nil {
		s += ": " + r.cause.Error()
	}
	return s
}

func (r *refusal) Unwrap() error { return r.cause }

// because makes a refusal of a row.
func because(why reason, args ...any) *refusal { return &refusal{reason: why, args: args} }

// unavailable marks an error of store or bus: the same call may succeed later.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &refusal{reason: "unavailable", cause: err, retryAfter: 5 * time.Second}
}

// Unavailable marks an error of who else was to carry out a call: the same call may succeed
// later.
func Unavailable(err error) error { return unavailable(err) }

// Refusal is how a caller is told that his call was not carried out.
type Refusal struct {
	Reason     string // the row of Reasons
	Incident   string // joins the caller's fault with the log
	Fault      *envelopes.Fault
	Status     int           // of HTTP
	RetryAfter time.Duration // 0: it is not said
}

// RefusalOf puts why a call goes no further into the words of the table, for doors before
// those of gateways: whoever calls reads the same from both. contour is Config.Contour. An
// error of Unreadable or Unavailable has its row, and any other is a failure of ours.
func RefusalOf(err error, contour string) Refusal {
	r := refuse(err)
	r.incident = newIncident()
	return Refusal{string(r.reason), r.incident, r.fault(contour), table[r.reason].status, r.retryAfter}
}

// refuse finds the row for an error of any room. What it does not know is our
// own failure.
func refuse(err error) *refusal {
	var (
		done    *refusal
		gate    *xmltape.Error
		parse   *envelopes.ParseError
		format  *envelopes.FormatError
		sig     *signing.Error
		invalid *xsd.Invalid
		route   *registry.RouteError
		code    *registry.CodeError
		id      idRefusal
		never   *TooMuchError
	)
	switch {
	case errors.As(err, &done):
		return done
	case errors.As(err, &gate):
		return &refusal{reason: "xml", cause: err, marks: []mark{{
			rule: "xml." + string(gate.Code), text: placed(gate.Line, gate.Col, "xml."+string(gate.Code), gate.Russian()),
			offset: gate.Offset, line: gate.Line, col: gate.Col,
		}}}
	case errors.As(err, &parse):
		return refuseParse(parse)
	case errors.As(err, &format):
		r := &refusal{reason: "envelope", args: []any{""}, cause: err}
		for i := range format.Violations {
			v := &format.Violations[i]
			r.marks = append(r.marks, mark{v.Rule, v.Russian(), v.Offset, v.Line, v.Col, v.XPath})
		}
		return r
	case errors.As(err, &sig):
		return refuseSignature("ЭП-ОВ", sig)
	case errors.As(err, &invalid):
		r := &refusal{reason: "content", args: []any{""}, cause: err}
		for _, v := range invalid.Violations {
			text := fmt.Sprintf("%s: строка %d, позиция %d: %s: %s", v.Rule, v.Line, v.Col, v.XPath, v.Russian())
			r.marks = append(r.marks, mark{v.Rule, text, v.Offset, v.Line, v.Col, v.XPath})
		}
		return r
	case errors.As(err, &code):
		off, _ := code.At.Range()
		line, col := code.At.Tape().Position(off)
		text := fmt.Sprintf("dictionary: строка %d, позиция %d: %s: %s", line, col, code.At.XPath(), code.Russian())
		return &refusal{reason: "dictionary", args: []any{""}, slip: code.Russian(), cause: err, marks: []mark{{"dictionary", text, off, line, col, code.At.XPath()}}}
	case errors.As(err, &route):
		if route.Missing != "" {
			return &refusal{reason: "no-code", args: []any{route.Missing}, cause: err}
		}
		known := registry.RouteError{Code: short(route.Code)} // for its sender alone: it may be a person's
		return &refusal{reason: "no-recipient", args: []any{""}, slip: known.Russian(), cause: err}
	case errors.As(err, &id):
		return &refusal{reason: reason(id), cause: err}
	case errors.Is(err, ErrNotAwaiting):
		return &refusal{reason: "not-awaiting", args: []any{""}, cause: err}
	case errors.Is(err, ErrNoRoom):
		return &refusal{reason: "no-room", cause: err, retryAfter: 2 * time.Second}
	case errors.As(err, &never):
		return &refusal{reason: "too-large", cause: err, args: []any{fmt.Sprintf("для его разметки нужно %d байт памяти, одному вызову даётся %d", never.Bytes, never.Most)}}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &refusal{reason: "unavailable", cause: err, retryAfter: 5 * time.Second}
	}
	return &refusal{reason: "failure", cause: err}
}

// placed is a finding in a sentence. What is about the body round the envelope has
// no line and column.
func placed(line, col int, rule, says string) string {
	if line == 0 {
		return rule + ": " + says
	}
	return fmt.Sprintf("строка %d, позиция %d: %s: %s", line, col, rule, says)
}

func refuseParse(e *envelopes.ParseError) *refusal {
	r := &refusal{reason: "envelope", args: []any{""}, cause: e}
	switch e.Code {
	case envelopes.ParseContentType:
		r.reason, r.args = "content-type", []any{saysMediaType}
	case envelopes.ParseCharset:
		r.reason, r.args = "content-type", []any{saysCharset}
	case envelopes.ParseTooLarge:
		r.reason, r.args = "too-large", []any{"слишком много частей MIME или слишком длинные их заголовки"}
	}
	r.marks = []mark{{
		rule: "soap." + string(e.Code), text: placed(e.Line, e.Col, "soap."+string(e.Code), e.Russian()),
		offset: e.Offset, line: e.Line, col: e.Col,
	}}
	return r
}

// signatureReasons are the rows for the codes of package signing.
var signatureReasons = map[signing.Code]reason{
	signing.NoSignature: "signature-missing", signing.WrongTarget: "signature-target", signing.DuplicateID: "signature-target",
	signing.Malformed: "signature-format", signing.BadAlgorithm: "algorithm", signing.Unsignable: "unsignable",
	signing.CertificateMissing: "certificate-missing", signing.CertificateMalformed: "certificate-missing", signing.KeyUnfit: "algorithm",
	signing.CertificateExpired: "certificate-expired", signing.CertificateNotYetValid: "certificate-early",
	signing.CertificateUntrusted: "certificate-untrusted", signing.CertificateUsage: "certificate-untrusted",
	signing.CertificateUnregistered: "certificate-untrusted", signing.CertificateRevoked: "certificate-revoked",
	signing.RevocationUnknown: "revocation-unknown", signing.ValueInvalid: "signature-value", signing.DigestMismatch: "signature-digest",
}

// refuseSignature fills a signature row. kind is ЭП-ОВ or ЭП-СП.
func refuseSignature(kind string, e *signing.Error) *refusal {
	why, ok := signatureReasons[e.Code]
	if !ok {
		return &refusal{reason: "failure", cause: e}
	}
	r := &refusal{reason: why, cause: e, args: []any{kind}}
	detail := e.Russian()
	if detail == "" {
		detail = e.Code.Russian()
	}
	const minute = "2006-01-02 15:04"
	switch why {
	case "signature-missing":
		r.args = nil
	case "signature-format":
		r.args = []any{kind, detail}
	case "unsignable":
		r.args = []any{detail}
	case "signature-target", "algorithm", "certificate-missing":
		r.slip = e.Russian()
	case "certificate-expired":
		r.args = []any{kind, e.NotAfter.In(terms.Moscow).Format(minute)}
	case "certificate-early":
		r.args = []any{kind, e.NotBefore.In(terms.Moscow).Format(minute)}
	case "revocation-unknown":
		r.retryAfter = time.Minute
	}
	r.marks = []mark{{rule: "signature." + string(e.Code), offset: e.Offset, path: e.Path}}
	return r
}

// refuseFile is refuseSignature for a file's own signature.
func refuseFile(name string, e *signing.Error) *refusal {
	r := refuseSignature("ЭП вложения "+name+" (PKCS#7)", e)
	switch {
	case e.Slip == nil:
	case r.reason == "signature-format":
		r.reason, r.args = "file-signature", []any{name, e.Slip.Russian}
	default:
		r.slip = e.Slip.Russian
	}
	return r
}

// text is the sentence of the standard, filled.
func (r *refusal) text() string {
	t := table[r.reason].text
	if strings.Contains(t, "%") {
		t = fmt.Sprintf(t, r.args...)
	}
	if r.slip != "" {
		t += ": " + r.slip
	}
	return t
}

// fault is the refusal in the protocol's words. The faultstring is the
// standard's sentence alone; the description adds what to do and the incident.
func (r *refusal) fault(contour string) *envelopes.Fault {
	t := table[r.reason]
	f := &envelopes.Fault{
		Kind: t.fault, Signature: t.sub, Code: fmt.Sprintf("%s : TR:SYNC:%s:%d", contour, t.module, t.n), Text: r.text(),
		Root: envelopes.Name(r.root), Permitted: r.size[0], Real: r.size[1],
	}
	f.Description = fmt.Sprintf("SMEV-%d:%s Что делать: %s. Инцидент %s", t.fault.Number(), ended(f.Text), t.do, r.incident)
	for _, m := range r.marks {
		if m.text != "" {
			f.Validation = append(f.Validation, envelopes.ValidationError{Position: m.offset, Text: m.text})
		}
	}
	if r.queue != (Queue{}) {
		f.Destination = r.queue.destination()
	}
	return f
}

// ended is a sentence with its full stop; the standard's have it or not.
func ended(s string) string {
	if strings.HasSuffix(s, ".") || strings.HasSuffix(s, "!") {
		return s
	}
	return s + "."
}

// event is the refusal as the journal keeps it.
func (r *refusal) event(ev journal.Event) journal.Event {
	ev.Kind, ev.Outcome, ev.Incident, ev.Rule = journal.KindRefused, string(table[r.reason].fault), r.incident, string(r.reason)
	if len(r.marks) > 0 {
		ev.Rule, ev.Line, ev.Col = r.marks[0].rule, r.marks[0].line, r.marks[0].col
	}
	return ev
}
