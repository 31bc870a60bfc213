package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/party"
	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// What is pressed comes out as it went in, whatever it is like.
func TestPressed(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	like := make([]byte, 4000)
	for i := range like {
		like[i] = byte('a' + random.IntN(4))
	}
	var out []byte
	for n := range 500 {
		document := bytes.Clone(like)
		for range random.IntN(6) {
			at := random.IntN(len(document))
			for i := at; i < min(len(document), at+random.IntN(100)); i++ {
				document[i] = byte('a' + random.IntN(4))
			}
		}
		if n%10 == 0 {
			document = document[:random.IntN(len(document))]
		}
		p := press(like, document)
		if out = p.write(out); !bytes.Equal(out, document) {
			t.Fatalf("document %d has become another", n)
		}
		if len(document) == len(like) && len(p.delta) > 1000 {
			t.Errorf("%d bytes are kept of what differs in less than 600", len(p.delta))
		}
	}
}

// What a run has used of an answer is proved when the clock has stopped: a changed
// answer, and one that says something else than what was read of it, fail the run.
func TestKeptAnswersAreProved(t *testing.T) {
	id, err := signing.SelfSigned(signing.TestSubject{CommonName: "bus"}, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := id.Signer()
	if err != nil {
		t.Fatal(err)
	}
	signed := func(d envelopes.Draft) party.Answer {
		xml, err := signing.SignInto(context.Background(), d.XML, d.SignID, d.Slot, signer)
		if err != nil {
			t.Fatal(err)
		}
		return party.Answer{Status: http.StatusOK, ContentType: envelopes.TextXML, Body: xml}
	}
	data := func(name, rest string) envelopes.Fragment {
		var tape xmltape.Tape
		xml := `<d:` + name + ` xmlns:d="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" Id="D"><d:MessageID>7f3b1a9e-0000-11e1-0000-000000000000</d:MessageID>` + rest + `</d:` + name + `>`
		if err := tape.Parse([]byte(xml), xmltape.Limits{}); err != nil {
			t.Fatal(err)
		}
		return envelopes.FragmentOf(tape.Root())
	}
	message, request := party.NewMessageID(time.Now()), party.NewMessageID(time.Now())
	meta := envelopes.Metadata{MessageID: message, Type: envelopes.TypeRequest, Sender: envelopes.Participant{Mnemonic: "MFC01"}, Sent: time.Now(), Status: envelopes.StatusRequestIsQueued}
	receipt := signed(envelopes.BuildReceipt(envelopes.V12, envelopes.SendRequest, meta))
	delivery := signed(envelopes.BuildRequestDelivery(envelopes.V12, envelopes.RequestDelivery{Data: data("SenderProvidedRequestData", ""), Metadata: meta, ReplyTo: "to"}))
	response := signed(envelopes.BuildResponseDelivery(envelopes.V12, envelopes.ResponseDelivery{OriginalMessageID: request, Data: data("SenderProvidedResponseData", "<d:To>to</d:To>"), Metadata: meta}))
	empty := envelopes.BuildEmpty(envelopes.V12, envelopes.GetRequest)

	if g, ok := skim(envelopes.GetRequest, delivery.Body); !ok || g != (glimpse{message: message, replyTo: "to"}) {
		t.Errorf("of a request was read %+v, %v", g, ok)
	}
	if g, ok := skim(envelopes.GetResponse, response.Body); !ok || g != (glimpse{message: message, original: request}) {
		t.Errorf("of a response was read %+v, %v", g, ok)
	}
	if g, ok := skim(envelopes.GetRequest, empty.XML); ok {
		t.Errorf("of an empty answer was read %+v", g)
	}

	bus := &party.Client{}
	bent := func(a party.Answer, from, to string) party.Answer {
		if !bytes.Contains(a.Body, []byte(from)) {
			t.Fatalf("no %s in the answer", from)
		}
		a.Body = []byte(strings.Replace(string(a.Body), from, to, 1))
		return a
	}
	type kept struct {
		op     envelopes.Operation
		answer party.Answer
		glimpse
	}
	right := []kept{
		{envelopes.SendRequest, receipt, glimpse{message: message}},
		{envelopes.GetRequest, delivery, glimpse{message: message, replyTo: "to"}},
		{envelopes.GetResponse, response, glimpse{message: message, original: request}},
	}
	wrong := map[string]kept{
		"a changed receipt":         {envelopes.SendRequest, bent(receipt, "MFC01", "MFC02"), glimpse{message: message}},
		"a receipt of another":      {envelopes.SendRequest, receipt, glimpse{message: request}},
		"a changed request":         {envelopes.GetRequest, bent(delivery, "MFC01", "MFC02"), glimpse{message: message, replyTo: "to"}},
		"another address was used":  {envelopes.GetRequest, delivery, glimpse{message: message, replyTo: "elsewhere"}},
		"a changed response":        {envelopes.GetResponse, bent(response, request, message), glimpse{message: message, original: message}},
		"another request was meant": {envelopes.GetResponse, response, glimpse{message: message, original: message}},
		"an answer without one":     {envelopes.GetRequest, party.Answer{Status: http.StatusOK, ContentType: envelopes.TextXML, Body: empty.XML}, glimpse{message: message}},
	}
	prove := func(list ...kept) *exchangeLoad {
		x := (&bed{}).exchanges()
		for _, a := range list {
			room := a.answer
			room.Body = bytes.Clone(room.Body)
			if !x.kept.take(bus, a.op, room, a.glimpse) {
				t.Fatal("there is no room for a few answers")
			}
			clear(room.Body) // it is the lane's, for its next answer
		}
		x.prove()
		return x
	}
	if x := prove(right...); x.unproved != 0 {
		t.Errorf("%d answers are not proved: %v", x.unproved, x.problem)
	}
	for name, a := range wrong {
		x := prove(append([]kept{a}, right...)...)
		if r := (exchangeResult{Unproved: x.unproved, problem: x.problem}); x.unproved != 1 || r.wrong() == nil {
			t.Errorf("%s: %d answers are not proved, the run ends with %v", name, x.unproved, r.wrong())
		}
	}
}
