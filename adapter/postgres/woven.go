package postgres

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

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
// cannot read it; it begins a week after migration 00150.

// mostWoven bounds what is woven. What is longer is compressed as it is: the little that
// is around its content does not matter.
const mostWoven = 64 << 10

var errWovenBody = errors.New("what is kept of a message is damaged")

// addressCloth is what the reply address of a request says, or the To of an answer,
// beginning behind its authentication code. It must stay what it is for messages that
// are kept.
func addressCloth(m *adapter.Message) []byte {
	request, id, sender, provider, node := m.ID, m.MessageID, m.Sender, adapter.Mnemonic(""), ""
	to := adapter.Queue{}
	if len(m.Recipients) > 0 {
		to = m.Recipients[0]
	}
	if provider = to.System; m.Request != uuid.Nil {
		request, id, sender, provider, node = m.Request, m.Original, to.System, m.Sender, to.Node
	}
	if node != "" {
		node = `","nid":"` + node
	}
	return []byte(base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"rid":"%s","mid":"%s","mnm":"%s%s","prv":"%s","svc":"%s","ver":"%s","wir":"%s"}`,
		request, id, sender, node, provider, m.Service, m.Version, m.Wire)))
}

// packWoven packs a body with parts and reply address.
func (b *bodies) packWoven(m *adapter.Message) packed {
	parts := packParts(m.Body, &m.Parts)
	text := append(slices.Clip(m.Body), m.ReplyTo...)
	plain := binary.AppendUvarint(make([]byte, 0, 2048), uint64(len(m.ReplyTo)))
	plain = append(binary.AppendUvarint(plain, uint64(len(parts))), parts...)
	plain = append(plain, weave(true, text, nil, b.phrases, newCloth(addressCloth(m)))...)
	return packed{codec: codecWoven, dictionary: b.dictionary, size: int32(len(m.Body)), bytes: b.squeeze(plain)}
}

// unpackWoven fills in body, parts and reply address.
func (b *bodies) unpackWoven(ctx context.Context, m *adapter.Message, p packed) error {
	words, err := b.text(ctx, p.dictionary)
	if err != nil {
		return err
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
	text, err := unweave(true, r.b, int(p.size)+int(reply), words, addressCloth(m))
	if err != nil {
		return errWovenBody
	}
	m.Body, m.ReplyTo = text[:p.size:p.size], string(text[p.size:])
	return unpackParts(m.Body, parts, &m.Parts)
}

// packParts writes where the parts are: both spans, then what is in scope of each. A
// declaration is the place of one in the body, from one on, or zero with prefix and name;
// a scope that is the other's is zero, another is a declaration's count, from one on.
func packParts(body []byte, p *adapter.Parts) []byte {
	out := make([]byte, 0, 32)
	for _, n := range []int{p.Data.Off, p.Data.Len, p.Signature.Off, p.Signature.Len} {
		out = binary.AppendVarint(out, int64(n))
	}
	scope := func(list []adapter.Binding) {
		out = binary.AppendUvarint(out, uint64(len(list))+1)
		for _, d := range list {
			at := bytes.Index(body, spelled(d))
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
func spelled(d adapter.Binding) []byte {
	out := []byte("xmlns")
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
