package conform

import (
	"bytes"
	"io"
	"strings"
	"time"

	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

const adviceSignature = "Проверяйте ЭП-ОВ каждого вызова до всего остального и отвечайте SignatureVerificationFault с причиной."

var busSignatures = []busCheck{
	holds("signature-missing", "Вызов без ЭП-ОВ отклоняется: NoSignatureFound", mrSignature, adviceSignature, func(r *busRun) {
		d := r.request(r.Request).Build(r.Version, false)
		kind, body := envelopes.Package(r.swap(d.XML, "<typ:CallerInformationSystemSignature></typ:CallerInformationSystemSignature>", ""), nil, false)
		r.refusedSignature(r.raw(r.door(r.Version), "SendRequest", soapHeader(envelopes.SendRequest, kind), body), envelopes.NoSignatureFound)
	}),
	holds("signature-value", "Неверное значение подписи отклоняется: SignatureIsInvalid", mrSignature, adviceSignature, func(r *busRun) {
		r.refusedSignature(r.sendSpoiled(r.spoilValue), envelopes.SignatureIsInvalid)
	}),
	holds("signature-digest", "Данные, изменённые после подписания, отклоняются: SignatureIsInvalid", mrSignature, adviceSignature, func(r *busRun) {
		c := r.request(r.Request)
		other := r.id()
		r.refusedSignature(r.post(r.Consumer, r.Version, envelopes.SendRequest, c.Build(r.Version, false), func(xml []byte) []byte {
			return r.swap(xml, c.MessageID, other)
		}), envelopes.SignatureIsInvalid)
	}),
	holds("signature-target", "Подпись другого элемента отклоняется: IncorrectSignatureTarget", mrSignature,
		"Сверяйте подписанный элемент с тем, который предписан операцией, по месту, а не по имени Id.", func(r *busRun) {
			d := r.request(r.Request).Build(r.Version, false)
			d.XML = r.swap(d.XML, "<soap:Body>", `<soap:Body Id="BODY">`)
			d.Slot += len(` Id="BODY"`)
			// The body has the signature inside it, so the element that is signed
			// stands in the header.
			d.XML = r.swap(d.XML, `<soap:Body Id="BODY">`, `<soap:Header><x:Other xmlns:x="urn://mezhved.conform" Id="OTHER"/></soap:Header><soap:Body>`)
			slot := bytes.LastIndex(d.XML, []byte("</typ:CallerInformationSystemSignature>"))
			sig := r.handmade(d.XML, "OTHER", r.Consumer, exclusive, signing.TransformURI)
			r.refusedSignature(r.sendXML(signing.Splice(d.XML, slot, sig)), envelopes.IncorrectSignatureTarget)
		}),
	holds("signature-wrapping", "Подмена подписанного блока (signature wrapping) отклоняется", mrSignature,
		"Берите данные только из того элемента, чья подпись проверена, и отклоняйте повторы Id.", func(r *busRun) {
			c := r.request(r.Request)
			_, xml := r.seal(r.Consumer, c.Build(r.Version, false), nil)
			const open, end = "<typ:SenderProvidedRequestData", "</typ:SenderProvidedRequestData>"
			signed := append(append([]byte(open), r.between(xml, open, end)...), end...)
			forged := r.swap(r.swap(signed, c.MessageID, r.id()), `Id="SIGNED_BY_CONSUMER"`, `Id="SIGNED_BY_CONSUMER_2"`)
			xml = r.swap(xml, string(signed), string(forged))
			wrapped := `<soap:Header><w:Kept xmlns:w="urn://mezhved.conform" xmlns:typ="` + r.Version.TypesSpace() + `" xmlns:bas="` + r.Version.BasicSpace() + `">` + string(signed) + `</w:Kept></soap:Header><soap:Body>`
			r.refused(r.sendXML(r.swap(xml, "<soap:Body>", wrapped)), envelopes.SignatureVerificationFault, envelopes.InvalidContent)
		}),
	holds("signature-id-twice", "Два элемента с одним Id отклоняются", mrSignature,
		"Ищите подписанный элемент только после проверки, что его Id в документе единственный.", func(r *busRun) {
			r.refused(r.sendSpoiled(func(xml []byte) []byte {
				return r.swap(xml, "<soap:Body>", `<soap:Header><w:Other xmlns:w="urn://mezhved.conform" Id="SIGNED_BY_CONSUMER"/></soap:Header><soap:Body>`)
			}), envelopes.SignatureVerificationFault, envelopes.InvalidContent)
		}),
	holds("signature-transform", "Подпись без преобразования СМЭВ отклоняется", mrTransform,
		"Требуйте обоих преобразований: exc-c14n и urn://smev-gov-ru/xmldsig/transform.", func(r *busRun) {
			d := r.request(r.Request).Build(r.Version, false)
			sig := r.handmade(d.XML, d.SignID, r.Consumer, exclusive)
			r.refused(r.sendXML(signing.Splice(d.XML, d.Slot, sig)), envelopes.SignatureVerificationFault)
		}),
	holds("signature-prefixes", "Смена префиксов после подписания подписи не ломает", mrTransform,
		"Подпись считается над результатом преобразования СМЭВ: префиксы в нём всегда ns1, ns2, …", func(r *busRun) {
			c := r.request(r.Request)
			r.taken(r.post(r.Consumer, r.Version, envelopes.SendRequest, c.Build(r.Version, false), func(xml []byte) []byte {
				// Only what the kit itself has written; the content's own prefixes stay.
				at := bytes.Index(xml, c.Content.Bytes())
				end := at + len(c.Content.Bytes())
				renamed := func(b []byte) []byte {
					for _, was := range []string{"<typ:", "</typ:", "xmlns:typ="} {
						b = bytes.ReplaceAll(b, []byte(was), []byte(strings.Replace(was, "typ", "другой", 1)))
					}
					return b
				}
				return bytes.Join([][]byte{renamed(xml[:at]), xml[at:end], renamed(xml[end:])}, nil)
			}), "запрос с другими префиксами")
		}),
	holds("certificate-missing", "Подпись без сертификата отклоняется: CertificateIsNotFound", mrSignature, adviceSignature, func(r *busRun) {
		r.refusedSignature(r.sendSpoiled(func(xml []byte) []byte {
			der := r.between(xml, "<ds:X509Certificate>", "</ds:X509Certificate>")
			return r.swap(xml, string(der), "AAAA")
		}), envelopes.CertificateIsNotFound)
	}),
	holds("certificate-expired", "Просроченный сертификат отклоняется: CertificateIsExpired", mrSignature,
		"Сравнивайте срок действия сертификата со временем вызова.", func(r *busRun) {
			who := r.stranger(r.Now().AddDate(-2, 0, 0))
			a := r.post(who, r.Version, envelopes.SendRequest, r.request(r.Request).Build(r.Version, false), nil)
			if a.fault != nil && a.fault.Kind == envelopes.SenderIsNotRegistered {
				return // who is not known is told so first by some buses
			}
			r.refusedSignature(a, envelopes.CertificateIsExpired)
		}),
	holds("certificate-stranger", "Незарегистрированный сертификат отклоняется: SenderIsNotRegistered", mrOwner,
		"Систему определяет только сертификат ЭП-ОВ: неизвестный сертификат не принимается.", func(r *busRun) {
			a := r.post(r.stranger(r.Now().Add(-time.Hour)), r.Version, envelopes.SendRequest, r.request(r.Request).Build(r.Version, false), nil)
			r.refused(a, envelopes.SenderIsNotRegistered, envelopes.SignatureVerificationFault)
		}),
	holds("poll-signed", "GetRequest, GetResponse, GetStatus и Ack без верной ЭП-ОВ отклоняются", mrSignature,
		"Проверяйте подпись и у вызовов, которые ничего не посылают: по ним отдают чужие очереди.", func(r *busRun) {
			drafts := map[envelopes.Operation]envelopes.Draft{
				envelopes.GetRequest:  (&envelopes.PollCall{Operation: envelopes.GetRequest, Timestamp: r.Now()}).Build(r.Version),
				envelopes.GetResponse: (&envelopes.PollCall{Operation: envelopes.GetResponse, Timestamp: r.Now()}).Build(r.Version),
				envelopes.GetStatus:   (&envelopes.GetStatusCall{Timestamp: r.Now()}).Build(r.Version),
				envelopes.Ack:         (&envelopes.AckCall{MessageID: r.id(), Accepted: true}).Build(r.Version),
			}
			for _, op := range []envelopes.Operation{envelopes.GetRequest, envelopes.GetResponse, envelopes.GetStatus, envelopes.Ack} {
				r.refused(r.post(r.Consumer, r.Version, op, drafts[op], r.spoilValue), envelopes.SignatureVerificationFault)
			}
		}),
	holds("personal-missing", "Запрос без ЭП-СП там, где она обязательна, отклоняется: NoSignatureFound", mrPersonal,
		"Если вид сведений требует подписи должностного лица, проверяйте её наличие.", func(r *busRun) {
			r.needsPersonal()
			r.refusedSignature(r.send(r.request(r.Personal)), envelopes.NoSignatureFound)
		}),
	holds("personal-wrong", "ЭП-СП над другим содержимым отклоняется: SignatureIsInvalid", mrPersonal,
		"Проверяйте ЭП-СП над тем содержимым, которое пришло.", func(r *busRun) {
			r.needsPersonal()
			_, sig := r.personal(r.grown(r.Personal))
			r.refused(r.sendPersonal(r.Personal, sig), envelopes.SignatureVerificationFault)
		}),
	holds("personal-good", "Запрос с верной ЭП-СП принимается", mrPersonal,
		"Профиль ЭП-СП тот же, что у ЭП-ОВ; подписан единственный элемент MessagePrimaryContent.", func(r *busRun) {
			r.needsPersonal()
			content, sig := r.personal(r.Personal)
			r.taken(r.sendPersonal(content, sig), "запрос с ЭП-СП")
		}),
}

func (r *busRun) needsPersonal() {
	if len(r.Personal) == 0 {
		r.skip("не задано содержимое вида сведений с обязательной ЭП-СП (--personal)")
	}
}

// personal signs a content as the official.
func (r *busRun) personal(content []byte) (same, signature []byte) {
	sig, err := signing.Sign(r.ctx, r.root(content), r.Official)
	r.must(err)
	return content, sig
}

// sendPersonal posts a request whose content has a signature of an official.
func (r *busRun) sendPersonal(content, signature []byte) came {
	both := new(xmltape.Tape)
	if i := bytes.Index(content, []byte("?>")); i >= 0 && bytes.HasPrefix(bytes.TrimSpace(content), []byte("<?xml")) {
		content = content[i+2:]
	}
	r.must(both.Parse([]byte("<w>"+string(content)+string(signature)+"</w>"), xmltape.Widest))
	first := both.Root().First()
	return r.send(&envelopes.SendRequestCall{MessageID: r.id(), Content: first, PersonalSignature: first.Next(), Test: r.Test})
}

func (r *busRun) sendSpoiled(change func([]byte) []byte) came {
	return r.post(r.Consumer, r.Version, envelopes.SendRequest, r.request(r.Request).Build(r.Version, false), change)
}

// sendXML posts a finished envelope.
func (r *busRun) sendXML(xml []byte) came {
	kind, body := envelopes.Package(xml, nil, false)
	return r.raw(r.door(r.Version), "SendRequest", soapHeader(envelopes.SendRequest, kind), body)
}

// spoilValue changes one character in the middle of the signature value.
func (r *busRun) spoilValue(xml []byte) []byte {
	value := r.between(xml, "<ds:SignatureValue>", "</ds:SignatureValue>")
	other := bytes.Clone(value)
	if i := len(other) / 2; other[i] == 'A' {
		other[i] = 'B'
	} else {
		other[i] = 'A'
	}
	return r.swap(xml, string(value), string(other))
}

// stranger is a key of the consumer's kind that nobody has registered, with a
// certificate for a year.
func (r *busRun) stranger(from time.Time) signing.Signer {
	s, err := freshSigner("MEZHVED-CONFORM-STRANGER", r.Consumer, from)
	r.must(err)
	return s
}

// freshSigner makes a self-signed key of the kind of another.
func freshSigner(name string, like signing.Signer, from time.Time) (signing.Signer, error) {
	kind := signing.KeyECDSA256
	switch like.Algorithm() {
	case signing.GOST2012_256:
		kind = signing.KeyGOST256
	case signing.GOST2012_512:
		kind = signing.KeyGOST512
	case signing.RSASHA256, signing.RSASHA384, signing.RSASHA512:
		kind = signing.KeyRSA2048
	}
	id, err := signing.SelfSigned(signing.TestSubject{CommonName: name, Key: kind}, from)
	if err != nil {
		return nil, err
	}
	return id.Signer()
}

// opened gives octets to read again and again.
func opened(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}
