package postgres

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"mezhved/adapter"
)

// A body is woven as receipts are (weave.go), and then compressed: signatures, digests and
// ids in it are the bytes that they stand for, words of the protocol and certificates are
// references, and what is left repeats little but itself. That takes a third less than
// compressing alone does, which sees base64 as text that never repeats.
//
// With it stand the message's parts and its reply address. The latter says in base64 what
// the row says, and so does an answer's To: both are woven with a cloth of what such an
// address is expected to say. Where that is wrong it costs bytes, and nothing else.
//
// What is compressed is: the length of the reply address, the parts with their length
// before them, and the woven steps of body and reply address together. Releases before
// cannot read it; it begins a week after migration 00150. A week after migration 00154 a body
// of up to mostPressed refers to itself too, and its steps are pressed (press.go): that takes
// a quarter less, and a third of the time.

// mostWoven bounds what is woven. What is longer is compressed as it is: the little that
// is around its content does not matter.
const mostWoven = 64 << 10

var errWovenBody = errors.New("what is kept of a message is damaged")

// addressCloth is what the reply address of a request says, or the To of an answer,
// beginning behind its authentication code. It must stay what it is for messages that
// are kept.
func addressCloth(m *adapter.Message) []byte { return appendAddress(nil, m) }

func appendAddress(out []byte, m *adapter.Message) []byte {
	request, id, sender, provider, node := m.ID, m.MessageID, m.Sender, adapter.Mnemonic(""), ""
	to := adapter.Queue{}
	if len(m.Recipients) > 0 {
		to = m.Recipients[0]
	}
	if provider = to.System; m.Request != uuid.Nil {
		request, id, sender, provider, node = m.Request, m.Original, to.System, m.Sender, to.Node
	}
	var room [512]byte
	says := append(room[:0], `{"rid":"`...)
	says = spellUUID(says, request)
	says = append(append(append(append(says, `","mid":"`...), id...), `","mnm":"`...), sender...)
	if node != "" {
		says = append(append(says, `","nid":"`...), node...)
	}
	for _, v := range [...][2]string{{"prv", string(provider)}, {"svc", m.Service}, {"ver", m.Version}, {"wir", string(m.Wire)}} {
		says = append(append(append(append(says, `","`...), v[0]...), `":"`...), v[1]...)
	}
	return base64.StdEncoding.AppendEncode(out, append(says, `"}`...))
}

// spellUUID spells a UUID as it is usual.
func spellUUID(out []byte, id uuid.UUID) []byte {
	out = append(hex.AppendEncode(out, id[:4]), '-')
	out = append(hex.AppendEncode(out, id[4:6]), '-')
	out = append(hex.AppendEncode(out, id[6:8]), '-')
	out = append(hex.AppendEncode(out, id[8:10]), '-')
	return hex.AppendEncode(out, id[10:])
}

// idsCloth is what the ids in a message's row say, its own and its request's; rowCloth is that
// and the address. They must stay what they are for messages that are kept.
func idsCloth(out []byte, m *adapter.Message) []byte {
	return append(append(out, m.MessageID...), m.Original...)
}

func rowCloth(out []byte, m *adapter.Message) []byte { return appendAddress(idsCloth(out, m), m) }

// mentions finds where a piece of a text, which begins at a place of it, says what the row
// says: its ids, where they are first, and its address if the cloth has that, twice at most.
func mentions(out []known, piece []byte, at int, m *adapter.Message, row []byte, cloth int) []known {
	before := len(out)
	look := func(from, offset, end, least int) (next int) {
		if least < weft || end-offset < least || from > len(piece) {
			return len(piece)
		}
		i := index(piece[from:], row[offset:offset+least])
		if i < 0 {
			return len(piece)
		}
		n := common(row[offset:end], piece[from+i:])
		out = append(out, known{at: at + from + i, length: n, cloth: cloth, offset: offset})
		return from + i + n
	}
	id, address := len(m.MessageID), len(m.MessageID)+len(m.Original)
	look(0, 0, id, id)
	look(0, id, address, len(m.Original))
	const begins = 16 // of an address, which is as much as its first word
	look(look(0, address, len(row), begins), address, len(row), begins)
	found := out[before:]
	slices.SortFunc(found, func(a, b known) int { return a.at - b.at })
	apart := found[:0]
	for _, k := range found {
		if n := len(apart); n == 0 || apart[n-1].at+apart[n-1].length <= k.at {
			apart = append(apart, k)
		}
	}
	return out[:before+len(apart)]
}

// packWoven packs a body with parts and reply address.
func (b *bodies) packWoven(m *adapter.Message) packed {
	parts := packParts(m.Body, &m.Parts)
	text := append(slices.Clip(m.Body), m.ReplyTo...)
	plain := binary.AppendUvarint(make([]byte, 0, 2048), uint64(len(m.ReplyTo)))
	plain = append(binary.AppendUvarint(plain, uint64(len(parts))), parts...)
	plain = weave(plain, tight, text, nil, b.phrases, newCloth(addressCloth(m)))
	return packed{codec: codecWoven, dictionary: b.dictionary, size: int32(len(m.Body)), bytes: b.squeeze(plain)}
}

// mostPressed bounds the bodies that are pressed: what is longer repeats enough for a
// compressor to take less, and has the time.
const mostPressed = 8 << 10

// bodyPressed1 begins a pressed body: its steps are pressed with pressing1. The number is in
// the database for ever.
const bodyPressed1 = 1

// loomRoom is what packing needs for a moment.
type loomRoom struct {
	text, row, steps, more, parts []byte
	known                         []known
}

var looms = sync.Pool{New: func() any { return new(loomRoom) }}

// put gives the room back, unless something large was in it.
func (r *loomRoom) put() {
	if cap(r.text)+cap(r.steps)+cap(r.more) <= 16*mostPressed {
		looms.Put(r)
	}
}

// packPressed packs as packWoven does, in the round form and pressed: the number of how,
// the length of the reply address, the parts with their length before them, the steps, and
// a checksum of all that comes out. What is too long for that, or takes no less, is left to
// packWoven.
func (b *bodies) packPressed(m *adapter.Message) packed {
	if len(m.Body) > mostPressed {
		return b.packWoven(m)
	}
	r := looms.Get().(*loomRoom)
	defer r.put()
	r.parts = appendParts(r.parts[:0], m.Body, &m.Parts)
	r.text = append(append(r.text[:0], m.Body...), m.ReplyTo...)
	r.row = rowCloth(r.row[:0], m)
	r.known = mentions(r.known[:0], r.text, 0, m, r.row, clothRow)
	r.steps = weave(r.steps[:0], round, r.text, r.known, b.phrases)
	out := append(make([]byte, 0, len(r.steps)+len(r.parts)+32), bodyPressed1)
	out = binary.AppendUvarint(out, uint64(len(m.ReplyTo)))
	out = append(binary.AppendUvarint(out, uint64(len(r.parts))), r.parts...)
	if out = pressing1.press(out, r.steps); out == nil {
		return b.packWoven(m)
	}
	out = binary.LittleEndian.AppendUint32(out, checksum(r.text, r.parts))
	return packed{codec: codecWoven | codecPressed, dictionary: b.dictionary, size: int32(len(m.Body)), bytes: out}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(text, parts []byte) uint32 {
	return crc32.Update(crc32.Checksum(text, castagnoli), castagnoli, parts)
}

// clothRow is the number of rowCloth, for a body.
const clothRow = clothItself + 1

// unpackWoven fills in body, parts and reply address.
func (b *bodies) unpackWoven(ctx context.Context, m *adapter.Message, p packed) error {
	words, err := b.text(ctx, p.dictionary)
	if err != nil {
		return err
	}
	if p.codec&codecPressed != 0 {
		return unpackPressed(m, p, words)
	}
	plain, err := b.unsqueeze(p.bytes)
	if err != nil {
		return fmt.Errorf("unpacking a body: %w", err)
	}
	r := openingReader{b: plain}
	reply, parts := r.number(), r.text()
	if r.broken || p.size < 0 {
		return errWovenBody
	}
	text, err := unweave(tight, r.b, int(p.size)+int(reply), words, addressCloth(m))
	if err != nil {
		return errWovenBody
	}
	return unpackText(m, text, p.size, parts)
}

func unpackPressed(m *adapter.Message, p packed, words []byte) error {
	if len(p.bytes) < 1+crc32.Size || p.size < 0 {
		return errWovenBody
	}
	how, rest, sum := p.bytes[0], p.bytes[1:len(p.bytes)-crc32.Size], p.bytes[len(p.bytes)-crc32.Size:]
	if how != bodyPressed1 {
		return fmt.Errorf("a body that is pressed in way %d is of a newer version of this program", how)
	}
	r := openingReader{b: rest}
	reply, parts := r.number(), r.text()
	if r.broken || reply > maxBody {
		return errWovenBody
	}
	lists, err := pressing1.unpress(r.b, 1)
	if err != nil {
		return errWovenBody
	}
	text, err := unweave(round, lists[0], int(p.size)+int(reply), words, rowCloth(nil, m))
	if err != nil || checksum(text, parts) != binary.LittleEndian.Uint32(sum) {
		return errWovenBody
	}
	return unpackText(m, text, p.size, parts)
}

func unpackText(m *adapter.Message, text []byte, size int32, parts []byte) error {
	m.Body, m.ReplyTo = text[:size:size], string(text[size:])
	return unpackParts(m.Body, parts, &m.Parts)
}

// packParts writes where the parts are: both spans, then what is in scope of each. A
// declaration is the place of one in the body, from one on, or zero with prefix and name;
// a scope that is the other's is zero, another is a declaration's count, from one on.
func packParts(body []byte, p *adapter.Parts) []byte {
	return appendParts(make([]byte, 0, 32), body, p)
}

func appendParts(out, body []byte, p *adapter.Parts) []byte {
	for _, n := range [...]int{p.Data.Off, p.Data.Len, p.Signature.Off, p.Signature.Len} {
		out = binary.AppendVarint(out, int64(n))
	}
	scope := func(list []adapter.Binding) {
		out = binary.AppendUvarint(out, uint64(len(list))+1)
		for _, d := range list {
			var room [128]byte
			at := bytes.Index(body, spelled(room[:0], d))
			if at >= 0 && strings.IndexByte(d.URI, '"') >= 0 {
				at = -1 // it is no declaration that says so, and would be read as another
			}
			if out = binary.AppendUvarint(out, uint64(at+1)); at < 0 {
				for _, text := range []string{d.Prefix, d.URI} {
					out = append(binary.AppendUvarint(out, uint64(len(text))), text...)
				}
			}
		}
	}
	scope(p.Scope)
	if slices.Equal(p.Scope, p.SigScope) {
		return append(out, 0)
	}
	scope(p.SigScope)
	return out
}

// spelled is a declaration as nearly everybody writes it.
func spelled(out []byte, d adapter.Binding) []byte {
	out = append(out, "xmlns"...)
	if d.Prefix != "" {
		out = append(append(out, ':'), d.Prefix...)
	}
	return append(append(append(out, `="`...), d.URI...), '"')
}

func unpackParts(body, packed []byte, p *adapter.Parts) error {
	r := openingReader{b: packed}
	for _, n := range []*int{&p.Data.Off, &p.Data.Len, &p.Signature.Off, &p.Signature.Len} {
		v, size := binary.Varint(r.b)
		if size <= 0 {
			return errWovenBody
		}
		*n, r.b = int(v), r.b[size:]
	}
	scope := func(n uint64) (list []adapter.Binding) {
		for range n {
			at := r.number()
			if at == 0 {
				list = append(list, adapter.Binding{Prefix: string(r.text()), URI: string(r.text())})
				continue
			}
			d, ok := declared(body[min(at-1, uint64(len(body))):])
			if r.broken = r.broken || !ok; r.broken {
				return nil
			}
			list = append(list, d)
		}
		return list
	}
	if n := r.number(); n > 0 {
		p.Scope = scope(n - 1)
	} else {
		r.broken = true
	}
	if p.SigScope = p.Scope; len(r.b) == 0 {
		r.broken = true
	} else if n := r.number(); n > 0 {
		p.SigScope = scope(n - 1)
	}
	if r.broken || len(r.b) > 0 {
		return errWovenBody
	}
	return nil
}

// declared reads a declaration that begins a text.
func declared(text []byte) (d adapter.Binding, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte("xmlns"))
	name, rest, found := bytes.Cut(rest, []byte(`="`))
	uri, _, closed := bytes.Cut(rest, []byte(`"`))
	if len(name) > 0 && name[0] == ':' {
		name = name[1:]
	}
	return adapter.Binding{Prefix: string(name), URI: string(uri)}, ok && found && closed
}
