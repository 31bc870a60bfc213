package envelopes

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Whatever stands in the call: the values are read from the element that was
// proved to be signed, and from no other.
func TestValuesAreThoseOfTheProvedElement(t *testing.T) {
	call := func(op, inside, mark string) *Envelope {
		v := V12
		if op == "GetIncomingQueueStatistics" {
			v = V11 // which alone has it
		}
		return parse(t, "text/xml", []byte(strings.NewReplacer("SendRequestRequest", op+"Request", "MARK", mark).Replace(requestOf(v, inside))))
	}
	time := `2026-02-27T07:01:0MARK.000+03:00`
	for op, c := range map[string]struct {
		inside string
		read   func(*Envelope, Proven) (string, error)
	}{
		"SendRequest": {`<t:SenderProvidedRequestData Id="iMARK"><t:MessageID>MARK</t:MessageID>` + goodContent + `</t:SenderProvidedRequestData>`,
			func(e *Envelope, p Proven) (string, error) {
				c, err := decodeSendRequest(e, p)
				return c.MessageID + c.ID, err
			}},
		"SendResponse": {`<t:SenderProvidedResponseData Id="iMARK"><t:MessageID>MARK</t:MessageID><t:To>q</t:To>` + goodContent + `</t:SenderProvidedResponseData>`,
			func(e *Envelope, p Proven) (string, error) {
				c, err := decodeSendResponse(e, p)
				return c.MessageID + c.ID, err
			}},
		"GetRequest": {`<b:MessageTypeSelector Id="iMARK"><b:Timestamp>` + time + `</b:Timestamp></b:MessageTypeSelector>`,
			func(e *Envelope, p Proven) (string, error) {
				c, err := decodePoll(e, p)
				return fmt.Sprint(c.Timestamp.Second(), c.ID), err
			}},
		"GetStatus": {`<b:Timestamp Id="iMARK">` + time + `</b:Timestamp>`,
			func(e *Envelope, p Proven) (string, error) {
				c, err := decodeGetStatus(e, p)
				return fmt.Sprint(c.Timestamp.Second(), c.ID), err
			}},
		"GetIncomingQueueStatistics": {`<b:Timestamp Id="iMARK">` + time + `</b:Timestamp>`,
			func(e *Envelope, p Proven) (string, error) {
				c, err := decodeStatistics(e, p)
				return fmt.Sprint(c.Timestamp.Second(), c.ID), err
			}},
		"Ack": {`<b:AckTargetMessage Id="iMARK" accepted="true">MARK</b:AckTargetMessage>`,
			func(e *Envelope, p Proven) (string, error) { c, err := decodeAck(e, p); return c.MessageID + c.ID, err }},
	} {
		received, signed := call(op, c.inside, "1"), call(op, c.inside, "2")
		if got, err := c.read(received, proof(signed)); err != nil || got != "2i2" {
			t.Errorf("%s: %q, %v, want what was signed", op, got, err)
		}
		if got, err := c.read(received, proof(received)); err != nil || got != "1i1" {
			t.Errorf("%s: %q, %v", op, got, err)
		}
		// The door lets only that element in which the caller has to sign.
		if err := received.admits(received.operation, proof(signed)); !errors.Is(err, ErrNotProven) {
			t.Errorf("%s: an element of elsewhere: %v, want ErrNotProven", op, err)
		}
	}
}

func TestAckSaysWhetherItAccepts(t *testing.T) {
	for attr, want := range map[string]bool{`accepted="false"`: false, `accepted="0"`: false, `accepted=" false "`: false, `accepted="true"`: true, `accepted="1"`: true, ``: true} {
		doc := strings.ReplaceAll(requestOf(V12, `<b:AckTargetMessage Id="a" `+attr+`>x</b:AckTargetMessage>`), "SendRequest", "Ack")
		e := parse(t, "text/xml", []byte(doc))
		if ack, err := DecodeAck(e, proof(e)); err != nil || ack.Accepted != want {
			t.Errorf("%s: %+v, %v, want %v", attr, ack, err, want)
		}
	}
}

// What 1.3 has brought is read in 1.3 and refused in the versions before it.
func TestWhatOnlyOneVersionHas(t *testing.T) {
	const (
		header   = `<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>a</b:contentId>%s<b:MimeType>text/plain</b:MimeType>%s</b:AttachmentHeader></b:AttachmentHeaderList>`
		file     = `<b:RefAttachmentHeaderList><b:RefAttachmentHeader><b:uuid>b5a7f0a0-5a10-11ee-8c99-0242ac120002</b:uuid>%s<b:Hash>YQ==</b:Hash><b:MimeType>text/plain</b:MimeType>%s</b:RefAttachmentHeader></b:RefAttachmentHeaderList>`
		archive  = `<b:Archive><b:File><b:Name>n</b:Name><b:NamespaceUri>urn:n</b:NamespaceUri></b:File></b:Archive>`
		registry = `<b:MessagePrimaryContent><d:Registry/></b:MessagePrimaryContent>`
	)
	for name, c := range map[string]struct {
		content, after, beside string
		read                   func(*SendRequestCall) string
		want                   string
	}{
		"namespace of an attachment": {goodContent, fmt.Sprintf(header, "<b:NamespaceUri>urn:n</b:NamespaceUri>", ""), "", func(c *SendRequestCall) string { return c.Headers[0].NamespaceURI }, "urn:n"},
		"archive of an attachment":   {goodContent, fmt.Sprintf(header, "", archive), "", func(c *SendRequestCall) string { return fmt.Sprint(c.Headers[0].Archive) }, "[{n urn:n}]"},
		"name of a file":             {goodContent, fmt.Sprintf(file, "<b:FileName>f</b:FileName>", ""), "", func(c *SendRequestCall) string { return c.References[0].FileName }, "f"},
		"namespace of a file":        {goodContent, fmt.Sprintf(file, "<b:NamespaceUri>urn:n</b:NamespaceUri>", ""), "", func(c *SendRequestCall) string { return c.References[0].NamespaceURI }, "urn:n"},
		"archive of a file":          {goodContent, fmt.Sprintf(file, "", archive), "", func(c *SendRequestCall) string { return fmt.Sprint(c.References[0].Archive) }, "[{n urn:n}]"},
		"routing": {goodContent, "", `<r:Routing><r:RoutingInformation Id="r"><r:MessageID>` + someID + `</r:MessageID></r:RoutingInformation><r:RoutingSignature>` + signature + `</r:RoutingSignature></r:Routing>`,
			func(c *SendRequestCall) string { return c.Routing.MessageID }, someID},
	} {
		for _, v := range Versions {
			e := parse(t, "text/xml", []byte(requestOf(v, `<t:SenderProvidedRequestData Id="x">`+goodID+c.content+c.after+`</t:SenderProvidedRequestData>`+c.beside)))
			call, err := DecodeSendRequest(e, proof(e))
			if (err == nil) != (v == V13) {
				t.Errorf("%s in %s: %v", name, v, err)
			} else if err == nil && c.read(call) != c.want {
				t.Errorf("%s: read as %q, want %q", name, c.read(call), c.want)
			}
		}
	}
	// Before 1.3 direct:Registry was a content like any other.
	for _, v := range Versions {
		e := parse(t, "text/xml", []byte(requestOf(v, `<t:SenderProvidedRequestData Id="x">`+goodID+registry+`</t:SenderProvidedRequestData>`)))
		if _, err := DecodeSendRequest(e, proof(e)); (err != nil) != (v == V13) {
			t.Errorf("a registry without records in %s: %v", v, err)
		}
	}
}
