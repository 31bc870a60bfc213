package conform

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mezhved/adapter/lifecycle/conform/paper"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
)

var busDoors = []busCheck{
	holds("wsdl", "По адресу с ?wsdl отдаётся описание службы с её операциями", mrTransport,
		"Отдавайте WSDL той версии, которую обслуживает адрес: по нему создают клиентов zeep, JAX-WS, WCF.", (*busRun).checkWSDL),
	holds("wsdl-imports", "Схемы, на которые ссылается WSDL, доступны по относительным адресам", mrTransport,
		"Положите схемы рядом с WSDL: клиенты скачивают их по schemaLocation.", (*busRun).checkImports),
	holds("version-1.1", "На вызов версии 1.1 ответ приходит в версии 1.1", mrVersions, adviceVersion, inVersion(envelopes.V11)),
	holds("version-1.2", "На вызов версии 1.2 ответ приходит в версии 1.2", mrVersions, adviceVersion, inVersion(envelopes.V12)),
	holds("version-1.3", "На вызов версии 1.3 ответ приходит в версии 1.3", mrVersions, adviceVersion, inVersion(envelopes.V13)),
	holds("version-unknown", "Вызов в пространстве имён несуществующей версии отклоняется", mrVersions,
		"Сравнивайте пространство имён элемента операции целиком, не по началу.", func(r *busRun) {
			r.turnedAway(r.emptyPoll(func(xml []byte) []byte {
				return bytes.ReplaceAll(xml, []byte(r.Version.TypesSpace()), []byte(strings.TrimSuffix(r.Version.TypesSpace(), r.Version.String())+"7.7"))
			}, nil))
		}),
	holds("soapaction", "Операцию определяет тело, а не SOAPAction", mrTransport,
		"Выбирайте операцию по первому элементу Body: клиенты посылают SOAPAction без кавычек, пустым или не посылают.", func(r *busRun) {
			for _, action := range []string{"", `""`, "urn:GetResponse", `"urn:Ack"`} {
				r.notRefused(r.emptyPoll(nil, func(h http.Header) {
					h.Del("SOAPAction")
					if action != "" {
						h.Set("SOAPAction", action)
					}
				}), "вызов с SOAPAction "+action)
			}
		}),
	holds("content-type", "Конверт SOAP 1.1 принимается и как application/soap+xml", mrTransport,
		"Принимайте text/xml, application/soap+xml и multipart/related: распространённые клиенты посылают каждый из них.", func(r *busRun) {
			r.notRefused(r.emptyPoll(nil, func(h http.Header) { h.Set("Content-Type", "application/soap+xml; charset=utf-8") }), "вызов с application/soap+xml")
		}),
	holds("multipart", "Вызов без вложений принимается и как multipart/related (XOP)", mrTransport,
		"Читайте корневую часть multipart/related и тогда, когда других частей нет.", func(r *busRun) {
			call := &envelopes.PollCall{Operation: envelopes.GetResponse, Timestamp: r.Now()}
			_, xml := r.seal(r.Consumer, call.Build(r.Version), nil)
			kind, body := envelopes.Package(xml, nil, true)
			r.notRefused(r.raw(r.door(r.Version), "GetResponse", soapHeader(envelopes.GetResponse, kind), body), "вызов в multipart/related")
		}),
	holds("tolerant", "Принимаются пустой Header, лишние объявления пространств имён, BOM и объявление XML", mrTransport,
		"Не отклоняйте того, что не меняет смысла конверта и разрешено XML и SOAP.", func(r *busRun) {
			r.notRefused(r.emptyPoll(func(xml []byte) []byte {
				xml = r.swap(xml, "<soap:Body>", `<soap:Header/><soap:Body>`)
				xml = r.swap(xml, "<soap:Envelope ", `<soap:Envelope xmlns:ns2="undefined" `)
				return append([]byte("\ufeff<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"), xml...)
			}, nil), "вызов с пустым Header и BOM")
		}),
}

const adviceVersion = "Отвечайте в версии вызова: пространства имён ответа и отказа берутся из неё."

// inVersion asks for a message in a version.
func inVersion(v envelopes.Version) func(*busRun) {
	return func(r *busRun) {
		a := r.poll(r.Consumer, v, envelopes.GetResponse, envelopes.Name{}, "")
		if a.status == http.StatusNotFound {
			r.skip("версия %s по адресу %s не обслуживается", v, r.door(v))
		}
		r.notRefused(a, "GetResponse версии "+v.String())
		if got := a.env.Version(); got != v {
			r.fail("на вызов версии %s ответ в версии %s", v, got)
		}
	}
}

// emptyPoll is a GetResponse of the consumer that is changed after it was signed.
func (r *busRun) emptyPoll(change func([]byte) []byte, header func(http.Header)) came {
	call := &envelopes.PollCall{Operation: envelopes.GetResponse, Timestamp: r.Now()}
	kind, body := r.seal(r.Consumer, call.Build(r.Version), change)
	h := soapHeader(envelopes.GetResponse, kind)
	if header != nil {
		header(h)
	}
	return r.raw(r.door(r.Version), "GetResponse", h, body)
}

// notRefused holds that there is an answer and no fault.
func (r *busRun) notRefused(a came, what string) {
	switch {
	case a.fault != nil:
		r.fail("%s отклонён: %s", what, saysFault(a.fault))
	case a.env == nil:
		r.fail("%s: ответ HTTP %d не является конвертом: %v", what, a.status, a.unread)
	case a.status != http.StatusOK:
		r.fail("%s: ответ с состоянием HTTP %d вместо 200", what, a.status)
	}
}

// fetch gets a document.
func (r *busRun) fetch(address string) []byte {
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, address, nil)
	r.must(err)
	at := r.Now()
	resp, err := r.HTTP.Do(req)
	if err != nil {
		r.must(r.ctx.Err())
		r.fail("%s: %v", address, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	r.note(paper.Exchange{At: at.UTC().Truncate(time.Millisecond), What: "GET " + address, Sent: paper.Piece{Head: "GET " + address}, Came: paper.PieceOf(resp.Status, resp.Header, body)})
	if err != nil || resp.StatusCode != http.StatusOK {
		r.fail("%s: HTTP %d вместо 200", address, resp.StatusCode)
	}
	return body
}

// description fetches and parses a WSDL or a schema.
func (r *busRun) description(address string) xmltape.Node {
	t := new(xmltape.Tape)
	if err := t.Parse(r.fetch(address), xmltape.Widest); err != nil {
		r.fail("%s: документ не разбирается: %v", address, err)
	}
	return t.Root()
}

const (
	wsdlSpace = "http://schemas.xmlsoap.org/wsdl/"
	xsdSpace  = "http://www.w3.org/2001/XMLSchema"
)

func (r *busRun) checkWSDL() {
	root := r.description(r.door(r.Version) + "?wsdl")
	if !root.Is(wsdlSpace, "definitions") {
		r.fail("корень документа не wsdl:definitions")
	}
	found := map[string]bool{}
	walk(root, func(n xmltape.Node) {
		if n.Is(wsdlSpace, "operation") {
			name, _ := n.Attr("", "name")
			found[name] = true
		}
	})
	for _, op := range envelopes.Operations {
		if op.In(r.Version) && !found[op.String()] {
			r.fail("в WSDL версии %s нет операции %s", r.Version, op)
		}
	}
}

// checkImports goes through what a WSDL imports, and what that imports.
func (r *busRun) checkImports() {
	seen := map[string]bool{}
	var visit func(address string)
	visit = func(address string) {
		if seen[address] || len(seen) > 32 {
			return
		}
		seen[address] = true
		base, err := url.Parse(address)
		r.must(err)
		walk(r.description(address), func(n xmltape.Node) {
			location, ok := n.Attr("", "schemaLocation")
			if !ok && n.Is(wsdlSpace, "import") {
				location, ok = n.Attr("", "location")
			}
			if !ok || n.Space() != xsdSpace && n.Space() != wsdlSpace {
				return
			}
			next, err := base.Parse(location)
			if err != nil {
				r.fail("%s: адрес %q не читается", address, location)
			}
			visit(next.String())
		})
	}
	visit(r.door(r.Version) + "?wsdl")
	if len(seen) < 2 {
		r.fail("WSDL не ссылается ни на одну схему и не содержит их адресов")
	}
}

func walk(n xmltape.Node, do func(xmltape.Node)) {
	do(n)
	for c := range n.Children() {
		walk(c, do)
	}
}
