package journal_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/journal"
	"mezhved/adapter/journal/journaltest"
)

// packedAlike holds that a packed row is the same event as the row.
func packedAlike(t *testing.T, e journal.Event) {
	t.Helper()
	row, rowErr := e.Row()
	packed, err := e.Pack()
	if (err != nil) != (rowErr != nil) {
		t.Fatalf("packing says %v, writing the row %v", err, rowErr)
	}
	if err != nil || packed == nil {
		return
	}
	want, err := journal.ParseRow(row)
	if err != nil {
		t.Fatal(err)
	}
	got, err := journal.ParseRow(packed)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("packed and read: %+v, %v\nas a row: %+v", got, err, want)
	}
	for n := range packed {
		if _, err := journal.ParseRow(packed[:n]); err == nil {
			t.Fatalf("%d of %d bytes of a packed event were taken for one", n, len(packed))
		}
	}
}

func TestAPackedRowIsTheSameEvent(t *testing.T) {
	rows, bytes := 0, 0
	for _, e := range journaltest.Events(3, 300) {
		packedAlike(t, e)
		row, err := e.Row()
		if err != nil {
			t.Fatal(err)
		}
		packed, err := e.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if packed != nil {
			rows, bytes = rows+len(row), bytes+len(packed)
		}
	}
	if bytes == 0 || bytes*2 > rows {
		t.Errorf("packed rows have %d bytes, rows %d: more than half", bytes, rows)
	}
	packedAlike(t, journal.Event{Kind: journal.KindAccepted, Time: time.Date(2026, 3, 2, 1, 2, 3, 4_000_000, time.UTC), Test: true, Channel: "smev/1.2", Reference: "r",
		EOL: journaltest.Start, Terms: "a=1", Deadline: journaltest.Start, Message: "01A227C9-BC5C-7023-8CF5-66F51E3B2423", Digest: strings.Repeat("A", 64),
		Node: "a\x00b\xff", Attempt: -3, Personal: []journal.PersonalField{{Field: "snils", Value: "AAAA\nAAAA\nAAAA\nAAAA\nAAAA\n\n\n\n", Class: "sealed:personal"}, {}}})
}

// What proves a delivery is two digests, and they take little more than their bytes.
func TestReceiptsArePackedAsTheirDigests(t *testing.T) {
	digest := func(c string) string { return strings.Repeat(c, 64) }
	for _, c := range []struct {
		receipt journal.Receipt
		most    int
	}{
		{journal.Receipt{Poll: digest("a"), Answer: digest("0")}, 64},
		{journal.Receipt{Poll: digest("9")}, 32},
		{journal.Receipt{Ack: digest("f")}, 32},
	} {
		field := c.receipt.Field()
		packed := journal.PackPersonal([]journal.PersonalField{field})
		if got := len(packed) - len(journal.PackPersonal([]journal.PersonalField{{Field: field.Field, Class: field.Class}})); got > c.most+2 {
			t.Errorf("%s takes %d bytes", field.Value, got)
		}
		packedAlike(t, journal.Event{Kind: journal.KindDelivered, Time: journaltest.Start, Personal: []journal.PersonalField{field}})
		// What is spelled otherwise is what it is.
		for i := range field.Value {
			other := field
			other.Value = field.Value[:i] + "F" + field.Value[i+1:]
			packedAlike(t, journal.Event{Kind: journal.KindDelivered, Time: journaltest.Start, Personal: []journal.PersonalField{other, {Field: "x", Value: field.Value[:i]}}})
		}
	}
}

func TestPackedValuesAreTheSameOrNone(t *testing.T) {
	values := []journal.PersonalField{{Field: "snils", Value: "112-233-445 95"}, {Field: "name", Value: "Иванов\x00\xff", Class: "personal"}, {}}
	packed := journal.PackPersonal(values)
	if got, err := journal.UnpackPersonal(packed); err != nil || !reflect.DeepEqual(got, values) {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range packed {
		if got, err := journal.UnpackPersonal(packed[:n]); err == nil && len(got) >= len(values) {
			t.Errorf("%d of %d bytes were taken for all values", n, len(packed))
		}
	}
}

func FuzzPacked(f *testing.F) {
	for _, e := range journaltest.Events(3, 20) {
		packed, err := e.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := journal.ParseRow(b); err == nil {
			packedAlike(t, e)
		}
	})
}

func FuzzPackedTexts(f *testing.F) {
	f.Add("01a227c9-bc5c-7023-8cf5-66f51e3b2423", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "abcdef0123456789abcdef0123456789")
	f.Add("ok", "", "request")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		packedAlike(t, journal.Event{Kind: journal.KindRouted, Time: journaltest.Start, Message: a, Digest: b, Rule: c, Personal: []journal.PersonalField{{Field: b, Value: c, Class: a}, {Field: c, Value: a, Class: b}}})
	})
}

// Nodes of before and after read what this one lets wait, and a smaller row is no reason for
// another spelling: an event is packed as it ever was.
func TestEventsArePackedAsEver(t *testing.T) {
	digest := strings.Repeat("0123456789abcdef", 4)
	odd := journal.Event{Kind: journal.KindRefused, Time: journaltest.Start, Node: "a\x00b\xff", Rule: "cvc-type.3.1.3", Incident: "0123456789ABCDEF", Ground: digest + "00"}
	for _, value := range []string{"", `{"ack":"` + digest + `"}`, `{"poll":"` + digest + `"`, `{"poll":"` + digest[1:] + `"} `, `{"answer":"` + digest + `","poll":"` + digest + `"}`,
		"AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAB=", "AAAA\nAAAA\nAAAA\nAAAA\nAAAA\n\n\n\n", "=AAAAAAAAAAAAAAAAAAAAAA=",
		"01a227c9-bc5c-7023-8cf5-66f51e3b2423", "01A227C9-bc5c-7023-8cf5-66f51e3b2423", "01a227c9-bc5c-7023-8cf5+66f51e3b2423", "0123456789abcdef0", "0123456789abcdef", "0123456789abcdef01", "acknowledgements", "acknowledgementS", "nul\x00", "Иванов\xff"} {
		odd.Personal = append(odd.Personal, journal.PersonalField{Field: "f", Value: value, Class: "sealed:acknowledgements"})
	}
	many := odd
	for range 7 {
		many.Personal = append(many.Personal, odd.Personal...)
	}
	hash := sha256.New()
	for _, e := range append(journaltest.Events(3, 300), odd, many) {
		packed, err := e.Pack()
		if err != nil {
			t.Fatal(err)
		}
		hash.Write(packed)
	}
	if got, want := hex.EncodeToString(hash.Sum(nil)), "88e674f91ec57a9b6b440d2650603afcefa5f51410238934ebeaa2788af6a337"; got != want {
		t.Errorf("SHA-256 of packed events %s, want %s", got, want)
	}
}

// What is read in one room, one behind the other, is what each row by itself is read as,
// and stays so when others are read.
func TestPackedEventsShareARoom(t *testing.T) {
	var room journal.EventRoom
	var got, want []journal.Event
	for _, e := range journaltest.Events(5, 400) {
		row, err := e.Pack()
		if row == nil && err == nil {
			row, err = e.Row()
		}
		if err != nil {
			t.Fatal(err)
		}
		alone, err := journal.ParseRow(row)
		if err != nil {
			t.Fatal(err)
		}
		if want = append(want, alone); len(row)%3 == 0 && len(alone.Personal) > 0 {
			values := []journal.PersonalField{{Field: "inn", Value: fmt.Sprint("7707", len(row)), Class: "personal"}, {Field: "name", Value: "И. И."}}
			last := &want[len(want)-1]
			last.Personal = slices.Replace(slices.Clone(last.Personal), 0, 1, values...)
		}
		var together journal.Event
		if err := room.Parse(&together, row); err != nil {
			t.Fatal(err)
		}
		if w := want[len(want)-1].Personal; len(w) > len(alone.Personal) {
			if n, err := room.Open(&together, 0, journal.PackPersonal(w[:2])); n != 2 || err != nil {
				t.Fatal(n, err)
			}
		}
		if !slices.Equal(together.Personal, want[len(want)-1].Personal) {
			t.Fatalf("values %+v, want %+v", together.Personal, want[len(want)-1].Personal)
		}
		together.Personal = nil // good until the next one
		got = append(got, together)
	}
	for i := range want {
		if want[i].Personal = nil; !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("event %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

// However a receipt is spelled, it is as package json spells it.
func TestReceiptsAreSpelledAsJSON(t *testing.T) {
	digest := strings.Repeat("0123456789abcdef", 4)
	texts := []string{"", digest, strings.ToUpper(digest), `"<&>\`, "я", "\x00"}
	receipts := []journal.Receipt{{Stream: &journal.Stream{Group: "<g>", Offset: 7}}, {Poll: digest, Stream: &journal.Stream{}}}
	for _, ack := range texts {
		for _, answer := range texts {
			for _, poll := range texts {
				receipts = append(receipts, journal.Receipt{Ack: ack, Answer: answer, Poll: poll})
			}
		}
	}
	for _, r := range receipts {
		var want strings.Builder
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(r); err != nil {
			t.Fatal(err)
		}
		if got := r.String() + "\n"; got != want.String() {
			t.Errorf("%s, want %s", got, want.String())
		}
	}
}
