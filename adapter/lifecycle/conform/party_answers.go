package conform

import (
	"bytes"
	"time"

	"mezhved/envelopes"
)

const (
	adviceAck    = "Сохраните сообщение и подтвердите его (Ack с MessageMetadata/MessageId): иначе оно будет приходить снова."
	adviceForged = "Проверяйте ЭП-СМЭВ каждого доставленного сообщения по сертификату шины до обработки; неверную не подтверждайте или посылайте accepted=\"false\"."
)

var partyAnswers = []partyCheck{
	does(Consumer, "answer-ack", "Ответ подтверждается", mrLease, adviceAck, func(r *partyRun) {
		r.acked(r.put(r.answer(r.asked())), "ответ")
	}),
	does(Consumer, "status-ack", "Промежуточный статус подтверждается, за ним принимается ответ", mrStatuses,
		"Статус: обычное сообщение очереди ответов; его подтверждают и ждут следующих.", func(r *partyRun) {
			id := r.asked()
			status := r.put(r.answer(id, func(c *envelopes.SendResponseCall) {
				c.Content, c.Status = none, &envelopes.RequestStatus{Code: 17, Description: "в работе", Parameters: []envelopes.StatusParameter{{Key: "шаг", Value: "2"}}}
			}))
			r.acked(status, "статус")
			r.acked(r.put(r.answer(id)), "ответ после статуса")
		}),
	does(Consumer, "statuses-many", "Несколько статусов подряд подтверждаются", mrStatuses,
		"На один запрос приходит сколько угодно статусов.", func(r *partyRun) {
			id := r.asked()
			var all []*parcel
			for code := range 3 {
				all = append(all, r.put(r.answer(id, func(c *envelopes.SendResponseCall) {
					c.Content, c.Status = none, &envelopes.RequestStatus{Code: code, Description: "шаг"}
				})))
			}
			last := r.put(r.answer(id))
			for _, p := range all {
				r.acked(p, "статус")
			}
			r.acked(last, "ответ после статусов")
		}),
	does(Consumer, "rejection-ack", "Отказ поставщика (RequestRejected) подтверждается", "МР 3.3, п. 2.3.6", adviceAck, func(r *partyRun) {
		r.acked(r.put(r.answer(r.asked(), func(c *envelopes.SendResponseCall) {
			c.Content, c.Rejections = none, []envelopes.Rejection{{Code: envelopes.RejectNoData, Description: "сведений нет"}, {Code: envelopes.RejectFailure, Description: "сбой"}}
		})), "отказ поставщика")
	}),
	does(Consumer, "error-ack", "Асинхронная ошибка шины (AsyncProcessingStatus) подтверждается", mrAsync,
		"Ошибки шины приходят в очередь ответов; без Ack они возвращаются без конца.", func(r *partyRun) {
			r.acked(r.put(r.error(r.asked())), "ошибка шины")
		}),
	does(Consumer, "answer-stray", "Ответ на неизвестный системе запрос тоже подтверждается", mrLease,
		"Сообщение, которое некуда отнести, сохраните, покажите человеку и подтвердите: иначе оно остановит очередь.", func(r *partyRun) {
			r.acked(r.put(r.answer(r.id())), "ответ на неизвестный запрос")
		}),
	does(Consumer, "answers-all", "Из очереди забираются все сообщения", mrQueues,
		"Опрашивайте, пока ответ не пуст.", func(r *partyRun) {
			id := r.asked()
			var all []*parcel
			for range 4 {
				all = append(all, r.put(r.answer(id)))
			}
			for _, p := range all {
				r.acked(p, "сообщение очереди")
			}
		}),
	does(Consumer, "answer-again", "Повторно доставленное сообщение подтверждается снова", mrLease,
		"Доставка не реже одного раза: узнавайте повтор по MessageID, не обрабатывайте его заново, но подтвердите.", func(r *partyRun) {
			p := r.put(r.answer(r.asked()))
			r.acked(p, "ответ")
			r.put(p)
			r.until("Ack повторно доставленного сообщения "+p.id, func() bool { return len(p.acks) > 1 })
		}),
	does(Consumer, "ack-lost", "Ack, ответ на который потерян, повторяется", mrLease,
		"Повторяйте Ack до ответа; TargetMessageIsNotFound после обрыва значит, что он дошёл.", func(r *partyRun) {
			r.repeatsAck(r.answer(r.asked()), func(h *heard) { r.lose(h) })
		}),
	does(Consumer, "ack-failure", "Ack, на который шина ответила 503, повторяется", mrLease,
		"Ack повторяют, как всякий вызов, пока шина не ответит.", func(r *partyRun) {
			r.repeatsAck(r.answer(r.asked()), func(h *heard) { h.say(r.later(503)) })
		}),
	does(Consumer, "ack-not-found", "TargetMessageIsNotFound на Ack значит «подтверждено»: система идёт дальше", "WSDL: TargetMessageIsNotFound",
		"Не повторяйте Ack после TargetMessageIsNotFound: сообщения среди неподтверждённых уже нет.", func(r *partyRun) {
			p := r.answer(r.asked())
			h := r.acks(p)
			h.say(r.fault(h, envelopes.TargetMessageIsNotFound, "Сообщение "+p.id+" не найдено среди неподтверждённых."))
			r.acked(r.put(r.answer(p.original)), "сообщение после TargetMessageIsNotFound")
			r.hall.Lock()
			defer r.hall.Unlock()
			n := 0
			for _, c := range r.since() {
				if c.op == envelopes.Ack && c.id == p.id {
					n++
				}
			}
			if n > 2 { // once more may have been on its way
				r.fail("после TargetMessageIsNotFound Ack повторён %d раза", n-1)
			}
		}),
	does(Consumer, "answer-multipart", "Сообщение в multipart/related без вложений принимается", mrTransport,
		"Читайте корневую часть, даже если других нет.", func(r *partyRun) {
			r.acked(r.put(multipart(r.answer(r.asked()))), "ответ в multipart/related")
		}),
	does(Consumer, "answer-prefixes", "Сообщение с другими префиксами и переносами строк принимается", mrTransform,
		"Не полагайтесь на префиксы (soap, ns2): смысл имеют пространства имён.", func(r *partyRun) {
			p := r.answer(r.asked())
			r.spoiled(p, func(xml []byte) ([]byte, bool) {
				out := bytes.ReplaceAll(xml, []byte("soap:"), []byte("S:"))
				out = bytes.ReplaceAll(out, []byte("xmlns:soap="), []byte("xmlns:S="))
				return bytes.Replace(out, []byte("<S:Body>"), []byte("\n  <S:Body>\n"), 1), bytes.Contains(xml, []byte("<soap:Body>"))
			})
			r.acked(r.put(p), "ответ с другими префиксами")
		}),
	does(Consumer, "answer-decorated", "Неизвестные заголовки SOAP и HTTP, комментарии и инструкции не мешают", mrTransport,
		"Пропускайте то, чего не знаете и что не помечено mustUnderstand.", func(r *partyRun) {
			p := r.answer(r.asked())
			r.spoiled(p, func(xml []byte) ([]byte, bool) {
				out := bytes.Replace(xml, []byte("<soap:Body>"), []byte(`<soap:Header><x:Route xmlns:x="urn://mezhved.conform">1</x:Route></soap:Header><!-- --><soap:Body>`), 1)
				return append([]byte(`<?xml version="1.0" encoding="UTF-8"?>`+"\n<?node 1?>\n"), out...), bytes.Contains(xml, []byte("<soap:Body>"))
			})
			r.acked(r.put(p), "ответ с неизвестными заголовками")
		}),
	does(Consumer, "answer-optional", "Необязательные элементы (ReferenceMessageID, код транзакции, вложения) не мешают", mrSchema,
		"Принимайте любое сообщение, которое верно по схеме.", func(r *partyRun) {
			id := r.asked()
			p := r.answer(id)
			build := p.build
			p.build = func(v envelopes.Version) (envelopes.Draft, error) {
				d, err := build(v)
				if err != nil {
					return d, err
				}
				const after = "</ns2:OriginalMessageId>"
				more := "<ns2:OriginalTransactionCode>код</ns2:OriginalTransactionCode><ns2:ReferenceMessageID>" + id + "</ns2:ReferenceMessageID>"
				grown := bytes.Replace(d.XML, []byte(after), []byte(after+more), 1)
				d.Slot += len(grown) - len(d.XML)
				d.XML = grown
				return d, nil
			}
			r.acked(r.put(p), "ответ с необязательными элементами")
		}),
	does(Consumer, "answer-zone", "Время в другом часовом поясе (Z, +07:00) понимается", mrReceipt,
		"Читайте xs:dateTime с любым поясом и переводите в свой.", func(r *partyRun) {
			id := r.asked()
			var all []*parcel
			for _, zone := range []*time.Location{time.UTC, time.FixedZone("", 7*3600)} {
				p := r.answer(id)
				build := p.build
				p.build = func(v envelopes.Version) (envelopes.Draft, error) {
					d, err := build(v)
					if err != nil {
						return d, err
					}
					old := r.between(d.XML, "<ns2:SendingTimestamp>", "</ns2:SendingTimestamp>")
					xml := bytes.Replace(d.XML, old, []byte(r.Now().In(zone).Format(time.RFC3339)), 1)
					d.Slot += len(xml) - len(d.XML)
					d.XML = xml
					return d, nil
				}
				all = append(all, r.put(p))
			}
			for _, p := range all {
				r.acked(p, "ответ со временем в другом поясе")
			}
		}),
	does(Consumer, "answer-attachment", "Ответ с вложением (base64) подтверждается", mrAttachment, adviceAck, func(r *partyRun) {
		r.acked(r.put(r.withFile(r.asked(), []byte("%PDF-1.7\r\nмежвед\x00\xff"))), "ответ с вложением")
	}),
	does(Consumer, "answer-mtom", "Ответ с вложением частью MIME (MTOM/XOP) подтверждается", mrAttachment,
		"Собирайте вложения из частей по cid из xop:Include.", func(r *partyRun) {
			p := r.withFile(r.asked(), []byte("%PDF-1.7\r\n--uuid:\x00\xff"))
			inline := p.build
			p.build = func(v envelopes.Version) (envelopes.Draft, error) {
				d, err := inline(v)
				if err != nil {
					return d, err
				}
				content := r.between(d.XML, "<Content>", "</Content>")
				const cid = "1@mezhved.conform"
				include := `<xop:Include xmlns:xop="` + envelopes.XOPSpace + `" href="cid:` + cid + `"/>`
				xml := bytes.Replace(d.XML, content, []byte(include), 1)
				d.Slot += len(xml) - len(d.XML) // the content stands before the signature
				d.XML = xml
				d.Parts = []envelopes.Part{{ContentID: cid, ContentType: "application/octet-stream", Data: []byte("%PDF-1.7\r\n--uuid:\x00\xff")}}
				return d, nil
			}
			r.acked(r.put(p), "ответ с вложением MTOM")
		}),
	does(Consumer, "attachment-tampered", "Вложение, не соответствующее своей подписи, не принимается", mrFileSign,
		"Проверяйте SignaturePKCS7 над байтами вложения: ЭП-СМЭВ вложений не охватывает. Такое сообщение не подтверждайте.", func(r *partyRun) {
			id := r.asked()
			r.notBelieved(r.put(r.withFile(id, []byte("подписанный файл"), []byte("подменённый файл"))), r.answer(id), "сообщение с подменённым вложением")
		}),
	does(Consumer, "answer-forged", "Сообщение, подписанное не ключом шины, не принимается", mrSignedByUs, adviceForged, func(r *partyRun) {
		id := r.asked()
		r.notBelieved(r.put(r.forged(r.answer(id))), r.answer(id), "сообщение под чужой подписью")
	}),
	does(Consumer, "answer-tampered", "Сообщение, изменённое после подписания шиной, не принимается", mrSignedByUs, adviceForged, func(r *partyRun) {
		id := r.asked()
		r.notBelieved(r.put(r.tampered(r.answer(id))), r.answer(id), "изменённое сообщение")
	}),
	does(Consumer, "answer-unsigned", "Сообщение без подписи шины не принимается", mrSignedByUs, adviceForged, func(r *partyRun) {
		id := r.asked()
		r.notBelieved(r.put(r.unsigned(r.answer(id))), r.answer(id), "сообщение без SMEVSignature")
	}),
}

// asked waits for a request, takes it, and leaves the answer to the check.
func (r *partyRun) asked() string {
	h := r.newRequest()
	h.special = true
	r.as(h)
	return h.id
}

// withFile is an answer with an attachment; a second content stands in the place of
// what was signed.
func (r *partyRun) withFile(original string, signed []byte, instead ...[]byte) *parcel {
	header, file := r.file("conform", signed)
	for _, other := range instead {
		file.Content = other
	}
	return r.answer(original, func(c *envelopes.SendResponseCall) {
		c.Headers, c.Attachments = []envelopes.AttachmentHeader{header}, []envelopes.Attachment{file}
	})
}

// notBelieved holds that a message was not acknowledged as good when the one after
// it was.
func (r *partyRun) notBelieved(bad, next *parcel, what string) {
	r.until("получение: "+what, func() bool { return bad.delivered > 0 })
	r.acked(r.put(next), "сообщение после того, как доставлено "+what)
	r.hall.Lock()
	defer r.hall.Unlock()
	if bad.believed() {
		r.fail("%s подтверждено с accepted=\"true\"", what)
	}
	if ids, _ := r.repliesTo(bad); bad.replyTo != "" && len(ids) > 0 {
		r.fail("на %s послан ответ", what)
	}
}

// acks puts a message into the party's queue and waits for its first Ack, which is the
// check's to answer.
func (r *partyRun) acks(p *parcel) *heard {
	return r.expect("Ack сообщения "+p.id, func(h *heard) bool { return h.op == envelopes.Ack && h.id == p.id }, p)
}

// repeatsAck puts a message, spoils the answer to the first Ack and waits for another,
// or for the message's second delivery to be acknowledged.
func (r *partyRun) repeatsAck(p *parcel, spoil func(*heard)) {
	spoil(r.acks(p))
	r.until("повторный Ack сообщения "+p.id, func() bool {
		n := 0
		for _, c := range r.since() {
			if c.op == envelopes.Ack && c.id == p.id {
				n++
			}
		}
		return n > 1
	})
}

// between is what stands between two texts of a document of the kit's own.
func (r *partyRun) between(xml []byte, open, end string) []byte {
	_, rest, ok := bytes.Cut(xml, []byte(open))
	in, _, also := bytes.Cut(rest, []byte(end))
	if !ok || !also {
		return nil
	}
	return in
}
