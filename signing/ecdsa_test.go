package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"testing"
)

// A key that is seen again has a table, and verifies the same with it; the wrong
// signatures of a stranger bring none, and of too many keys an arbitrary one goes
// without.
func TestKeysThatAreSeenAgainHaveTables(t *testing.T) {
	defer func(kept *tables) { keptTables = kept }(keptTables)
	keptTables = &tables{limit: 2, of: map[*ecdsaPublicKey]struct{}{}}
	sum := make([]byte, 32)
	sum[0] = 1
	use := func(p *ecdsaPublicKey, value []byte, times int) {
		t.Helper()
		for range times {
			if !p.verify(nil, sum, value) {
				t.Fatal("a signature does not hold")
			}
		}
	}
	var keys []*ecdsaPublicKey
	var values [][]byte
	for range 3 {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := ecdsa.SignASN1(rand.Reader, private, sum)
		if err != nil {
			t.Fatal(err)
		}
		value, err := ecdsaValue(elliptic.P256(), der)
		if err != nil {
			t.Fatal(err)
		}
		keys, values = append(keys, &ecdsaPublicKey{k: &private.PublicKey}), append(values, value)
	}
	wrong := append([]byte(nil), values[0]...)
	wrong[40] ^= 1
	for range 2 * ecdsaTableAfter {
		if keys[0].verify(nil, sum, wrong) {
			t.Fatal("a wrong signature holds")
		}
	}
	if keys[0].fast.Load() != nil {
		t.Error("wrong signatures have made a table")
	}
	with := func() (n int) {
		for _, k := range keys {
			if k.fast.Load() != nil {
				n++
			}
		}
		return n
	}
	for i, k := range keys {
		use(k, values[i], ecdsaTableAfter)
		if k.fast.Load() == nil {
			t.Errorf("key %d has no table after %d signatures", i, ecdsaTableAfter)
		}
		use(k, values[i], 3)
		if got, want := with(), min(i+1, 2); got != want {
			t.Errorf("%d keys have tables, want %d", got, want)
		}
		if k.verify(nil, make([]byte, 32), values[i]) {
			t.Error("with its table a signature holds over another digest")
		}
	}
	for i, k := range keys { // who lost his table gets one again
		use(k, values[i], ecdsaTableAfter+1)
		if k.fast.Load() == nil {
			t.Errorf("key %d has no table again", i)
		}
	}
}

// A repeatable signature has the nonce of RFC 6979: its example (A.2.5, SHA-256, "sample").
// Others are never the same.
func TestRepeatable(t *testing.T) {
	number := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), number("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"))
	if err != nil {
		t.Fatal(err)
	}
	random := &softSigner{key: key, method: methodByURI(string(ECDSASHA256))}
	sign := func(s Signer) []byte {
		value, err := s.Sign(t.Context(), []byte("sample"))
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	want := number("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" + "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8")
	if got := sign(Repeatable(random)); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	if first := sign(random); bytes.Equal(first, sign(random)) || bytes.Equal(first, want) {
		t.Error("a random signature came twice")
	}
	if far := (Signer)(NewRotatingSigner(random)); Repeatable(far) != far {
		t.Error("a signer of another kind has become another")
	}
}
