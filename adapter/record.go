package adapter

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter/journal"
	"mezhved/adapter/yamlfile"
)

// Headers of a record. Those who read the topics beside us may rely on them.
const (
	headerID      = "mezhved-id"     // our id of the message
	headerQueue   = "mezhved-queue"  // recipient queue as JSON
	headerSeal    = "mezhved-seal-2" // covers the record and all headers before it: see seal.go
	headerOldSeal = "mezhved-seal"   // of gateways of before
	headerEvent   = "mezhved-event"  // what gateways of before have journalled when the record is queued
	headerBody    = "mezhved-body"   // bodyStore: the value is left out because it is too large; bodyKept: it is the body as the store keeps it, encrypted; bodySealed: it is encrypted by itself
	headerKept    = "mezhved-kept"   // with bodyKept: Kept.Form, in base64
	headerStream  = "mezhved-to"     // "stream": the recipient reads this topic itself, no queue is filled
	headerMessage = "message-id"     // the sender's MessageID
	headerTrace   = "traceparent"    // W3C trace context
)

// How a value is there, in headerBody.
const (
	bodyStore  = "store"
	bodyKept   = "kept"
	bodySealed = "sealed"
)

func (r *Record) add(key string, value []byte) { r.Headers = append(r.Headers, Header{key, value}) }

// record makes a bus record. Its key is the recipient queue, which keeps the
// order of acceptance within it. Where providers read the topic themselves
// (stream) the conversation is added, so that they may share the work; of such a
// record the intake only remembers where it stands (see stream.go). What is too large for
// the bus travels without its body; it and what has attachments, which stay in
// the store, wait in the queue, for those providers too. What nobody but gateways
// reads is sealed: its key goes with the message's content, while the record stays
// as long as its topic keeps it. The store has packed and sealed the very same, so that is
// what such a record carries (Outgoing.Kept); RecordValue reads it.
func (g *Gateway) record(o *Outgoing) (r Record, stream bool, err error) {
	m := o.Message
	r = Record{Topic: g.topicOf(o.Queue), Key: []byte(o.Queue.destination()), Headers: make([]Header, 0, 16)}
	texts := make([]byte, 0, 512) // of headers: they share it, and one that outgrows it takes another
	add := func(key, value string) {
		at := len(texts)
		texts = append(texts, value...)
		r.add(key, texts[at:len(texts):len(texts)])
	}
	attached := m.Parts.Attached + m.Parts.Files
	fits := func(bytes int) bool { return yamlfile.Size(bytes) <= g.config.Kafka.MaxRecord }
	if stream = attached == 0 && g.streams(o); stream {
		r.Value = busValue(m)
		stream = fits(len(r.Value))
	}
	if !stream {
		if err = g.enclose(&r, o); err != nil {
			return r, stream, fmt.Errorf("the record of message %s: %w", m.ID, err)
		}
	}
	if !fits(len(r.Value)) || !fits(m.Parts.Data.Len+m.Parts.Signature.Len) {
		r.Value, r.Dense, r.Headers = nil, false, r.Headers[:0]
		add(headerBody, bodyStore)
	}
	if attached > 0 {
		add("attachments", strconv.Itoa(attached))
	}
	id := m.ID.String()
	add(headerID, id)
	queue, err := json.Marshal(o.Queue)
	if err != nil {
		panic("relay: " + err.Error()) // strings only
	}
	r.add(headerQueue, queue)
	if stream {
		r.Key = append(r.Key, "/"+conversation(m)...)
		add(headerStream, "stream")
	}
	if g.now().Before(g.rooms.OldSeals) {
		r.add(headerOldSeal, oldSeal(g.replies[0], id, queue, stream))
		r.add(headerEvent, oldEvent(o))
	}
	for _, h := range [][2]string{
		{headerMessage, string(m.MessageID)}, {"original", string(m.Original)}, {"direction", string(m.Direction)},
		{"sender", string(m.Sender)}, {"recipient", string(o.Queue.System)}, {"service", m.Service}, {"service-version", m.Version},
		{"wire", m.Wire}, {"conversation", string(conversation(m))}, {"transaction-code", m.TransactionCode}, {"reply-to", m.ReplyTo}, {headerTrace, m.Trace},
	} {
		if h[1] != "" {
			add(h[0], h[1])
		}
	}
	if !m.EOL.IsZero() {
		add("eol", m.EOL.UTC().Format(time.RFC3339))
	}
	if m.Test {
		add("test", "true")
	}
	g.seals.seal(&r)
	return r, stream, nil
}

// streams says that the recipient reads such messages from the topic itself.
func (g *Gateway) streams(o *Outgoing) bool {
	if o.Queue.Kind != QueueRequests {
		return false
	}
	s := g.Catalog().Service(o.Message.Service, o.Message.Version)
	return s != nil && s.Stream
}

// enclose gives a record that nobody but gateways reads its value, and says how it is
// sealed. A message that was accepted before its content was sealed is sealed for the bus;
// so is one whose body has attachments in it, which the bus does not carry.
// Nodes of the release before, which make all values so, read of a record its headers
// alone, and these as ever: there is nothing to wait for until they have gone.
func (g *Gateway) enclose(r *Record, o *Outgoing) (err error) {
	if o.Kept != nil && o.Message.Parts.Attached == 0 && g.config.Kafka.Content != ContentPlain {
		r.Value, r.Dense = o.Kept.Box, true
		r.add(headerBody, []byte(bodyKept))
		r.add(headerKept, base64.StdEncoding.AppendEncode(nil, o.Kept.Form)) // readers beside us take headers for text
		return nil
	}
	r.Value = busValue(o.Message)
	if len(r.Value) == 0 || g.config.Kafka.Content == ContentPlain {
		return nil
	}
	sealed, ok, err := g.store.Seal(o.Message, sealedPart(r.Topic), r.Value)
	if err != nil || !ok {
		return err
	}
	r.Value, r.Dense = sealed, true
	r.add(headerBody, []byte(bodySealed))
	return nil
}

// sealedPart is as what a value is sealed that is sealed by itself.
func sealedPart(topic string) string { return "record " + topic }

// RecordValue gives in the clear what a record carries that a gateway with one of the keys
// has put on that topic: the sender's signed element and its signature, as a stream does;
// nothing where it is left out. It takes the vault and the dictionaries of the store, and
// not the message, which may be gone. *ErasedError says that its content was erased.
func RecordValue(ctx context.Context, store Store, keys [][]byte, topic string, r *Record) ([]byte, error) {
	h, err := SealedHeaders(keys, topic, r)
	if err != nil {
		return nil, err
	}
	m := &Message{MessageID: MessageID(h[headerMessage]), Original: MessageID(h["original"]), Direction: Direction(h["direction"]),
		Sender: Mnemonic(h["sender"]), Service: h["service"], Version: h["service-version"], Wire: h["wire"]}
	var q Queue
	if m.ID, err = uuid.Parse(h[headerID]); err == nil {
		err = json.Unmarshal([]byte(h[headerQueue]), &q)
	}
	if err != nil {
		return nil, fmt.Errorf("a record of a gateway that says no message or queue: %w", err)
	}
	m.Recipients = []Queue{q}
	switch h[headerBody] {
	case bodySealed:
		return store.Unseal(m, sealedPart(topic), r.Value)
	case bodyKept:
		form, err := base64.StdEncoding.Strict().DecodeString(h[headerKept])
		if err == nil {
			err = store.OpenKept(ctx, m, Kept{form, r.Value})
		}
		if err != nil {
			return nil, err
		}
		if m.Erased != nil {
			return nil, &ErasedError{*m.Erased}
		}
		return busValue(m), nil
	}
	return r.Value, nil
}

// oldEvent is what a gateway of before, reading beside us during an upgrade, has
// the journal hear when the message stands in its queue.
func oldEvent(o *Outgoing) []byte {
	ev := journal.Event{Kind: journal.KindQueued, Outcome: "ok"}
	describe(&ev, o.Message)
	ev.Recipient = string(o.Queue.System)
	event, err := json.Marshal(ev)
	if err != nil {
		panic("relay: " + err.Error()) // strings and times only
	}
	return event
}

// conversation is the chain that a message belongs to.
func conversation(m *Message) MessageID {
	switch {
	case m.Reference != "":
		return m.Reference
	case m.Original != "":
		return m.Original
	}
	return m.MessageID
}

// busValue is what a record carries: the sender's signed element and its
// signature, byte for byte, under the namespace declarations that they were
// written under. The wrapper's own prefix is chosen so as to hide none of them.
func busValue(m *Message) []byte {
	if m.Direction == DirAsync {
		return m.Body // the gateway's own words
	}
	const space = "urn:mezhved:bus:1"
	prefix := "mz"
	for inUse(prefix, m.Parts.Scope) || inUse(prefix, m.Parts.SigScope) {
		prefix += "z"
	}
	var b bytes.Buffer
	b.Grow(m.Parts.Data.Len + m.Parts.Signature.Len + 2<<10)
	fmt.Fprintf(&b, `<%[1]s:message xmlns:%[1]s="%[2]s"><%[1]s:signed`, prefix, space)
	declare(&b, m.Parts.Scope)
	b.WriteByte('>')
	b.Write(piece(m.Body, m.Parts.Data))
	fmt.Fprintf(&b, `</%s:signed>`, prefix)
	if m.Parts.Signature.Len > 0 {
		fmt.Fprintf(&b, `<%s:signature`, prefix)
		declare(&b, m.Parts.SigScope)
		b.WriteByte('>')
		b.Write(piece(m.Body, m.Parts.Signature))
		fmt.Fprintf(&b, `</%s:signature>`, prefix)
	}
	fmt.Fprintf(&b, `</%s:message>`, prefix)
	return b.Bytes()
}

func inUse(prefix string, scope []Binding) bool {
	for _, b := range scope {
		if b.Prefix == prefix {
			return true
		}
	}
	return false
}

func declare(b *bytes.Buffer, scope []Binding) {
	for _, d := range scope {
		if d.Prefix == "xml" {
			continue
		}
		b.WriteString(" xmlns")
		if d.Prefix != "" {
			b.WriteString(":" + d.Prefix)
		}
		b.WriteString(`="`)
		escape(b, d.URI)
		b.WriteByte('"')
	}
}

// escape writes an attribute value.
func escape(b *bytes.Buffer, s string) {
	attributeEscapes.WriteString(b, s)
}

var attributeEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;")
