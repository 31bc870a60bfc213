package postgres

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
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

// packings are the ways to pack a body: those of today and of the release before.
var packings = map[string]func(*bodies, *adapter.Message) packed{"pressed": (*bodies).packPressed, "woven": (*bodies).packWoven}

func woven(t testing.TB, b *bodies, pack func(*bodies, *adapter.Message) packed, m adapter.Message) (packed, adapter.Message) {
	t.Helper()
	p := pack(b, &m)
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
	scopes := [][]adapter.Binding{nil, {declaration}, {{URI: "urn:&amp;"}, declaration}, {{Prefix: "elsewhere", URI: "urn:not in the body"}}, {{Prefix: "q", URI: `in"side`}, declaration}}
	check := func(body []byte, replyTo, id, original string, request, reply uuid.UUID, spans [4]int32, scope, other uint8) bool {
		m := adapter.Message{ID: request, Request: reply, MessageID: adapter.MessageID(id), Original: adapter.MessageID(original), Body: slices.Concat([]byte(`<a xmlns:p="urn:x" xmlns="urn:&amp;" xmlns:q='in"side'>its text says xmlns:q="in"side"`), body), ReplyTo: replyTo}
		m.Parts.Data, m.Parts.Signature = adapter.Span{Off: int(spans[0]), Len: int(spans[1])}, adapter.Span{Off: int(spans[2]), Len: int(spans[3])}
		m.Parts.Scope, m.Parts.SigScope = scopes[scope%5], scopes[other%5]
		// Some say what their row says, whole and cut short.
		m.Body = slices.Concat(m.Body, []byte(id), rowCloth(nil, &m)[scope%8:], addressCloth(&m)[other%64:], m.Body, []byte(original+id))
		for name, pack := range packings {
			_, got := woven(t, b, pack, m)
			if !bytes.Equal(got.Body, m.Body) || got.ReplyTo != m.ReplyTo || !reflect.DeepEqual(got.Parts, m.Parts) {
				t.Log(name)
				return false
			}
		}
		return true
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 500}); err != nil {
		t.Error(err)
	}
}

// Nobody can write a body that is kept as another one, or that is not kept: whatever it, its
// ids and its address are.
func FuzzPackedBody(f *testing.F) {
	b := wovenBodies(f)
	f.Add([]byte("<r/>"), "reply", "b95a6a2e-ec5a-11f1-9c23-3d1f0dc3643d", "", "service", false)
	f.Add([]byte("eyJyaWQiOiIwMDAweyJyaWQiOiIwMDAw"), "eyJyaWQiOiIwMDAw", "eyJyaWQiOiIwMDAw", "eyJyaWQiOiIw", "eyJyaWQi", true)
	f.Add(bytes.Repeat([]byte("abcdefghi"), 800), strings.Repeat("i", 3000), "abcdefgh", "bcdefghi", "", true)
	f.Fuzz(func(t *testing.T, body []byte, replyTo, id, original, service string, reply bool) {
		m := adapter.Message{ID: uuid.UUID{1}, MessageID: adapter.MessageID(id), Original: adapter.MessageID(original), Service: service, Body: body, ReplyTo: replyTo}
		if reply {
			m.Request = uuid.UUID{2}
		}
		_, got := woven(t, b, (*bodies).packPressed, m)
		if !bytes.Equal(got.Body, body) || got.ReplyTo != replyTo {
			t.Errorf("came back as %q and %q", got.Body, got.ReplyTo)
		}
	})
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
	for name, pack := range packings {
		t.Run(name, func(t *testing.T) {
			request := request
			bare, _ := woven(t, b, pack, request)
			request.ReplyTo = address
			p, got := woven(t, b, pack, request)
			if got.ReplyTo != address {
				t.Errorf("the address came back as %s", got.ReplyTo)
			}
			if more := len(p.bytes) - len(bare.bytes); more > 48 {
				t.Errorf("the reply address takes %d bytes", more)
			}
			answer := adapter.Message{ID: uuid.Must(uuid.NewV7()), Request: request.ID, Original: request.MessageID, Sender: "REGISTRY", Service: "extract", Version: "1.0.0", Wire: "1.2",
				Recipients: []adapter.Queue{{System: "MFC01", Kind: adapter.QueueResponses}}, Body: []byte("<ns:To></ns:To>")}
			bare, _ = woven(t, b, pack, answer)
			answer.Body = []byte("<ns:To>" + address + "</ns:To>")
			if p, _ = woven(t, b, pack, answer); len(p.bytes)-len(bare.bytes) > 52 {
				t.Errorf("the address in To takes %d bytes", len(p.bytes)-len(bare.bytes))
			}
			broken := func(damaged packed) {
				t.Helper()
				other := answer
				if err := b.unpackWoven(context.Background(), &other, damaged); err == nil {
					t.Errorf("%x is a body", damaged.bytes)
				}
			}
			damaged := p
			for n := range p.bytes {
				damaged.bytes = p.bytes[:n]
				broken(damaged)
				if damaged.bytes = bytes.Clone(p.bytes); name == "pressed" {
					damaged.bytes[n] ^= 1 << (n % 8)
					broken(damaged)
				}
			}
			if name == "woven" {
				plain, err := b.unsqueeze(p.bytes)
				if err != nil {
					t.Fatal(err)
				}
				for n := range plain {
					damaged.bytes = b.squeeze(plain[:n])
					broken(damaged)
				}
			}
		})
	}
}

// What a release has packed is read by all that come after it: with its dictionary, the
// words of its row and its codes.
func TestWhatWasPackedIsReadForEver(t *testing.T) {
	b := wovenBodies(t)
	id := uuid.MustParse("01a22a00-2654-797f-9c89-0ac0758a9f76")
	request := adapter.Message{ID: id, MessageID: "b95a6a2e-ec5a-11f1-9c23-3d1f0dc3643d", Sender: "MFC01", Service: "extract", Version: "1.0.0", Wire: "1.2",
		Recipients: []adapter.Queue{{System: "SFR01", Kind: adapter.QueueRequests, Node: "north"}}}
	b.texts[7] = []byte(`<r xmlns="urn:x"><id></id><surname></surname><given></given></r>`)
	b.phrases = newCloth(b.texts[7])
	request.Body = []byte(`<r xmlns="urn:x"><id>b95a6a2e-ec5a-11f1-9c23-3d1f0dc3643d</id><surname>Ёлкина</surname><given>Софья Ёлкина</given><d>w7hOdJ4+8zcudtuDxgkkpdQ7apxyc3rA5Td1lvyPY8A=</d></r>`)
	request.ReplyTo = "AV4msTxVAZLrf9yHVeiL0cBWefrDKY5S1iINMCq1GcMv" + string(addressCloth(&request))
	request.Parts = adapter.Parts{Data: adapter.Span{Off: 17, Len: 50}, Scope: []adapter.Binding{{URI: "urn:x"}}}
	request.Parts.SigScope = request.Parts.Scope
	answer := request
	answer.ID, answer.Request, answer.MessageID, answer.Original = uuid.MustParse("01a22a00-2a00-797f-9c89-0ac0758a9f76"), request.ID, "b9694d62-ec5a-11f1-85bc-41cc28f606b6", request.MessageID
	answer.Sender, answer.Recipients, answer.ReplyTo = "SFR01", []adapter.Queue{{System: "MFC01", Kind: adapter.QueueResponses}}, ""
	answer.Body = []byte(`<r xmlns="urn:x"><to>` + request.ReplyTo + `</to><id>b9694d62-ec5a-11f1-85bc-41cc28f606b6</id></r>`)
	for name, want := range map[string]adapter.Message{"request": request, "answer": answer} {
		for form, pack := range packings {
			file := "testdata/packed/" + name + "." + form
			kept, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := pack(b, &want)
			if kept, err = hex.DecodeString(strings.TrimSpace(string(kept))); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			p.dictionary, p.bytes = 7, kept
			got := want
			got.Body, got.ReplyTo, got.Parts = nil, "", adapter.Parts{}
			if err := b.unpackWoven(context.Background(), &got, p); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: came back as %+v, %v", file, got, err)
			}
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
		c.packPressed(&m)
	}
}

// benchBody is a body of some 4 KB, half of it words of the protocol.
func benchBody() []byte {
	return []byte(versioned(receiptWords[:2000], "1.2") + strings.Repeat("<f:Month>2026-01</f:Month><f:Amount>17200.50</f:Amount>\n  ", 30))
}
