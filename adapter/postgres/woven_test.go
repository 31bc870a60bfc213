package postgres

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"github.com/google/uuid"

	"mezhved/adapter"
)

// wovenBodies has a dictionary of some words.
func wovenBodies(t testing.TB) *bodies {
	t.Helper()
	b, err := codecs(1, []byte(protocol), []byte(receiptWords))
	if err != nil {
		t.Fatal(err)
	}
	b.texts[0] = []byte(protocol)
	t.Cleanup(b.close)
	return b
}

func woven(t testing.TB, b *bodies, m adapter.Message) (packed, adapter.Message) {
	t.Helper()
	p := b.packWoven(&m)
	got := m
	got.Body, got.ReplyTo, got.Parts = nil, "", adapter.Parts{}
	if err := b.unpackWoven(context.Background(), &got, p); err != nil {
		t.Fatal(err)
	}
	return p, got
}

// Whatever a body and its reply address are, and wherever its parts are said to be, they
// come back as they were.
func TestAWovenBodyComesBack(t *testing.T) {
	b := wovenBodies(t)
	declaration := adapter.Binding{Prefix: "p", URI: "urn:x"}
	scopes := [][]adapter.Binding{nil, {declaration}, {{URI: "urn:&amp;"}, declaration}, {{Prefix: "elsewhere", URI: "urn:not in the body"}}}
	check := func(body []byte, replyTo string, request, reply uuid.UUID, spans [4]int32, scope, other uint8) bool {
		m := adapter.Message{ID: request, Request: reply, MessageID: "id", Body: slices.Concat([]byte(`<a xmlns:p="urn:x" xmlns="urn:&amp;">`), body), ReplyTo: replyTo}
		m.Parts.Data, m.Parts.Signature = adapter.Span{Off: int(spans[0]), Len: int(spans[1])}, adapter.Span{Off: int(spans[2]), Len: int(spans[3])}
		m.Parts.Scope, m.Parts.SigScope = scopes[scope%4], scopes[other%4]
		_, got := woven(t, b, m)
		return bytes.Equal(got.Body, m.Body) && got.ReplyTo == m.ReplyTo && reflect.DeepEqual(got.Parts, m.Parts)
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 500}); err != nil {
		t.Error(err)
	}
}

// An address that says what its row says costs its authentication code, in the request's
// row and in the answer's To; of a row that is damaged nothing is handed out.
func TestWhatARowSaysIsNotKeptTwice(t *testing.T) {
	b := wovenBodies(t)
	request := adapter.Message{ID: uuid.Must(uuid.NewV7()), MessageID: "7a956fe5-ec1e-11f1-9ca0-435ad5a3e1a6", Sender: "MFC01", Service: "extract", Version: "1.0.0", Wire: "1.2",
		Recipients: []adapter.Queue{{System: "REGISTRY", Kind: adapter.QueueRequests}}, Body: []byte("<request/>")}
	says := fmt.Sprintf(`{"rid":"%s","mid":"%s","mnm":"MFC01","prv":"REGISTRY","svc":"extract","ver":"1.0.0","wir":"1.2"}`, request.ID, request.MessageID)
	code := bytes.Repeat([]byte{1, 7, 200}, 11)
	address := base64.StdEncoding.EncodeToString(append(code, says...))
	bare, _ := woven(t, b, request)
	request.ReplyTo = address
	p, got := woven(t, b, request)
	if got.ReplyTo != address {
		t.Errorf("the address came back as %s", got.ReplyTo)
	}
	if more := len(p.bytes) - len(bare.bytes); more > 48 {
		t.Errorf("the reply address takes %d bytes", more)
	}
	answer := adapter.Message{ID: uuid.Must(uuid.NewV7()), Request: request.ID, Original: request.MessageID, Sender: "REGISTRY", Service: "extract", Version: "1.0.0", Wire: "1.2",
		Recipients: []adapter.Queue{{System: "MFC01", Kind: adapter.QueueResponses}}, Body: []byte("<ns:To></ns:To>")}
	bare, _ = woven(t, b, answer)
	answer.Body = []byte("<ns:To>" + address + "</ns:To>")
	if p, _ = woven(t, b, answer); len(p.bytes)-len(bare.bytes) > 52 {
		t.Errorf("the address in To takes %d bytes", len(p.bytes)-len(bare.bytes))
	}
	plain, err := b.unsqueeze(p.bytes)
	if err != nil {
		t.Fatal(err)
	}
	for n := range plain {
		damaged := p
		damaged.bytes = b.squeeze(plain[:n])
		other := answer
		if err := b.unpackWoven(context.Background(), &other, damaged); err == nil {
			t.Errorf("%d of %d bytes are a body", n, len(plain))
		}
	}
}

func BenchmarkPackBody(b *testing.B) {
	c := wovenBodies(b)
	m := adapter.Message{ID: uuid.Must(uuid.NewV7()), Recipients: []adapter.Queue{{}}, Body: benchBody()}
	m.ReplyTo = base64.StdEncoding.EncodeToString(append(bytes.Repeat([]byte{1, 7, 200}, 11), addressCloth(&m)...))
	b.SetBytes(int64(len(m.Body)))
	b.ReportAllocs()
	for b.Loop() {
		c.packWoven(&m)
	}
}

// benchBody is a body of some 4 KB, half of it words of the protocol.
func benchBody() []byte {
	return []byte(versioned(receiptWords[:2000], "1.2") + strings.Repeat("<f:Month>2026-01</f:Month><f:Amount>17200.50</f:Amount>\n  ", 30))
}
