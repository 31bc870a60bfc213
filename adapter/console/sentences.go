package console

import (
	"fmt"
	"regexp"
	"strings"

	"mezhved/adapter/postgres"
)

// sentence says why a call was refused and what its sender should do, from the
// rule and the fault that the journal keeps.
func sentence(rule, outcome string) (what, advice Text) {
	key := rule
	switch {
	case strings.HasPrefix(rule, "xml."):
		key = "xml"
	case strings.HasPrefix(rule, "soap."):
		key = "envelope"
	case strings.HasPrefix(rule, "signature."):
		key = signatureSentences[strings.TrimPrefix(rule, "signature.")]
	case strings.HasPrefix(rule, "cvc-"):
		key = "content"
	}
	s, ok := sentences[key]
	if !ok {
		return Text{"Отказано: " + outcome + ".", "Refused: " + outcome + "."}, advices["resend"]
	}
	return s.what, advices[s.advice]
}

// advices are what the sender should do next.
var advices = map[string]Text{
	"resend":   {"Исправить сообщение и отправить его заново с новым MessageID.", "Mend the message and send it again under a new MessageID."},
	"retry":    {"Повторять отправку с тем же MessageID, пока не придёт ответ.", "Repeat under the same MessageID until there is an answer."},
	"register": {"Обратиться к оператору узла: сертификат нужно зарегистрировать.", "Ask the operator of the node to register the certificate."},
	"nothing":  {"Повторять не нужно.", "Nothing needs to be repeated."},
	"support":  {"Оператору узла: найти инцидент в журнале событий программы, причина там.", "For the operator: the log of the node has the cause under this incident."},
	"key":      {"Получить или подключить действующий сертификат и подписать заново.", "Get a valid certificate and sign again."},
	"access":   {"Запросить доступ к виду сведений у его владельца.", "Ask the owner of the service for access."},
	"clock":    {"Проверить часы и отправить с новым MessageID.", "Check the clock and send under a new MessageID."},
	"later":    {"Повторить позже; через сколько секунд, сказано в Retry-After.", "Repeat later: Retry-After says in how many seconds."},
	"smaller":  {"Уменьшить сообщение или передать данные вложением.", "Make the message smaller, or send the data as an attachment."},
	"address":  {"Перенести в To значение ReplyTo из запроса без изменений.", "Copy ReplyTo of the request into To unchanged."},
}

// signatureSentences lead from the codes of package signing to a sentence.
var signatureSentences = map[string]string{
	"no-signature": "signature-missing", "wrong-target": "signature-target", "duplicate-id": "signature-target", "malformed": "signature-format",
	"algorithm": "algorithm", "unsignable": "unsignable", "certificate-missing": "certificate-missing", "certificate-malformed": "certificate-missing",
	"key-unfit": "algorithm", "certificate-expired": "certificate-expired", "certificate-not-yet-valid": "certificate-early",
	"certificate-untrusted": "certificate-untrusted", "certificate-unregistered": "certificate-untrusted", "certificate-usage": "certificate-untrusted",
	"certificate-revoked": "certificate-revoked", "revocation-unknown": "revocation-unknown", "value-invalid": "signature-value",
	"digest-mismatch": "signature-digest", "signer-failed": "failure",
}

// sentences explain each reason of the gateway's table of refusals to whoever
// looks at it afterwards. The sender was given the standard's own sentence.
var sentences = map[string]struct {
	what   Text
	advice string
}{
	"method":       {Text{"Вызов сделан не методом POST.", "The call was not a POST."}, "resend"},
	"content-type": {Text{"Тип содержимого HTTP не поддерживается.", "The content type of the HTTP call is not supported."}, "resend"},
	"too-large":    {Text{"Сообщение больше допустимого.", "The message is larger than allowed."}, "smaller"},
	"incomplete":   {Text{"Сообщение получено не полностью: соединение прервалось.", "The message did not arrive whole: the connection broke."}, "retry"},
	"wrong-door":   {Text{"Конверт одной версии отправлен по адресу другой.", "An envelope of one version was sent to the address of another."}, "resend"},
	"xml":          {Text{"Это не правильно построенный XML.", "This is not well-formed XML."}, "resend"},
	"envelope":     {Text{"Конверт построен не так, как предписывает операция.", "The envelope is not built as its operation prescribes."}, "resend"},

	"signature-missing":            {Text{"ЭП-ОВ отсутствует там, где она предписана.", "The system's signature is missing where it is prescribed."}, "resend"},
	"signature-target":             {Text{"Подпись покрывает не тот элемент, который предписан операцией.", "The signature covers another element than the operation prescribes."}, "resend"},
	"signature-format":             {Text{"Элемент подписи построен неверно.", "The signature element is not built as the profile has it."}, "resend"},
	"signature-value":              {Text{"Значение подписи не соответствует ключу сертификата.", "The signature value does not match the certificate's key."}, "resend"},
	"signature-digest":             {Text{"Подписанные данные изменены после подписания.", "What was signed was changed after signing."}, "resend"},
	"certificate-expired":          {Text{"Срок действия сертификата истёк.", "The certificate has expired."}, "key"},
	"certificate-early":            {Text{"Срок действия сертификата ещё не начался.", "The certificate is not valid yet."}, "clock"},
	"certificate-missing":          {Text{"В подписи нет сертификата, или он не читается.", "The signature holds no certificate that can be read."}, "resend"},
	"certificate-untrusted":        {Text{"Сертификат не является доверенным.", "The certificate is not trusted."}, "register"},
	"certificate-revoked":          {Text{"Сертификат отозван.", "The certificate has been revoked."}, "key"},
	"revocation-unknown":           {Text{"Не удалось проверить, не отозван ли сертификат.", "Whether the certificate is revoked could not be found out."}, "retry"},
	"algorithm":                    {Text{"Алгоритм или преобразование подписи не поддерживается.", "An algorithm or transform of the signature is not allowed."}, "resend"},
	"personal-signature-missing":   {Text{"Нет подписи должностного лица (ЭП-СП), обязательной для этого вида сведений.", "The official's signature, which this service requires, is missing."}, "resend"},
	"personal-signature-forbidden": {Text{"Подпись должностного лица (ЭП-СП) для этого вида сведений не предусмотрена.", "This service takes no official's signature."}, "resend"},
	"file-signature":               {Text{"Подпись файла (PKCS#7) построена неверно.", "A file's own signature (PKCS#7) is not built as it has to be."}, "resend"},
	"file-signature-missing":       {Text{"У файла нет подписи (PKCS#7), обязательной для этого вида сведений.", "A file has no signature (PKCS#7), which this service requires."}, "resend"},
	"stranger":                     {Text{"Подпись верна, но сертификат не зарегистрирован за участником.", "The signature holds, but no party has registered this certificate."}, "register"},

	"message-id-format": {Text{"MessageID не является UUID версии 1.", "MessageID is not a UUID of version 1."}, "resend"},
	"message-id-stale":  {Text{"Время в MessageID слишком давнее.", "The time in the MessageID is too long ago."}, "clock"},
	"message-id-future": {Text{"Время в MessageID находится в будущем.", "The time in the MessageID is in the future."}, "clock"},
	"duplicate":         {Text{"Сообщение с этим MessageID уже принято.", "A message with this MessageID was accepted before."}, "nothing"},
	"message-id-used":   {Text{"С этим MessageID раньше принято другое сообщение.", "Another message with this MessageID was accepted before."}, "resend"},
	"answered":          {Text{"Окончательный ответ на этот запрос уже принят.", "The final answer to this request was accepted before."}, "nothing"},

	"not-a-type":       {Text{"Корневой элемент содержимого не принадлежит ни одному виду сведений.", "The root of the content belongs to no service."}, "resend"},
	"wrong-category":   {Text{"Содержимое не является запросом этого вида сведений.", "The content is not a request of this service."}, "resend"},
	"sunset":           {Text{"Версия вида сведений выведена, её последний день прошёл.", "This version of the service is retired, and its last day is over."}, "access"},
	"not-in-use":       {Text{"Версия вида сведений не находится в эксплуатации.", "This version of the service is not in use."}, "access"},
	"not-a-response":   {Text{"Содержимое не является ответом ни одного вида сведений.", "The content is not a response of any service."}, "resend"},
	"other-response":   {Text{"Ответ относится к другому виду сведений, чем запрос.", "The response belongs to another service than the request."}, "resend"},
	"async-forbidden":  {Text{"AsyncProcessingStatus формирует только шлюз.", "Only the gateway makes an AsyncProcessingStatus."}, "resend"},
	"dictionary":       {Text{"Значения нет в действующей версии справочника.", "A value is not in the version in force of its dictionary."}, "resend"},
	"content":          {Text{"Сообщение не соответствует схеме.", "The message does not hold against its schema."}, "resend"},
	"content-size":     {Text{"Структурированная часть сообщения больше допустимой.", "The structured part of the message is larger than allowed."}, "smaller"},
	"unsignable":       {Text{"Содержимое нельзя подписать по правилам СМЭВ.", "The content cannot be signed under the rules of SMEV."}, "resend"},
	"no-routing-block": {Text{"Блок Routing для этого вида сведений не поддерживается.", "This service takes no Routing block."}, "resend"},

	"attachment-no-header":    {Text{"Вложения и их заголовки не соответствуют друг другу.", "Attachments and their headers do not match."}, "resend"},
	"attachment-unknown":      {Text{"У вложения нет заголовка.", "An attachment has no header."}, "resend"},
	"attachment-file-store":   {Text{"Файловое хранилище на этом узле не подключено.", "This node has no file store."}, "resend"},
	"attachment-file-twice":   {Text{"Сообщение дважды ссылается на один файл хранилища.", "The message refers to one file of the store twice."}, "resend"},
	"attachment-file-missing": {Text{"Файла, на который ссылается сообщение, нет в хранилище, или он загружен не полностью.", "A file that the message refers to is not in the file store, or not the whole of it."}, "resend"},
	"attachment-file-digest":  {Text{"Файл в хранилище не тот, хэш которого подписал отправитель.", "The file in the store is not the one whose digest the sender signed."}, "resend"},
	"attachment-file-size":    {Text{"Файлы сообщения в хранилище вместе больше допустимого.", "The message's files in the store are together larger than allowed."}, "smaller"},
	"attachment-file-quota":   {Text{"Файлов, ожидающих получателя, слишком много.", "Too many files wait to be taken."}, "later"},
	"attachment-size":         {Text{"Вложения вместе больше допустимого.", "The attachments together are larger than allowed."}, "smaller"},

	"no-recipient":     {Text{"Код маршрутизации не ведёт ни к одному получателю.", "The routing code leads to no recipient."}, "resend"},
	"no-code":          {Text{"В запросе нет кода маршрутизации.", "The request holds no routing code."}, "resend"},
	"no-reply-address": {Text{"Адрес ответа (To) не выдавался этим шлюзом или изменён.", "The address of the answer (To) was not given by this gateway, or was changed."}, "address"},
	"not-the-provider": {Text{"Запрос был направлен другому участнику.", "The request went to another party."}, "nothing"},
	"access":           {Text{"У отправителя нет доступа к этому виду сведений.", "The sender may not call this service."}, "access"},
	"end-of-life":      {Text{"Срок жизни сообщения истёк до приёма.", "The message had reached its end of life when it came."}, "resend"},
	"overflow":         {Text{"Очередь получателя переполнена.", "The recipient's queue is full."}, "retry"},
	"lane-overflow":    {Text{"В очереди получателя ждёт предельное число сообщений этого вида сведений.", "As many messages of this service wait in the recipient's queue as may."}, "retry"},
	"sender-overflow":  {Text{"В очереди получателя ждёт предельное число сообщений этого отправителя.", "As many messages of this sender wait in the recipient's queue as may."}, "retry"},
	"no-such-queue":    {Text{"У участника нет такой очереди.", "The party has no such queue."}, "access"},
	"not-awaiting":     {Text{"Сообщение не ожидает подтверждения.", "The message is not awaiting an acknowledgement."}, "nothing"},

	"rate":              {Text{"Превышена допустимая частота обращений.", "The party calls more often than it may."}, "later"},
	"party-share":       {Text{"Одновременно обрабатывалось предельное число вызовов этого участника.", "As many calls of this party were at work as may be at once."}, "later"},
	"service-share":     {Text{"Одновременно обрабатывалось предельное число запросов этого вида сведений.", "As many requests of this service were at work as may be at once."}, "later"},
	"pace":              {Text{"Принятые запросы передавались с опозданием, приём новых был ограничен.", "What was accepted waited too long, fewer requests were taken."}, "later"},
	"no-room":           {Text{"Шлюз принимал слишком много данных сразу, для сообщения не было места.", "Too much was being received at once, there was no room for the message."}, "retry"},
	"unavailable":       {Text{"Хранилище было недоступно.", "The store was not available."}, "retry"},
	"failure":           {Text{"Ошибка шлюза.", "A failure of the gateway."}, "support"},
	"undeclared":        {Text{"Ошибка шлюза: отказ, не предусмотренный операцией.", "A failure of the gateway: a fault that the operation does not declare."}, "support"},
	"clock":             {Text{"Часы узла и базы данных расходятся больше, чем позволяет clock.refuse.", "The clocks of node and database differ by more than clock.refuse allows."}, "retry"},
	"journal-unwritten": {Text{"Журнал не принял записи об отказе.", "The journal did not take the entry about the refusal."}, "retry"},
}

// Unopened says in English what a search could not look at, a line; nothing where it
// could look at everything.
func Unopened(u *postgres.Unopened) string {
	if u == nil {
		return ""
	}
	return "\n" + Visible(unopenedSentence(u).EN) + "\n"
}

// unopenedSentence says what a search could not look at.
func unopenedSentence(u *postgres.Unopened) Text {
	keys := strings.Join(u.Keys, ", ")
	return Text{fmt.Sprintf("Показано не всё: не открыто записей — %d или больше, потому что в папке journal.vault этого узла нет ключей %s (или на их месте другие). Верните их из резервной копии хранилища ключей и повторите; если их уничтожил срок хранения, значения скоро удалит уборка.", u.Entries, keys),
		fmt.Sprintf("Not all is shown: %d entries or more could not be opened, because the folder of journal.vault of this node has not the keys %s, or has others in their place. Put them back from the vault's own backup and repeat; where retention has destroyed them, its next pass removes the values.", u.Entries, keys)}
}

// stationSentences say in Russian what waits at a station and what to do; the
// gateway's own sentences are English, for its log.
var stationSentences = map[string]string{
	"outbox":       "Принятые сообщения ждут шину; ничего не потеряно, они уйдут, когда она их возьмёт: посмотрите на Kafka и на строки «the bus does not take messages of some queues» и «making topics» в журналах работы всех узлов.",
	"bus":          "Сообщения, которые шина подтвердила, не пришли в свои очереди: посмотрите на Kafka и на строки «kafka: …» в журналах работы всех узлов; потерянное шиной кладётся туда снова само.",
	"journal":      "Зафиксированные события ждут места в журнале: ведущий узел с journal.key не работает, или такого нет; посмотрите его журнал работы и mezhved doctor на нём.",
	"checkpoint":   "Записи журнала не стоят под подписанной контрольной точкой: посмотрите на journal.state, его диск и журнал работы ведущего узла с journal.key.",
	"feed":         "Записи журнала ждут передачи в свой топик; ничего не потеряно: посмотрите на Kafka и на строки «feeding the log» в журналах работы всех узлов.",
	"term":         "Сообщения с истёкшим сроком жизни стоят в очередях, и их отправителям не сказано: посмотрите на строки «sweeping» в журналах работы всех узлов.",
	"vault":        "В папке journal.vault этого узла нет ключа, которым запечатана база, или на его месте другой; узел ничего не принимает. Какой ключ, где и что делать — в строке vault.key-missing его журнала работы.",
	"vault-folder": "Папки journal.vault этого узла нет на месте, или в ней нет хранилища ключей: не примонтирован диск, общий для всех узлов? Узел ничего не принимает. Какая это папка — в строке vault.key-missing его журнала работы.",
	"watch":        "Этот узел не видит, что ждёт: посмотрите на базу данных и на журнал работы этого узла.",
}

// stops say in Russian why a log was stopped: its head keeps the sentence of who stopped
// it (clerk.RollbackError, clerk.RestoredWhy), which is English, for its log.
var stops = []struct {
	said *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`^log (.+) has gone back: (\d+) entries with root (\S+) were signed, now there are (\d+) with root (\S+) \(`),
		"Журнал $1 вернулся назад: подписано записей — $2 (корень $3), сейчас в базе — $4 (корень $5). Больше ничего не подписывается и не принимается: выясните, что случилось с базой данных, затем продолжите журнал под новым именем (mezhved journal reopen)."},
	{regexp.MustCompile(`^the database is that of (\S+), restored from backup ([^;]+); what the log has signed since is not known here`),
		"База данных — от $1, восстановлена из резервной копии $2; что журнал подписал с тех пор, здесь неизвестно. Посмотрите, что покажет mezhved restore --verify, затем продолжите журнал под новым именем (mezhved journal reopen)."},
}

// stopped is why a log was stopped.
func stopped(why string) Text {
	for _, s := range stops {
		if at := s.said.FindStringSubmatchIndex(why); at != nil {
			return Text{string(s.said.ExpandString(nil, s.text, why, at)), why}
		}
	}
	return Text{"Журнал остановлен, ничего не принимается. Причина, как её записал узел: " + why, why}
}
