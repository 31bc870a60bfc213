package conform

import (
	"bytes"
	"errors"
	"time"

	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// authored is a call of the other side, signed: what the bus would hand on.
type authored struct {
	data, signature envelopes.Fragment
	attachments     []envelopes.Attachment
}

func (r *partyRun) author(op envelopes.Operation, d envelopes.Draft, attachments []envelopes.Attachment) (authored, error) {
	xml, err := r.sealed(d, r.other)
	if err != nil {
		return authored{}, err
	}
	e, err := envelopes.Parse(envelopes.TextXML, xml, new(xmltape.Tape), envelopes.Limits{XML: xmltape.Widest})
	if err != nil {
		return authored{}, err
	}
	sig, target := e.Caller()
	return authored{envelopes.FragmentOf(target), envelopes.FragmentOf(sig), attachments}, nil
}

// file is an attachment of the other side with its signature.
func (r *partyRun) file(id string, content []byte) (envelopes.AttachmentHeader, envelopes.Attachment) {
	pkcs7, err := signing.SignCMS(r.ctx, signing.Octets{Bytes: content}, r.other, r.Now())
	r.must(err)
	return envelopes.AttachmentHeader{ContentID: id, MimeType: "application/pdf", PKCS7: pkcs7}, envelopes.Attachment{ID: id, Content: content}
}

// answer is an answer to a request of the party; change makes it special.
func (r *partyRun) answer(original string, change ...func(*envelopes.SendResponseCall)) *parcel {
	if len(r.Response) == 0 {
		r.skip("не задано содержимое ответа (--response)")
	}
	call := envelopes.SendResponseCall{MessageID: r.id(), To: "conform " + original, Content: r.root(r.Response)}
	for _, f := range change {
		f(&call)
	}
	p := &parcel{op: envelopes.GetResponse, id: call.MessageID, original: original}
	p.build = func(v envelopes.Version) (envelopes.Draft, error) {
		bare := call
		bare.Attachments = nil
		a, err := r.author(envelopes.SendResponse, bare.Build(v, false), call.Attachments)
		if err != nil {
			return envelopes.Draft{}, err
		}
		return envelopes.BuildResponseDelivery(v, envelopes.ResponseDelivery{
			OriginalMessageID: original, Data: a.data, Signature: a.signature, Attachments: a.attachments, Metadata: r.metadata(v, call.MessageID, envelopes.TypeResponse),
		}), nil
	}
	return p
}

// error is the bus's own word on a request of the party.
func (r *partyRun) error(original string) *parcel {
	p := &parcel{op: envelopes.GetResponse, id: r.id(), original: original}
	p.build = func(v envelopes.Version) (envelopes.Draft, error) {
		return envelopes.BuildResponseDelivery(v, envelopes.ResponseDelivery{
			OriginalMessageID: original, Metadata: r.metadata(v, p.id, envelopes.TypeResponse),
			Data: envelopes.BuildAsyncData(v, envelopes.AsyncMessage{MessageID: p.id, To: "conform " + original, AsyncStatus: envelopes.AsyncStatus{
				OriginalMessageID: original, Category: envelopes.StatusRequestIsRejectedBySmev, Details: "Некорректная информация о фтп вложениях; message id = " + original,
				Fault: &envelopes.Fault{Kind: envelopes.AttachmentContentMiscoordination, Code: "SMEVEncodedException", Text: "Некорректная информация о фтп вложениях; message id = " + original},
			}}),
		}), nil
	}
	return p
}

// ask is a request for the party; change makes it special.
func (r *partyRun) ask(change ...func(*envelopes.SendRequestCall)) *parcel {
	if len(r.Request) == 0 {
		r.skip("не задано содержимое запроса (--request)")
	}
	call := envelopes.SendRequestCall{MessageID: r.id(), Content: r.root(r.Request)}
	for _, f := range change {
		f(&call)
	}
	p := &parcel{op: envelopes.GetRequest, id: call.MessageID}
	// As long and as odd as an address may be: it is to be copied, not understood.
	p.replyTo = `eyJzaWQiOjgwMDgwLCJtaWQiOiI` + call.MessageID + `"fQ==|<&>'"` + string(bytes.Repeat([]byte("адрес "), 500))
	p.build = func(v envelopes.Version) (envelopes.Draft, error) {
		bare := call
		bare.Attachments = nil
		a, err := r.author(envelopes.SendRequest, bare.Build(v, false), call.Attachments)
		if err != nil {
			return envelopes.Draft{}, err
		}
		return envelopes.BuildRequestDelivery(v, envelopes.RequestDelivery{
			Data: a.data, Signature: a.signature, Attachments: a.attachments, ReplyTo: p.replyTo, Metadata: r.metadata(v, call.MessageID, envelopes.TypeRequest),
		}), nil
	}
	return p
}

func (r *partyRun) metadata(v envelopes.Version, id string, kind envelopes.MessageType) envelopes.Metadata {
	return envelopes.Metadata{
		MessageID: id, Type: kind, Sender: envelopes.Participant{Mnemonic: "CONFORM", Name: "Комплект соответствия"}, Sent: r.Now().Add(-time.Second),
		Recipient: envelopes.Participant{Mnemonic: r.Mnemonic}, Delivered: r.Now(), Status: v.Delivered(),
	}
}

func (r *partyRun) root(xml []byte) xmltape.Node {
	t := new(xmltape.Tape)
	r.must(t.Parse(xml, xmltape.Widest))
	return t.Root()
}

// spoiled changes the sealed envelope of a message.
func (r *partyRun) spoiled(p *parcel, change func([]byte) ([]byte, bool)) *parcel {
	p.seal = func(d envelopes.Draft) ([]byte, error) {
		xml, err := r.sealed(d, r.Signer)
		if err != nil {
			return nil, err
		}
		out, ok := change(xml)
		if !ok {
			return nil, errors.New("the kit's own envelope is not as the kit expects it")
		}
		return out, nil
	}
	return p
}

// forged is signed by a key that is not the bus's.
func (r *partyRun) forged(p *parcel) *parcel {
	p.seal = func(d envelopes.Draft) ([]byte, error) { return r.sealed(d, r.liar) }
	return p
}

// tampered is changed after the bus has signed it.
func (r *partyRun) tampered(p *parcel) *parcel {
	return r.spoiled(p, func(xml []byte) ([]byte, bool) {
		const was, is = "<ns2:Mnemonic>CONFORM</ns2:Mnemonic>", "<ns2:Mnemonic>CHANGED</ns2:Mnemonic>"
		return bytes.Replace(xml, []byte(was), []byte(is), 1), bytes.Contains(xml, []byte(was))
	})
}

// unsigned bears no signature of the bus.
func (r *partyRun) unsigned(p *parcel) *parcel {
	p.seal = func(d envelopes.Draft) ([]byte, error) {
		const wrapper = "<ns2:SMEVSignature></ns2:SMEVSignature>"
		if !bytes.Contains(d.XML, []byte(wrapper)) {
			return nil, errors.New("the kit's own envelope has no place for a signature")
		}
		return bytes.Replace(d.XML, []byte(wrapper), nil, 1), nil
	}
	return p
}

// multipart travels as the live bus does: multipart/related, parts or none.
func multipart(p *parcel) *parcel {
	p.pack = func(xml []byte, parts []envelopes.Part) (string, []byte) { return envelopes.Package(xml, parts, true) }
	return p
}

// acked waits until the party has confirmed a message.
func (r *partyRun) acked(p *parcel, what string) {
	r.until("получение и Ack с accepted=\"true\": "+what, func() bool { return len(p.acks) > 0 })
	r.hall.Lock()
	defer r.hall.Unlock()
	if !p.acks[0] {
		r.fail("%s: подтверждение с accepted=\"false\", хотя подпись СМЭВ верна", what)
	}
}

// believed says that a message was acknowledged as good. The lock is held.
func (p *parcel) believed() bool {
	for _, a := range p.acks {
		if a {
			return true
		}
	}
	return false
}

// repliesTo are the answers that came for a request: their ids. The lock is held.
func (r *partyRun) repliesTo(p *parcel) (ids []string, all []*heard) {
	seen := map[string]bool{}
	for _, h := range r.calls {
		if h.op == envelopes.SendResponse && h.to == p.replyTo {
			if all = append(all, h); !seen[h.id] {
				seen[h.id] = true
				ids = append(ids, h.id)
			}
		}
	}
	return ids, all
}
