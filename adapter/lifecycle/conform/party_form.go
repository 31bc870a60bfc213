package conform

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/lifecycle/conform/paper"
	"mezhved/envelopes"
	"mezhved/signing"
)

// partyForm look at every call of the run.
var partyForm = []partyCheck{
	does("", "signature", "Каждый вызов подписан ЭП-ОВ по профилю СМЭВ", mrSignature,
		"Разница между подписанным и посланным видна в mezhved verify --explain --lang ru.", forms(func(_ *partyRun, h *heard) string {
			if h.unproved != nil {
				return h.unproved.Error()
			}
			return ""
		})),
	does("", "schema", "Каждый вызов верен по схеме операции: состав и порядок элементов", mrSchema,
		"Создавайте конверт по WSDL: порядок элементов обязателен.", forms(func(_ *partyRun, h *heard) string {
			if h.format != nil {
				return h.format.Error()
			}
			return ""
		})),
	does("", "version", "Версия конверта соответствует адресу", mrVersions,
		"Пространство имён операции и версия в адресе должны совпадать.", forms(func(_ *partyRun, h *heard) string {
			if m := versionInPath.FindString(h.path); m != "" && !strings.Contains(m, h.version.String()) {
				return "конверт версии " + h.version.String() + " по адресу " + h.path
			}
			return ""
		})),
	does("", "content-type", "Content-Type: text/xml (application/soap+xml, multipart/related), UTF-8", mrEncoding,
		"Указывайте text/xml; charset=utf-8 и кодируйте тело так же.", func(r *partyRun) {
			r.until("первый вызов системы", func() bool { return len(r.calls) > 0 })
			r.hall.Lock()
			defer r.hall.Unlock()
			for _, h := range r.calls {
				if h.unread != nil {
					r.shown(h)
					r.fail("тело не читается: %v", h.unread)
				}
			}
		}),
	ought("", "soapaction", "SOAPAction, если есть, называет операцию: \"urn:SendRequest\"", mrTransport,
		"Посылайте SOAPAction в кавычках, как в WSDL.", forms(func(_ *partyRun, h *heard) string {
			if a := h.header.Get("SOAPAction"); a != "" && a != `""` && a != `"urn:`+h.op.String()+`"` {
				return "SOAPAction " + a + " у операции " + h.op.String()
			}
			return ""
		})),
	does("", "certificate", "Все вызовы подписаны одним действующим сертификатом", mrOwner,
		"У системы один действующий сертификат ЭП-ОВ: смешение ключей выглядит как две системы.", func(r *partyRun) {
			r.until("десять вызовов системы с верной подписью", func() bool { return len(r.signers) > 0 && len(r.calls) >= 10 })
			r.hall.Lock()
			defer r.hall.Unlock()
			if len(r.signers) > 1 {
				_, names := named(r.signers)
				r.fail("вызовы подписаны сертификатами: %s", strings.Join(names, "; "))
			}
		}),
	does("", "id-format", "MessageID: UUID версии 1 строчными буквами", mrMessageID, adviceID, sends(func(_ *partyRun, h *heard) string {
		if id, err := uuid.Parse(h.id); err != nil || len(h.id) != 36 || id.Version() != 1 || strings.ToLower(h.id) != h.id {
			return "MessageID " + h.id
		}
		return ""
	})),
	does("", "id-clock", "Время в MessageID не расходится с часами больше чем на 5 минут", mrMessageID,
		"Синхронизируйте часы: по времени в UUID шина судит, не устарело ли сообщение.", sends(func(r *partyRun, h *heard) string {
			id, err := uuid.Parse(h.id)
			if err != nil || id.Version() != 1 {
				return "время в MessageID " + h.id + " не читается"
			}
			at := time.Unix(id.Time().UnixTime())
			for _, c := range r.calls { // a repetition bears the time of the first
				if c.id == h.id {
					if d := at.Sub(c.at).Abs(); d > clockSkew {
						return "время в MessageID " + h.id + " расходится с часами на " + d.Round(time.Second).String()
					}
					break
				}
			}
			return ""
		})),
	does("", "id-once", "Разные сообщения несут разные MessageID", mrRepeat, adviceID, after(2, envelopes.SendRequest, envelopes.SendResponse, func(r *partyRun, h *heard) string {
		for _, c := range r.calls {
			if c != h && c.id == h.id && c.digest != h.digest && (c.op == envelopes.SendRequest || c.op == envelopes.SendResponse) {
				return "MessageID " + h.id + " использован для двух разных сообщений"
			}
		}
		return ""
	})),
	does("", "timestamp", "Timestamp опроса с часовым поясом и не расходится с часами больше чем на 5 минут", "МР 3.3, п. 2.5: Timestamp селектора",
		"Пишите текущее время с поясом (2026-03-02T12:00:00+03:00) и подписывайте каждый опрос заново.", after(1, envelopes.GetRequest, envelopes.GetResponse, func(_ *partyRun, h *heard) string {
			switch {
			case h.zoneless:
				return "Timestamp без часового пояса"
			case h.timestamp.Sub(h.at).Abs() > clockSkew:
				return "Timestamp " + h.timestamp.Format(time.RFC3339) + " расходится с часами"
			}
			return ""
		})),
	does("", "ack-id", "Ack называет MessageMetadata/MessageId доставленного сообщения", mrLease,
		"Берите MessageId из MessageMetadata, а не первый встреченный MessageID.", func(r *partyRun) {
			r.until("первый Ack системы", func() bool {
				return slices.ContainsFunc(r.calls, func(h *heard) bool { return h.op == envelopes.Ack })
			})
			acks(r)
		}),
	does("", "attachments", "Вложения системы соответствуют заголовкам и своим подписям", mrFileSign,
		"Каждому AttachmentContent — AttachmentHeader с тем же contentId и SignaturePKCS7 над байтами файла.", (*partyRun).checkFiles),
}

// acks looks at what was acknowledged.
var acks = forms(func(r *partyRun, h *heard) string {
	if h.op == envelopes.Ack && r.out[h.id] == nil {
		return "Ack называет " + h.id + ", такого сообщения системе не доставлено"
	}
	return ""
})

// forms is a check over every call that can be read.
func forms(bad func(*partyRun, *heard) string) func(*partyRun) {
	return func(r *partyRun) {
		r.until("первый вызов системы", func() bool { return len(r.calls) > 0 })
		r.hall.Lock()
		defer r.hall.Unlock()
		for _, h := range r.calls {
			if h.env == nil {
				continue
			}
			if why := bad(r, h); why != "" {
				r.shown(h)
				r.fail("%s: %s", h.op, why)
			}
		}
	}
}

// sends is forms over what the party sends.
func sends(bad func(*partyRun, *heard) string) func(*partyRun) {
	return after(1, envelopes.SendRequest, envelopes.SendResponse, bad)
}

// after is forms over the calls of two operations, once there are so many.
func after(n int, one, other envelopes.Operation, bad func(*partyRun, *heard) string) func(*partyRun) {
	of := forms(func(r *partyRun, h *heard) string {
		if h.op != one && h.op != other {
			return ""
		}
		return bad(r, h)
	})
	return func(r *partyRun) {
		r.until(fmt.Sprintf("вызовы системы: %s или %s, всего %d", one, other, n), func() bool { return r.made(one, other) >= n })
		of(r)
	}
}

// made counts calls of two operations. The lock is held.
func (r *partyRun) made(one, other envelopes.Operation) (n int) {
	for _, h := range r.calls {
		if h.op == one || h.op == other {
			n++
		}
	}
	return n
}

func (r *partyRun) checkFiles() {
	r.until("первое сообщение системы (SendRequest или SendResponse)", func() bool { return r.made(envelopes.SendRequest, envelopes.SendResponse) > 0 })
	r.hall.Lock()
	defer r.hall.Unlock()
	found := false
	for _, h := range r.calls {
		var headers []envelopes.AttachmentHeader
		var files []envelopes.Attachment
		switch {
		case h.request != nil:
			headers, files = h.request.Headers, h.request.Attachments
		case h.response != nil:
			headers, files = h.response.Headers, h.response.Attachments
		}
		if len(headers)+len(files) == 0 || h.unproved != nil {
			continue
		}
		found = true
		if why := r.filesOf(h, headers, files); why != "" {
			r.shown(h)
			r.fail("%s %s: %s", h.op, h.id, why)
		}
	}
	if !found {
		r.skip("за время испытания система не послала ни одного вложения")
	}
}

// filesOf says what is wrong with the attachments of a message.
func (r *partyRun) filesOf(h *heard, headers []envelopes.AttachmentHeader, files []envelopes.Attachment) string {
	if len(headers) != len(files) {
		return "количество вложений и заголовков различается"
	}
	for _, header := range headers {
		var content []byte
		found := false
		for _, f := range files {
			if f.ID == header.ContentID {
				content, found = f.Content, true
			}
		}
		switch {
		case !found:
			return "у заголовка " + header.ContentID + " нет вложения"
		case len(header.PKCS7) == 0:
			return "вложение " + header.ContentID + " не подписано (SignaturePKCS7)"
		}
		known := h.signed.Certificate()
		if _, err := r.anyFile.VerifyCMS(header.PKCS7, signing.Octets{Bytes: content}, known); err != nil {
			return "подпись вложения " + header.ContentID + ": " + err.Error()
		}
	}
	return ""
}

// shown puts a call of any time into the exchanges of the check in hand.
func (r *partyRun) shown(h *heard) {
	r.note(paper.Exchange{At: h.at.UTC().Truncate(time.Millisecond), What: h.what(), Sent: paper.PieceOf("POST "+h.path, h.header, h.body)})
}
