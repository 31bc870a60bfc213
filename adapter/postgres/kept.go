package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"mezhved/adapter"
)

// What the bus carries of a message that is sealed is the body as its row has it: it is
// packed once, and sealed once. The row may be gone when somebody opens that, or the whole
// database, so with the box goes a form of what it takes beside the key, and beside what
// a record's headers say:
//
//	codec, size, bytes of the parts and of the reply address behind the body (as varints),
//	then, each with its length as a varint before it,
//	SHA-256 of the dictionary, empty where there is none,
//	our id of the request that is answered, empty where none is,
//	the first recipient as JSON, empty where it is the only one.
//
// A dictionary is told by its digest, because its number is another one in another
// database. Dictionaries are never deleted, and are in every backup; one that a database
// was restored without is there again when a node with the same samples has started.
// An unknown codec is of a later release, and refused by name: see bodies.unpack.

var errKept = errors.New("what is on the bus of a message is damaged")

// keptForm is a form as it is read.
type keptForm struct {
	codec         int16
	size          int32
	behind, reply int
	digest        []byte // of the dictionary
	request       uuid.UUID
	first         *adapter.Queue
}

func (f *keptForm) pack() ([]byte, error) {
	var request, first []byte
	if f.request != uuid.Nil {
		request = f.request[:]
	}
	if f.first != nil {
		var err error
		if first, err = json.Marshal(recipient(*f.first)); err != nil {
			return nil, err
		}
	}
	out := make([]byte, 0, 80+len(first))
	for _, n := range []int{int(f.codec), int(f.size), f.behind, f.reply} {
		out = binary.AppendUvarint(out, uint64(n))
	}
	for _, text := range [][]byte{f.digest, request, first} {
		out = append(binary.AppendUvarint(out, uint64(len(text))), text...)
	}
	return out, nil
}

func unpackKeptForm(form []byte) (f keptForm, err error) {
	r := openingReader{b: form}
	codec, size, behind, reply := r.number(), r.number(), r.number(), r.number()
	digest, request, first := r.text(), r.text(), r.text()
	if r.broken || len(r.b) > 0 || codec > math.MaxInt16 || size+behind+reply > maxBody {
		return f, errKept
	}
	f = keptForm{codec: int16(codec), size: int32(size), behind: int(behind), reply: int(reply), digest: digest}
	if len(request) > 0 {
		if f.request, err = uuid.FromBytes(request); err != nil {
			return f, errKept
		}
	}
	if len(first) > 0 {
		var to recipient
		if json.Unmarshal(first, &to) != nil {
			return f, errKept
		}
		f.first = (*adapter.Queue)(&to)
	}
	return f, nil
}

// keptOf is what may be told to the bus of a body; nil when it is not sealed, or when the
// row alone says where its parts are, as releases long before have it.
func (s *Store) keptOf(ctx context.Context, m *adapter.Message, p packed, behind, reply int) (*adapter.Kept, error) {
	if p.codec&codecSealed == 0 || p.codec&codecWoven == 0 && behind == 0 {
		return nil, nil
	}
	f := keptForm{codec: p.codec, size: p.size, behind: behind, reply: reply, request: m.Request}
	if p.dictionary != 0 {
		sum, err := s.bodies.digest(ctx, p.dictionary)
		if err != nil {
			return nil, err
		}
		f.digest = sum[:]
	}
	if len(m.Recipients) > 1 {
		f.first = &m.Recipients[0]
	}
	form, err := f.pack()
	return &adapter.Kept{Form: form, Box: p.bytes}, err
}

// OpenKept is adapter.Store.OpenKept.
func (s *Store) OpenKept(ctx context.Context, m *adapter.Message, k adapter.Kept) error {
	f, err := unpackKeptForm(k.Form)
	var dictionary int32
	if err == nil && len(f.digest) > 0 {
		dictionary, err = s.bodies.numberOf(ctx, f.digest)
	}
	if err == nil {
		err = s.openAs(ctx, m, &f, dictionary, k.Box)
	}
	if errors.Is(err, errContentErased) {
		m.Erased, err = s.erasureOf(ctx, contentOf(m))
	}
	if err != nil {
		return fmt.Errorf("message %s: %w", m.ID, err)
	}
	return nil
}

// openAs opens a box by its form.
func (s *Store) openAs(ctx context.Context, m *adapter.Message, f *keptForm, dictionary int32, box []byte) error {
	if f.codec&codecSealed == 0 {
		return errKept
	}
	w := row{message: *m, behind: f.behind, reply: f.reply, packed: packed{f.codec, dictionary, f.size, box}}
	w.message.Request = f.request
	if f.first != nil {
		w.message.Recipients = []adapter.Queue{*f.first}
	}
	if err := s.openBody(ctx, &w); err != nil {
		return err
	}
	m.Request, m.Body, m.Parts, m.ReplyTo = f.request, w.message.Body, w.message.Parts, w.message.ReplyTo
	return nil
}

// digest is that of a dictionary.
func (b *bodies) digest(ctx context.Context, id int32) ([32]byte, error) {
	b.mu.RLock()
	sum, known := b.digests[id]
	b.mu.RUnlock()
	if known {
		return sum, nil
	}
	text, err := b.text(ctx, id)
	if err != nil {
		return sum, err
	}
	sum = sha256.Sum256(text)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.digests[id] = sum
	return sum, nil
}

// numberOf is the number that this database has given to a dictionary.
func (b *bodies) numberOf(ctx context.Context, digest []byte) (id int32, err error) {
	err = b.pool.QueryRow(ctx, "SELECT id FROM dictionary WHERE digest = $1", digest).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("compression dictionary %x is missing: a gateway of the release and with the samples that it was made of puts it back when it starts", digest)
	}
	return id, err
}
