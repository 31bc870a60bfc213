package signing

import "fmt"

// inRussian has every sentence about a place in a document in Russian, by its
// English form; both take the same arguments. The gateway's fault quotes them.
var inRussian = map[string]string{
	"the element holds no single ds:Signature":                                            "в элементе нет единственной ds:Signature",
	"signature algorithm %s is not allowed":                                               "алгоритм подписи %s не разрешён",
	"digest algorithm %s is not allowed":                                                  "алгоритм хеша %s не разрешён",
	"the content is not what was signed":                                                  "содержимое не то, что было подписано",
	"X509Certificate cannot be read":                                                      "ds:X509Certificate не читается",
	"the key may not be used":                                                             "ключ сертификата не разрешён",
	"SignatureValue does not match SignedInfo and any certificate in KeyInfo":             "ds:SignatureValue не соответствует ds:SignedInfo ни с одним сертификатом из ds:KeyInfo",
	"URI %q is neither empty nor an Id of this document; nothing is fetched":              "URI %q не пуст и не называет Id этого документа; извне ничего не читается",
	"no element has the Id %q":                                                            "нет элемента с Id %q",
	"the signature is inside what it covers, without the enveloped-signature transform":   "подпись стоит внутри подписанного, а преобразования enveloped-signature нет",
	"enveloped-signature, but the signature is not inside what it covers":                 "преобразование enveloped-signature, а подпись стоит вне подписанного",
	"unexpected element in ds:Signature":                                                  "лишний элемент в ds:Signature",
	"ds:SignedInfo or ds:SignatureValue is missing":                                       "нет ds:SignedInfo или ds:SignatureValue",
	"signature algorithm %q is not in the table":                                          "алгоритм подписи %q неизвестен",
	"ds:Reference without URI":                                                            "у ds:Reference нет URI",
	"transform %q after canonicalisation":                                                 "преобразование %q после канонизации",
	"transform %q is not allowed":                                                         "преобразование %q не разрешено",
	"digest algorithm %q is not in the table":                                             "алгоритм хеша %q неизвестен",
	"ds:DigestValue is missing":                                                           "нет ds:DigestValue",
	"more than %d certificates":                                                           "более %d сертификатов",
	"no X509Certificate: a key without a certificate says nothing about who signed":       "нет ds:X509Certificate: ключ без сертификата не говорит, кто подписал",
	"canonicalisation %q is not known":                                                    "канонизация %q неизвестна",
	"unexpected parameter of a canonicalisation":                                          "лишний параметр канонизации",
	"XPath is not evaluated":                                                              "XPath не вычисляется",
	"XPath is not evaluated in a document with %d signatures":                             "XPath не вычисляется в документе, где подписей %d",
	"Id %q is claimed twice":                                                              "Id %q встречается дважды",
	"attribute Id is missing or no name: a signature could not refer to the element":      "нет атрибута Id, или он не имя: подпись не может сослаться на элемент",
	"ds:Signature expected":                                                               "ожидалась ds:Signature",
	"canonicalisation %q: only exclusive canonicalisation without comments is allowed":    "канонизация %q: разрешена только исключающая, без комментариев",
	"signature algorithm %q is not known":                                                 "алгоритм подписи %q неизвестен",
	"digest algorithm %q is not known":                                                    "алгоритм хеша %q неизвестен",
	"more transforms than the profile knows":                                              "преобразований больше, чем предписано",
	"ds:Transform expected":                                                               "ожидался ds:Transform",
	"transform %q: exactly exclusive canonicalisation and the SMEV transform are allowed": "преобразование %q: разрешены только исключающая канонизация и преобразование СМЭВ",
	"exclusive canonicalisation and the SMEV transform must both be there":                "должны быть и исключающая канонизация, и преобразование СМЭВ",
	"ds:KeyInfo must hold one ds:X509Data and nothing else":                               "в ds:KeyInfo должен быть один ds:X509Data и больше ничего",
	"unexpected element in ds:X509Data":                                                   "лишний элемент в ds:X509Data",
	"ds:X509Data must hold the signer's certificate, ds:X509Certificate":                  "в ds:X509Data должен быть сертификат подписавшего, ds:X509Certificate",
	"ds:X509Data must hold one ds:X509Certificate: the signer's alone":                    "в ds:X509Data должен быть один ds:X509Certificate: только сертификат подписавшего",
	"parameters of an algorithm are not allowed":                                          "параметры алгоритма не разрешены",
	"attribute Algorithm is missing":                                                      "нет атрибута Algorithm",
	"ds:%s expected":                                                                      "ожидался элемент ds:%s",
	"unexpected element in ds:%s":                                                         "лишний элемент в ds:%s",
	"ds:KeyInfo is missing":                                                               "нет ds:KeyInfo",
	"ds:%s is missing":                                                                    "нет элемента ds:%s",
	"element of another namespace in ds:%s":                                               "в ds:%s элемент чужого пространства имён",
	"white space in ds:%s: the profile allows none between the elements of a signature":   "пробелы в ds:%s: между элементами подписи они не допускаются",
	"text, comment or instruction in ds:%s":                                               "в ds:%s текст, комментарий или инструкция",
	"unexpected attribute in ds:%s":                                                       "лишний атрибут в ds:%s",
	"ds:%s must hold one run of base64 and nothing else":                                  "в ds:%s должен быть только текст в base64",
	"ds:%s is longer than %d bytes":                                                       "ds:%s длиннее %d байт",
	"ds:%s is not base64":                                                                 "ds:%s — не base64",
	"element in no namespace: the SMEV transform is not defined for it":                   "элемент без пространства имён: преобразование СМЭВ для него не определено",
	"attribute of the xml namespace: the SMEV transform is not defined for it":            "атрибут пространства имён xml: преобразование СМЭВ для него не определено",
	"its canonical form is more than %d times as large as the element":                    "каноническая форма элемента более чем в %d раз больше его самого",
	"digest algorithm %s is not allowed with %s":                                          "алгоритм хеша %s не разрешён с %s",
	"DigestValue of %d bytes: %s has %d":                                                  "в ds:DigestValue %d байт: у %s их %d",
	"the element that is to be signed is not there":                                       "элемента, который должен быть подписан, нет",
	"URI %q does not name an Id":                                                          "URI %q не называет Id",
	"the element that is to be signed has no Id":                                          "у элемента, который должен быть подписан, нет Id",
	"Reference names %q, the element that is to be signed is %q":                          "подпись ссылается на %q, а подписан должен быть %q",
	"the signature is inside the element that it covers":                                  "подпись стоит внутри подписанного элемента",
	"SignatureValue does not match SignedInfo and certificate":                            "ds:SignatureValue не соответствует ds:SignedInfo и сертификату",
	"the element is not what was signed":                                                  "элемент не тот, что был подписан",
}

// Russian is the detail in Russian, without place and code; empty where Code says
// all, as of certificates.
func (e *Error) Russian() string {
	if e.format == "" {
		return ""
	}
	return fmt.Sprintf(inRussian[e.format], e.args...)
}
