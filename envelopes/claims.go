package envelopes

import "mezhved/envelopes/xmltape"

// Claims are what a call says of where it belongs, by position and before anybody has
// verified anything. They are for who passes a call on as it is and must choose who is to
// verify it, and good for nothing else: anybody can write them. Whoever carries a call out
// goes by what Decode reads. What is not where the schema has it is empty.
type Claims struct {
	Certificate []byte       // that the caller's signature brings along, in base64
	Content     xmltape.Node // SendRequest: the root element of the content
	To          string       // SendResponse: the reply address
	Root        Name         // GetRequest, GetResponse: the selector; zero: any message
	MessageID   string       // Ack: of what it acknowledges
}

// Claims reads what the call says of where it belongs.
func (e *Envelope) Claims() (c Claims) {
	types, basic := e.version.TypesSpace(), e.version.BasicSpace()
	signature, target := e.Caller()
	c.Certificate = signature.Child(DSigSpace, "KeyInfo").Child(DSigSpace, "X509Data").Child(DSigSpace, "X509Certificate").Text()
	switch e.operation {
	case SendRequest:
		c.Content = target.Child(basic, "MessagePrimaryContent").First()
	case SendResponse:
		c.To = string(target.Child(types, "To").Text())
	case GetRequest, GetResponse:
		c.Root = Name{target.Child(basic, "NamespaceURI").TrimText(), target.Child(basic, "RootElementLocalName").TrimText()}
	case Ack:
		c.MessageID = target.TrimText()
	}
	return c
}

// Claim is the MessageID under which a Get says to hand a message out, before anybody has
// verified the answer: for who passes it on and wants to know where the Ack will belong.
// Empty: it hands out nothing that is acknowledged.
func (a *AnswerEnvelope) Claim() string {
	if a.operation != GetRequest && a.operation != GetResponse {
		return ""
	}
	_, target := a.Signed()
	return a.messageID(target)
}
