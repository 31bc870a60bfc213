package adapter

import (
	"bytes"
	"context"
	"testing"
	"time"

	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

// busSigner signs the same each time.
func busSigner(t testing.TB) signing.Signer {
	t.Helper()
	ca, err := signing.NewTestCA("Root of the tests", signing.KeyECDSA256, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	of, err := ca.Issue(signing.TestSubject{CommonName: "Bus", Key: signing.KeyECDSA256}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := of.Signer()
	if err != nil {
		t.Fatal(err)
	}
	return signing.Repeatable(signer)
}

// signedAsParsed fails unless a draft is signed as an element is that was parsed.
func signedAsParsed(t *testing.T, d envelopes.Draft, signer signing.Signer) {
	t.Helper()
	var tape xmltape.Tape
	if err := tape.Parse(d.XML, xmltape.Widest); err != nil {
		t.Fatalf("%v\n%s", err, d.XML)
	}
	signature, err := signing.Sign(context.Background(), withID(t, tape.Root(), d.SignID), signer)
	if err != nil {
		t.Fatalf("%v\n%s", err, d.XML)
	}
	got, err := signing.AppendSigned(context.Background(), []byte("before"), d.XML, d.SignID, d.Slot, signer)
	if want := append([]byte("before"), d.Seal(signature)...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("signed (%v)\n%s, want\n%s", err, got, want)
	}
	d.Release()
}

func withID(t *testing.T, n xmltape.Node, id string) xmltape.Node {
	t.Helper()
	var find func(n xmltape.Node) xmltape.Node
	find = func(n xmltape.Node) xmltape.Node {
		if v, ok := n.Attr("", "Id"); ok && v == id {
			return n
		}
		for child := range n.Children() {
			if found := find(child); found.Valid() {
				return found
			}
		}
		return xmltape.Node{}
	}
	found := find(n)
	if !found.Valid() {
		t.Fatalf("no element has the Id %q", id)
	}
	return found
}

// A receipt is signed as what is parsed is, whatever stands in it.
func FuzzReceiptForm(f *testing.F) {
	f.Add("MUNI", "ООО «Ромашка»", "0b7f2a3e-1111-11ee-8000-0123456789ab")
	f.Add("MUNI", "a & b", "")
	for _, name := range []string{"", " ", "\n", " a", "a ", "a\nb", "a\tb ", "\r", "a\rb", "a>b", "]]>", "a<b", `"'`, "\x7f", "\u0085", "\u009fб", "\u00a0", "\u00c2", "\ufffe", "\xff", "\x01", "ns2:", "<ns2:a/>", "\u2028"} {
		f.Add(name, "MUNI", "m")
		f.Add("MUNI", name, "m")
		f.Add("", "", name)
	}
	signer := busSigner(f)
	f.Fuzz(func(t *testing.T, mnemonic, name, message string) {
		for _, v := range envelopes.Versions {
			signedAsParsed(t, envelopes.BuildReceipt(v, envelopes.SendRequest, envelopes.Metadata{
				MessageID: message, Type: envelopes.TypeRequest, Sent: time.UnixMilli(1), Status: envelopes.StatusRequestIsQueued,
				Sender: envelopes.Participant{Mnemonic: mnemonic, Name: name}, Recipient: envelopes.Participant{Mnemonic: name, Name: mnemonic}, Destination: name,
			}), signer)
		}
	})
}

// A delivery is signed as what is parsed is, whatever content it is written round, under whatever
// declarations, and whatever stands behind that.
func FuzzDeliveryForm(f *testing.F) {
	for _, content := range []string{
		`<r xmlns="u:r"/>`, `<e:r xmlns:e="u:e" b="2" a="1"><e:s>«x»</e:s> <s xmlns=""/></e:r>`, `<q:r xmlns:q="u:q" q:a="1"/>`, `<r xmlns="u:r">a &gt; b<!-- c --><![CDATA[d]]></r>`,
		`<ns2:r xmlns:ns2="u:other"><ns2:r xmlns:ns2="u:inner" Id="SIGNED_BY_SMEV"/></ns2:r>`, `<t:r/>`, `<b:r><t:r xmlns:t="u:b"/></b:r>`, "<r xmlns=\"u:r\"\n a=\"1\">\n <s>\n</s>\n</r>", `<r xmlns="u:r" v="&#x53;IGNED_BY_SMEV"/>`,
	} {
		f.Add(content, "dG9rZW4", "Росреестр", uint8(0))
		f.Add(content, "a>b & c", " ", uint8(7))
	}
	signer := busSigner(f)
	f.Fuzz(func(t *testing.T, content, replyTo, name string, how uint8) {
		v := envelopes.Versions[int(how)%len(envelopes.Versions)]
		call := []byte(`<s:E xmlns:s="u:s" xmlns:t="` + v.TypesSpace() + `" xmlns:b="` + v.BasicSpace() + `" xmlns:ns1="u:n"><t:SenderProvidedRequestData Id="I"><b:MessagePrimaryContent>` + content + `</b:MessagePrimaryContent></t:SenderProvidedRequestData>` +
			`<ds:Signature xmlns:ds="` + signing.Namespace + `"><ds:SignedInfo><ds:Reference URI="#I"/></ds:SignedInfo></ds:Signature></s:E>`)
		var tape xmltape.Tape
		if tape.Parse(call, xmltape.Limits{}) != nil {
			return
		}
		data := tape.Root().First()
		if _, err := signing.Sign(context.Background(), data, signer); err != nil {
			return // its sender could not have signed it
		}
		meta := envelopes.Metadata{MessageID: name, Type: envelopes.TypeRequest, Sent: time.UnixMilli(1), Delivered: time.UnixMilli(2), Status: v.Delivered(), Sender: envelopes.Participant{Mnemonic: name, Name: name}}
		var signature envelopes.Fragment
		if how&8 == 0 {
			signature = envelopes.FragmentOf(data.Next())
		}
		var files []envelopes.FSAttachment
		var attached []envelopes.Attachment
		if how&16 != 0 {
			files, attached = []envelopes.FSAttachment{{UUID: name, FileName: name}}, []envelopes.Attachment{{ID: name, Content: call}}
		}
		signedAsParsed(t, envelopes.BuildRequestDelivery(v, envelopes.RequestDelivery{Data: envelopes.FragmentOf(data), Metadata: meta, ReplyTo: replyTo, Signature: signature, Files: files, Attachments: attached}), signer)
		signedAsParsed(t, envelopes.BuildResponseDelivery(v, envelopes.ResponseDelivery{OriginalMessageID: name, Data: envelopes.FragmentOf(data), Metadata: meta, Signature: signature, Files: files, Attachments: attached}), signer)
	})
}
