package signing

import (
	"bytes"
	"encoding/base64"
	"math/big"
	"regexp"
	"testing"
)

// A mark is the same for whatever somebody without the key can make of a
// signature, and another one for the next act of signing where that is random.
func TestMark(t *testing.T) {
	for _, kind := range keyTypes {
		t.Run(string(kind), func(t *testing.T) {
			mark := func(doc string) [32]byte {
				t.Helper()
				sig, target := caller(parse(t, doc))
				signed, err := verifier(t, Options{}).Verify(sig, target)
				if err != nil {
					t.Fatal(err)
				}
				return signed.Mark()
			}
			s := signer(t, kind)
			doc := signedRequest(t, sampleContent, s)
			first := mark(doc)
			value := regexp.MustCompile(`SignatureValue>([^<]+)<`).FindStringSubmatchIndex(doc)
			with := func(text string) string { return doc[:value[2]] + text + doc[value[3]:] }
			if got := mark(with("\n" + doc[value[2]:value[3]] + "\n")); got != first {
				t.Error("base64 that is wrapped otherwise has another mark")
			}
			raw, err := base64.StdEncoding.DecodeString(doc[value[2]:value[3]])
			if err != nil {
				t.Fatal(err)
			}
			if key, ok := s.Certificate().key.(*ecdsaPublicKey); ok {
				half := len(raw) / 2
				n := new(big.Int).SetBytes(raw[half:])
				other := bytes.Clone(raw)
				n.Sub(key.k.Curve.Params().N, n).FillBytes(other[half:])
				if got := mark(with(base64.StdEncoding.EncodeToString(other))); got != first {
					t.Error("the other value that the signature has bears another mark")
				}
			}
			again := mark(signedRequest(t, sampleContent, s))
			if random := kind != KeyRSA2048; (again == first) == random {
				t.Errorf("signed again: the same mark is %v", again == first)
			}
			if mark(signedRequest(t, `<q:Request xmlns:q="urn://mezhved/egrn/1.0"/>`, s)) == first {
				t.Error("two documents have one mark")
			}
		})
	}
}
