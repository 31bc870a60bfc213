package signing

import (
	"encoding/asn1"
	"fmt"
	"strings"
)

// keywords of RFC 1779, as java.security writes them; other types are written OID.1.2.3.
var keywords = map[string]string{
	"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.9": "STREET",
}

// rfc1779 writes a DER Name as X500Principal.getName("RFC1779") does. A name that
// is not DER gives an empty string.
func rfc1779(der []byte) string {
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	type set []attribute
	var rdns []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &rdns); err != nil || len(rest) > 0 {
		return ""
	}
	parts := make([]string, 0, len(rdns))
	for i := len(rdns) - 1; i >= 0; i-- {
		var attrs set
		if _, err := asn1.UnmarshalWithParams(rdns[i].FullBytes, &attrs, "set"); err != nil {
			return ""
		}
		var rdn []string
		for _, a := range attrs {
			name, known := keywords[a.Type.String()]
			if !known {
				name = "OID." + a.Type.String()
			}
			rdn = append(rdn, name+"="+nameValue(a.Value))
		}
		parts = append(parts, strings.Join(rdn, " + "))
	}
	return strings.Join(parts, ", ")
}

// nameValue writes an attribute value, quoted where RFC 1779 wants it; a value
// that is no string is written #hex of its DER.
func nameValue(v asn1.RawValue) string {
	var s string
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString:
		s = strings.ToValidUTF8(string(v.Bytes), "\uFFFD")
	case asn1.TagT61String:
		r := make([]rune, len(v.Bytes))
		for i, c := range v.Bytes {
			r[i] = rune(c)
		}
		s = string(r)
	case asn1.TagBMPString:
		if _, err := asn1.Unmarshal(v.FullBytes, &s); err != nil {
			return fmt.Sprintf("#%x", v.FullBytes)
		}
	default:
		return fmt.Sprintf("#%x", v.FullBytes)
	}
	quote := s == "" || strings.ContainsAny(s, ",+=\"\n<>#;\\") || s[0] == ' ' || s[len(s)-1] == ' ' || strings.Contains(s, "  ")
	if !quote {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
