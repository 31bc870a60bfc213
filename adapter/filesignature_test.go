package adapter_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
	"mezhved/signing"
	"mezhved/signing/tsatest"
)

func signFile(t *testing.T, content []byte, by signing.Signer) []byte {
	t.Helper()
	der, err := signing.SignCMS(context.Background(), signing.Octets{Bytes: content}, by, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A file's own signature, of the system or of an official, is verified where it
// stands and delivered as it came.
func TestFileSignature(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithFiles())
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	official := w.Party("STRANGER").Signer // no party is registered with it
	plan := []byte("план участка")
	for name, by := range map[string]signing.Signer{"the system": muni.Signer, "an official": official} {
		signature := signFile(t, plan, by)
		ref := w.Bring("план.pdf", plan)
		ref.PKCS7 = signature
		for _, r := range []adaptertest.Request{
			{Content: adaptertest.Content(adaptertest.Sealed), Files: map[string][]byte{"план.pdf": plan}, PKCS7: map[string][]byte{"план.pdf": signature}},
			{Content: adaptertest.Content(adaptertest.Sealed), Stored: []envelopes.AttachmentReference{ref}},
		} {
			sent := accepted(t, muni.Send(r))
			got := registry.Await(envelopes.GetRequest, "").Message
			var delivered []byte
			if len(got.Request.Headers) == 1 {
				delivered = got.Request.Headers[0].PKCS7
			} else if len(got.Request.References) == 1 {
				delivered = got.Request.References[0].PKCS7
			}
			if string(delivered) != string(signature) {
				t.Errorf("signed by %s: another signature is delivered", name)
			}
			accepted(t, registry.Ack(sent.Receipt.MessageID))
		}
	}
	w.Check()
}

// A key that signs over a digest that the store does not keep has its file read.
func TestFileSignatureOverAnotherDigest(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t, adaptertest.WithFiles())
	id, err := signing.SelfSigned(signing.TestSubject{CommonName: "Official", Key: signing.KeyECDSA384}, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	by, err := signing.NewSigner(id.Key, id.Certificate, signing.ECDSASHA512)
	if err != nil {
		t.Fatal(err)
	}
	plan := []byte(strings.Repeat("план участка ", 100_000))
	ref := w.Bring("план.pdf", plan)
	ref.PKCS7 = signFile(t, plan, by)
	accepted(t, w.Party("MUNI").Send(withFile(ref)))
	ref = w.Bring("план.pdf", plan)
	ref.PKCS7 = signFile(t, plan[1:], by)
	a := w.Party("MUNI").Send(withFile(ref))
	if a.Fault == nil || !strings.Contains(a.Fault.Text, "ЭП вложения план.pdf (PKCS#7) не соответствует подписанным данным") {
		t.Errorf("a signature over other octets: %v", a.Fault)
	}
	w.Check()
}

// What is wrong with a file's signature is said with the slip that explains it.
func TestRefusedFileSignatures(t *testing.T) {
	t.Parallel()
	w := adaptertest.Start(t)
	muni, registry := w.Party("MUNI"), w.Party("REGISTRY")
	plan := []byte("план\nучастка\n")
	request := func(ns string, signature []byte) adaptertest.Request {
		r := adaptertest.Request{Content: adaptertest.Content(ns), Files: map[string][]byte{"plan": plan}}
		if signature != nil {
			r.PKCS7 = map[string][]byte{"plan": signature}
		}
		return r
	}
	for want, r := range map[string]adaptertest.Request{
		"У вложения plan нет ЭП (PKCS#7), для этого вида сведений она обязательна":                                                             request(adaptertest.Sealed, nil),
		"ЭП вложения plan (PKCS#7) построена неверно: это не подпись PKCS#7: нарушена структура ASN.1":                                         request(adaptertest.Extract1, []byte("подпись")),
		"ЭП вложения plan (PKCS#7) не соответствует подписанным данным: данные изменены после подписания: файл подписан с концами строк CR LF": request(adaptertest.Extract1, signFile(t, []byte("план\r\nучастка\r\n"), muni.Signer)),
		"ЭП вложения plan (PKCS#7) не соответствует подписанным данным: данные изменены после подписания":                                      request(adaptertest.Extract1, signFile(t, []byte("другой план"), muni.Signer)),
		"ЭП вложения plan (PKCS#7) не соответствует подписанным данным: значение подписи неверно: подписано само содержимое, а не атрибуты":    request(adaptertest.Extract1, signFile(t, plan, contentSigner{muni.Signer, plan})),
	} {
		a := muni.Send(r)
		if a.Fault == nil || a.Fault.Kind != envelopes.SignatureVerificationFault || a.Fault.Text != want {
			t.Errorf("%v, want %s", a.Fault, want)
		}
	}
	// An answer is held to the same.
	_, got := w.Exchange("MUNI", "REGISTRY", adaptertest.Extract1)
	a := registry.Reply(got.Message.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1), Files: map[string][]byte{"plan": plan}, PKCS7: map[string][]byte{"plan": signFile(t, nil, registry.Signer)}})
	if a.Fault == nil || !strings.Contains(a.Fault.Text, "подписан пустой файл") {
		t.Errorf("an answer with a signature over nothing: %v", a.Fault)
	}
	w.Check()
}

// contentSigner signs a content whatever it is asked to sign.
type contentSigner struct {
	signing.Signer
	content []byte
}

func (s contentSigner) Sign(ctx context.Context, _ []byte) ([]byte, error) {
	return s.Signer.Sign(ctx, s.content)
}

// The time stamp of a file's signature is not asked for; the entry says that it was
// there, and whether it proves anything.
func TestTimeOfAFileSignature(t *testing.T) {
	t.Parallel()
	w, tsa := adaptertest.Start(t), tsatest.New(t)
	plan := []byte("план участка")
	bes := signFile(t, plan, w.Party("MUNI").Signer)
	for rule, signature := range map[string][]byte{
		"":                        bes,
		"file-timestamp":          tsatest.WithTimestamps(t, bes, tsa.Stamp(tsatest.Value(t, bes))),
		"file-timestamp-unproved": tsatest.WithTimestamps(t, bes, tsa.Stamp(plan)),
	} {
		sent := accepted(t, w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Sealed),
			Files: map[string][]byte{"план.pdf": plan}, PKCS7: map[string][]byte{"план.pdf": signature}}))
		events, err := w.Store.Trace(context.Background(), sent.Receipt.MessageID)
		if err != nil {
			t.Fatal(err)
		}
		if events[0].Kind != journal.KindAccepted || events[0].Rule != rule {
			t.Errorf("the journal says %+v, want accepted with rule %q", events, rule)
		}
	}
	w.Check()
}
