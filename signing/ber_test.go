package signing

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"strings"
	"testing"
)

func TestDefinite(t *testing.T) {
	for in, want := range map[string]string{
		"0500":                        "0500",
		"30800000":                    "3000",
		"308005000000":                "30020500",
		"308002010004000000":          "30050201000400",
		"3007308002010100000500":      "", // the outer length ends before the inner value does
		"3007308002010100" + "00":     "30053003020101",
		"30803080020101" + "00000000": "30053003020101",
		"3003020101":                  "3003020101",
		"308103020101":                "308103020101", // what has no such length inside stays
		"0480" + "0000":               "",
		"30800500":                    "",
		"3080":                        "",
		"308000":                      "",
		"30":                          "",
		"":                            "",
		"1f810000":                    "",
		"30840000000100":              "",
		"3082":                        "",
		"3005020101":                  "",
		"050000":                      "",
		strings.Repeat("3080", 32) + strings.Repeat("0000", 32): "3e",
		strings.Repeat("3080", 34) + strings.Repeat("0000", 34): "",
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := definite(b)
		switch have := hex.EncodeToString(got); {
		case want == "" && err == nil:
			t.Errorf("%s became %s, it should be refused", in, have)
		case want == "3e": // nested as deep as is allowed
			if err != nil {
				t.Error(err)
			}
		case want != "" && (err != nil || have != want):
			t.Errorf("%s became %s, %v; want %s", in, have, err, want)
		}
	}
	for _, n := range []int{0, 127, 128, 255, 256, 65535, 65536} {
		value, err := asn1.Marshal(make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		want, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: value})
		if err != nil {
			t.Fatal(err)
		}
		got, err := definite(append(append([]byte{0x30, 0x80}, value...), 0, 0))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d octets: %.20x, %v; want %.20x", n, got, err, want)
		}
	}
}
