package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
)

// How a body is stored. The numbers are in the database for ever.
const (
	codecRaw  int16 = 0
	codecZstd int16 = 1

	codecSealed int16 = 2 // with either: sealed with a key of the vault
	codecErased int16 = 4 // alone: the bytes are gone

	codecTight int16 = 8 // of a receipt, which is woven: its steps are tight

	codecWoven int16 = 16 // of a body: woven with parts and reply address, then compressed (woven.go)

	codecPressed int16 = 32 // with either of those: in the round form, and pressed (press.go)
)

// maxBody bounds what decompression may produce, against a damaged or forged
// row.
const maxBody = 1 << 30

// packed is a body as stored.
type packed struct {
	codec      int16
	dictionary int32
	size       int32
	bytes      []byte
}

// bodies packs with this node's dictionary and unpacks with any.
type bodies struct {
	pool       *sessions
	dictionary int32
	encoder    *zstd.Encoder
	phrases    *cloth // for bodies: the dictionary
	words      *cloth // for receipts
	wordsID    int32
	bare       *zstd.Encoder // without a dictionary, for what leaves the database
	unbare     *zstd.Decoder

	mu       sync.RWMutex
	decoders map[int32]*zstd.Decoder
	texts    map[int32][]byte // dictionaries that woven texts refer to
	digests  map[int32][32]byte
}

// openBodies registers the dictionary of this node. Nodes with the same
// samples share one.
func openBodies(ctx context.Context, pool *sessions, samples [][]byte) (*bodies, error) {
	content := buildDictionary(protocol, samples)
	id, err := registerDictionary(ctx, pool, content)
	if err != nil {
		return nil, err
	}
	words := buildDictionary(receiptWords, samples)
	wordsID, err := registerDictionary(ctx, pool, words)
	if err != nil {
		return nil, err
	}
	b, err := codecs(id, content, words)
	if err != nil {
		return nil, err
	}
	b.pool, b.dictionary, b.wordsID = pool, id, wordsID
	b.texts[id], b.texts[wordsID] = content, words
	return b, nil
}

// codecs are those of a node.
func codecs(id int32, content, words []byte) (*bodies, error) {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderDictRaw(uint32(id), content),
		zstd.WithWindowSize(1<<20),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	bare, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	unbare, err := zstd.NewReader(nil, unpacking...)
	if err != nil {
		return nil, err
	}
	return &bodies{encoder: encoder, phrases: newCloth(content), words: newCloth(words), bare: bare, unbare: unbare,
		decoders: map[int32]*zstd.Decoder{}, texts: map[int32][]byte{}, digests: map[int32][32]byte{}}, nil
}

func registerDictionary(ctx context.Context, pool *sessions, content []byte) (id int32, err error) {
	digest := sha256.Sum256(content)
	_, err = pool.Exec(ctx, "INSERT INTO dictionary (digest, content) VALUES ($1, $2) ON CONFLICT DO NOTHING", digest[:], content)
	if err == nil {
		err = pool.QueryRow(ctx, "SELECT id FROM dictionary WHERE digest = $1", digest[:]).Scan(&id)
	}
	if err != nil {
		err = fmt.Errorf("registering a compression dictionary: %w", err)
	}
	return id, err
}

// pack compresses, unless that does not pay. The result does not alias body
// when it is compressed, and is body when it is not.
func (b *bodies) pack(body []byte) packed {
	small := b.encoder.EncodeAll(body, make([]byte, 0, len(body)/4+64))
	if len(small) >= len(body) {
		return packed{codec: codecRaw, size: int32(len(body)), bytes: body}
	}
	return packed{codec: codecZstd, dictionary: b.dictionary, size: int32(len(body)), bytes: small}
}

// squeeze compresses what is to be read without the database: one zstd frame.
func (b *bodies) squeeze(body []byte) []byte {
	return b.bare.EncodeAll(body, make([]byte, 0, len(body)/3+64))
}

func (b *bodies) unsqueeze(frame []byte) ([]byte, error) {
	return b.unbare.DecodeAll(frame, nil)
}

// unpacking bounds what a frame may make.
var unpacking = []zstd.DOption{zstd.WithDecoderMaxMemory(maxBody), zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true)}

// unpack gives the body as it was received, or an error when the row is
// damaged: the frame carries a checksum.
func (b *bodies) unpack(ctx context.Context, p packed) ([]byte, error) {
	switch p.codec {
	case codecRaw:
		return p.bytes, nil
	case codecZstd:
	default:
		return nil, fmt.Errorf("body with unknown codec %d", p.codec)
	}
	if p.size < 0 || p.size > maxBody {
		return nil, fmt.Errorf("body of %d bytes", p.size)
	}
	decoder, err := b.decoder(ctx, p.dictionary)
	if err != nil {
		return nil, err
	}
	body, err := decoder.DecodeAll(p.bytes, make([]byte, 0, p.size))
	if errors.Is(err, zstd.ErrUnknownDictionary) {
		body, err = b.unpackForeign(ctx, p)
	}
	if err != nil {
		return nil, fmt.Errorf("unpacking a body: %w", err)
	}
	if len(body) != int(p.size) {
		return nil, fmt.Errorf("unpacking a body: %d bytes, want %d", len(body), p.size)
	}
	return body, nil
}

// unpackForeign unpacks what another database has packed, which calls the dictionary by a
// number of its own.
func (b *bodies) unpackForeign(ctx context.Context, p packed) ([]byte, error) {
	var frame zstd.Header
	if err := frame.Decode(p.bytes); err != nil {
		return nil, err
	}
	content, err := b.content(ctx, p.dictionary)
	if err != nil {
		return nil, err
	}
	d, err := zstd.NewReader(nil, append(slices.Clone(unpacking), zstd.WithDecoderDictRaw(frame.DictionaryID, content))...)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.DecodeAll(p.bytes, make([]byte, 0, p.size))
}

func (b *bodies) decoder(ctx context.Context, id int32) (*zstd.Decoder, error) {
	b.mu.RLock()
	d := b.decoders[id]
	b.mu.RUnlock()
	if d != nil {
		return d, nil
	}
	opts := slices.Clone(unpacking)
	if id != 0 {
		content, err := b.content(ctx, id)
		if err != nil {
			return nil, err
		}
		opts = append(opts, zstd.WithDecoderDictRaw(uint32(id), content))
	}
	d, err := zstd.NewReader(nil, opts...)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if other := b.decoders[id]; other != nil {
		d.Close()
		return other, nil
	}
	b.decoders[id] = d
	return d, nil
}

// content reads a dictionary.
func (b *bodies) content(ctx context.Context, id int32) (content []byte, err error) {
	err = b.pool.QueryRow(ctx, "SELECT content FROM dictionary WHERE id = $1", id).Scan(&content)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("compression dictionary %d is missing", id)
	}
	return content, err
}

// text gives a dictionary that woven texts refer to.
func (b *bodies) text(ctx context.Context, id int32) ([]byte, error) {
	b.mu.RLock()
	text := b.texts[id]
	b.mu.RUnlock()
	if text != nil {
		return text, nil
	}
	text, err := b.content(ctx, id)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.texts[id] = text
	return text, nil
}

// close frees what the codecs hold.
func (b *bodies) close() {
	b.encoder.Close()
	b.bare.Close()
	b.unbare.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.decoders {
		d.Close()
	}
}
