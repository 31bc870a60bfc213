package envelopes

import (
	"fmt"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

// BenchmarkCall reads a SendRequest of a size: Parse, Caller, Decode.
func BenchmarkCall(b *testing.B) {
	for _, size := range []int{4 << 10, 40 << 10, 200 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			row := `<q:Строка xmlns:q="urn:q"><q:Имя>Иван Иванович</q:Имя><q:Дата>2026-01-01</q:Дата></q:Строка>`
			content := element(b, `<q:Список xmlns:q="urn:q">`+strings.Repeat(row, size/len(row))+`</q:Список>`)
			body := (&SendRequestCall{MessageID: someID, Content: content}).Build(V12, false).Seal([]byte(signature))
			tape := new(xmltape.Tape)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				e, err := Parse("text/xml; charset=utf-8", body, tape, Limits{})
				if err != nil {
					b.Fatal(err)
				}
				_, target := e.Caller()
				if _, err := DecodeSendRequest(e, placed{target}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAnswers writes a receipt and a delivery.
func BenchmarkAnswers(b *testing.B) {
	b.Run("receipt", func(b *testing.B) {
		m := someMetadata(TypeRequest, StatusRequestIsQueued)
		b.ReportAllocs()
		for b.Loop() {
			d := BuildReceipt(V12, SendRequest, m)
			d.Release()
		}
	})
	b.Run("delivery", func(b *testing.B) {
		e := parse(b, "text/xml", someCalls(b, V12)["SendRequest"].Seal([]byte(signature)))
		c, err := DecodeSendRequest(e, proof(e))
		if err != nil {
			b.Fatal(err)
		}
		d := RequestDelivery{Data: FragmentOf(c.Data), Signature: FragmentOf(c.Signature), Metadata: someMetadata(TypeRequest, StatusMessageIsDelivered), ReplyTo: someReply}
		b.ReportAllocs()
		for b.Loop() {
			draft := BuildRequestDelivery(V12, d)
			draft.Release()
		}
	})
}
