package signing

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/unicode/norm"

	"mezhved/envelopes/xmltape"
)

// maxSearch is the size of content up to which pairs of deviations are tried.
const maxSearch = 1 << 20

// maxOthers is how many other elements are tried for the one that was signed.
const maxOthers = 100

// searchDigest looks for octets that a sender may have digested instead.
func (x *Explanation) searchDigest(st *structure, target xmltape.Node) {
	right := x.Transformed
	try := func(name, en, ru string, octets []byte) bool {
		if octets == nil || !bytes.Equal(digestOf(st.digest, octets), st.wantDigest) {
			return false
		}
		x.deviate(name, en, ru, right, octets)
		return true
	}
	for i, a := range deviations {
		var d deviant
		a.apply(&d)
		if try(a.name, a.en, a.ru, d.octets(target)) {
			return
		}
		if len(right) > maxSearch {
			continue
		}
		for _, b := range deviations[:i] {
			pair := d
			b.apply(&pair)
			if pair != d && try(b.name+"+"+a.name, b.en+"; "+a.en, b.ru+"; "+a.ru, pair.octets(target)) {
				return
			}
		}
	}
	if try("transform-missing", "only exclusive canonicalisation was done; the SMEV transform is missing", "выполнена только каноникализация, преобразование СМЭВ не применено", x.Canonical) ||
		try("inclusive-c14n", "inclusive canonicalisation was digested", "хеш вычислен по инклюзивной каноникализации", canonicalOctets(target, Inclusive10)) ||
		try("bytes-as-sent", "the element was digested as it was written, without canonicalisation", "хеш вычислен по тексту элемента без каноникализации", target.Bytes()) {
		return
	}
	for _, e := range reencodings {
		if try(e.name, e.en, e.ru, e.encode(right)) {
			return
		}
	}
	x.searchDigestValue(st, target)
}

// searchDigestValue looks for a right digest that was written wrongly, or a right
// digest of something else.
func (x *Explanation) searchDigestValue(st *structure, target xmltape.Node) {
	got := digestOf(st.digest, x.Transformed)
	reversed := slices.Clone(st.wantDigest)
	slices.Reverse(reversed)
	if bytes.Equal(got, reversed) {
		x.deviate("digest-reversed", "the octets of the digest are in reverse order", "байты хеша записаны в обратном порядке", nil, nil)
		return
	}
	parent, tried := target.Parent(), 0
	for n, round := range target.Tape().Elements() {
		within := len(round) > 0 && round[len(round)-1] == target
		if _, ok := n.Attr("", "Id"); !ok && !within && n != parent {
			continue
		}
		if tried++; tried > maxOthers {
			return
		}
		var b bytes.Buffer
		out := boundFor(&b, n, explainedGrowth)
		if Transform(&out, n, Woodstox) == nil && bytes.Equal(digestOf(st.digest, b.Bytes()), st.wantDigest) {
			x.deviate("another-element", "the digest is that of "+n.XPath(), "хеш вычислен по элементу "+n.XPath(), nil, nil)
			return
		}
	}
}

// searchValue looks for a SignedInfo that the sender may have signed instead, or
// for another form of the value.
func (x *Explanation) searchValue(st *structure, cert *Certificate, info []byte, holds func(octets, value []byte) bool) {
	k := digestByURI(string(st.method.digest))
	sum := digestOf(k, info)
	if derValue(cert.key, sum, st.value) {
		x.deviate("value-der", "the ECDSA value is a DER sequence; XMLDSig has r and s one after the other", "значение ЭП ECDSA записано в DER вместо r||s", nil, nil)
		return
	}
	if p, ok := cert.key.(*gostPublicKey); ok {
		if d := p.otherForm(sum, st.value); d != nil {
			x.deviate(d.Name, d.English, d.Russian, nil, nil)
			return
		}
	}
	if _, ok := cert.key.(*ecdsaPublicKey); ok {
		if wide := paddedECDSA(cert.key.(*ecdsaPublicKey), st.value); wide != nil && holds(info, wide) {
			x.deviate("value-width", "r and s are not at the full width of the curve", "r и s записаны не на полную ширину кривой", nil, nil)
			return
		}
	}
	try := func(name, en, ru string, octets []byte) bool {
		if octets == nil || !holds(octets, st.value) {
			return false
		}
		x.deviate(name, en, ru, info, octets)
		return true
	}
	for _, c := range signedInfoVariants(st.signedInfo, info) {
		if try(c.name, c.en, c.ru, c.octets) {
			return
		}
	}
	for _, e := range reencodings {
		if try(e.name, e.en, e.ru, e.encode(info)) {
			return
		}
	}
}

// variant is one guess at what was signed.
type variant struct {
	name, en, ru string
	octets       []byte
}

// signedInfoVariants are the forms in which a SignedInfo may have been when it
// was signed.
func signedInfoVariants(n xmltape.Node, info []byte) []variant {
	compact := dropBlank(info)
	crlf := bytes.ReplaceAll(info, []byte("\n"), []byte("&#xD;\n"))
	noCR := bytes.ReplaceAll(info, []byte("&#xD;"), nil)
	return []variant{
		{"pretty-printed-after-signing", "white space was put between the elements of SignedInfo after signing", "после подписания в SignedInfo добавлены пробелы и переводы строк", compact},
		{"base64-rewrapped", "the base64 of DigestValue was wrapped or unwrapped after signing", "после подписания изменена разбивка base64 в DigestValue на строки", unwrapDigest(compact)},
		{"base64-crlf", "base64 was wrapped with CR LF when it was signed", "при подписании base64 был разбит на строки через CR LF", crlf},
		{"base64-crlf", "base64 has carriage returns that it did not have when it was signed", "в base64 появились символы CR, которых не было при подписании", noCR},
		{"base64-wrapped-76", "the base64 of DigestValue was wrapped at 76 characters when it was signed", "при подписании base64 в DigestValue был разбит по 76 символов", wrapDigest(compact)},
		{"signedinfo-inclusive-c14n", "SignedInfo was canonicalised inclusively, though it names exclusive canonicalisation", "SignedInfo каноникализован инклюзивно, хотя указан эксклюзивный метод", canonicalOctets(n, Inclusive10)},
		{"signedinfo-as-sent", "SignedInfo was signed as it was written, without canonicalisation", "SignedInfo подписан без каноникализации", n.Bytes()},
		{"signedinfo-other-prefix", "SignedInfo had another prefix when it was signed", "при подписании у SignedInfo был другой префикс", changePrefix(n, compact, "ds")},
		{"signedinfo-other-prefix", "SignedInfo had no prefix when it was signed", "при подписании у SignedInfo не было префикса", changePrefix(n, compact, "")},
		{"signedinfo-other-prefix", "SignedInfo had the prefix dsig when it was signed", "при подписании у SignedInfo был префикс dsig", changePrefix(n, compact, "dsig")},
		{"signedinfo-transformed", "the SMEV transform was applied to SignedInfo too", "преобразование СМЭВ применено и к SignedInfo", deviant{}.octets(n)},
	}
}

// dropBlank removes white space between tags of canonical octets.
func dropBlank(info []byte) []byte {
	var out []byte
	for i := 0; i < len(info); {
		if info[i] == '>' {
			j := i + 1
			for j < len(info) && (info[j] == ' ' || info[j] == '\t' || info[j] == '\n') {
				j++
			}
			if j < len(info) && info[j] == '<' {
				out = append(out, '>')
				i = j
				continue
			}
		}
		out = append(out, info[i])
		i++
	}
	return out
}

// digestText finds the text of DigestValue in canonical octets.
func digestText(info []byte) (from, to int, ok bool) {
	tag := bytes.Index(info, []byte("DigestValue"))
	if tag < 0 {
		return 0, 0, false
	}
	from = tag + bytes.IndexByte(info[tag:], '>') + 1
	end := bytes.IndexByte(info[from:], '<')
	return from, from + end, end >= 0
}

func unwrapDigest(info []byte) []byte {
	from, to, ok := digestText(info)
	if !ok {
		return nil
	}
	text := strings.Join(strings.Fields(strings.ReplaceAll(string(info[from:to]), "&#xD;", "")), "")
	return slices.Concat(info[:from], []byte(text), info[to:])
}

func wrapDigest(info []byte) []byte {
	info = unwrapDigest(info)
	from, to, ok := digestText(info)
	if !ok || to-from <= 76 {
		return nil
	}
	return slices.Concat(info[:from+76], []byte("\n"), info[from+76:])
}

// changePrefix writes canonical SignedInfo under another prefix.
func changePrefix(n xmltape.Node, info []byte, prefix string) []byte {
	was, _ := n.Tape().QName(n.Token())
	name := func(p string) string {
		if p == "" {
			return ""
		}
		return p + ":"
	}
	decl := func(p string) string {
		if p == "" {
			return ` xmlns="`
		}
		return ` xmlns:` + p + `="`
	}
	old := string(was)
	out := strings.NewReplacer("</"+name(old), "</"+name(prefix), "<"+name(old), "<"+name(prefix), decl(old), decl(prefix)).Replace(string(info))
	if old == "" { // "</" is no element without prefix
		out = strings.ReplaceAll(out, "<"+name(prefix)+"/", "</"+name(prefix))
	}
	return []byte(out)
}

// paddedECDSA widens halves that are too narrow; nil when that cannot be it.
func paddedECDSA(p *ecdsaPublicKey, value []byte) []byte {
	n := (p.k.Curve.Params().BitSize + 7) / 8
	if len(value) == 2*n || len(value)%2 != 0 || len(value) == 0 {
		return nil
	}
	half := len(value) / 2
	r, s := trimZeros(value[:half]), trimZeros(value[half:])
	if len(r) > n || len(s) > n {
		return nil
	}
	out := make([]byte, 2*n)
	copy(out[n-len(r):], r)
	copy(out[2*n-len(s):], s)
	return out
}

// reencodings are the octets in another encoding or after a rewriting on the way.
var reencodings = []struct {
	name, en, ru string
	encode       func([]byte) []byte
}{
	{"encoded-windows-1251", "the octets were digested in windows-1251", "хеш вычислен в кодировке windows-1251", func(b []byte) []byte {
		out := in(charmap.Windows1251)(b)
		if utf8.Valid(out) {
			return nil // that is encoded-twice
		}
		return out
	}},
	{"encoded-utf-16", "the octets were digested in UTF-16", "хеш вычислен в кодировке UTF-16", in(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM))},
	{"encoded-utf-16", "the octets were digested in UTF-16 (big-endian)", "хеш вычислен в кодировке UTF-16 (big-endian)", in(unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM))},
	{"encoded-bom", "the octets were digested with a byte order mark", "хеш вычислен вместе с меткой порядка байтов", func(b []byte) []byte { return append([]byte("\xef\xbb\xbf"), b...) }},
	{"encoded-twice", "the document was read as windows-1251 and written as UTF-8 again after signing", "после подписания документ прочитан как windows-1251 и снова записан в UTF-8", in(charmap.Windows1251)},
	{"unicode-composed", "characters were in composed form (NFC) when they were signed", "при подписании символы были в форме NFC", norm.NFC.Bytes},
	{"unicode-decomposed", "characters were in decomposed form (NFD) when they were signed", "при подписании символы были в форме NFD", norm.NFD.Bytes},
	{"line-ends-rewritten", "lines ended with CR LF when they were signed", "при подписании строки оканчивались CR LF", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("&#xd;\n")) }},
	{"line-ends-rewritten", "lines ended with LF alone when they were signed", "при подписании строки оканчивались только LF", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("&#xd;"), nil) }},
	{"line-ends-rewritten", "the octets were digested with CR LF", "хеш вычислен с переводами строк CR LF", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) }},
	{"declaration-included", "an XML declaration was digested with the octets", "хеш вычислен вместе с XML-декларацией", func(b []byte) []byte { return append([]byte(`<?xml version="1.0" encoding="UTF-8"?>`), b...) }},
	{"declaration-included", "an XML declaration and a line feed were digested with the octets", "хеш вычислен вместе с XML-декларацией и переводом строки", func(b []byte) []byte {
		return append([]byte(`<?xml version="1.0" encoding="UTF-8"?>`+"\n"), b...)
	}},
	{"line-feed-included", "a line feed at the end was digested with the octets", "хеш вычислен вместе с переводом строки в конце", func(b []byte) []byte { return append(slices.Clone(b), '\n') }},
}

// in encodes octets that are UTF-8; nil when they cannot be, or come out the same.
func in(e encoding.Encoding) func([]byte) []byte {
	return func(b []byte) []byte {
		out, err := e.NewEncoder().Bytes(b)
		if err != nil || bytes.Equal(out, b) {
			return nil
		}
		return out
	}
}
