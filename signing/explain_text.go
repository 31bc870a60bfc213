package signing

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// Language is that of a text for people.
type Language string

// The languages.
const (
	English Language = "en"
	Russian Language = "ru"
)

// codeRussian says in Russian what a Code means. The English text is Error's.
var codeRussian = map[Code]string{
	NoSignature:             "подпись отсутствует",
	WrongTarget:             "подписан не тот элемент, который предписан",
	DuplicateID:             "идентификатор (Id) встречается в документе более одного раза",
	Malformed:               "структура ds:Signature не соответствует профилю СМЭВ",
	BadAlgorithm:            "алгоритм или преобразование не разрешены",
	Unsignable:              "содержимое не может быть подписано: элемент без пространства имён, атрибут xml:* или каноническая форма во много раз больше самого элемента",
	CertificateMissing:      "в подписи нет сертификата",
	CertificateMalformed:    "сертификат не читается",
	KeyUnfit:                "ключ сертификата не подходит",
	CertificateExpired:      "срок действия сертификата истёк",
	CertificateNotYetValid:  "срок действия сертификата не начался",
	CertificateUntrusted:    "нет цепочки до доверенного удостоверяющего центра",
	CertificateUnregistered: "сертификат не зарегистрирован",
	CertificateUsage:        "сертификат не предназначен для подписи",
	CertificateRevoked:      "сертификат отозван",
	RevocationUnknown:       "не удалось узнать, отозван ли сертификат",
	ValueInvalid:            "значение подписи не соответствует тому, что подписано, или сертификату",
	DigestMismatch:          "подписанное содержимое изменено",
	SignerFailed:            "ключ не создал подпись",
}

// Russian says in Russian what the code means.
func (c Code) Russian() string {
	if s, ok := codeRussian[c]; ok {
		return s
	}
	return string(c)
}

// roleNames are the roles for people, English and Russian.
var roleNames = map[Role][2]string{
	RoleCaller:   {"information system that calls", "ЭП-ОВ вызывающей информационной системы"},
	RolePersonal: {"official (personal signature)", "ЭП-СП должностного лица"},
	RoleSender:   {"information system that sent", "ЭП-ОВ отправителя"},
	RoleSMEV:     {"the bus", "ЭП-СМЭВ"},
	RoleRouting:  {"routing information", "ЭП сведений о маршрутизации"},
	RoleRecord:   {"registry record", "ЭП записи реестра"},
}

// explainWords are the words of a report, English and Russian.
var explainWords = map[string][2]string{
	"signature":   {"signature", "подпись"},
	"valid":       {"VALID", "ВЕРНА"},
	"invalid":     {"INVALID", "НЕВЕРНА"},
	"holds":       {"the signature holds", "подпись верна"},
	"place":       {"stands at", "находится"},
	"covers":      {"covers", "подписано"},
	"prescribed":  {"prescribed", "предписано"},
	"nothing":     {"nothing that is prescribed", "предписанного элемента нет"},
	"by":          {"by", "подписал"},
	"issuer":      {"issued by", "издатель"},
	"validity":    {"valid", "действителен"},
	"key":         {"key", "ключ"},
	"chain":       {"chain", "цепочка"},
	"algorithms":  {"algorithms", "алгоритмы"},
	"digest":      {"digest", "хеш"},
	"value":       {"signature value", "значение подписи"},
	"ok":          {"right", "верно"},
	"wrong":       {"WRONG", "НЕВЕРНО"},
	"stated":      {"stated", "указан"},
	"computed":    {"computed", "вычислен"},
	"form":        {"writer form", "форма записи"},
	"reason":      {"reason", "причина"},
	"deviation":   {"what the sender did", "что сделал отправитель"},
	"difference":  {"first difference at byte", "первое различие в байте"},
	"expected":    {"by the profile", "по профилю"},
	"signed":      {"as signed", "подписано"},
	"unknown":     {"no known deviation gives this digest or value: the content was changed after signing, or signed by rules that are not known here", "ни одно известное отклонение не даёт такого результата: содержимое изменено после подписания либо подписано по неизвестным правилам"},
	"canonical":   {"canonical octets", "каноническая форма"},
	"transformed": {"transformed octets (these are digested)", "результат преобразования (по нему вычисляется хеш)"},
	"info":        {"canonical SignedInfo (this is signed)", "каноническая форма SignedInfo (она подписана)"},
	"none":        {"no signatures found", "подписи не найдены"},
}

// WriteExplanations writes a report for people. With octets the canonical and
// transformed octets follow each signature, control characters escaped: content
// of the document, which may be personal data.
func WriteExplanations(w io.Writer, list []Explanation, lang Language, octets bool) error {
	var b bytes.Buffer
	r := explainReport{&b, 0}
	if lang == Russian {
		r.lang = 1
	}
	if len(list) == 0 {
		fmt.Fprintln(&b, r.word("none"))
	}
	for i := range list {
		if i > 0 {
			b.WriteByte('\n')
		}
		r.one(i+1, &list[i], octets)
	}
	_, err := w.Write(b.Bytes())
	return err
}

type explainReport struct {
	b    *bytes.Buffer
	lang int
}

func (r explainReport) word(k string) string { return explainWords[k][r.lang] }

func (r explainReport) line(key, format string, args ...any) {
	fmt.Fprintf(r.b, "  %s: %s\n", r.word(key), printable(fmt.Sprintf(format, args...)))
}

// Why is the reason of the verdict.
func (x *Explanation) Why(lang Language) string {
	switch {
	case x.Verdict == "valid" && lang == Russian:
		return explainWords["holds"][1]
	case x.Verdict == "valid":
		return explainWords["holds"][0]
	case lang != Russian:
		return x.Reason
	case x.russian != "":
		return x.Code.Russian() + ": " + x.russian
	case x.Reason != "":
		return x.Code.Russian() + " (" + x.Reason + ")"
	}
	return x.Code.Russian()
}

// Whose says whose signature the protocol has at its place; empty: nobody's.
func (x *Explanation) Whose(lang Language) string {
	names := roleNames[x.Role]
	if lang == Russian {
		return names[1]
	}
	return names[0]
}

func (r explainReport) language() Language {
	if r.lang == 1 {
		return Russian
	}
	return English
}

func (r explainReport) one(n int, x *Explanation, octets bool) {
	fmt.Fprintf(r.b, "%s %d: %s", r.word("signature"), n, r.word(x.Verdict))
	if names, ok := roleNames[x.Role]; ok {
		fmt.Fprintf(r.b, " (%s)", names[r.lang])
	}
	r.b.WriteByte('\n')
	r.line("reason", "%s", x.Why(r.language()))
	r.line("place", "%s", x.Place)
	covers := x.SignedElement
	if covers == "" {
		covers = r.word("nothing")
	}
	r.line("covers", "%s", covers)
	if x.Prescribed != "" {
		r.line("prescribed", "%s", x.Prescribed)
	}
	if c := x.Certificate; c != nil {
		r.line("by", "%s", c.Subject)
		r.line("issuer", "%s", c.Issuer)
		r.line("validity", "%s – %s", c.NotBefore.UTC().Format(time.DateTime), c.NotAfter.UTC().Format(time.DateTime))
		r.line("key", "%s; SHA-256 %s", c.Key, c.SHA256)
	}
	for i, c := range x.Chain {
		r.line("chain", "%d %s", i, c.Subject)
	}
	if a := x.Algorithms; a.Signature != "" {
		r.line("algorithms", "%s; %s; %s", Algorithm(a.Signature), Digest(a.Digest), strings.Join(a.Transforms, " → "))
	}
	if x.ExpectedDigest != "" {
		r.line("digest", "%s; %s %s; %s %s", r.rightOrWrong(x.DigestOK), r.word("stated"), x.ExpectedDigest, r.word("computed"), x.ActualDigest)
		r.line("value", "%s", r.rightOrWrong(x.SignatureValueOK))
	}
	if x.WriterForm != "" {
		r.line("form", "%s", x.WriterForm)
	}
	for _, d := range x.Deviations {
		text := d.English
		if r.lang == 1 {
			text = d.Russian
		}
		r.line("deviation", "%s [%s]", text, d.Name)
		if d.Signed != "" {
			r.line("difference", "%d", d.Offset)
			r.line("expected", "%s", d.Expected)
			r.line("signed", "%s", d.Signed)
		}
	}
	if len(x.Deviations) == 0 && (x.Code == DigestMismatch || x.Code == ValueInvalid) {
		fmt.Fprintf(r.b, "  %s\n", r.word("unknown"))
	}
	if octets {
		r.octets("canonical", x.Canonical)
		r.octets("transformed", x.Transformed)
		r.octets("info", x.SignedInfo)
	}
}

func (r explainReport) octets(key string, b []byte) {
	if b != nil {
		fmt.Fprintf(r.b, "  %s, %d:\n%s\n", r.word(key), len(b), printable(string(b)))
	}
}

func (r explainReport) rightOrWrong(ok bool) string {
	if ok {
		return r.word("ok")
	}
	return r.word("wrong")
}

// printable escapes what could do something to a terminal or mislead its reader:
// control characters other than line feed and tab, and the marks that turn the
// direction of text.
func printable(s string) string {
	clean := true
	for _, c := range s {
		clean = clean && !hidden(c)
	}
	if clean {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		if hidden(c) {
			fmt.Fprintf(&b, `\u%04x`, c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

func hidden(c rune) bool {
	return c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 || c == 0x200e || c == 0x200f || c == 0xfeff
}
