package conform

import (
	"net/http"
	"strings"

	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
)

// none is no element.
var none xmltape.Node

const adviceTo = "Перенесите ReplyTo в To байт в байт: это непрозрачная строка до 4000 знаков."

var partyRequests = []partyCheck{
	does(Provider, "request-ack", "Запрос подтверждается", mrLease, adviceAck, func(r *partyRun) {
		r.acked(r.put(r.ask()), "запрос")
	}),
	does(Provider, "reply-to", "Ответ идёт по адресу ReplyTo без изменений", mrReplyTo, adviceTo, func(r *partyRun) {
		r.replied(r.put(r.ask()), "запрос")
	}),
	does(Provider, "reply-own-id", "У ответа собственный MessageID", "МР 3.3, п. 3.4.1",
		"Создавайте для ответа новый UUID версии 1: MessageID один на всю шину.", func(r *partyRun) {
			p := r.put(r.ask())
			if h := r.replied(p, "запрос"); h.id == p.id {
				r.fail("ответ послан с MessageID запроса %s", p.id)
			}
		}),
	does(Provider, "request-once", "Повторно доставленный запрос подтверждается и второго ответа не даёт", mrLease,
		"Помните MessageID обработанных запросов: после потерянного Ack шина доставит запрос снова.", func(r *partyRun) {
			p := r.put(r.ask())
			r.replied(p, "запрос")
			r.acked(p, "запрос")
			r.put(p)
			r.until("Ack повторно доставленного запроса "+p.id, func() bool { return len(p.acks) > 1 })
			r.replied(r.put(r.ask()), "следующий запрос") // a second answer would have come before
			r.hall.Lock()
			defer r.hall.Unlock()
			if ids, _ := r.repliesTo(p); len(ids) != 1 {
				r.fail("на один запрос послано ответов с разными MessageID: %d", len(ids))
			}
		}),
	does(Provider, "requests-all", "Из очереди забираются все запросы", mrQueues,
		"Опрашивайте, пока ответ не пуст.", func(r *partyRun) {
			var all []*parcel
			for range 4 {
				all = append(all, r.put(r.ask()))
			}
			for _, p := range all {
				r.acked(p, "запрос")
				r.replied(p, "запрос")
			}
		}),
	does(Provider, "reply-lost", "Ответ, квитанция на который потеряна, повторяется с тем же MessageID", mrRepeat, adviceSameID, func(r *partyRun) {
		first := r.replies(r.ask())
		r.lose(first)
		r.as(r.again(first))
	}),
	does(Provider, "reply-unavailable", "На 503 с Retry-After ответ повторяется вовремя и с тем же MessageID", httpRetry, adviceWait, func(r *partyRun) {
		r.comesAgain(r.replies(r.ask()), http.StatusServiceUnavailable)
	}),
	does(Provider, "reply-failure", "На SMEVFailure ответ повторяется с тем же MessageID", wsdlRetry, adviceSameID, func(r *partyRun) {
		first := r.replies(r.ask())
		first.say(r.fault(first, envelopes.SMEVFailure, "Ошибка СМЭВ. Обратитесь в службу технической поддержки."))
		r.as(r.again(first))
	}),
	does(Provider, "reply-refused", "Ответ, отклонённый по существу, не повторяется без исправления", "WSDL: InvalidContent — исправить и послать заново",
		"InvalidContent на ответ: ошибка поставщика, её должен увидеть человек.", func(r *partyRun) {
			p := r.ask()
			first := r.replies(p)
			first.say(r.fault(first, envelopes.InvalidContent, "Бизнес-данные сообщения не соответствуют схеме, зарегистрированной в СМЭВ. MessageId = "+first.id))
			r.replied(r.put(r.ask()), "запрос после отказа")
			r.hall.Lock()
			defer r.hall.Unlock()
			n := 0
			if _, all := r.repliesTo(p); len(all) > 0 {
				for _, h := range all {
					if h.id == first.id {
						n++
					}
				}
			}
			if n > 1 {
				r.fail("отклонённый ответ %s послан снова без изменений", first.id)
			}
		}),
	does(Provider, "request-optional", "Необязательные элементы запроса не мешают ответить", mrSchema,
		"Принимайте любой запрос, который верен по схеме: шина его уже проверила.", func(r *partyRun) {
			t := r.root([]byte(`<p xmlns:m="urn://mezhved.conform/process"><m:Case Number="1">дело</m:Case></p>`))
			p := r.put(r.ask(func(c *envelopes.SendRequestCall) {
				c.ReferenceMessageID, c.TransactionCode, c.NodeID, c.EOL, c.Process = c.MessageID, "код|транзакции", "узел", r.Now().AddDate(0, 0, 1), t
			}))
			r.acked(p, "запрос с необязательными элементами")
			r.replied(p, "запрос с необязательными элементами")
		}),
	does(Provider, "request-test", "Запрос с признаком TestMessage получает ответ", mrTest,
		"Отвечайте и на тестовые запросы; не вносите их в учёт.", func(r *partyRun) {
			p := r.put(r.ask(func(c *envelopes.SendRequestCall) { c.Test = true }))
			r.acked(p, "тестовый запрос")
			r.replied(p, "тестовый запрос")
		}),
	does(Provider, "request-multipart", "Запрос в multipart/related без вложений принимается", mrTransport,
		"Читайте корневую часть, даже если других нет.", func(r *partyRun) {
			r.acked(r.put(multipart(r.ask())), "запрос в multipart/related")
		}),
	does(Provider, "request-attachment", "Запрос с вложением подтверждается и получает ответ", mrAttachment, adviceAck, func(r *partyRun) {
		header, file := r.file("conform", []byte("%PDF-1.7\x00\xff"))
		p := r.put(r.ask(func(c *envelopes.SendRequestCall) {
			c.Headers, c.Attachments = []envelopes.AttachmentHeader{header}, []envelopes.Attachment{file}
		}))
		r.acked(p, "запрос с вложением")
		r.replied(p, "запрос с вложением")
	}),
	does(Provider, "request-attachment-tampered", "Запрос с подменённым вложением не принимается", mrFileSign,
		"Проверяйте SignaturePKCS7 над байтами вложения: ЭП-СМЭВ вложений не охватывает.", func(r *partyRun) {
			header, file := r.file("conform", []byte("подписанный файл"))
			file.Content = []byte("подменённый файл")
			r.notBelieved(r.put(r.ask(func(c *envelopes.SendRequestCall) {
				c.Headers, c.Attachments = []envelopes.AttachmentHeader{header}, []envelopes.Attachment{file}
			})), r.ask(), "запрос с подменённым вложением")
		}),
	does(Provider, "request-forged", "Запрос, подписанный не ключом шины, не исполняется", mrSignedByUs, adviceForged, func(r *partyRun) {
		r.notBelieved(r.put(r.forged(r.ask())), r.ask(), "запрос под чужой подписью")
	}),
	does(Provider, "request-tampered", "Запрос, изменённый после подписания шиной, не исполняется", mrSignedByUs, adviceForged, func(r *partyRun) {
		r.notBelieved(r.put(r.tampered(r.ask())), r.ask(), "изменённый запрос")
	}),
	does(Provider, "request-unsigned", "Запрос без подписи шины не исполняется", mrSignedByUs, adviceForged, func(r *partyRun) {
		r.notBelieved(r.put(r.unsigned(r.ask())), r.ask(), "запрос без SMEVSignature")
	}),
}

// replies puts a request and waits for the answer to it, which is the check's to answer.
func (r *partyRun) replies(p *parcel) *heard {
	h := r.expect("ответ системы на запрос "+p.id+" (SendResponse, To = ReplyTo)", func(h *heard) bool {
		return h.op == envelopes.SendResponse && strings.Contains(h.to, p.id)
	}, p)
	if h.to != p.replyTo {
		r.as(h)
		r.astray(p, h)
	}
	return h
}

// replied waits until the party has answered a request.
func (r *partyRun) replied(p *parcel, what string) (first *heard) {
	r.until("ответ на "+what+" (SendResponse, To = ReplyTo без изменений)", func() bool {
		_, all := r.repliesTo(p)
		if len(all) > 0 {
			first = all[0]
			return true
		}
		for _, h := range r.calls {
			r.astray(p, h)
		}
		return false
	})
	return first
}

// astray fails for an answer to the request whose To is the ReplyTo, changed: it has its
// id in it, so nobody has to wait for another one.
func (r *partyRun) astray(p *parcel, h *heard) {
	if h.op != envelopes.SendResponse || h.to == p.replyTo || !strings.Contains(h.to, p.id) {
		return
	}
	at := 0
	for at < min(len(h.to), len(p.replyTo)) && h.to[at] == p.replyTo[at] {
		at++
	}
	r.fail("ответ %s пришёл, но не To = ReplyTo без изменений: в To %d байт, в ReplyTo %d, различаются с байта %d (пробелы в конце тоже считаются)", h.id, len(h.to), len(p.replyTo), at+1)
}
