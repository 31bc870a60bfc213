package conform

import (
	"bytes"
	"crypto/sha256"

	"mezhved/envelopes"
	"mezhved/signing"
)

const adviceAttachment = "Сверяйте заголовки вложений с содержимым по contentId и Id; лишних и недостающих быть не должно."

var busAttachments = []busCheck{
	holds("attachment-headless", "Вложение без заголовка отклоняется: AttachmentContentMiscoordination", mrAttachment, adviceAttachment, func(r *busRun) {
		c := r.withFile([]byte("файл"))
		c.Headers = nil
		r.refused(r.send(c), envelopes.AttachmentContentMiscoordination)
	}),
	holds("attachment-lost", "Заголовок без вложения отклоняется: AttachmentContentMiscoordination", mrAttachment, adviceAttachment, func(r *busRun) {
		c := r.withFile([]byte("файл"))
		c.Attachments = nil
		r.refused(r.send(c), envelopes.AttachmentContentMiscoordination)
	}),
	holds("attachment-other", "Вложение с другим Id, чем в заголовке, отклоняется", mrAttachment, adviceAttachment, func(r *busRun) {
		c := r.withFile([]byte("файл"))
		c.Attachments[0].ID = "other"
		r.refused(r.send(c), envelopes.AttachmentContentMiscoordination)
	}),
	holds("attachment-digest", "Вложение, которое не соответствует своей подписи PKCS#7, отклоняется", mrFileSign,
		"Проверяйте SignaturePKCS7 над байтами вложения: больше вложение ничто не защищает.", func(r *busRun) {
			c := r.withFile([]byte("подписанный файл"))
			c.Attachments[0].Content = []byte("подменённый файл")
			r.refused(r.send(c), envelopes.SignatureVerificationFault)
		}),
	holds("attachment-pkcs7", "Вложение, чья подпись не PKCS#7, отклоняется", mrFileSign,
		"Разбирайте SignaturePKCS7 строго: SignedData, один подписант, contentType и messageDigest.", func(r *busRun) {
			c := r.withFile([]byte("файл"))
			c.Headers[0].PKCS7 = []byte("это не подпись")
			r.refused(r.send(c), envelopes.SignatureVerificationFault)
		}),
	holds("attachment-inline", "Вложение внутри конверта (base64) доставляется байт в байт", mrAttachment,
		"Не изменяйте вложений: получатель проверит подпись над их байтами.", func(r *busRun) { r.carried(false) }),
	holds("attachment-mtom", "Вложение частью MIME (MTOM/XOP) доставляется байт в байт", mrAttachment,
		"Принимайте xop:Include и части multipart/related с Content-ID; SMEV-подпись вложений не охватывает.", func(r *busRun) { r.carried(true) }),
	holds("attachment-size", "Вложения больше 5 МБ отклоняются: AttachmentSizeLimitExceeded с обоими числами", "МР 3.3, раздел 5 и п. 3.8",
		"Считайте размер вложений вместе и назовите в отказе допустимый и действительный.", func(r *busRun) {
			c := r.withFile(bytes.Repeat([]byte("0123456789abcdef"), (5<<20+64<<10)/16))
			kind, body := r.seal(r.Consumer, c.Build(r.Version, true), nil)
			a := r.raw(r.door(r.Version), "SendRequest", soapHeader(envelopes.SendRequest, kind), body)
			r.refused(a, envelopes.AttachmentSizeLimitExceeded)
			if size := int64(len(c.Attachments[0].Content)); a.fault.Real != size || a.fault.Permitted <= 0 || a.fault.Permitted >= size {
				r.fail("в отказе допустимый размер %d и действительный %d, послано %d", a.fault.Permitted, a.fault.Real, size)
			}
		}),
	holds("attachment-stored", "Ссылка на файл, которого нет в хранилище, отклоняется сразу или сообщением об ошибке", mrAsync,
		"Проверяйте файлы хранилища до доставки: AttachmentContentMiscoordination в ответе или AsyncProcessingStatus в очереди ответов.", (*busRun).checkStored),
}

// withFile is a good request with a file.
func (r *busRun) withFile(content []byte) *envelopes.SendRequestCall {
	pkcs7, err := signing.SignCMS(r.ctx, signing.Octets{Bytes: content}, r.Consumer, r.Now())
	r.must(err)
	return r.request(r.Request, func(c *envelopes.SendRequestCall) {
		c.Headers = []envelopes.AttachmentHeader{{ContentID: "conform", MimeType: "application/pdf", PKCS7: pkcs7}}
		c.Attachments = []envelopes.Attachment{{ID: "conform", Content: content}}
	})
}

// carried sends a file and looks at what arrives.
func (r *busRun) carried(xop bool) {
	content := []byte("%PDF-1.7\r\n--uuid:\x00\xff\xfe межвед\r\n")
	c := r.withFile(content)
	kind, body := r.seal(r.Consumer, c.Build(r.Version, xop), nil)
	r.taken(r.raw(r.door(r.Version), "SendRequest", soapHeader(envelopes.SendRequest, kind), body), "запрос с вложением")
	if r.Provider == nil {
		r.skip("принято; доставка не проверена: не задан ключ поставщика (--provider-key)")
	}
	a := r.takeRequest(c.MessageID)
	r.acked(r.Provider, c.MessageID, true)
	got := a.message.Attachments
	if len(got) != 1 || got[0].ID != "conform" || !bytes.Equal(got[0].Content, content) {
		r.fail("доставлено вложений: %d; содержимое не совпадает с посланным", len(got))
	}
	if h := a.message.Request.Headers; len(h) != 1 || !bytes.Equal(h[0].PKCS7, c.Headers[0].PKCS7) {
		r.fail("подпись вложения в доставленном запросе не та, что послана")
	}
}

func (r *busRun) checkStored() {
	sum := sha256.Sum256([]byte("нет такого файла"))
	c := r.request(r.Request, func(c *envelopes.SendRequestCall) {
		c.References = []envelopes.AttachmentReference{{UUID: r.id(), Hash: sum[:], MimeType: "application/pdf"}}
	})
	a := r.send(c)
	if a.fault != nil {
		r.refused(a, envelopes.AttachmentContentMiscoordination)
		return
	}
	r.taken(a, "запрос со ссылкой на файл")
	late := r.takeAnswer(c.MessageID, "", nil)
	r.acked(r.Consumer, late.message.Metadata.MessageID, true)
	if late.message.Async == nil {
		r.fail("на запрос со ссылкой на несуществующий файл пришёл ответ, а не сообщение об ошибке")
	}
}
