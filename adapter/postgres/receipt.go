package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
	"mezhved/adapter/vault"
)

// The steps of a message that have a receipt, as the table has them.
const (
	stepDelivered    int16 = 1
	stepAcknowledged int16 = 2
)

// The cloths of receipts, by their place behind the words of the dictionary. In the round
// form the message's ids follow. The last are attachments, as base64, in their
// order.
const (
	clothBody = 1 + iota
	clothReplyTo
	clothIDs
)

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// receiptForm is how receipts are woven.
func (s *Store) receiptForm() form {
	switch {
	case s.gates.pressed.Load():
		return round
	case s.gates.tightReceipts.Load():
		return tight
	}
	return loose
}

// codec is how a receipt of a form is stored.
func (f form) codec() int16 {
	return [...]int16{loose: codecRaw, tight: codecTight, round: codecTight | codecPressed}[f]
}

func formOf(codec int16) form {
	switch {
	case codec&codecPressed != 0:
		return round
	case codec&codecTight != 0:
		return tight
	}
	return loose
}

// weaveDelivery packs the poll and the answer that handed the message out. The
// answer holds the message's own bytes, which are kept once.
func (s *Store) weaveDelivery(m *adapter.Message, queue int32, attempt int, poll, answer []byte) (packed, error) {
	r := looms.Get().(*loomRoom)
	defer r.put()
	f := s.receiptForm()
	woven := s.weaveBoth(r, f, m, poll, answer)
	if woven == nil { // of nothing that we know, or a gigabyte
		f = tight
		woven = s.weaveBoth(r, f, m, poll, answer)
	}
	return s.seal(contentOf(m), receiptPart(queue, attempt, stepDelivered),
		packed{codec: f.codec(), dictionary: s.bodies.wordsID, size: int32(len(poll) + len(answer)), bytes: woven})
}

// weaveBoth writes the length of the poll and both texts; nil when their form is not for
// them.
func (s *Store) weaveBoth(r *loomRoom, f form, m *adapter.Message, poll, answer []byte) []byte {
	body := &cloth{text: m.Body}
	var whole bool
	if r.row = r.row[:0]; f == round {
		r.row = idsCloth(r.row, m)
	}
	if r.known, whole = parts(r.known[:0], f, m, answer, r.row); !whole {
		body = newCloth(m.Body) // written anew for a reader of another version, or our own words
	}
	r.steps = weave(r.steps[:0], f, poll, nil, s.bodies.words)
	r.more = weave(r.more[:0], f, answer, r.known, s.bodies.words, body)
	woven := binary.AppendUvarint(make([]byte, 0, len(r.steps)+len(r.more)+32), uint64(len(poll)))
	if f == round {
		return pressing1.press(woven, r.steps, r.more)
	}
	woven = append(binary.AppendUvarint(woven, uint64(len(r.steps))), r.steps...)
	return append(woven, r.more...)
}

// receiptPart names a receipt among what is sealed of its message.
func receiptPart(queue int32, attempt int, step int16) string {
	b := append(make([]byte, 0, 48), "receipt "...)
	b = append(strconv.AppendInt(b, int64(queue), 10), ' ')
	b = append(strconv.AppendInt(b, int64(attempt), 10), ' ')
	return string(strconv.AppendInt(b, int64(step), 10))
}

// parts finds what of the message stands in the answer, and between that what its row says
// (idsCloth), if that is wanted; whole says that its sender's element does.
func parts(out []known, f form, m *adapter.Message, answer, row []byte) (_ []known, whole bool) {
	at := 0
	between := func(end int) {
		if len(row) > 0 {
			out = mentions(out, answer[at:end], at, m, row, f.number(clothIDs))
		}
	}
	look := func(piece []byte, cloth, offset int) (found bool) {
		if len(piece) < weft {
			return false
		}
		i := index(answer[at:], piece)
		if i < 0 {
			return false
		}
		between(at + i)
		out = append(out, known{at: at + i, length: len(piece), cloth: f.number(cloth), offset: offset})
		at += i + len(piece)
		return true
	}
	whole = look(cut(m.Body, m.Parts.Data), clothBody, m.Parts.Data.Off)
	look([]byte(m.ReplyTo), clothReplyTo, 0)
	look(cut(m.Body, m.Parts.Signature), clothBody, m.Parts.Signature.Off)
	attachments := clothIDs
	if f == round {
		attachments++
	}
	for i, a := range m.Attachments {
		if base64.StdEncoding.EncodedLen(len(a.Content)) <= len(answer)-at {
			look([]byte(base64.StdEncoding.EncodeToString(a.Content)), attachments+i, 0)
		}
	}
	between(len(answer))
	return out, whole
}

// index is bytes.Index of a piece that is not empty, by a byte of it that texts have little of:
// by its first ones, which may be those of any tag, it takes several times as long.
func index(text, piece []byte) int {
	k := rare(piece[:min(32, len(piece))])
	for from := k; from < len(text); from++ {
		i := bytes.IndexByte(text[from:], piece[k])
		if i < 0 {
			return -1
		}
		if from += i; bytes.HasPrefix(text[from-k:], piece) {
			return from - k
		}
	}
	return -1
}

// rare is the place of a capital letter, or else of a digit; 0 where there is neither.
func rare(piece []byte) (at int) {
	for i, b := range piece {
		switch base64Kind[b] {
		case 1:
			return i
		case 4:
			at = i
		}
	}
	return at
}

// cut cuts a piece out of a body; nil when it is not in it.
func cut(body []byte, s adapter.Span) []byte {
	if s.Off < 0 || s.Len < 0 || s.Off+s.Len > len(body) {
		return nil
	}
	return body[s.Off : s.Off+s.Len]
}

// weaveAck packs a signed Ack. Of a message whose content is being erased nothing is
// kept: it is acknowledged all the same.
func (s *Store) weaveAck(m *acked, envelope []byte) (packed, error) {
	r := looms.Get().(*loomRoom)
	defer r.put()
	f := s.receiptForm()
	r.steps = weave(r.steps[:0], f, envelope, nil, s.bodies.words)
	var woven []byte
	if f == round {
		woven = pressing1.press(make([]byte, 0, len(r.steps)), r.steps)
	}
	if woven == nil {
		if f == round { // of nothing that we know, or a gigabyte
			f = tight
			r.steps = weave(r.steps[:0], f, envelope, nil, s.bodies.words)
		}
		woven = bytes.Clone(r.steps)
	}
	it := vault.Item{Class: adapter.ContentClass(m.service, m.direction), ID: m.message}
	p, err := s.seal(it, receiptPart(m.queue, m.attempt, stepAcknowledged),
		packed{codec: f.codec(), dictionary: s.bodies.wordsID, size: int32(len(envelope)), bytes: woven})
	if errors.Is(err, vault.ErrErased) {
		return packed{}, nil
	}
	return p, err
}

// Receipts is adapter.Store.Receipts.
func (s *Store) Receipts(ctx context.Context, message uuid.UUID) ([]adapter.Receipt, error) {
	rows, _ := s.pool.Query(ctx, `SELECT r.queue, n.system, n.kind, n.node, r.attempt, r.step, r.codec, r.dictionary, r.size, r.body
		FROM `+s.days.leaf("receipt", message)+` r JOIN queue_name n ON n.id = r.queue WHERE r.message = $1 ORDER BY r.queue, r.attempt, r.step`, [16]byte(message))
	type row struct {
		receipt adapter.Receipt
		queue   int32
		step    int16
		packed  packed
	}
	kept, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (k row, err error) {
		q, p := &k.receipt.Queue, &k.packed
		err = r.Scan(&k.queue, &q.System, &q.Kind, &q.Node, &k.receipt.Attempt, &k.step, &p.codec, &p.dictionary, &p.size, &p.bytes)
		return k, err
	})
	if err != nil {
		return nil, fmt.Errorf("receipts of message %s: %w", message, err)
	}
	m, err := s.load(ctx, message, true)
	if err != nil {
		return nil, err
	}
	if m.Erased != nil {
		return nil, &adapter.ErasedError{Erasure: *m.Erased}
	}
	out := make([]adapter.Receipt, len(kept))
	for i, k := range kept {
		out[i] = k.receipt
		f := formOf(k.packed.codec)
		k.packed.codec &^= codecTight | codecPressed
		k.packed.bytes, err = s.open(ctx, contentOf(m), receiptPart(k.queue, k.receipt.Attempt, k.step), k.packed)
		switch {
		case err != nil:
		case k.step == stepDelivered:
			out[i].Poll, out[i].Answer, err = s.unweaveDelivery(ctx, m, f, k.packed)
		case k.step == stepAcknowledged:
			out[i].Ack, err = s.unweaveAck(ctx, f, k.packed)
		default:
			err = fmt.Errorf("step %d is of a newer version of this program", k.step)
		}
		if err != nil {
			return nil, fmt.Errorf("receipts of message %s: %w", message, err)
		}
	}
	return out, nil
}

func (s *Store) unweaveDelivery(ctx context.Context, m *adapter.Message, f form, p packed) (poll, answer []byte, err error) {
	words, err := s.bodies.text(ctx, p.dictionary)
	if err != nil {
		return nil, nil, err
	}
	woven := p.bytes
	size, n := binary.Uvarint(woven)
	if n <= 0 || size > uint64(p.size) {
		return nil, nil, errWoven
	}
	woven = woven[n:]
	cloths := [][]byte{words, m.Body, []byte(m.ReplyTo)}
	var steps [][]byte
	if f == round {
		if steps, err = pressing1.unpress(woven, 2); err != nil {
			return nil, nil, err
		}
		cloths = append(cloths, idsCloth(nil, m))
	} else {
		first, n := binary.Uvarint(woven)
		if n <= 0 || first > uint64(len(woven)-n) {
			return nil, nil, errWoven
		}
		woven = woven[n:]
		steps = [][]byte{woven[:first], woven[first:]}
	}
	for _, a := range m.Attachments {
		cloths = append(cloths, []byte(base64.StdEncoding.EncodeToString(a.Content)))
	}
	poll, err = unweave(f, steps[0], int(size), words)
	if err == nil {
		answer, err = unweave(f, steps[1], int(p.size)-int(size), cloths...)
	}
	return poll, answer, err
}

func (s *Store) unweaveAck(ctx context.Context, f form, p packed) ([]byte, error) {
	words, err := s.bodies.text(ctx, p.dictionary)
	if err != nil {
		return nil, err
	}
	steps := p.bytes
	if f == round {
		lists, err := pressing1.unpress(steps, 1)
		if err != nil {
			return nil, err
		}
		steps = lists[0]
	}
	return unweave(f, steps, int(p.size), words)
}

// receiptWords is what polls, Acks and our answers say, each whole and as our own clients and
// we write it: a receipt then is a few references, and has little of its own but times, ids,
// digests and signatures. Behind them stand pieces that some of them have. A change here
// makes a new dictionary, as in buildDictionary.
var receiptWords = func() string {
	const envelope = `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>`
	const end = `></soap:Body></soap:Envelope>`
	call := func(operation, signed string) string {
		return envelope + `<typ:` + operation + `Request xmlns:typ="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" xmlns:bas="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2">` +
			signed + `<typ:CallerInformationSystemSignature>` + signatureWords("SIGNED_BY_CALLER") + `</typ:CallerInformationSystemSignature></typ:` + operation + `Request` + end
	}
	answer := func(carrier, before, kind, after string) string {
		return envelope + `<ns2:Get` + carrier + `Response xmlns="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2" xmlns:ns2="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" xmlns:ns3="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/faults/1.2">` +
			`<ns2:` + carrier + `Message><ns2:` + carrier + ` Id="SIGNED_BY_SMEV" xmlns:typ="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" xmlns:bas="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2" xmlns="">` + before +
			`<ns2:MessageMetadata><ns2:MessageId></ns2:MessageId><ns2:MessageType>` + kind + `</ns2:MessageType><ns2:Sender><ns2:Mnemonic></ns2:Mnemonic></ns2:Sender><ns2:SendingTimestamp></ns2:SendingTimestamp>` +
			`<ns2:Recipient><ns2:Mnemonic></ns2:Mnemonic></ns2:Recipient><ns2:DeliveryTimestamp></ns2:DeliveryTimestamp><ns2:Status>messageIsDelivered</ns2:Status></ns2:MessageMetadata>` + after +
			`<ns2:SenderInformationSystemSignature></ns2:SenderInformationSystemSignature></ns2:` + carrier + `><ns2:SMEVSignature>` + signatureWords("SIGNED_BY_SMEV") + `</ns2:SMEVSignature></ns2:` + carrier + `Message></ns2:Get` + carrier + `Response` + end
	}
	const selector = `<bas:MessageTypeSelector Id="SIGNED_BY_CALLER"><bas:Timestamp></bas:Timestamp></bas:MessageTypeSelector>`
	const pieces = `<bas:NamespaceURI></bas:NamespaceURI><bas:RootElementLocalName></bas:RootElementLocalName><bas:Timestamp><ns2:Sender><ns2:Mnemonic></ns2:Mnemonic><ns2:HumanReadableName></ns2:HumanReadableName></ns2:Sender><ns2:SendingTimestamp></ns2:SendingTimestamp><ns2:DestinationName>unknown</ns2:DestinationName>` +
		`<ns2:Recipient><ns2:Mnemonic></ns2:Mnemonic><ns2:HumanReadableName></ns2:HumanReadableName></ns2:Recipient>` +
		`<ns2:SupplementaryData><ns2:DetectedContentTypeName>not detected</ns2:DetectedContentTypeName><ns2:InteractionType>NotDetected</ns2:InteractionType></ns2:SupplementaryData>` +
		`<ns2:DeliveryTimestamp></ns2:DeliveryTimestamp><ns2:Status>responseIsDelivered</ns2:Status></ns2:MessageMetadata><ns2:ReplyTo></ns2:ReplyTo>`
	var b strings.Builder
	for _, v := range []string{"1.1", "1.3", "1.2"} {
		for _, text := range []string{
			call("GetRequest", selector), call("GetResponse", selector), call("Ack", `<bas:AckTargetMessage Id="SIGNED_BY_CALLER" accepted="true"></bas:AckTargetMessage>`), pieces,
			answer("Request", "", "REQUEST", `<ns2:ReplyTo></ns2:ReplyTo>`), answer("Response", `<ns2:OriginalMessageId></ns2:OriginalMessageId>`, "RESPONSE", ""),
		} {
			b.WriteString(versioned(text, v))
		}
	}
	b.WriteString(`<ds:SignatureMethod Algorithm="urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34102012-gostr34112012-256"></ds:SignatureMethod>` +
		`<ds:DigestMethod Algorithm="urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34112012-256"></ds:DigestMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod>`)
	return b.String()
}()

func versioned(text, version string) string {
	return string(bytes.ReplaceAll([]byte(text), []byte("/1.2"), []byte("/"+version)))
}
