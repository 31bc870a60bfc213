package postgres

import (
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
)

// The words of receipts are those of today's answers and calls, in each version: where they
// no longer are, receipts take more than they need.
func TestReceiptsAreFewPieces(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	noise := func(n int) string {
		raw := make([]byte, n)
		r.Read(raw)
		return base64.StdEncoding.EncodeToString(raw)
	}
	certificate := noise(520)
	signed := func(d envelopes.Draft) []byte {
		text := signatureWords(d.SignID)
		for element, value := range map[string]string{"DigestValue": noise(32), "SignatureValue": noise(64), "X509Certificate": certificate} {
			text = strings.Replace(text, "<ds:"+element+">", "<ds:"+element+">"+value, 1)
		}
		return d.Seal([]byte(text))
	}
	words := newCloth([]byte(receiptWords + certificate + "<a></a>"))
	at := time.Date(2026, 7, 27, 15, 50, 39, 123e6, time.UTC)
	m := &adapter.Message{MessageID: "7a956fe5-ec1e-11f1-9ca0-435ad5a3e1a6", Original: "b95a6a2e-ec5a-11f1-9c23-3d1f0dc3643d", ReplyTo: noise(200)}
	m.Body = []byte("<typ:SenderProvidedRequestData>" + noise(300) + "</typ:SenderProvidedRequestData><ds:Signature>" + noise(300) + "</ds:Signature>")
	for _, v := range envelopes.Versions {
		data, sender, _ := strings.Cut(string(m.Body), "<ds:")
		sender = "<ds:" + sender
		m.Parts = adapter.Parts{Data: adapter.Span{Len: len(data)}, Signature: adapter.Span{Off: len(data), Len: len(sender)}}
		meta := envelopes.Metadata{MessageID: string(m.MessageID), Type: envelopes.TypeRequest, Sender: envelopes.Participant{Mnemonic: "MFC01"}, Sent: at, Recipient: envelopes.Participant{Mnemonic: "SFR01"}, Delivered: at.Add(7 * time.Second), Status: v.Delivered()}
		fragment := envelopes.Fragment{XML: []byte(data), Scope: []xmltape.Binding{{Prefix: "typ", URI: v.TypesSpace()}, {Prefix: "bas", URI: v.BasicSpace()}}}
		request := envelopes.BuildRequestDelivery(v, envelopes.RequestDelivery{Data: fragment, Metadata: meta, ReplyTo: m.ReplyTo, Signature: envelopes.Fragment{XML: []byte(sender), Scope: fragment.Scope}})
		meta.Type = envelopes.TypeResponse
		response := envelopes.BuildResponseDelivery(v, envelopes.ResponseDelivery{OriginalMessageID: string(m.Original), Data: fragment, Metadata: meta, Signature: envelopes.Fragment{XML: []byte(sender), Scope: fragment.Scope}})
		ask, selects := envelopes.PollCall{Operation: envelopes.GetRequest, Timestamp: at}, envelopes.PollCall{Operation: envelopes.GetResponse, Timestamp: at, Root: envelopes.Name{Space: "urn://some/service", Local: "SomeRequest"}}
		ack := envelopes.AckCall{MessageID: string(m.MessageID), Accepted: true}
		for _, c := range []struct {
			what  string
			text  []byte
			holds *adapter.Message
			most  int
		}{
			{"GetRequest", signed(ask.Build(v)), nil, 10}, {"GetResponse with a selector", signed(selects.Build(v)), nil, 13}, {"Ack", signed(ack.Build(v)), nil, 10},
			{"a request", signed(request), m, 36}, {"a response", signed(response), m, 36},
		} {
			var known []known
			if c.holds != nil {
				known, _ = parts(nil, round, m, c.text, idsCloth(nil, m))
			}
			steps := weave(nil, round, c.text, known, words)
			if got := references(steps); got > c.most {
				t.Errorf("%s of %s is woven of %d references, want at most %d", c.what, v, got, c.most)
			}
			if got, err := unweave(round, steps, len(c.text), words.text, m.Body, []byte(m.ReplyTo), idsCloth(nil, m)); err != nil || string(got) != string(c.text) {
				t.Errorf("%s of %s comes back as %q, %v", c.what, v, got, err)
			}
		}
	}
}

func references(steps []byte) (n int) {
	number := func() int {
		v, size := binary.Uvarint(steps)
		steps = steps[size:]
		return int(v)
	}
	for len(steps) > 0 {
		head := number()
		if head&3 != stepReference {
			steps = steps[head>>2:]
			continue
		}
		if n++; number()&3 == 3 {
			number()
		}
	}
	return n
}
