package postgres

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// plainArrays has a connection's types write arrays of the plain kinds that statements of many
// rows have, in the form that the driver would give them, straight into one buffer of
// their size. The driver looks for a plan for each value and makes an interface of each
// element, and lets its buffer grow as it goes: a quarter of what a batch of accepts
// costs here. What it is not told of goes the driver's way. The buffers are lent, and
// taken back by roomy; with nil they are made.
func plainArrays(types *pgtype.Map, l *lent) {
	for _, oid := range []uint32{
		pgtype.ByteaArrayOID, pgtype.TextArrayOID, pgtype.JSONArrayOID, pgtype.JSONBArrayOID, pgtype.UUIDArrayOID,
		pgtype.BoolArrayOID, pgtype.Int2ArrayOID, pgtype.Int4ArrayOID, pgtype.Int8ArrayOID, pgtype.TimestamptzArrayOID,
	} {
		known, _ := types.TypeForOID(oid)
		if codec, ok := known.Codec.(*pgtype.ArrayCodec); ok {
			types.RegisterType(&pgtype.Type{Name: known.Name, OID: oid, Codec: plainArray{codec, l}})
		}
	}
}

type plainArray struct {
	*pgtype.ArrayCodec
	lent *lent
}

// PlanEncode is pgtype.Codec's.
func (c plainArray) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	element := c.ElementType.OID
	if format == pgtype.BinaryFormatCode {
		switch value.(type) {
		case [][]byte:
			if element == pgtype.ByteaOID {
				return arrayPlan[[]byte]{element, appendBytea, c.lent}
			}
		case []string:
			switch element {
			case pgtype.TextOID, pgtype.JSONOID:
				return arrayPlan[string]{element, appendText, c.lent}
			case pgtype.JSONBOID:
				return arrayPlan[string]{element, appendJSONB, c.lent}
			}
		case []*string:
			switch element {
			case pgtype.TextOID, pgtype.JSONOID:
				return arrayPlan[*string]{element, orNull(appendText), c.lent}
			case pgtype.JSONBOID:
				return arrayPlan[*string]{element, orNull(appendJSONB), c.lent}
			}
		case []*bool:
			if element == pgtype.BoolOID {
				return arrayPlan[*bool]{element, orNull(appendBool), c.lent}
			}
		case []*int32:
			if element == pgtype.Int4OID {
				return arrayPlan[*int32]{element, orNull(appendInt4), c.lent}
			}
		case []*int64:
			if element == pgtype.Int8OID {
				return arrayPlan[*int64]{element, orNull(appendInt8), c.lent}
			}
		case [][16]byte:
			if element == pgtype.UUIDOID {
				return arrayPlan[[16]byte]{element, func(b []byte, v [16]byte) []byte { return append(appendLength(b, len(v)), v[:]...) }, c.lent}
			}
		case []*[16]byte:
			if element == pgtype.UUIDOID {
				return arrayPlan[*[16]byte]{element, appendUUID, c.lent}
			}
		case []bool:
			if element == pgtype.BoolOID {
				return arrayPlan[bool]{element, appendBool, c.lent}
			}
		case []int16:
			if element == pgtype.Int2OID {
				return arrayPlan[int16]{element, appendInt2, c.lent}
			}
		case []int32:
			if element == pgtype.Int4OID {
				return arrayPlan[int32]{element, appendInt4, c.lent}
			}
		case []int64:
			if element == pgtype.Int8OID {
				return arrayPlan[int64]{element, appendInt8, c.lent}
			}
		case []time.Time:
			if element == pgtype.TimestamptzOID {
				return arrayPlan[time.Time]{element, appendTime, c.lent}
			}
		case []*time.Time:
			if element == pgtype.TimestamptzOID {
				return arrayPlan[*time.Time]{element, orNull(appendTime), c.lent}
			}
		}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// arrayPlan writes a []T. write writes one element behind its length, or -1 for NULL.
type arrayPlan[T any] struct {
	element uint32
	write   func(b []byte, v T) []byte
	lent    *lent
}

// Encode is pgtype.EncodePlan's. Its header says nothing of NULLs: the server looks.
func (p arrayPlan[T]) Encode(value any, b []byte) ([]byte, error) {
	list, ok := value.([]T)
	if !ok {
		return nil, fmt.Errorf("%T is no %T", value, list)
	}
	if need := len(b) + 20 + arrayRoom(value, len(list)); need > cap(b) {
		// Arguments of a statement stand in one buffer, and more of them follow.
		b = append(p.lent.buffer(max(need+need/4, 4<<10)), b...)
	}
	for _, n := range []uint32{1, 0, p.element, uint32(len(list)), 1} { // one dimension, which begins at 1
		b = binary.BigEndian.AppendUint32(b, n)
	}
	for _, v := range list {
		b = p.write(b, v)
	}
	return b, nil
}

// arrayRoom is how many bytes n elements take, or some more.
func arrayRoom(value any, n int) int {
	room := 4 * n
	switch list := value.(type) {
	case [][]byte:
		for _, v := range list {
			room += len(v)
		}
	case []string:
		for _, v := range list {
			room += 1 + len(v)
		}
	case []*string:
		for _, v := range list {
			if room++; v != nil {
				room += len(*v)
			}
		}
	default:
		room += 16 * n
	}
	return room
}

func appendLength(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }

func appendNull(b []byte) []byte { return binary.BigEndian.AppendUint32(b, ^uint32(0)) }

func appendBytea(b []byte, v []byte) []byte {
	if v == nil {
		return appendNull(b)
	}
	return append(appendLength(b, len(v)), v...)
}

func appendText(b []byte, v string) []byte { return append(appendLength(b, len(v)), v...) }

func appendJSONB(b []byte, v string) []byte {
	return append(append(appendLength(b, 1+len(v)), 1), v...) // behind the version of the form
}

func appendUUID(b []byte, v *[16]byte) []byte {
	if v == nil {
		return appendNull(b)
	}
	return append(appendLength(b, len(v)), v[:]...)
}

func appendBool(b []byte, v bool) []byte {
	one := byte(0)
	if v {
		one = 1
	}
	return append(appendLength(b, 1), one)
}

func appendInt2(b []byte, v int16) []byte {
	return binary.BigEndian.AppendUint16(appendLength(b, 2), uint16(v))
}

func appendInt4(b []byte, v int32) []byte {
	return binary.BigEndian.AppendUint32(appendLength(b, 4), uint32(v))
}

func appendInt8(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(appendLength(b, 8), uint64(v))
}

func appendTime(b []byte, v time.Time) []byte {
	return appendInt8(b, v.UnixMicro()-postgresEpoch.UnixMicro())
}

func orNull[T any](write func([]byte, T) []byte) func([]byte, *T) []byte {
	return func(b []byte, v *T) []byte {
		if v == nil {
			return appendNull(b)
		}
		return write(b, *v)
	}
}
