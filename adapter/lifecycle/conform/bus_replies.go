package conform

import (
	"bytes"

	"mezhved/envelopes"
)

const adviceReply = "Ответ идёт по адресу To, который дан в ReplyTo запроса; OriginalMessageId называет запрос."

var busReplies = []busCheck{
	holds("reply", "Ответ поставщика доходит до потребителя: содержимое и OriginalMessageId", mrReplyTo, adviceReply, func(r *busRun) {
		m := r.asked()
		c := &envelopes.SendResponseCall{To: m.ReplyTo, Content: r.root(r.Response)}
		r.taken(r.reply(r.Provider, c), "ответ")
		a := r.takeAnswer(m.Metadata.MessageID, "", nil)
		r.acked(r.Consumer, a.message.Metadata.MessageID, true)
		switch got := a.message; {
		case got.Metadata.MessageID != c.MessageID:
			r.fail("MessageId доставленного ответа %s, послан %s", got.Metadata.MessageID, c.MessageID)
		case got.Response == nil || !bytes.Equal(got.Response.Content.Bytes(), c.Content.Bytes()):
			r.fail("содержимое ответа доставлено изменённым")
		case got.Metadata.Type != envelopes.TypeResponse:
			r.fail("MessageType доставленного ответа: %q", got.Metadata.Type)
		}
	}),
	holds("reply-status", "Промежуточный статус доходит с кодом и параметрами, за ним доходит ответ", mrStatuses,
		"На один запрос может прийти сколько угодно RequestStatus и один окончательный ответ.", func(r *busRun) {
			m := r.asked()
			status := &envelopes.RequestStatus{Code: 17, Description: "в работе", Parameters: []envelopes.StatusParameter{{Key: "шаг", Value: "2"}}}
			r.taken(r.reply(r.Provider, &envelopes.SendResponseCall{To: m.ReplyTo, Status: status}), "статус")
			r.taken(r.reply(r.Provider, &envelopes.SendResponseCall{To: m.ReplyTo, Content: r.root(r.Response)}), "ответ после статуса")
			first := r.takeAnswer(m.Metadata.MessageID, "", nil)
			r.acked(r.Consumer, first.message.Metadata.MessageID, true)
			got := first.message.Response
			if got == nil || got.Status == nil || got.Status.Code != 17 || got.Status.Description != "в работе" || len(got.Status.Parameters) != 1 || got.Status.Parameters[0] != status.Parameters[0] {
				r.fail("статус не дошёл или изменён")
			}
			second := r.takeAnswer(m.Metadata.MessageID, "", nil)
			r.acked(r.Consumer, second.message.Metadata.MessageID, true)
			if second.message.Response == nil || !second.message.Response.Content.Valid() {
				r.fail("после статуса не пришёл ответ с содержимым")
			}
		}),
	holds("reply-rejection", "Отказ поставщика (RequestRejected) доходит с кодом и описанием", "МР 3.3, п. 2.3.6",
		"RejectionReasonCode и RejectionReasonDescription передаются как есть.", func(r *busRun) {
			m := r.asked()
			r.taken(r.reply(r.Provider, &envelopes.SendResponseCall{To: m.ReplyTo, Rejections: []envelopes.Rejection{{Code: envelopes.RejectNoData, Description: "сведений нет"}}}), "отказ поставщика")
			a := r.takeAnswer(m.Metadata.MessageID, "", nil)
			r.acked(r.Consumer, a.message.Metadata.MessageID, true)
			if got := a.message.Response; got == nil || len(got.Rejections) != 1 || got.Rejections[0] != (envelopes.Rejection{Code: envelopes.RejectNoData, Description: "сведений нет"}) {
				r.fail("отказ поставщика не дошёл или изменён")
			}
		}),
	holds("reply-to", "Ответ на неверный To отклоняется: RecipientIsNotFound", mrReplyTo,
		"To проверяется: чужой, придуманный или изменённый адрес не годен.", func(r *busRun) {
			m := r.asked()
			for _, to := range []string{"никому", m.ReplyTo[:len(m.ReplyTo)-1], m.ReplyTo + "A"} {
				r.refused(r.reply(r.Provider, &envelopes.SendResponseCall{To: to, Content: r.root(r.Response)}), envelopes.RecipientIsNotFound)
			}
		}),
	holds("reply-foreign", "Ответить за поставщика другой участник не может", mrReplyTo,
		"Проверяйте, что отвечает тот, кому был доставлен запрос.", func(r *busRun) {
			m := r.asked()
			r.refused(r.reply(r.Consumer, &envelopes.SendResponseCall{To: m.ReplyTo, Content: r.root(r.Response)}), envelopes.RecipientIsNotFound, envelopes.AccessDenied)
		}),
	holds("reply-type", "Запрос, посланный как ответ, отклоняется", "WSDL: IncorrectResponseContentType; МР 3.3, приложение 6",
		"Корневой элемент ответа: тот, что зарегистрирован для запрошенного вида сведений.", func(r *busRun) {
			m := r.asked()
			r.refused(r.reply(r.Provider, &envelopes.SendResponseCall{To: m.ReplyTo, Content: r.root(r.Request)}), envelopes.IncorrectResponseContentType, envelopes.InvalidContent, envelopes.BusinessDataTypeIsNotSupported)
		}),
	holds("reply-content", "Ответ, который нарушает схему, отклоняется: InvalidContent", mrType,
		"Проверяйте по схеме и ответы.", func(r *busRun) {
			m := r.asked()
			r.refused(r.reply(r.Provider, &envelopes.SendResponseCall{To: m.ReplyTo, Content: r.root(r.grown(r.Response))}), envelopes.InvalidContent)
		}),
	holds("reply-repeat", "Повтор того же ответа не доставляет его дважды", mrRepeat,
		"Повтор SendResponse с тем же MessageID: прежняя квитанция или MessageIsAlreadySent.", func(r *busRun) {
			m := r.asked()
			c := &envelopes.SendResponseCall{MessageID: r.id(), To: m.ReplyTo, Content: r.root(r.Response)}
			kind, body := r.seal(r.Provider, c.Build(r.Version, false), nil)
			for i := range 2 {
				a := r.raw(r.door(r.Version), "SendResponse", soapHeader(envelopes.SendResponse, kind), body)
				if i > 0 && a.fault != nil && a.fault.Kind == envelopes.MessageIsAlreadySent {
					continue
				}
				r.taken(a, "ответ")
			}
			next := r.asked() // its answer stands behind whatever was queued twice
			r.taken(r.reply(r.Provider, &envelopes.SendResponseCall{To: next.ReplyTo, Content: r.root(r.Response)}), "следующий ответ")
			for seen := 0; ; {
				got := r.take(r.Consumer, envelopes.GetResponse, "", "ответы", func(*envelopes.Delivered) bool { return true }).message
				if got.Metadata.MessageID == c.MessageID {
					if seen++; seen > 1 {
						r.fail("ответ %s доставлен дважды", c.MessageID)
					}
				}
				r.acked(r.Consumer, got.Metadata.MessageID, true)
				if got.OriginalMessageID == next.Metadata.MessageID {
					if seen == 0 {
						r.fail("ответ %s не доставлен", c.MessageID)
					}
					return
				}
			}
		}),
	holds("node", "Ответ на запрос с NodeID отдаётся только по этому NodeID", mrNode,
		"Для каждого NodeID у потребителя своя очередь ответов.", func(r *busRun) {
			const node = "conform-1"
			m := r.asked(func(c *envelopes.SendRequestCall) { c.NodeID = node })
			r.taken(r.reply(r.Provider, &envelopes.SendResponseCall{To: m.ReplyTo, Content: r.root(r.Response)}), "ответ")
			// What was answered before it in the common queue shows that this one would be there.
			common := r.asked()
			r.taken(r.reply(r.Provider, &envelopes.SendResponseCall{To: common.ReplyTo, Content: r.root(r.Response)}), "ответ")
			for {
				got := r.take(r.Consumer, envelopes.GetResponse, "", "ответ без NodeID", func(*envelopes.Delivered) bool { return true }).message
				r.acked(r.Consumer, got.Metadata.MessageID, true)
				if got.OriginalMessageID == m.Metadata.MessageID {
					r.fail("ответ узлу %s отдан по опросу без NodeID", node)
				}
				if got.OriginalMessageID == common.Metadata.MessageID {
					break
				}
			}
			a := r.takeAnswer(m.Metadata.MessageID, node, nil)
			r.acked(r.Consumer, a.message.Metadata.MessageID, true)
		}),
}
