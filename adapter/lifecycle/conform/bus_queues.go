package conform

import (
	"net/http"
	"slices"
	"time"

	"mezhved/envelopes"
)

const adviceLease = "После Get* сообщение ждёт Ack; без него через время ожидания оно возвращается в начало очереди. Верно ли названо это время (--lease)? У участника оно может быть своё."

var busQueues = []busCheck{
	holds("queue-empty", "Пустая очередь отвечает HTTP 200 без сообщения", mrQueues,
		"Пустая очередь не ошибка: верните GetRequestResponse (GetResponseResponse) без элементов.", func(r *busRun) {
			a := r.emptyPoll(nil, nil)
			r.notRefused(a, "опрос пустой очереди")
			if a.message != nil {
				r.skip("в очереди ответов оказалось чужое сообщение %s", a.message.Metadata.MessageID)
			}
			if !a.env.Empty() {
				r.fail("в ответе на опрос пустой очереди что-то есть")
			}
		}),
	holds("status-queue", "GetStatus отвечает и на пустую очередь состояний", mrQueues,
		"Пустой GetStatusResponse: сообщений о состоянии нет.", func(r *busRun) {
			call := &envelopes.GetStatusCall{Timestamp: r.Now()}
			a := r.post(r.Consumer, r.Version, envelopes.GetStatus, call.Build(r.Version), nil)
			r.notRefused(a, "GetStatus")
			if a.env.Operation() != envelopes.GetStatus {
				r.fail("на GetStatus пришёл ответ %s", a.env.Operation())
			}
		}),
	holds("statistics", "GetIncomingQueueStatistics (1.1) называет глубину очереди", "МР 3.3, п. 2.6; схема 1.1",
		"Верните QueueStatistics с queueName и pendingMessageNumber для очередей вызывающего.", (*busRun).checkStatistics),
	holds("delivery", "Поставщик получает запрос с MessageID отправителя и ReplyTo", mrQueues,
		"MessageMetadata/MessageId доставленного сообщения: то, что называют в Ack; равен MessageID отправителя.", func(r *busRun) {
			r.needsProvider()
			id := r.sent()
			m := r.takeRequest(id).message
			r.acked(r.Provider, id, true)
			switch {
			case m.Request == nil || m.Request.MessageID != id:
				r.fail("в доставленном запросе другой MessageID отправителя")
			case m.ReplyTo == "":
				r.fail("в доставленном запросе нет ReplyTo")
			case m.Metadata.Type != envelopes.TypeRequest:
				r.fail("MessageType доставленного запроса: %q", m.Metadata.Type)
			}
		}),
	holds("delivery-bytes", "Подпись отправителя в доставленном запросе верна: блок не изменён", "МР 3.3, п. 4.5: SenderInformationSystemSignature",
		"Храните и отдавайте SenderProvidedRequestData байт в байт.", func(r *busRun) {
			r.needsProvider()
			id := r.sent()
			a := r.takeRequest(id)
			r.acked(r.Provider, id, true)
			_, target := a.env.Signed()
			sig, data := a.env.SenderSigned(unproved{target})
			if !sig.Valid() {
				r.fail("в доставленном запросе нет SenderInformationSystemSignature")
			}
			signed, err := r.anybody.Verify(sig, data)
			if err != nil {
				r.fail("подпись отправителя после доставки не подтверждена: %v", err)
			}
			if signed.Certificate().SHA256 != r.Consumer.Certificate().SHA256 {
				r.fail("запрос доставлен под подписью другого сертификата: %s", signed.Certificate().Subject())
			}
		}),
	holds("order", "Запросы доставляются в порядке приёма", mrQueues,
		"Очередь FIFO: переставлять сообщения одного получателя нельзя.", func(r *busRun) {
			r.needsProvider()
			var want, got []string
			for range 3 {
				want = append(want, r.sent())
			}
			for len(got) < len(want) {
				m := r.take(r.Provider, envelopes.GetRequest, "", "посланные запросы", func(d *envelopes.Delivered) bool {
					return slices.Contains(want, d.Metadata.MessageID)
				}).message
				r.acked(r.Provider, m.Metadata.MessageID, true)
				got = append(got, m.Metadata.MessageID)
			}
			if !slices.Equal(got, want) {
				r.fail("послано %v, доставлено %v", want, got)
			}
		}),
	holds("selector", "Селектор выбирает вид сведений по корневому элементу запроса и ответа", "МР 3.3, п. 2.5: селектор очереди",
		"Под селектор подходят все версии вида сведений, по имени запроса и по имени ответа.", (*busRun).checkSelector),
	holds("selector-other", "Селектор другого вида сведений не отдаёт чужого сообщения", "МР 3.3, п. 2.5: селектор очереди",
		"Если подходящих сообщений нет, ответ пуст, хотя в очереди есть другие.", func(r *busRun) {
			r.needsProvider()
			if len(r.Other) == 0 {
				r.skip("не задано содержимое второго вида сведений (--other)")
			}
			id := r.sent()
			root := r.root(r.Other)
			for range 5 { // it may not stand in the queue yet
				if m := r.pollOnce(r.Provider, envelopes.GetRequest, envelopes.Name{Space: root.Space(), Local: root.Local()}, ""); m != nil {
					if m.Request != nil && m.Request.Content.Valid() && m.Request.Content.Space() != root.Space() {
						r.fail("селектор %s отдал сообщение %s другого вида сведений", root.Local(), m.Metadata.MessageID)
					}
					r.acked(r.Provider, m.Metadata.MessageID, true)
				}
				r.pause(50 * time.Millisecond)
			}
			r.takeRequest(id)
			r.acked(r.Provider, id, true)
		}),
	holds("selector-foreign", "Селектор незарегистрированного вида сведений отклоняется: UnknownMessageType", mrFaults,
		"Если такой очереди у вызывающего нет, скажите UnknownMessageType, а не «пусто».", func(r *busRun) {
			r.refused(r.poll(r.Consumer, r.Version, envelopes.GetRequest, envelopes.Name{Space: "urn://mezhved.conform/unregistered", Local: "Unknown"}, ""), envelopes.UnknownMessageType)
		}),
	holds("lease", "Сообщение, которое ждёт Ack, не отдаётся ещё раз сразу", mrLease, adviceLease, func(r *busRun) {
		r.needsProvider()
		id := r.sent()
		r.takeRequest(id)
		if m := r.pollOnce(r.Provider, envelopes.GetRequest, envelopes.Name{}, ""); m != nil {
			if m.Metadata.MessageID == id {
				r.fail("сообщение %s отдано второй раз, хотя ещё ждёт Ack", id)
			}
			r.acked(r.Provider, m.Metadata.MessageID, true)
		}
		r.acked(r.Provider, id, true)
	}),
	holds("redelivery", "Без Ack сообщение доставляется снова после времени ожидания", mrLease, adviceLease, func(r *busRun) {
		r.needsProvider()
		if r.Lease <= 0 || r.Lease > 5*r.Patience {
			r.skip("время ожидания Ack не задано (--lease) или больше, чем готов ждать комплект")
		}
		id := r.sent()
		first := r.takeRequest(id)
		r.pause(r.Lease)
		again := r.takeRequest(id)
		r.acked(r.Provider, id, true)
		if again.message.ReplyTo == "" || first.message.Request.MessageID != again.message.Request.MessageID {
			r.fail("повторно доставлено не то же сообщение")
		}
	}),
	holds("ack", "После Ack сообщение не возвращается, второй Ack: TargetMessageIsNotFound", mrLease,
		"Ack убирает сообщение навсегда; на второй отвечайте TargetMessageIsNotFound.", func(r *busRun) {
			r.needsProvider()
			id := r.sent()
			r.takeRequest(id)
			r.acked(r.Provider, id, true)
			r.refused(r.ack(r.Provider, id, true), envelopes.TargetMessageIsNotFound)
		}),
	holds("ack-rejected", "Ack с accepted=\"false\" принимается", "Схема smev-message-exchange-basic: AckTargetMessage",
		"accepted=\"false\" значит, что подпись СМЭВ у получателя не подтвердилась: это не ошибка вызова.", func(r *busRun) {
			r.needsProvider()
			id := r.sent()
			r.takeRequest(id)
			r.acked(r.Provider, id, false)
		}),
	holds("ack-unknown", "Ack неизвестного сообщения отклоняется: TargetMessageIsNotFound", mrLease,
		"Клиент понимает TargetMessageIsNotFound как «подтверждено ранее».", func(r *busRun) {
			r.refused(r.ack(r.Consumer, r.id(), true), envelopes.TargetMessageIsNotFound)
		}),
	holds("ack-foreign", "Чужое сообщение подтвердить нельзя", mrLease,
		"Подтверждает только та система, которой сообщение доставлено.", func(r *busRun) {
			r.needsProvider()
			id := r.sent()
			r.takeRequest(id)
			r.refused(r.ack(r.Consumer, id, true), envelopes.TargetMessageIsNotFound)
			r.acked(r.Provider, id, true)
		}),
	better("timestamp", "Опрос, подписанный двое суток назад, отклоняется", "МР 3.3, п. 2.5: Timestamp селектора",
		"Сравнивайте Timestamp опроса с часами: перехваченный опрос иначе годен всегда.", func(r *busRun) {
			call := &envelopes.PollCall{Operation: envelopes.GetResponse, Timestamp: r.Now().Add(-48 * time.Hour)}
			r.turnedAway(r.post(r.Consumer, r.Version, envelopes.GetResponse, call.Build(r.Version), nil))
		}),
}

func (r *busRun) checkStatistics() {
	call := func() came {
		c := &envelopes.StatisticsCall{Timestamp: r.Now()}
		who := r.Consumer
		if r.Provider != nil {
			who = r.Provider
		}
		return r.post(who, envelopes.V11, envelopes.GetIncomingQueueStatistics, c.Build(), nil)
	}
	a := call()
	if a.status == http.StatusNotFound {
		r.skip("версия 1.1 по адресу %s не обслуживается", r.door(envelopes.V11))
	}
	r.notRefused(a, "GetIncomingQueueStatistics")
	if r.Provider == nil {
		return
	}
	id := r.sent()
	for end := r.Now().Add(r.Patience); ; {
		a = call()
		r.notRefused(a, "GetIncomingQueueStatistics")
		queues, err := envelopes.DecodeQueueStatistics(a.env)
		if err != nil {
			r.fail("статистика не читается: %v", err)
		}
		if slices.ContainsFunc(queues, func(q envelopes.QueueStatistics) bool { return q.Pending > 0 }) {
			break
		}
		if r.Now().After(end) {
			r.fail("в очереди поставщика ждёт запрос, а статистика за %s показывает: %v", r.Patience, queues)
		}
		r.pause(200 * time.Millisecond)
	}
	r.takeRequest(id)
	r.acked(r.Provider, id, true)
}

func (r *busRun) checkSelector() {
	r.needsProvider()
	roots := []envelopes.Name{}
	for _, content := range [][]byte{r.Request, r.Response} {
		if len(content) > 0 {
			n := r.root(content)
			roots = append(roots, envelopes.Name{Space: n.Space(), Local: n.Local()})
		}
	}
	for _, root := range roots {
		id := r.sent()
		for end := r.Now().Add(r.Patience); ; {
			m := r.pollOnce(r.Provider, envelopes.GetRequest, root, "")
			if m != nil {
				r.acked(r.Provider, m.Metadata.MessageID, true)
				if m.Metadata.MessageID == id {
					break
				}
				continue
			}
			if r.Now().After(end) {
				r.fail("селектор %s за %s не отдал запроса %s", root, r.Patience, id)
			}
			r.pause(100 * time.Millisecond)
		}
	}
}
