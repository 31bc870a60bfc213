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

// The cloths of receipts, after the words of the dictionary. Attachments follow, as
// base64, in their order.
const (
	clothBody = 1 + iota
	clothReplyTo
	clothAttachments
)

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// weaveDelivery packs the poll and the answer that handed the message out. The
// answer holds the message's own bytes, which are kept once.
func (s *Store) weaveDelivery(m *adapter.Message, queue int32, attempt int, poll, answer []byte) (packed, error) {
	body := &cloth{text: m.Body}
	parts, whole := parts(m, answer)
	if !whole {
		body = newCloth(m.Body) // written anew for a reader of another version, or our own words
	}
	tight := s.gates.tightReceipts.Load()
	first := weave(tight, poll, nil, s.bodies.words)
	woven := binary.AppendUvarint(make([]byte, 0, len(first)+1024), uint64(len(poll)))
	woven = append(binary.AppendUvarint(woven, uint64(len(first))), first...)
	woven = append(woven, weave(tight, answer, parts, s.bodies.words, body)...)
	return s.seal(contentOf(m), receiptPart(queue, attempt, stepDelivered),
		packed{codec: wovenCodec(tight), dictionary: s.bodies.wordsID, size: int32(len(poll) + len(answer)), bytes: woven})
}

func wovenCodec(tight bool) int16 {
	if tight {
		return codecTight
	}
	return codecRaw
}

// receiptPart names a receipt among what is sealed of its message.
func receiptPart(queue int32, attempt int, step int16) string {
	return fmt.Sprintf("receipt %d %d %d", queue, attempt, step)
}

// parts finds what of the message stands in the answer; whole says that its sender's
// element does.
func parts(m *adapter.Message, answer []byte) (out []known, whole bool) {
	at := 0
	look := func(piece []byte, cloth, offset int) {
		if len(piece) < weft {
			return
		}
		if i := bytes.Index(answer[at:], piece); i >= 0 {
			out = append(out, known{at: at + i, length: len(piece), cloth: cloth, offset: offset})
			at += i + len(piece)
		}
	}
	look(cut(m.Body, m.Parts.Data), clothBody, m.Parts.Data.Off)
	whole = len(out) > 0
	look([]byte(m.ReplyTo), clothReplyTo, 0)
	look(cut(m.Body, m.Parts.Signature), clothBody, m.Parts.Signature.Off)
	for i, a := range m.Attachments {
		if base64.StdEncoding.EncodedLen(len(a.Content)) <= len(answer)-at {
			look([]byte(base64.StdEncoding.EncodeToString(a.Content)), clothAttachments+i, 0)
		}
	}
	return out, whole
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
	tight := s.gates.tightReceipts.Load()
	it := vault.Item{Class: adapter.ContentClass(m.service, m.direction), ID: m.message}
	p, err := s.seal(it, receiptPart(m.queue, m.attempt, stepAcknowledged),
		packed{codec: wovenCodec(tight), dictionary: s.bodies.wordsID, size: int32(len(envelope)), bytes: weave(tight, envelope, nil, s.bodies.words)})
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
		tight := k.packed.codec&codecTight != 0
		k.packed.codec &^= codecTight
		k.packed.bytes, err = s.open(ctx, contentOf(m), receiptPart(k.queue, k.receipt.Attempt, k.step), k.packed)
		switch {
		case err != nil:
		case k.step == stepDelivered:
			out[i].Poll, out[i].Answer, err = s.unweaveDelivery(ctx, m, tight, k.packed)
		case k.step == stepAcknowledged:
			out[i].Ack, err = s.unweaveAck(ctx, tight, k.packed)
		default:
			err = fmt.Errorf("step %d is of a newer version of this program", k.step)
		}
		if err != nil {
			return nil, fmt.Errorf("receipts of message %s: %w", message, err)
		}
	}
	return out, nil
}

func (s *Store) unweaveDelivery(ctx context.Context, m *adapter.Message, tight bool, p packed) (poll, answer []byte, err error) {
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
	first, n := binary.Uvarint(woven)
	if n <= 0 || first > uint64(len(woven)-n) {
		return nil, nil, errWoven
	}
	woven = woven[n:]
	cloths := [][]byte{words, m.Body, []byte(m.ReplyTo)}
	for _, a := range m.Attachments {
		cloths = append(cloths, []byte(base64.StdEncoding.EncodeToString(a.Content)))
	}
	poll, err = unweave(tight, woven[:first], int(size), words)
	if err == nil {
		answer, err = unweave(tight, woven[first:], int(p.size)-int(size), cloths...)
	}
	return poll, answer, err
}

func (s *Store) unweaveAck(ctx context.Context, tight bool, p packed) ([]byte, error) {
	words, err := s.bodies.text(ctx, p.dictionary)
	if err != nil {
		return nil, err
	}
	return unweave(tight, p.bytes, int(p.size), words)
}

// receiptWords is what polls, Acks and our answers say again and again, whole and in
// order: a receipt then has little of its own but times, ids, digests and signatures.
var receiptWords = func() string {
	const signature = `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"></ds:SignatureMethod><ds:Reference URI="#SIGNED_BY_CALLER"><ds:Transforms>` +
		`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform><ds:Transform Algorithm="urn://smev-gov-ru/xmldsig/transform"></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo>` +
		`<ds:SignatureValue></ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate></ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`
	const calls = `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><typ:GetRequestRequest xmlns:typ="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" xmlns:bas="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2">` +
		`<bas:MessageTypeSelector Id="SIGNED_BY_CALLER"><bas:Timestamp>` +
		`</bas:Timestamp></bas:MessageTypeSelector><typ:CallerInformationSystemSignature>` + signature + `</typ:CallerInformationSystemSignature></typ:GetRequestRequest></soap:Body></soap:Envelope>` +
		`</typ:CallerInformationSystemSignature></typ:GetResponseRequest></soap:Body></soap:Envelope>` +
		`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><typ:AckRequest xmlns:typ="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" xmlns:bas="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2">` +
		`<bas:AckTargetMessage Id="SIGNED_BY_CALLER" accepted="true">` +
		`</bas:AckTargetMessage><typ:CallerInformationSystemSignature>` + signature + `</typ:CallerInformationSystemSignature></typ:AckRequest></soap:Body></soap:Envelope>`
	const answers = `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><ns2:GetRequestResponse xmlns="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2" xmlns:ns2="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" xmlns:ns3="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/faults/1.2">` +
		`<ns2:RequestMessage><ns2:Request Id="SIGNED_BY_SMEV" xmlns:typ="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" xmlns:bas="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2" xmlns="">` +
		`<ns2:MessageMetadata><ns2:MessageId></ns2:MessageId><ns2:MessageType>REQUEST</ns2:MessageType><ns2:Sender><ns2:Mnemonic></ns2:Mnemonic><ns2:HumanReadableName></ns2:HumanReadableName></ns2:Sender><ns2:Sender><ns2:Mnemonic></ns2:Mnemonic></ns2:Sender>` +
		`<ns2:SendingTimestamp></ns2:SendingTimestamp><ns2:DestinationName>unknown</ns2:DestinationName><ns2:Recipient><ns2:Mnemonic></ns2:Mnemonic><ns2:HumanReadableName></ns2:HumanReadableName></ns2:Recipient>` +
		`<ns2:SupplementaryData><ns2:DetectedContentTypeName>not detected</ns2:DetectedContentTypeName><ns2:InteractionType>NotDetected</ns2:InteractionType></ns2:SupplementaryData>` +
		`</ns2:SendingTimestamp><ns2:Recipient><ns2:Mnemonic></ns2:Mnemonic></ns2:Recipient><ns2:DeliveryTimestamp></ns2:DeliveryTimestamp><ns2:Status>responseIsDelivered</ns2:Status></ns2:MessageMetadata>` +
		`</ns2:DeliveryTimestamp><ns2:Status>messageIsDelivered</ns2:Status></ns2:MessageMetadata><ns2:ReplyTo></ns2:ReplyTo>` +
		`<ns2:SenderInformationSystemSignature></ns2:SenderInformationSystemSignature></ns2:Request><ns2:SMEVSignature></ns2:SMEVSignature></ns2:RequestMessage></ns2:GetRequestResponse></soap:Body></soap:Envelope>` +
		`<ns2:GetResponseResponse xmlns="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2" xmlns:ns2="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2"` +
		`<ns2:ResponseMessage><ns2:Response Id="SIGNED_BY_SMEV" xmlns:typ="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2"><ns2:OriginalMessageId></ns2:OriginalMessageId><ns2:MessageType>RESPONSE</ns2:MessageType>` +
		`</ns2:SenderInformationSystemSignature></ns2:Response><ns2:SMEVSignature>` + `</ns2:SMEVSignature></ns2:ResponseMessage></ns2:GetResponseResponse></soap:Body></soap:Envelope>`
	var b bytes.Buffer
	for _, v := range []string{"1.1", "1.3", "1.2"} {
		for _, text := range []string{calls, answers} {
			b.WriteString(versioned(text, v))
		}
	}
	b.WriteString(`<ds:SignatureMethod Algorithm="urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34102012-gostr34112012-256"></ds:SignatureMethod>` +
		`<ds:DigestMethod Algorithm="urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34112012-256"></ds:DigestMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod>` +
		`<ds:Reference URI="#SIGNED_BY_SMEV"><ds:Transforms>`)
	return b.String()
}()

func versioned(text, version string) string {
	return string(bytes.ReplaceAll([]byte(text), []byte("/1.2"), []byte("/"+version)))
}
