package postgres

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// What is written here is what the driver writes, but for the flag by which it says
// that there are NULLs, which the server does not believe either.
func TestPlainArrays(t *testing.T) {
	now, id := time.Date(2026, 11, 29, 18, 0, 0, 123_456_789, time.UTC), [16]byte{1, 2, 15: 16}
	early := time.Date(1812, 9, 7, 0, 0, 0, 1000, time.UTC)
	empty, yes, four, eight := "{}", true, int32(4), int64(8)
	long := string(bytes.Repeat([]byte("ж"), 5000))
	for _, c := range []struct {
		oid   uint32
		lists []any
	}{
		{pgtype.ByteaArrayOID, []any{[][]byte{}, [][]byte{{}, nil, {0, 255}, []byte(long)}}},
		{pgtype.TextArrayOID, []any{[]string{}, []string{"", "a", long}, []*string{nil, &long}}},
		{pgtype.JSONArrayOID, []any{[]string{`{}`, `{"a": [1]}`}}},
		{pgtype.JSONBArrayOID, []any{[]string{}, []string{`{}`, `{"a": [1]}`}, []*string{&empty, nil}}},
		{pgtype.UUIDArrayOID, []any{[]*[16]byte{}, []*[16]byte{nil, &id}, [][16]byte{}, [][16]byte{id, {}}}},
		{pgtype.BoolArrayOID, []any{[]bool{true, false}, []*bool{nil, &yes}}},
		{pgtype.Int2ArrayOID, []any{[]int16{-1, 0, 32767}}},
		{pgtype.Int4ArrayOID, []any{[]int32{-1, 0, 1 << 30}, []*int32{&four, nil}}},
		{pgtype.Int8ArrayOID, []any{[]int64{-1, 0, 1 << 60}, []*int64{nil, &eight}}},
		{pgtype.TimestamptzArrayOID, []any{[]time.Time{now, early}, []*time.Time{nil, &now, &early}}},
	} {
		name := ""
		for _, list := range c.lists {
			for _, format := range []int16{pgtype.BinaryFormatCode, pgtype.TextFormatCode} {
				drivers, ours := pgtype.NewMap(), pgtype.NewMap()
				plainArrays(ours, nil)
				if known, ok := ours.TypeForOID(c.oid); ok {
					name = known.Name
				}
				want, err := drivers.Encode(c.oid, format, list, []byte("before"))
				if err != nil {
					t.Fatal(err)
				}
				got, err := ours.Encode(c.oid, format, list, []byte("before"))
				if err != nil {
					t.Fatal(err)
				}
				if format == pgtype.BinaryFormatCode {
					want[len("before")+7] = 0
					if room, takes := argumentRoom(list), len(want)-len("before"); room < takes || room > takes+16*(reflect.ValueOf(list).Len()+1) {
						t.Errorf("%T for %s has room for %d bytes and takes %d", list, name, room, takes)
					}
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%T for %s is written\n%.80x, want\n%.80x", list, name, got, want)
				}
			}
		}
	}
}
