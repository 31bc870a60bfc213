package gost

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"hash"
	"math/rand/v2"
	"strings"
	"testing"
)

// rfc6986M2 is the second example message of RFC 6986, section 10.2: a line of
// the Tale of Igor's Campaign in windows-1251.
const rfc6986M2 = "d1e520e2e5f2f0e82c20d1f2f0e8e1eee6e820e2edf3f6e82c20e2e5fef2fa20f120eceef0ff20f1f2f0e5ebe0ece820ede020f5f0e0e1f0fbff20efebfaeafb20c8e3eef0e5e2fb"

func TestStreebogVectors(t *testing.T) {
	m2 := string(unhex(t, rfc6986M2))
	for _, v := range []struct{ name, message, digest256, digest512 string }{
		{
			"RFC 6986 M1", "012345678901234567890123456789012345678901234567890123456789012",
			"9d151eefd8590b89daa6ba6cb74af9275dd051026bb149a452fd84e5e57b5500",
			"1b54d01a4af5b9d5cc3d86d68d285462b19abc2475222f35c085122be4ba1ffa00ad30f8767b3a82384c6574f024c311e2a481332b08ef7f41797891c1646f48",
		},
		{
			"RFC 6986 M2", m2,
			"9dd2fe4e90409e5da87f53976d7405b0c0cac628fc669a741d50063c557e8f50",
			"1e88e62226bfca6f9994f1f2d51569e0daf8475a3b0fe61a5300eee46d961376035fe83549ada2b8620fcd7c496ce5b33f0cb9dddc2b6460143b03dabac9fb28",
		},
		{
			"empty", "",
			"3f539a213e97c802cc229d474c6aa32a825a360b2a933a949fd925208d9ce1bb",
			"8e945da209aa869f0455928529bcae4679e9873ab707b55315f56ceb98bef0a7362f715528356ee83cda5f2aac4c6ad2ba3a715c1bcd81cb8e9f90bf4c1c1a8a",
		},
	} {
		if got := hex.EncodeToString(sum(NewStreebog256(), v.message)); got != v.digest256 {
			t.Errorf("%s: 256-bit digest %s, want %s", v.name, got, v.digest256)
		}
		if got := hex.EncodeToString(sum(NewStreebog512(), v.message)); got != v.digest512 {
			t.Errorf("%s: 512-bit digest %s, want %s", v.name, got, v.digest512)
		}
	}
}

func TestGOST94Vectors(t *testing.T) {
	for _, v := range []struct{ message, test, cryptoPro string }{
		{
			"", "ce85b99cc46752fffee35cab9a7b0278abb4c2d2055cff685af4912c49490f8d",
			"981e5f3ca30c841487830f84fb433e13ac1101569b9c13584ac483234cd656c0",
		},
		{
			"a", "d42c539e367c66e9c88a801f6649349c21871b4344c6a573f849fdce62f314dd",
			"e74c52dd282183bf37af0079c9f78055715a103f17e3133ceff1aacf2f403011",
		},
		{
			"This is message, length=32 bytes", "b1c466d37519b82e8319819ff32595e047a28cb6f83eff1c6916a815a637fffa",
			"2cefc2f7b7bdc514e18ea57fa74ff357e7fa17d652c75f69cb1be7893ede48eb",
		},
		{
			"Suppose the original message has length = 50 bytes", "471aba57a60a770d3a76130635c1fbea4ef14de51f78b4ae57dd893b62f55208",
			"c3730c5cbccacf915ac292676f21e8bd4ef75331d9405e5f1a61dc3130a65011",
		},
		{
			strings.Repeat("U", 128), "53a3a3ed25180cef0c1d85a074273e551c25660a87062a52d926a9e8fe5733a4",
			"1c4ac7614691bbf427fa2316216be8f10d92edfd37cd1027514c1008f649c4e8",
		},
		{
			strings.Repeat("a", 1000000), "5c00ccc2734cdd3332d3d4749576e3c1a7dbaf0e7ea74e9fa602413c90a129fa",
			"8693287aa62f9478f7cb312ec0866b6c4e4a0f11160441e8f4ffcd2715dd554f",
		},
	} {
		name := v.message[:min(len(v.message), 20)]
		if got := hex.EncodeToString(sum(newGOST94Test(), v.message)); got != v.test {
			t.Errorf("test substitution, %q: %s, want %s", name, got, v.test)
		}
		if got := hex.EncodeToString(sum(NewGOST94(), v.message)); got != v.cryptoPro {
			t.Errorf("CryptoPro substitution, %q: %s, want %s", name, got, v.cryptoPro)
		}
	}
}

// However a message is cut into writes, and however often the digest is asked
// for on the way, the digest is the same; and Reset makes a hash new.
func TestHashesStream(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	message := make([]byte, 1000)
	for i := range message {
		message[i] = byte(random.Uint32())
	}
	for name, newHash := range map[string]func() hash.Hash{
		"streebog256": NewStreebog256, "streebog512": NewStreebog512,
		"gost94": NewGOST94, "gost94 test": newGOST94Test,
	} {
		h := newHash()
		for length := range message {
			whole := newHash()
			whole.Write(message[:length])
			want := whole.Sum(nil)
			h.Reset()
			for rest := message[:length]; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(150))
				if written, err := h.Write(rest[:n]); written != n || err != nil {
					t.Fatalf("%s: Write of %d octets: %d, %v", name, n, written, err)
				}
				rest = rest[n:]
				h.Sum(nil)
			}
			if got := h.Sum([]byte("x")); !bytes.Equal(got, append([]byte("x"), want...)) {
				t.Fatalf("%s, %d octets: %x in pieces, %x at once", name, length, got, want)
			}
		}
		if got := len(h.Sum(nil)); got != h.Size() {
			t.Errorf("%s: digest of %d octets, Size says %d", name, got, h.Size())
		}
	}
	one := SumStreebog256(message)
	if want := sum(NewStreebog256(), string(message)); !bytes.Equal(one[:], want) {
		t.Errorf("SumStreebog256: %x, want %x", one, want)
	}
}

// The running sum of the message carries through all 512 bits.
func TestStreebogSumCarries(t *testing.T) {
	x := [8]uint64{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), 5}
	add512(&x, &[8]uint64{1})
	if want := ([8]uint64{7: 6}); x != want {
		t.Errorf("carry: %x, want %x", x, want)
	}
}

func sum(h hash.Hash, message string) []byte {
	h.Write([]byte(message))
	return h.Sum(nil)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func hexOf(octets []byte) string { return hex.EncodeToString(octets) }

// HMAC over Streebog, RFC 7836, appendix B: the package's hash.Hash keeps the
// contract that crypto/hmac relies on.
func TestHMACVectors(t *testing.T) {
	key := unhex(t, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	message := unhex(t, "0126bdb87800af214341456563780100")
	for _, v := range []struct {
		newHash func() hash.Hash
		want    string
	}{
		{NewStreebog256, "a1aa5f7de402d7b3d323f2991c8d4534013137010a83754fd0af6d7cd4922ed9"},
		{NewStreebog512, "a59bab22ecae19c65fbde6e5f4e9f5d8549d31f037f9df9b905500e171923a773d5f1530f2ed7e964cb2eedc29e9ad2f3afe93b2814f79f5000ffc0366c251e6"},
	} {
		mac := hmac.New(v.newHash, key)
		mac.Write(message)
		if got := hexOf(mac.Sum(nil)); got != v.want {
			t.Errorf("HMAC with %d octets: %s, want %s", mac.Size(), got, v.want)
		}
	}
}
