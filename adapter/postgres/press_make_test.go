package postgres

import (
	"bytes"
	"container/heap"
	"encoding/base64"
	"encoding/binary"
	flags "flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"mezhved/adapter"
)

var makePressing = flags.String("make-pressing", "", "file for codes of pressed steps, made of today's samples: a new one gets a number of its own")

// TestMakePressing is how press1.txt was made. It counts the symbols of the steps of our
// samples, as two clients write them, one in the words of the samples and one in words that
// no dictionary has, and of the polls, answers and Acks that bring them.
func TestMakePressing(t *testing.T) {
	if *makePressing == "" {
		t.Skip("-make-pressing names no file")
	}
	c := &tally{}
	ownSteps(t, func(_, _ string, _ *bodies, _ *adapter.Message, steps []byte) { c.count(steps) })
	if err := os.WriteFile(*makePressing, []byte(c.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ownSteps weaves our samples, as messages, and what brings them, of which files say the
// kind of message: its steps are given with their text's name, bodies with their message.
func ownSteps(t testing.TB, each func(file, what string, b *bodies, m *adapter.Message, steps []byte)) {
	t.Helper()
	files, err := filepath.Glob("../../testdata/services/*/*/*/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) string {
		raw := make([]byte, n)
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
		return base64.StdEncoding.EncodeToString(raw)
	}
	certificate := noise(540)
	signature := func(text string) string {
		text = strings.ReplaceAll(text, "<ds:DigestValue></ds:DigestValue>", "<ds:DigestValue>"+noise(32)+"</ds:DigestValue>")
		text = strings.ReplaceAll(text, "<ds:SignatureValue></ds:SignatureValue>", "<ds:SignatureValue>"+noise(64)+"</ds:SignatureValue>")
		return strings.ReplaceAll(text, "<ds:X509Certificate></ds:X509Certificate>", "<ds:X509Certificate>"+certificate+"</ds:X509Certificate>")
	}
	between := func(from, to string) string {
		_, rest, ok := strings.Cut(receiptWords, from)
		inner, _, closed := strings.Cut(rest, to)
		if !ok || !closed {
			t.Fatalf("no %s in receiptWords", from)
		}
		return from + inner + to
	}
	sealed := between("<ds:Signature xmlns", "</ds:Signature>")
	values := regexp.MustCompile(`>[^<]*[^<\s][^<]*<`)
	for n, file := range files {
		sample, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sample = bytes.TrimSpace(regexp.MustCompile(`^<\?xml[^>]*>\s*`).ReplaceAll(sample, nil))
		skeleton := values.ReplaceAll(sample, []byte("><"))
		for _, dictionary := range [][]byte{slicesOf(protocol, certificate, string(skeleton)), slicesOf(protocol, certificate)} {
			words := slicesOf(receiptWords, certificate)
			b, err := codecs(1, dictionary, words)
			if err != nil {
				t.Fatal(err)
			}
			stamp := func() string {
				return fmt.Sprintf("2026-%02d-%02dT%02d:%02d:%02d.%03d+03:00", 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1000))
			}
			m := adapter.Message{ID: uuid.Must(uuid.NewV7()), MessageID: adapter.MessageID(uuid.NewString()), Sender: "MFC01", Service: "extract", Version: "1.0.0", Wire: "1.2",
				Recipients: []adapter.Queue{{System: "SFR01", Kind: adapter.QueueRequests}}}
			operation, element, to := "SendRequest", "SenderProvidedRequestData", ""
			address := noise(33) + string(addressCloth(&m))
			if m.ReplyTo = address; n%2 == 1 {
				m.Request, m.Original, m.ReplyTo = m.ID, m.MessageID, ""
				m.MessageID, m.ID = adapter.MessageID(uuid.NewString()), uuid.Must(uuid.NewV7())
				m.Sender, m.Recipients[0] = "SFR01", adapter.Queue{System: "MFC01", Kind: adapter.QueueResponses}
				operation, element, to = "SendResponse", "SenderProvidedResponseData", "<typ:To>"+address+"</typ:To>"
			}
			data := `<typ:` + element + ` Id="SIGNED_BY_CONSUMER"><typ:MessageID>` + string(m.MessageID) + `</typ:MessageID>` + to + `<bas:MessagePrimaryContent>` + string(sample) + `</bas:MessagePrimaryContent></typ:` + element + `>`
			own := signature(sealed)
			m.Body = []byte(`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><typ:` + operation + `Request xmlns:typ="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" xmlns:bas="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2">` +
				data + `<typ:CallerInformationSystemSignature>` + own + `</typ:CallerInformationSystemSignature></typ:` + operation + `Request></soap:Body></soap:Envelope>`)
			m.Parts.Data = adapter.Span{Off: bytes.Index(m.Body, []byte(data)), Len: len(data)}
			m.Parts.Signature = adapter.Span{Off: bytes.Index(m.Body, []byte(own)), Len: len(own)}
			row := rowCloth(nil, &m)
			text := append(bytes.Clone(m.Body), m.ReplyTo...)
			each(file, "body", b, &m, weave(nil, round, text, mentions(nil, text, 0, &m, row, clothRow), b.phrases))
			poll := signature(strings.Replace(between("<soap:Envelope", "</soap:Envelope>"), "<bas:Timestamp>", "<bas:Timestamp>"+stamp(), 1))
			each(file, "poll", b, nil, weave(nil, round, []byte(poll), nil, b.words))
			ack := signature(strings.Replace(between(`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><typ:AckRequest`, "</soap:Envelope>"),
				`accepted="true">`, `accepted="true">`+string(m.MessageID), 1))
			each(file, "ack", b, nil, weave(nil, round, []byte(ack), nil, b.words))
			_, answer, _ := strings.Cut(receiptWords, "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body><ns2:Get")
			answer, _, _ = strings.Cut(answer, "</soap:Envelope>")
			answer = signature(answer)
			answer = strings.Replace(answer, "<ns2:MessageMetadata>", data+"<ns2:MessageMetadata>", 1)
			answer = strings.Replace(answer, "<ns2:MessageId>", "<ns2:MessageId>"+string(m.MessageID), 1)
			answer = strings.Replace(answer, "<ns2:Mnemonic>", "<ns2:Mnemonic>MFC01", 1)
			answer = strings.Replace(answer, "<ns2:SendingTimestamp>", "<ns2:SendingTimestamp>"+stamp(), 1)
			answer = strings.Replace(answer, "<ns2:DeliveryTimestamp>", "<ns2:DeliveryTimestamp>"+stamp(), 1)
			answer = strings.Replace(answer, "<ns2:ReplyTo>", "<ns2:ReplyTo>"+m.ReplyTo, 1)
			answer = strings.Replace(answer, "<ns2:SenderInformationSystemSignature>", "<ns2:SenderInformationSystemSignature>"+own, 1)
			known, _ := parts(nil, round, &m, []byte(answer), idsCloth(nil, &m))
			each(file, "answer", b, nil, weave(nil, round, []byte(answer), known, b.words, &cloth{text: m.Body}))
			b.close()
		}
	}
}

func slicesOf(texts ...string) []byte { return []byte(strings.Join(texts, "")) }

// tally are how often symbols come, in the order of pressing.codes.
type tally [3 + ownContexts][256]int

func (c *tally) count(steps []byte) {
	number := func() uint {
		v, n := binary.Uvarint(steps)
		steps = steps[n:]
		return uint(v)
	}
	size := func(n uint) int { s, _ := sizeOf(n); return s }
	after := 0
	for len(steps) > 0 {
		head := number()
		kind, length := int(head&3), head>>2
		c[after][kind*sizes+size(length)]++
		after = 1
		switch kind {
		case stepReference:
			after = 0
			at := number()
			if c[2][int(at&3)*sizes+size(at>>2)]++; at&3 == 3 {
				c[2][size(number())]++
			}
			continue
		case stepOwn:
			context := uint8(0)
			for _, b := range steps[:length] {
				c[3+int(context)][b]++
				context = ownContext[b]
			}
		}
		steps = steps[length:]
	}
	c[after][endStep]++
}

// String gives the lengths of the codes, which are Huffman's. What never came may come, and
// tally as a fraction of what came once.
func (c *tally) String() string {
	var out strings.Builder
	for i := range c {
		weights := make([]int, 256)
		for b, n := range c[i] {
			weights[b] = 8*n + 1
		}
		for {
			lengths := huffman(weights)
			longest := 0
			for _, l := range lengths {
				longest = max(longest, l)
			}
			if longest <= longestCode {
				for _, l := range lengths {
					out.WriteByte("0123456789abc"[l])
				}
				out.WriteByte('\n')
				break
			}
			for b := range weights {
				weights[b] = weights[b]*3/4 + 1
			}
		}
	}
	return out.String()
}

// huffman gives the lengths of the codes of weights.
func huffman(weights []int) []int {
	h := &knots{}
	for b, w := range weights {
		h.list = append(h.list, knot{w, []int{b}})
	}
	heap.Init(h)
	lengths := make([]int, len(weights))
	for h.Len() > 1 {
		a, b := heap.Pop(h).(knot), heap.Pop(h).(knot)
		both := knot{a.weight + b.weight, append(a.leaves, b.leaves...)}
		for _, leaf := range both.leaves {
			lengths[leaf]++
		}
		heap.Push(h, both)
	}
	return lengths
}

type knot struct {
	weight int
	leaves []int
}

type knots struct{ list []knot }

func (h *knots) Len() int           { return len(h.list) }
func (h *knots) Less(i, j int) bool { return h.list[i].weight < h.list[j].weight }
func (h *knots) Swap(i, j int)      { h.list[i], h.list[j] = h.list[j], h.list[i] }
func (h *knots) Push(k any)         { h.list = append(h.list, k.(knot)) }
func (h *knots) Pop() any {
	k := h.list[len(h.list)-1]
	h.list = h.list[:len(h.list)-1]
	return k
}
