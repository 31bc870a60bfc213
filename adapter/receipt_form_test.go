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

// What a receipt says that its signature digests is what the transform makes of it, whatever
// stands in it; and of an ordinary one it says so, in every version.
func FuzzReceiptOctets(f *testing.F) {
	f.Add("", "MUNI", "ООО «Ромашка»", "0b7f2a3e-1111-11ee-8000-0123456789ab")
	f.Add("I1", "MUNI", "a & b", "")
	for _, name := range []string{"", " ", "\n", " a", "a ", "a\nb", "a\tb ", "\r", "a\rb", "a>b", "]]>", "a<b", `"'`, "\x7f", "\u0085", "\u009fб", "\u00a0", "\u00c2", "\ufffe", "\xff", "\x01", "ns2:", "<ns2:a/>", "\u2028"} {
		f.Add("", name, "MUNI", "m")
		f.Add("A", "MUNI", name, "m")
		f.Add("b", "", "", name)
	}
	f.Fuzz(func(t *testing.T, id, mnemonic, name, message string) {
		for _, v := range envelopes.Versions {
			for _, op := range []envelopes.Operation{envelopes.SendRequest, envelopes.SendResponse} {
				d := envelopes.BuildReceipt(v, op, envelopes.Metadata{
					ID: id, MessageID: message, Type: envelopes.TypeRequest, Sent: time.UnixMilli(1), Status: envelopes.StatusRequestIsQueued,
					Sender: envelopes.Participant{Mnemonic: mnemonic, Name: name}, Recipient: envelopes.Participant{Mnemonic: name, Name: mnemonic}, Destination: name,
				})
				var tape xmltape.Tape
				if err := tape.Parse(d.XML, xmltape.Widest); err != nil {
					t.Fatal(err)
				}
				element := tape.Root().First().First().First()
				var want bytes.Buffer
				if err := signing.Transform(&want, element, signing.Woodstox); err != nil {
					t.Fatal(err)
				}
				if d.Octets != nil && !bytes.Equal(d.Octets, want.Bytes()) {
					t.Errorf("%s: octets\n%q, want\n%q", v, d.Octets, want.Bytes())
				}
				d.Release()
			}
		}
	})
}

// A receipt is signed over its octets as it is over what is parsed.
func TestReceiptOctets(t *testing.T) {
	t.Parallel()
	ca, err := signing.NewTestCA("Root of the tests", signing.KeyRSA2048, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	of, err := ca.Issue(signing.TestSubject{CommonName: "Bus", Key: signing.KeyRSA2048}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := of.Signer()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range envelopes.Versions {
		d := envelopes.BuildReceipt(v, envelopes.SendRequest, envelopes.Metadata{
			MessageID: "0b7f2a3e-1111-11ee-8000-0123456789ab", Type: envelopes.TypeRequest, Sent: time.Now(), Status: envelopes.StatusRequestIsQueued,
			Sender: envelopes.Participant{Mnemonic: "MUNI", Name: "Муниципалитет «Центр»"}, Recipient: envelopes.Participant{Mnemonic: "REG", Name: "Росреестр, 2-й отдел"},
		})
		if d.Octets == nil {
			t.Errorf("%s: an ordinary receipt does not say what its signature digests", v)
			continue
		}
		want, err := signing.AppendSigned(context.Background(), []byte("before"), d.XML, d.SignID, d.Slot, signer)
		if err != nil {
			t.Fatal(err)
		}
		got, err := signing.AppendSignedOctets(context.Background(), []byte("before"), d.XML, d.Octets, d.SignID, d.Slot, signer)
		if err != nil || !bytes.Equal(got, want) { // RSA signs the same each time
			t.Errorf("%s: signed over its octets (%v)\n%s, want\n%s", v, err, got, want)
		}
	}
}
