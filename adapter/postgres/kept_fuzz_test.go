package postgres

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"mezhved/adapter"
	"mezhved/adapter/vault"
)

// A form that is read is written as the same again. A box opens unchanged alone, as the
// message that it is of. Whatever the form says of it, what comes out is as long as the
// form has it; that it is the right form, the seal of the record says (package adapter).
func FuzzKeptForm(f *testing.F) {
	v, err := vault.Open(f.TempDir(), time.Now)
	if err != nil {
		f.Fatal(err)
	}
	s := &Store{opts: Options{Vault: v}, bodies: wovenBodies(f)}
	s.sealing.Store(true)
	m := &adapter.Message{ID: uuid.Must(uuid.NewV7()), MessageID: "7a956fe5-ec1e-11f1-9ca0-435ad5a3e1a6", Direction: adapter.DirRequest, Service: "extract", Version: "1.0", Wire: "1.2",
		Recipients: []adapter.Queue{{System: "REGISTRY", Kind: adapter.QueueRequests}, {System: "MFC", Kind: adapter.QueueRequests}},
		Body:       []byte(`<a xmlns:ns="urn:x">text</a>`), ReplyTo: "bm9ib2R5"}
	boxes := map[int16][]byte{}
	for _, p := range []packed{s.bodies.packWoven(m), {codec: codecRaw, size: int32(len(m.Body)), bytes: []byte(string(m.Body) + `bye{"data":{"o":1,"l":2}}`)}} {
		sealed, err := s.seal(contentOf(m), partBody, p)
		if err != nil {
			f.Fatal(err)
		}
		boxes[sealed.codec] = sealed.bytes
		form := keptForm{codec: sealed.codec, size: sealed.size, digest: bytes.Repeat([]byte{7}, 32), first: &m.Recipients[1], request: m.ID}
		if p.codec == codecRaw {
			form = keptForm{codec: sealed.codec, size: sealed.size, behind: 22, reply: 3}
		}
		text, err := form.pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, uint16(0), byte(0))
		f.Add(text, uint16(20), byte(1))
		f.Add(text[:len(text)-1], uint16(0), byte(0))
	}
	f.Fuzz(func(t *testing.T, text []byte, at uint16, flip byte) {
		form, err := unpackKeptForm(text)
		if err != nil {
			return
		}
		again, err := form.pack()
		if err != nil {
			t.Fatal(err)
		}
		if read, err := unpackKeptForm(again); err != nil || !reflect.DeepEqual(read, form) {
			t.Fatalf("%+v is written as %x, which says %+v, %v", form, again, read, err)
		}
		box := bytes.Clone(boxes[form.codec])
		if len(box) == 0 {
			box = bytes.Clone(boxes[codecRaw|codecSealed])
		}
		box[int(at)%len(box)] ^= flip
		got := &adapter.Message{ID: m.ID, MessageID: m.MessageID, Direction: m.Direction, Service: m.Service, Version: m.Version, Wire: m.Wire}
		err = s.openAs(t.Context(), got, &form, 0, box)
		if err == nil && (flip != 0 || form.codec&codecSealed == 0 || form.codec&codecWoven != 0 && len(got.Body) != int(form.size)) {
			t.Fatalf("%+v opens as %q", form, got.Body)
		}
		if got.ID = uuid.Must(uuid.NewV7()); s.openAs(t.Context(), got, &form, 0, box) == nil {
			t.Fatal("it opens as another message's")
		}
	})
}

// BenchmarkRecordOfTheBus is what a sealed record takes: packed and sealed for the bus by
// itself, and as its row has it, with what it takes to open it.
func BenchmarkRecordOfTheBus(b *testing.B) {
	v, err := vault.Open(b.TempDir(), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	s := &Store{opts: Options{Vault: v}, bodies: wovenBodies(b)}
	s.sealing.Store(true)
	s.bodies.digests[1] = [32]byte{1}
	m := &adapter.Message{ID: uuid.Must(uuid.NewV7()), Service: "extract", Direction: adapter.DirRequest, Recipients: []adapter.Queue{{}}, Body: benchBody()}
	row, err := s.seal(contentOf(m), partBody, s.bodies.packWoven(m))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("by itself", func(b *testing.B) {
		b.ReportAllocs()
		var sealed []byte
		for b.Loop() {
			if sealed, _, err = s.Seal(m, "record topic", m.Body); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(sealed)), "value-B")
	})
	b.Run("as kept", func(b *testing.B) {
		b.ReportAllocs()
		var k *adapter.Kept
		for b.Loop() {
			if k, err = s.keptOf(b.Context(), m, row, 0, 0); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(k.Box)+len(k.Form)), "value-B")
	})
}
