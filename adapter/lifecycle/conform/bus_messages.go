package conform

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/party"
	"mezhved/envelopes"
)

const adviceID = "MessageID: UUID версии 1 строчными буквами, время в нём не старше суток (RFC 4122)."

var busMessages = []busCheck{
	holds("id-format", "MessageID, который не UUID версии 1, отклоняется: InvalidMessageIdFormat", mrMessageID, adviceID, func(r *busRun) {
		for _, id := range []string{"not-a-uuid", uuid.NewString()} {
			r.refused(r.send(r.request(r.Request, withID(id))), envelopes.InvalidMessageIdFormat)
		}
	}),
	holds("id-case", "MessageID заглавными буквами отклоняется", mrMessageID, adviceID, func(r *busRun) {
		r.refused(r.send(r.request(r.Request, withID(strings.ToUpper(r.id())))), envelopes.InvalidMessageIdFormat, envelopes.InvalidContent)
	}),
	holds("id-stale", "MessageID трёхдневной давности отклоняется: StaleMessageId", mrMessageID, adviceID, func(r *busRun) {
		r.refused(r.send(r.request(r.Request, withID(party.NewMessageID(r.Now().Add(-73*time.Hour))))), envelopes.StaleMessageId)
	}),
	holds("id-future", "MessageID из будущего (сутки вперёд) отклоняется", mrMessageID, adviceID, func(r *busRun) {
		r.refused(r.send(r.request(r.Request, withID(party.NewMessageID(r.Now().Add(24*time.Hour))))), envelopes.InvalidMessageIdFormat, envelopes.StaleMessageId)
	}),
	holds("repeat", "Повтор того же сообщения не создаёт второго", mrRepeat,
		"На повтор с тем же MessageID верните прежнюю квитанцию или MessageIsAlreadySent и не ставьте сообщение в очередь ещё раз.", (*busRun).checkRepeat),
	holds("repeat-other", "Другое сообщение с использованным MessageID отклоняется: MessageIsAlreadySent", mrRepeat,
		"Сравнивайте содержимое: другое сообщение под тем же MessageID принимать нельзя.", func(r *busRun) {
			first := r.sent()
			r.refused(r.send(r.request(r.Request, withID(first), func(c *envelopes.SendRequestCall) { c.TransactionCode = "другое сообщение" })), envelopes.MessageIsAlreadySent)
		}),
	holds("id-of-other", "MessageID, использованный другим участником, отклоняется", mrRepeat,
		"MessageID один на всю шину: Ack называет сообщение только им.", func(r *busRun) {
			m := r.asked()
			a := r.reply(r.Provider, &envelopes.SendResponseCall{MessageID: m.Metadata.MessageID, To: m.ReplyTo, Content: r.root(r.Response)})
			r.refused(a, envelopes.MessageIsAlreadySent)
		}),
	holds("content", "Содержимое, которое нарушает схему вида сведений, отклоняется: InvalidContent", mrType,
		"Проверяйте содержимое по зарегистрированной схеме при приёме: поставщику отказывать по схеме запрещено.", func(r *busRun) {
			r.refused(r.send(r.request(r.grown(r.Request))), envelopes.InvalidContent)
		}),
	better("content-place", "В отказе по схеме названо правило и место ошибки", mrFaults,
		"Заполняйте ValidationError: правило (cvc-…) и errorPosition не меньше нуля.", func(r *busRun) {
			a := r.send(r.request(r.grown(r.Request)))
			r.refused(a, envelopes.InvalidContent)
			if v := a.fault.Validation; len(v) == 0 || v[0].Position < 0 || !strings.Contains(v[0].Text, "cvc-") {
				r.fail("в отказе нет ValidationError с правилом и местом: %v", v)
			}
		}),
	holds("type-unknown", "Незарегистрированный корневой элемент отклоняется: BusinessDataTypeIsNotSupported", mrType,
		"Назовите в отказе корневой элемент (RootElementLocalName, RootElementNamespaceURI).", func(r *busRun) {
			a := r.send(r.request([]byte(`<u:Unknown xmlns:u="urn://mezhved.conform/unregistered"/>`)))
			r.refused(a, envelopes.BusinessDataTypeIsNotSupported)
			if a.fault.Root != (envelopes.Name{Space: "urn://mezhved.conform/unregistered", Local: "Unknown"}) {
				r.fail("отказ называет корневой элемент %s", a.fault.Root)
			}
		}),
	holds("type-category", "Ответ, посланный как запрос, отклоняется", mrType,
		"Элемент, зарегистрированный как ответ, через SendRequest не принимается.", func(r *busRun) {
			if len(r.Response) == 0 {
				r.skip("не задано содержимое ответа (--response)")
			}
			r.refused(r.send(r.request(r.Response)), envelopes.BusinessDataTypeIsNotSupported)
		}),
	holds("access", "Запрос без права на вид сведений отклоняется: AccessDenied", mrAccess,
		"Право отправителя проверяет шина: поставщику собственная проверка запрещена.", func(r *busRun) {
			if len(r.Forbidden) == 0 {
				r.skip("не задано содержимое вида сведений, на который нет права (--forbidden)")
			}
			r.refused(r.send(r.request(r.Forbidden)), envelopes.AccessDenied)
		}),
	holds("recipient", "Запрос, для которого нет получателя, отклоняется: RecipientIsNotFound", mrRouting,
		"Если код маршрутизации никому не принадлежит, скажите об этом отправителю сразу.", func(r *busRun) {
			if len(r.Nowhere) == 0 {
				r.skip("не задано содержимое с кодом маршрутизации, которого нет (--nowhere)")
			}
			r.refused(r.send(r.request(r.Nowhere)), envelopes.RecipientIsNotFound)
		}),
	holds("end-of-life", "Запрос с истёкшим EOL отклоняется: EndOfLifeReached", mrEOL,
		"Сравнивайте EOL со временем приёма.", func(r *busRun) {
			r.refused(r.send(r.request(r.Request, func(c *envelopes.SendRequestCall) { c.EOL = r.Now().Add(-time.Hour) })), envelopes.EndOfLifeReached)
		}),
	holds("content-size", "Структурированная часть в 6 МБ отклоняется", "МР 3.3, п. 3.8",
		"Ограничьте структурированную часть 5 МБ; отвечайте отказом, не обрывая соединения.", func(r *busRun) {
			i := bytes.LastIndex(r.Request, []byte("</"))
			if i < 0 {
				r.skip("в содержимое запроса нечего вставить")
			}
			big := append(bytes.Clone(r.Request[:i]), "<!-- "+strings.Repeat("размер ", 6<<20/13)+" -->"...)
			r.turnedAway(r.send(r.request(append(big, r.Request[i:]...))))
		}),
	holds("test-message", "Признак TestMessage доходит до поставщика", mrTest,
		"Передавайте подписанный блок отправителя без изменений.", func(r *busRun) {
			r.needsProvider()
			a := r.takeRequest(r.sent(func(c *envelopes.SendRequestCall) { c.Test = true }))
			r.acked(r.Provider, a.message.Metadata.MessageID, true)
			if a.message.Request == nil || !a.message.Request.Test {
				r.fail("запрос доставлен без TestMessage")
			}
		}),
}

func withID(id string) func(*envelopes.SendRequestCall) {
	return func(c *envelopes.SendRequestCall) { c.MessageID = id }
}

// grown is a content with an element at its end that no schema of it knows.
func (r *busRun) grown(content []byte) []byte {
	i := bytes.LastIndex(content, []byte("</"))
	if i < 0 {
		r.must(errors.New("the root of the content has no end tag, so nothing can be put into it"))
	}
	out := append(bytes.Clone(content[:i]), `<x xmlns="urn://mezhved.conform/unknown"/>`...)
	return append(out, content[i:]...)
}

// checkRepeat sends the same bytes three times.
func (r *busRun) checkRepeat() {
	c := r.request(r.Request)
	kind, body := r.seal(r.Consumer, c.Build(r.Version, false), nil)
	for i := range 3 {
		a := r.raw(r.door(r.Version), "SendRequest", soapHeader(envelopes.SendRequest, kind), body)
		if i > 0 && a.fault != nil && a.fault.Kind == envelopes.MessageIsAlreadySent {
			continue
		}
		r.taken(a, "запрос")
		if a.receipt.MessageID != c.MessageID {
			r.fail("квитанция названа %s вместо %s", a.receipt.MessageID, c.MessageID)
		}
	}
	if r.Provider == nil {
		return
	}
	r.takeRequest(c.MessageID)
	r.acked(r.Provider, c.MessageID, true)
	marker := r.sent() // whatever was queued twice stands before it
	for {
		m := r.take(r.Provider, envelopes.GetRequest, "", "запрос "+marker, func(*envelopes.Delivered) bool { return true }).message
		if m.Metadata.MessageID == c.MessageID {
			r.fail("сообщение %s доставлено дважды", c.MessageID)
		}
		r.acked(r.Provider, m.Metadata.MessageID, true)
		if m.Metadata.MessageID == marker {
			return
		}
	}
}
