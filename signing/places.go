package signing

import (
	"strings"

	"mezhved/envelopes/xmltape"
)

// Role says whose signature stands at a place of the protocol.
type Role string

// The roles of signatures in SMEV 3.
const (
	RoleCaller   Role = "caller"   // CallerInformationSystemSignature: the information system that calls
	RolePersonal Role = "personal" // PersonalSignature: the official, over the business content
	RoleSender   Role = "sender"   // SenderInformationSystemSignature: the caller's signature as it was delivered
	RoleSMEV     Role = "smev"     // SMEVSignature: the bus
	RoleRouting  Role = "routing"  // RoutingSignature of 1.3
	RoleRecord   Role = "record"   // RecordSignature of a registry record of 1.3
)

// Place is a place in a document where the protocol has a signature.
type Place struct {
	Role       Role
	Holder     xmltape.Node // the element that wraps the signature
	Signature  xmltape.Node // ds:Signature; not valid when the holder holds something else
	Target     xmltape.Node // the element that has to be signed; not valid when it is missing or not single
	Prescribed string       // where the target has to be, from the operation element
}

// place is one line of the table: in every element at path, holder wraps a
// signature of target. Names carry the namespace they are in (t: types, b:
// basic, of one version; r: routing, d: directive), "*" is the only child.
type place struct {
	role                 Role
	path, holder, target string
}

// The parts that repeat in several operations.
const (
	selectorPath = "b:MessageTypeSelector"
	registryPath = "/b:MessagePrimaryContent/d:Registry/d:RegistryRecord"
)

// places is the table of MR 3.3, section 3, by operation element. What a
// signature covers is decided here and nowhere else.
var places = map[string][]place{
	"SendRequestRequest": append(contentPlaces("t:SenderProvidedRequestData"),
		place{RoleCaller, "", "t:CallerInformationSystemSignature", "t:SenderProvidedRequestData"},
		place{RoleRouting, "r:Routing", "r:RoutingSignature", "r:RoutingInformation"}),
	"SendResponseRequest": append(contentPlaces("t:SenderProvidedResponseData"),
		place{RoleCaller, "", "t:CallerInformationSystemSignature", "t:SenderProvidedResponseData"}),
	"GetRequestRequest":                 {{RoleCaller, "", "t:CallerInformationSystemSignature", selectorPath}},
	"GetResponseRequest":                {{RoleCaller, "", "t:CallerInformationSystemSignature", selectorPath}},
	"GetStatusRequest":                  {{RoleCaller, "", "t:CallerInformationSystemSignature", "b:Timestamp"}},
	"GetIncomingQueueStatisticsRequest": {{RoleCaller, "", "t:CallerInformationSystemSignature", "b:Timestamp"}},
	"AckRequest":                        {{RoleCaller, "", "t:CallerInformationSystemSignature", "b:AckTargetMessage"}},
	"SendRequestResponse":               {{RoleSMEV, "", "t:SMEVSignature", "t:MessageMetadata"}},
	"SendResponseResponse":              {{RoleSMEV, "", "t:SMEVSignature", "t:MessageMetadata"}},
	"GetStatusResponse":                 {{RoleSMEV, "t:SmevAsyncProcessingMessage", "t:SMEVSignature", "t:AsyncProcessingStatusData"}},
	"GetRequestResponse": append(contentPlaces("t:RequestMessage/t:Request/t:SenderProvidedRequestData"),
		place{RoleSender, "t:RequestMessage/t:Request", "t:SenderInformationSystemSignature", "t:SenderProvidedRequestData"},
		place{RoleSMEV, "t:RequestMessage", "t:SMEVSignature", "t:Request"}),
	"GetResponseResponse": append(contentPlaces("t:ResponseMessage/t:Response/t:SenderProvidedResponseData"),
		place{RoleSender, "t:ResponseMessage/t:Response", "t:SenderInformationSystemSignature", "t:SenderProvidedResponseData"},
		place{RoleSMEV, "t:ResponseMessage", "t:SMEVSignature", "t:Response"}),
}

// contentPlaces are those inside what a sender provides.
func contentPlaces(data string) []place {
	return []place{
		{RoleRecord, data + registryPath, "d:RecordSignature", "d:Record"},
		{RolePersonal, data + registryPath + "/d:Record", "d:PersonalSignature", "d:RecordContent"},
		{RolePersonal, data, "t:PersonalSignature", "b:MessagePrimaryContent/*"},
	}
}

const (
	typesPrefix     = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/"
	basicPrefix     = typesPrefix + "basic/"
	routingSpace    = typesPrefix + "routing/1.3"
	directiveSpace  = typesPrefix + "directive/1.3"
	soap11Namespace = "http://schemas.xmlsoap.org/soap/envelope/"
	soap12Namespace = "http://www.w3.org/2003/05/soap-envelope"
)

// Places lists the signatures of a document: of the SMEV operation that is its
// root, or the first element in its SOAP body, or in a body saved without its
// envelope. Elements of these names anywhere else are content and no signatures
// of the protocol.
func Places(t *xmltape.Tape) []Place {
	op := t.Root()
	for _, soap := range [2]string{soap11Namespace, soap12Namespace} {
		if op.Is(soap, "Envelope") {
			op = op.Child(soap, "Body")
		}
		if op.Is(soap, "Body") {
			op = op.First()
			break
		}
	}
	return PlacesOf(op)
}

// PlacesOf lists the signatures of an operation element, those inside first: a
// reader that verifies in this order has seen the inner ones when it judges the
// outer. An element that is no operation has none.
func PlacesOf(op xmltape.Node) []Place {
	version, ok := strings.CutPrefix(op.Space(), typesPrefix)
	if !ok || version != "1.1" && version != "1.2" && version != "1.3" {
		return nil
	}
	var out []Place
	for _, p := range places[op.Local()] {
		p.each(op, version, func(container xmltape.Node) {
			out = append(out, p.in(container, version)...)
		})
	}
	return out
}

// each calls f for every element at the path below n.
func (p place) each(n xmltape.Node, version string, f func(xmltape.Node)) {
	if p.path == "" {
		f(n)
		return
	}
	step, rest, _ := strings.Cut(p.path, "/")
	p.path = rest
	for c := range n.Children() {
		if isStep(c, step, version) {
			p.each(c, version, f)
		}
	}
}

// in lists the signatures directly in a container. A record may carry several
// personal signatures; everywhere else a second holder is not prescribed and has
// no target.
func (p place) in(container xmltape.Node, version string) (out []Place) {
	target := p.find(container, version)
	var before xmltape.Node
	for c := range container.Children() {
		if isStep(c, p.holder, version) {
			at := Place{Role: p.role, Holder: c, Prescribed: p.prescribed()}
			if s := c.First(); s.Is(Namespace, "Signature") && !s.Next().Valid() {
				at.Signature = s
			}
			several := p.holder == "d:PersonalSignature"
			if len(out) == 0 || several {
				at.Target = target
			}
			// The personal signature follows the content that it signs.
			if p.holder == "t:PersonalSignature" && !isStep(before, "b:MessagePrimaryContent", version) {
				at.Target = xmltape.Node{}
			}
			out = append(out, at)
		}
		before = c
	}
	return out
}

// find gives the target, which must be the only one of its name.
func (p place) find(n xmltape.Node, version string) xmltape.Node {
	for step := range strings.SplitSeq(p.target, "/") {
		var only xmltape.Node
		for c := range n.Children() {
			if step != "*" && !isStep(c, step, version) {
				continue
			}
			if only.Valid() {
				return xmltape.Node{}
			}
			only = c
		}
		n = only
	}
	return n
}

var prefixes = strings.NewReplacer("t:", "", "b:", "", "r:", "", "d:", "")

func (p place) prescribed() string {
	path := p.target
	if p.path != "" {
		path = p.path + "/" + path
	}
	return prefixes.Replace(path)
}

func isStep(n xmltape.Node, step, version string) bool {
	local := step[2:]
	switch step[0] {
	case 't':
		return n.Is(typesPrefix+version, local)
	case 'b':
		return n.Is(basicPrefix+version, local)
	case 'r':
		return n.Is(routingSpace, local)
	}
	return n.Is(directiveSpace, local)
}
