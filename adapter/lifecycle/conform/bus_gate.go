package conform

import (
	"bytes"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"mezhved/envelopes"
)

var busGate = []busCheck{
	holds("xml", "Конверт, который не является правильным XML, отклоняется отказом, а не обрывом", mrFaults,
		"На неразбираемое тело отвечайте InvalidContent: клиент должен прочитать, что не так.", func(r *busRun) {
			a := r.broken(func(xml []byte) []byte { return xml[:len(xml)-len("</soap:Envelope>")] })
			r.refused(a, envelopes.InvalidContent)
		}),
	holds("dtd", "Конверт с DOCTYPE отклоняется", mrSecurity,
		"Запретите DTD в разборщике: SOAP его не допускает, а через него читают чужие файлы.", func(r *busRun) {
			r.turnedAway(r.broken(func(xml []byte) []byte { return append([]byte("<!DOCTYPE soap:Envelope>"), xml...) }))
		}),
	holds("entities", "Вложенные сущности не раскрываются, и шлюз продолжает отвечать", mrSecurity,
		"Запретите DTD и сущности: десять строк разворачиваются в гигабайты.", func(r *busRun) {
			var dtd strings.Builder
			dtd.WriteString(`<!DOCTYPE soap:Envelope [<!ENTITY a "межвед">`)
			for c := byte('b'); c <= 'j'; c++ {
				dtd.WriteString("<!ENTITY " + string(c) + ` "` + strings.Repeat("&"+string(c-1)+";", 10) + `">`)
			}
			dtd.WriteString("]>")
			r.turnedAway(r.broken(func(xml []byte) []byte {
				return append([]byte(dtd.String()), r.swap(xml, "<soap:Body>", "<soap:Header>&j;</soap:Header><soap:Body>")...)
			}))
			r.notRefused(r.emptyPoll(nil, nil), "вызов после атаки")
		}),
	holds("external-entity", "За внешней сущностью шлюз никуда не обращается", mrSecurity,
		"Запретите внешние сущности и загрузку DTD: так читают внутреннюю сеть узла.", (*busRun).checkExternal),
	holds("encoding", "Кодировка, отличная от UTF-8, отклоняется", mrEncoding,
		"Принимайте только UTF-8: иначе подписанные октеты у сторон разойдутся.", func(r *busRun) {
			call := &envelopes.PollCall{Operation: envelopes.GetResponse, Timestamp: r.Now()}
			_, body := r.seal(r.Consumer, call.Build(r.Version), func(xml []byte) []byte {
				return append([]byte(`<?xml version="1.0" encoding="windows-1251"?>`), xml...)
			})
			r.turnedAway(r.raw(r.door(r.Version), "GetResponse", soapHeader(envelopes.GetResponse, "text/xml; charset=windows-1251"), body))
		}),
	holds("soap-1.2", "Конверт SOAP 1.2 отклоняется", mrTransport,
		"Сравнивайте пространство имён Envelope: обмен идёт в SOAP 1.1.", func(r *busRun) {
			r.turnedAway(r.broken(func(xml []byte) []byte {
				return bytes.ReplaceAll(xml, []byte(envelopes.SOAPSpace), []byte(envelopes.SOAP12Space))
			}))
		}),
	holds("operation-unknown", "Неизвестная операция отклоняется", mrSchema,
		"Отвечайте отказом на любой первый элемент Body, которого нет в WSDL.", func(r *busRun) {
			r.turnedAway(r.broken(func(xml []byte) []byte {
				return bytes.ReplaceAll(xml, []byte("GetResponseRequest"), []byte("GetEverythingRequest"))
			}))
		}),
	holds("element-unknown", "Неизвестный элемент конверта отклоняется как нарушение схемы", mrSchema,
		"Проверяйте конверт по схеме операции целиком, включая подписанный блок.", func(r *busRun) {
			r.refused(r.misbuilt(r.request(r.Request), func(xml []byte) []byte {
				return r.swap(xml, "</typ:MessageID>", "</typ:MessageID><typ:Unknown>1</typ:Unknown>")
			}), envelopes.InvalidContent)
		}),
	holds("element-order", "Элементы не в том порядке отклоняются как нарушение схемы", mrSchema,
		"Все элементы конверта описаны xs:sequence: порядок обязателен.", func(r *busRun) {
			c := r.request(r.Request, func(c *envelopes.SendRequestCall) { c.NodeID = "a1"; c.TransactionCode = "b2" })
			r.refused(r.misbuilt(c, func(xml []byte) []byte {
				const code, node = "<typ:TransactionCode>b2</typ:TransactionCode>", "<typ:NodeID>a1</typ:NodeID>"
				return r.swap(xml, code+node, node+code)
			}), envelopes.InvalidContent)
		}),
	holds("fault-form", "Отказ: HTTP 500, SOAP 1.1 Fault, один элемент отказа в detail", mrFaults,
		"Клиенты строят исключение по элементу в detail: он обязан быть один и из пространства имён faults.", (*busRun).checkFaultForm),
	better("fault-text", "Отказ называет причину: русский текст, Code, Description с префиксом SMEV-NNN", mrFaults,
		"Заполняйте Code и Description (через xsi:type=\"SmevFault\" и там, где схема даёт Void): без них причину не найти.", func(r *busRun) {
			a := r.send(r.request(r.Request, func(c *envelopes.SendRequestCall) { c.MessageID = "not-a-uuid" }))
			r.turnedAway(a)
			switch f := a.fault; {
			case f == nil:
				r.fail("отказ не читается")
			case !russian(f.Text):
				r.fail("faultstring не на русском языке: «%s»", f.Text)
			case f.Code == "" || !strings.HasPrefix(f.Description, "SMEV-"):
				r.fail("в отказе нет Code или Description с префиксом SMEV-NNN: «%s», «%s»", f.Code, f.Description)
			}
		}),
	holds("fault-version", "Отказ приходит в версии вызова (1.1, 1.2, 1.3)", mrVersions, adviceVersion, func(r *busRun) {
		served := 0
		for _, v := range envelopes.Versions {
			call := &envelopes.PollCall{Operation: envelopes.GetResponse, Timestamp: r.Now()}
			a := r.post(r.Consumer, v, envelopes.GetResponse, call.Build(v), r.spoilValue)
			if a.status == http.StatusNotFound {
				continue
			}
			served++
			r.refused(a, envelopes.SignatureVerificationFault)
			if got := a.env.Version(); got != v {
				r.fail("на вызов версии %s отказ в версии %s", v, got)
			}
		}
		if served == 0 {
			r.skip("ни одна версия не обслуживается")
		}
	}),
}

// broken posts a poll that was spoiled after it was signed.
func (r *busRun) broken(change func([]byte) []byte) came { return r.emptyPoll(change, nil) }

// misbuilt posts a SendRequest that is built wrongly and signed as it is.
func (r *busRun) misbuilt(c *envelopes.SendRequestCall, change func([]byte) []byte) came {
	d := c.Build(r.Version, false)
	const wrapper = "<typ:CallerInformationSystemSignature>"
	d.XML = change(d.XML)
	d.Slot = bytes.LastIndex(d.XML, []byte(wrapper)) + len(wrapper)
	return r.post(r.Consumer, r.Version, envelopes.SendRequest, d, nil)
}

// checkExternal listens where an entity points to.
func (r *busRun) checkExternal() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r.must(err)
	var asked atomic.Bool
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) })}
	served := make(chan struct{})
	go func() { _ = server.Serve(l); close(served) }()
	defer func() { _ = server.Close(); <-served }()
	dtd := `<!DOCTYPE soap:Envelope [<!ENTITY x SYSTEM "http://` + l.Addr().String() + `/x">]>`
	a := r.broken(func(xml []byte) []byte {
		return append([]byte(dtd), r.swap(xml, "<soap:Body>", "<soap:Header>&x;</soap:Header><soap:Body>")...)
	})
	if asked.Load() {
		r.fail("шлюз обратился по адресу, который назвала внешняя сущность")
	}
	r.turnedAway(a)
}

func (r *busRun) checkFaultForm() {
	a := r.broken(r.spoilValue)
	r.refused(a, envelopes.SignatureVerificationFault)
	if a.status != http.StatusInternalServerError {
		r.fail("отказ с состоянием HTTP %d, SOAP 1.1 требует 500", a.status)
	}
	root := r.root(a.env.Bytes())
	fault := root.Child(envelopes.SOAPSpace, "Body").Child(envelopes.SOAPSpace, "Fault")
	if !fault.Child("", "faultcode").Valid() || !fault.Child("", "faultstring").Valid() {
		r.fail("в Fault нет faultcode или faultstring без пространства имён")
	}
	element := fault.Child("", "detail").First()
	if element.Space() != r.Version.FaultsSpace() || element.Next().Valid() {
		r.fail("в detail ожидается один элемент из %s", r.Version.FaultsSpace())
	}
}

// russian says that a text has Cyrillic letters.
func russian(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c >= 'А' && c <= 'я' })
}
