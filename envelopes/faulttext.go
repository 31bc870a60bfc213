package envelopes

import (
	"fmt"
	"time"
)

// The sentences of appendix 6 of the methodical recommendations (version 3.3),
// and those that the live bus was seen to use. Where the bus has none, the
// sentence is ours and says what to do.
const (
	TextNoSignature            = "Отсутствует ЭП-ОВ"
	TextBadEnvelope            = "Нарушен формат бизнес-конверта."
	TextUnsupportedType        = "Неподдерживаемый тип запроса."
	TextAccessDenied           = "Доступ запрещён"
	TextSystemNotRegistered    = "Информационная система не зарегистрирована в СМЭВ."
	TextEmployeeNotRegistered  = "Сертификат сотрудника не зарегистрирован в СМЭВ."
	TextEmployeeCertificate    = "Сертификат сотрудника не действителен."
	TextMessageIDFormat        = "Недопустимый формат идентификатора сообщения. См. RFC-4122."
	TextMessageIDStale         = "Timestamp идентификатора сообщения слишком давний."
	TextOverflow               = "Очередь, в которую должно быть отправлено сообщение, переполнена."
	TextFailure                = "Ошибка СМЭВ. Обратитесь в службу технической поддержки."
	TextAttachmentsTooLarge    = "Превышен максимально допустимый суммарный размер присоединённых файлов."
	TextFilesTooLarge          = "Превышен максимально допустимый суммарный размер присоединённых ftp файлов."
	TextQuota                  = "Квота на файловое хранилище для получателя превышена!"
	TextAttachmentFields       = "Вложения не имеют заполненных требуемых полей."
	TextEndOfLife              = "Срок жизни запроса (EOL) истёк. Отправьте запрос с более поздним сроком."
	TextTransactionCode        = "Код транзакции не выдан сервисом генерации кодов транзакций."
	TextPollTooOften           = "Нарушено ограничение на частоту опроса очередей"
	TextResponseNotRequestType = "Тип содержимого ответа не соответствует типу запроса, на который он отправлен."
)

// The kinds of signatures in texts.
const (
	SystemSignature   = "ЭП-ОВ"
	PersonalSignature = "ЭП-СП"
)

// TextCertificateExpired names the last moment of a certificate's validity.
func TextCertificateExpired(notAfter time.Time) string {
	return "Срок действия сертификата ЭП-ОВ истёк. Сертификат действителен до " + ExpiryText(notAfter)
}

// TextCertificateNotYet names the first moment of a certificate's validity.
func TextCertificateNotYet(notBefore time.Time) string {
	return "Срок действия сертификата не начался. Сертификат действителен с " + ExpiryText(notBefore)
}

// TextSignatureMismatch says that a signature does not hold; signature is one
// of SystemSignature and PersonalSignature, detail the reason.
func TextSignatureMismatch(signature, detail string) string {
	return signature + " не соответствует подписанным данным: " + detail
}

// TextSignatureMissing says that a message lacks a signature.
func TextSignatureMissing(signature, messageID string) string {
	return signature + " отсутствует в сообщении " + messageID
}

// TextAttachmentSignature says that the PKCS#7 signature of an attachment does not hold.
func TextAttachmentSignature(id string) string {
	return "Проверка подписи на вложении " + id + ": Подпись не прошла проверку по сертификату."
}

// TextCertificateRevoked names the answer of the revocation service.
func TextCertificateRevoked(code string) string {
	return "Cертификат отозван. Код ответа в ГУЦ:" + code
}

// TextUserNotRegistered names an unknown certificate by its X.500 name (RFC 1779).
func TextUserNotRegistered(name string) string {
	return "Предъявленный сертификат пользователя " + name + " не зарегистрирован в СМЭВ"
}

// TextSchema says that content does not match its registered schema.
func TextSchema(messageID string) string {
	return "Бизнес-данные сообщения не соответствуют схеме, зарегистрированной в СМЭВ. MessageId = " + messageID
}

// TextWrongResponseType says that a response's content is not registered.
func TextWrongResponseType(root Name) string {
	return "Попытка послать сообщение " + root.String() + " через метод sendResponse, в то время как этот тип сообщений не зарегистрирован в СМЭВ."
}

// TextWrongCategory says that a request's content is registered as something else.
func TextWrongCategory(root Name, category string) string {
	return "Попытка послать сообщение " + root.String() + " через метод sendRequest, в то время как этот тип сообщений зарегистрирован как " + category
}

// TextNoRecipient says that routing found nobody; more is added after a semicolon.
func TextNoRecipient(root Name, more string) string {
	s := "Невозможно определить получателя для сообщения. Полное имя корневого элемента: " + root.String()
	if more != "" {
		s += "; " + more
	}
	return s
}

// TextSeveralRecipients says that routing found more than one recipient.
func TextSeveralRecipients(detail string) string {
	return "Найдено несколько получателей для сообщения. " + detail
}

// TextIncompleteRouting says that routing lacks input.
func TextIncompleteRouting(detail string) string {
	return "Не удалось найти получателя по причине неполноты входных данных: " + detail
}

// TextNoRequestForResponse says that To leads to no request.
func TextNoRequestForResponse(to string) string {
	return "Невозможно определить получателя для ответа на запрос. Адресная информация: " + to
}

// TextAlreadySent says that a MessageID was used before: the sender stops resending.
func TextAlreadySent(messageID string) string {
	return "Сообщение с идентификатором " + messageID + " было послано ранее."
}

// TextNotAwaiting says that there is nothing to acknowledge: the caller treats
// the message as acknowledged.
func TextNotAwaiting(messageID string) string {
	return "Сообщение " + messageID + " не найдено среди неподтверждённых."
}

// TextUnknownQueue says that the caller owns no queue of that type; name is the
// X.500 name of its certificate.
func TextUnknownQueue(name string) string {
	return "Входящая очередь запрошенного типа сообщений, принадлежащая пользователю " + name + " не зарегистрирована в СМЭВ"
}

// TextFiles says that the files in the file store are not as described.
func TextFiles(messageID string) string {
	return "Некорректная информация о фтп вложениях; message id = " + messageID
}

// Miscoordination holds the headers of attachments against their contents and
// gives the sentence of AttachmentContentMiscoordination, empty when they match.
func Miscoordination(headers []AttachmentHeader, contents []Attachment) string {
	switch {
	case len(headers) == 0 && len(contents) == 0:
		return ""
	case len(headers) == 0:
		return fmt.Sprintf("Количество вложений - %d, нет ни одного заголовка.", len(contents))
	case len(headers) != len(contents):
		return fmt.Sprintf("Количество вложений - %d, количество заголовков - %d", len(contents), len(headers))
	}
	described := map[string]bool{}
	for _, h := range headers {
		described[h.ContentID] = true
	}
	if len(described) != len(headers) {
		return TextAttachmentFields
	}
	for _, c := range contents {
		if !described[c.ID] {
			return `Вложение [Id="` + c.ID + `"] не имеет заголовка.`
		}
	}
	return ""
}
