package conform

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"mezhved/envelopes"
)

const (
	adviceSameID = "Храните MessageID и подписанный конверт до ответа и повторяйте их без изменений."
	adviceWait   = "Ждите столько, сколько просит Retry-After, и повторяйте с тем же MessageID."
)

var partySends = []partyCheck{
	does(Consumer, "send-lost-answer", "После обрыва связи сообщение повторяется с тем же MessageID и теми же данными", mrRepeat, adviceSameID, func(r *partyRun) {
		first := r.newRequest()
		r.lose(first)
		r.as(r.again(first))
	}),
	does(Consumer, "send-already-sent", "На MessageIsAlreadySent система прекращает повторы", "WSDL: MessageIsAlreadySent — прекратить повторы",
		"MessageIsAlreadySent после обрыва значит, что сообщение принято: считайте его отправленным.", func(r *partyRun) {
			first := r.newRequest()
			r.lose(first)
			second := r.again(first)
			second.say(r.fault(second, envelopes.MessageIsAlreadySent, "Сообщение с идентификатором "+first.id+" было послано ранее."))
			r.goneOn(second, "после MessageIsAlreadySent")
		}),
	does(Consumer, "send-unavailable", "На 503 с Retry-After система ждёт и повторяет с тем же MessageID", httpRetry, adviceWait, func(r *partyRun) {
		r.comesAgain(r.newRequest(), http.StatusServiceUnavailable)
	}),
	does(Consumer, "send-rate", "На 429 с Retry-After система ждёт и повторяет с тем же MessageID", httpRetry, adviceWait, func(r *partyRun) {
		r.comesAgain(r.newRequest(), http.StatusTooManyRequests)
	}),
	does(Consumer, "send-failure", "На SMEVFailure система повторяет с тем же MessageID", wsdlRetry, adviceSameID, func(r *partyRun) {
		first := r.newRequest()
		first.say(r.fault(first, envelopes.SMEVFailure, "Ошибка СМЭВ. Обратитесь в службу технической поддержки."))
		r.as(r.again(first))
	}),
	does(Consumer, "send-overflow", "На DestinationOverflow система повторяет с тем же MessageID", wsdlRetry, adviceSameID, func(r *partyRun) {
		first := r.newRequest()
		first.say(faultReply(first, &envelopes.Fault{Kind: envelopes.DestinationOverflow, Text: "Очередь, в которую должно быть отправлено сообщение, переполнена.", Broker: "unknown", Destination: "delivery.CONFORM._REQUEST_"}))
		r.as(r.again(first))
	}),
	does(Consumer, "send-gateway", "На 502 со страницей HTML (прокси перед шиной) система повторяет с тем же MessageID", httpRetry,
		"Ответ, который не является конвертом, не говорит, принято ли сообщение: повторите его с тем же MessageID.", func(r *partyRun) {
			first := r.newRequest()
			first.say(reply{status: http.StatusBadGateway, header: http.Header{"Content-Type": {"text/html"}}, body: []byte("<html><h1>502 Bad Gateway</h1></html>")})
			r.as(r.again(first))
		}),
	does(Consumer, "send-timeout", "Если ответа долго нет, система повторяет с тем же MessageID", mrRepeat,
		"Ограничьте ожидание ответа и повторяйте тот же конверт: новый MessageID создаст второе сообщение.", func(r *partyRun) {
			first := r.newRequest()
			c := &claim{match: func(h *heard) bool { return h.op == first.op && h.id == first.id }, got: make(chan *heard, 1)}
			r.hall.Lock()
			r.claims = append(r.claims, c)
			r.taken[first.id] = first.digest
			r.hall.Unlock()
			t := time.NewTimer(r.Hold)
			defer t.Stop()
			var second *heard
			select {
			case second = <-c.got:
			case <-r.ctx.Done():
				r.must(r.ctx.Err())
			case <-t.C:
			}
			first.say(reply{cut: true})
			if second == nil {
				u := time.NewTimer(r.Patience)
				defer u.Stop()
				select {
				case second = <-c.got:
				case <-r.ctx.Done():
					r.must(r.ctx.Err())
				case <-u.C:
					r.fail("ответ задержан на %s и не пришёл; за %s после этого повтора с MessageID %s нет", r.Hold, r.Patience, first.id)
				}
			}
			same := second.digest == first.digest
			r.as(second)
			if !same {
				r.fail("повтор с MessageID %s несёт другие подписанные данные", first.id)
			}
		}),
	does(Consumer, "send-pause", "Между повторами есть пауза, и она не уменьшается", wsdlRetry,
		"Увеличивайте паузу между попытками (например, вдвое) до разумного предела: поток повторов мешает шине подняться.", func(r *partyRun) {
			h := r.newRequest()
			var gaps []time.Duration
			for range 3 {
				h.say(reply{status: http.StatusServiceUnavailable, header: http.Header{}})
				next := r.again(h)
				gaps = append(gaps, r.gap(h, next))
				h = next
			}
			r.as(h)
			for i, g := range gaps {
				if g < r.Pause*9/10 {
					r.fail("пауза перед попыткой %d: %s, ожидалось не меньше %s", i+2, g.Round(time.Millisecond), r.Pause)
				}
			}
		}),
	does(Consumer, "send-stale", "После StaleMessageId сообщение посылается с новым MessageID", "WSDL: StaleMessageId — новый UUID",
		"Отказ StaleMessageId окончательный для этого MessageID: проверьте часы и создайте новый UUID версии 1.", func(r *partyRun) {
			first := r.newRequest()
			first.say(r.fault(first, envelopes.StaleMessageId, "Timestamp идентификатора сообщения слишком давний."))
			r.goneOn(first, "после StaleMessageId")
		}),
	does(Consumer, "send-refused", "Отказ по существу (InvalidContent) не повторяется без исправления", "WSDL: InvalidContent — исправить и послать заново",
		"Различайте отказы, которые проходят сами, и те, которые требуют исправления: вторые покажите человеку.", func(r *partyRun) {
			first := r.newRequest()
			first.say(r.fault(first, envelopes.InvalidContent, "Бизнес-данные сообщения не соответствуют схеме, зарегистрированной в СМЭВ. MessageId = "+first.id))
			r.goneOn(first, "после InvalidContent")
		}),
	does(Consumer, "send-access", "AccessDenied не повторяется", "WSDL: AccessDenied",
		"Права даёт владелец вида сведений: повторять бесполезно.", func(r *partyRun) {
			first := r.newRequest()
			first.say(r.fault(first, envelopes.AccessDenied, "Доступ запрещён"))
			r.goneOn(first, "после AccessDenied")
		}),
	does(Consumer, "send-multipart", "Квитанция в multipart/related (как у живой шины) принимается", mrTransport,
		"Читайте корневую часть multipart/related: шина отвечает так и без вложений.", func(r *partyRun) {
			first := r.newRequest()
			xml, err := r.sealed(r.receipt(first), r.Signer)
			r.must(err)
			kind, body := envelopes.Package(xml, nil, true)
			r.hall.Lock()
			r.taken[first.id] = first.digest
			r.hall.Unlock()
			first.say(reply{status: http.StatusOK, header: http.Header{"Content-Type": {kind}}, body: body})
			r.goneOn(first, "после квитанции в multipart/related")
		}),
	does(Consumer, "send-decorated", "Лишние заголовки HTTP, комментарии и числовые ссылки в квитанции не мешают", mrTransport,
		"Разбирайте ответ разборщиком XML, а не поиском по тексту.", func(r *partyRun) {
			first := r.newRequest()
			d := r.receipt(first)
			xml, err := r.sealed(d, r.Signer)
			r.must(err)
			xml = bytes.Replace(xml, []byte("<ns2:MessageMetadata"), []byte("<!-- узел 1 -->\n<ns2:MessageMetadata"), 1)
			xml = bytes.Replace(xml, []byte("<ns2:Mnemonic>CONFORM<"), []byte("<ns2:Mnemonic>&#x43;ONFORM<"), 1)
			r.hall.Lock()
			r.taken[first.id] = first.digest
			r.hall.Unlock()
			first.say(reply{status: http.StatusOK, header: http.Header{"Content-Type": {"text/xml;charset=UTF-8"}, "X-Node": {"1"}, "Set-Cookie": {"route=1"}}, body: append([]byte(`<?xml version="1.0" encoding="UTF-8"?>`+"\n"), xml...)})
			r.goneOn(first, "после квитанции с комментарием")
		}),
}

// lose takes a message and loses the answer.
func (r *partyRun) lose(h *heard) {
	r.hall.Lock()
	_ = r.usual(h)
	r.hall.Unlock()
	h.say(reply{cut: true})
}

// gap is the time between the end of one call and the next.
func (r *partyRun) gap(first, next *heard) time.Duration {
	r.hall.Lock()
	defer r.hall.Unlock()
	return next.at.Sub(first.answered)
}

// comesAgain asks to come again and looks when it does.
func (r *partyRun) comesAgain(first *heard, status int) {
	first.say(r.later(status))
	second := r.again(first)
	gap := r.gap(first, second)
	r.as(second)
	if gap < r.RetryAfter*95/100 {
		r.fail("шина просила ждать %s, повтор пришёл через %s", r.RetryAfter, gap.Round(time.Millisecond))
	}
}

func (r *partyRun) later(status int) reply {
	return reply{status: status, header: http.Header{"Content-Type": {"text/plain"}, "Retry-After": {strconv.Itoa(int(r.RetryAfter / time.Second))}}, body: []byte("later")}
}

// goneOn holds that the party goes on to another request and does not send the one
// that was answered last again.
func (r *partyRun) goneOn(last *heard, when string) {
	r.until("новый запрос "+when, func() bool {
		after := false
		for _, h := range r.since() {
			switch {
			case h == last:
				after = true
			case !after || h.op != envelopes.SendRequest || h.id == "":
			case h.id == last.id:
				r.fail("%s сообщение %s послано снова", when, last.id)
			case r.notBefore(h):
				return true
			}
		}
		return false
	})
}

// notBefore says that a request was not known before the check began. The lock is held.
func (r *partyRun) notBefore(h *heard) bool {
	for _, c := range r.calls[:r.begun] {
		if c.op == h.op && c.id == h.id {
			return false
		}
	}
	return true
}
