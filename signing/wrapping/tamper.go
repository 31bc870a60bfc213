package wrapping

import (
	"fmt"
	"iter"
	"regexp"
	"strings"

	"mezhved/envelopes/xmltape"
)

// withDeclarations is an element as written, with the namespace declarations that
// it inherits.
func withDeclarations(n xmltape.Node) string {
	text := string(n.Bytes())
	have := map[string]bool{}
	tok := n.Token()
	t := n.Tape()
	for i := tok.Decl; i < tok.Decl+uint32(tok.NDecl); i++ {
		have[string(t.DeclPrefix(&t.Decls[i]))] = true
	}
	decls := ""
	for _, b := range n.InScope() {
		if have[b.Prefix] || b.Prefix == "xml" {
			continue
		}
		name := "xmlns"
		if b.Prefix != "" {
			name += ":" + b.Prefix
		}
		decls += " " + name + `="` + strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace(b.URI) + `"`
	}
	at := 1 + int(tok.NameLen)
	return text[:at] + decls + text[at:]
}

var textBetweenTags = regexp.MustCompile(`>([^<>&\s][^<>&]*)<`)

// forge changes every text of an element.
func forge(element string) string {
	return textBetweenTags.ReplaceAllString(element, ">FORGED<")
}

// signatures moves, copies and doubles the signature.
func (m *maker) signatures() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		sig := string(m.sig.Bytes())
		own := withDeclarations(m.sig)
		holder := m.sig.Parent()
		forged := replace(m.target, m.forged)
		broken := strings.Replace(own, "SignatureValue>", "SignatureValue>AAAA", 1)
		for _, s := range spots {
			for _, n := range append(append([]xmltape.Node{}, m.places...), m.inside...) {
				if !m.usable(s, n) || n == holder {
					continue
				}
				for _, v := range []Variant{
					m.apply(fmt.Sprintf("signature moved %s %s", s.name, n.Local()), replace(m.sig, ""), insert(s.at(n), own)),
					m.apply(fmt.Sprintf("signature copied %s %s", s.name, n.Local()), insert(s.at(n), own)),
					m.apply(fmt.Sprintf("holder copied %s %s", s.name, n.Local()), insert(s.at(n), withDeclarations(holder))),
				} {
					if v.Doc != nil && !yield(v) {
						return
					}
				}
			}
		}
		for name, with := range ordered(map[string]string{
			"twice": sig + sig, "broken first": broken + sig, "broken last": sig + broken, "none": "", "in an element": "<w xmlns='urn:w'>" + own + "</w>",
			"in a comment": "<!--" + sig + "-->", "in CDATA": "<![CDATA[" + sig + "]]>", "after text": "x" + sig, "in a signature": strings.Replace(sig, "</ds:KeyInfo>", "</ds:KeyInfo><ds:Object>"+sig+"</ds:Object>", 1),
		}) {
			if !yield(m.apply("signature "+name, replace(m.sig, with))) || !yield(m.apply("signature "+name+", forged", replace(m.sig, with), forged)) {
				return
			}
		}
	}
}

// references changes what the Reference says.
func (m *maker) references() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		sig := string(m.sig.Bytes())
		old := `URI="#` + m.id + `"`
		forged := replace(m.target, m.identified(m.forged, ` Id="OTHER"`))
		for _, uri := range []string{
			`URI=""`, `URI="#"`, `URI="#OTHER"`, `URI="OTHER"`, `URI="` + m.id + `"`, `URI="x` + m.id + `"`, `URI="##` + m.id + `"`, `URI="#/` + m.id + `"`,
			`URI="#` + m.id + ` "`, `URI=" #` + m.id + `"`, `URI="#` + strings.ToLower(m.id) + `"`, `URI="#%` + fmt.Sprintf("%x", m.id[0]) + m.id[1:] + `"`,
			`URI="http://example.org/#` + m.id + `"`, `URI="file:///etc/passwd"`, `URI="cid:x"`, `URI="#xpointer(/)"`, `URI="#xpointer(id('` + m.id + `'))"`,
			`URI="#xpointer(//*[1])"`, `URI="#element(/1)"`, `URI='#` + m.id + `'`, `URI="&#35;` + m.id + `"`, `uri="#` + m.id + `"`, ``, old + ` Type="urn:x"`, old + ` Id="OTHER"`,
			`xmlns:w="urn:w" w:` + old, old + ` xmlns:w="urn:w" w:` + `URI="#OTHER"`,
		} {
			changed := replace(m.sig, strings.Replace(sig, old, uri, 1))
			if !yield(m.apply("reference "+uri, changed)) || !yield(m.apply("reference "+uri+", forged", changed, forged, insert(rootEnd(m.tape), m.signed))) {
				return
			}
		}
		ref := piece(sig, "<ds:Reference", "</ds:Reference>")
		for name, with := range ordered(map[string]string{
			"twice": ref + ref, "none": "", "second to another": ref + strings.Replace(ref, old, `URI="#OTHER"`, 1), "first to another": strings.Replace(ref, old, `URI="#OTHER"`, 1) + ref,
			"in Manifest": "<ds:Manifest>" + ref + "</ds:Manifest>", "in comment": "<!--" + ref + "-->",
		}) {
			changed := replace(m.sig, strings.Replace(sig, ref, with, 1))
			if !yield(m.apply("reference "+name, changed)) || !yield(m.apply("reference "+name+", forged", changed, forged)) {
				return
			}
		}
	}
}

func rootEnd(t *xmltape.Tape) int { return int(t.Tokens[t.Root().Token().Match].Off) }

// piece is the part of s from a mark to the end of another; empty when it is not there.
func piece(s, from, to string) string {
	a := strings.Index(s, from)
	if a < 0 {
		return ""
	}
	b := strings.Index(s[a:], to)
	if b < 0 {
		return ""
	}
	return s[a : a+b+len(to)]
}

// known are the algorithms and transforms that somebody might take.
var known = []string{
	"http://www.w3.org/2000/09/xmldsig#sha1", "http://www.w3.org/2001/04/xmldsig-more#md5", "http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmlenc#sha512",
	"http://www.w3.org/2000/09/xmldsig#hmac-sha1", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", "http://www.w3.org/2000/09/xmldsig#dsa-sha1", "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
	"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
	"urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34112012-256", "urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34102012-gostr34112012-256", "http://www.w3.org/2001/04/xmldsig-more#gostr3411",
	"http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "http://www.w3.org/2006/12/xml-c14n11",
	"http://www.w3.org/2000/09/xmldsig#base64", "http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/TR/1999/REC-xpath-19991116", "http://www.w3.org/TR/1999/REC-xslt-19991116",
	"http://www.w3.org/2002/06/xmldsig-filter2", "urn://smev-gov-ru/xmldsig/transform", "urn:unknown", "",
}

// algorithms swaps every algorithm and transform for every other that is known.
func (m *maker) algorithms() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		sig := string(m.sig.Bytes())
		attribute := regexp.MustCompile(`Algorithm="[^"]*"`)
		found := attribute.FindAllStringIndex(sig, -1)
		forged := replace(m.target, m.forged)
		for i, at := range found {
			for _, uri := range known {
				changed := sig[:at[0]] + `Algorithm="` + uri + `"` + sig[at[1]:]
				if changed == sig {
					continue
				}
				if !yield(m.apply(fmt.Sprintf("algorithm %d is %s", i, uri), replace(m.sig, changed))) || !yield(m.apply(fmt.Sprintf("algorithm %d is %s, forged", i, uri), replace(m.sig, changed), forged)) {
					return
				}
			}
		}
		transforms := piece(sig, "<ds:Transforms>", "</ds:Transforms>")
		for _, uri := range known {
			tr := `<ds:Transform Algorithm="` + uri + `"></ds:Transform>`
			for name, with := range ordered(map[string]string{
				"first": strings.Replace(transforms, "<ds:Transforms>", "<ds:Transforms>"+tr, 1), "last": strings.Replace(transforms, "</ds:Transforms>", tr+"</ds:Transforms>", 1), "alone": "<ds:Transforms>" + tr + "</ds:Transforms>",
			}) {
				if !yield(m.apply("transform "+name+" "+uri, replace(m.sig, strings.Replace(sig, transforms, with, 1)))) {
					return
				}
			}
		}
		xpath := `<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>false()</ds:XPath></ds:Transform>`
		for name, change := range ordered(map[string][2]string{
			"XPath that selects nothing": {"<ds:Transforms>", "<ds:Transforms>" + xpath}, "no Transforms": {transforms, ""}, "HMACOutputLength": {"</ds:SignatureMethod>", "<ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>"},
			"PrefixList": {"</ds:Transform>", `<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="#default ds"/></ds:Transform>`},
		}) {
			if !yield(m.apply(name, replace(m.sig, strings.Replace(sig, change[0], change[1], 1)))) || !yield(m.apply(name+", forged", replace(m.sig, strings.Replace(sig, change[0], change[1], 1)), forged)) {
				return
			}
		}
	}
}

// rerooted puts the whole document into another, or another into it.
func (m *maker) rerooted() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		root := string(m.tape.Root().Bytes())
		op := m.sig.Parent().Parent()
		forgedOp := strings.Replace(withDeclarations(op), string(m.target.Bytes()), forge(string(m.target.Bytes())), 1)
		forgedOther := strings.Replace(forgedOp, `Id="`+m.id+`"`, `Id="OTHER"`, 1)
		soap := `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/">%s</S:Envelope>`
		for name, doc := range ordered(map[string]string{
			"document in an element":      "<w xmlns='urn:w'>" + root + "</w>",
			"two roots":                   root + root,
			"document in a body":          fmt.Sprintf(soap, "<S:Body>"+root+"</S:Body>"),
			"signed operation in header":  fmt.Sprintf(soap, "<S:Header>"+withDeclarations(op)+"</S:Header><S:Body>"+forgedOp+"</S:Body>"),
			"header, other Id":            fmt.Sprintf(soap, "<S:Header>"+withDeclarations(op)+"</S:Header><S:Body>"+forgedOther+"</S:Body>"),
			"header, without signature":   fmt.Sprintf(soap, "<S:Header>"+m.signed+"</S:Header><S:Body>"+forgedOther+"</S:Body>"),
			"two operations":              fmt.Sprintf(soap, "<S:Body>"+forgedOp+withDeclarations(op)+"</S:Body>"),
			"two operations, other order": fmt.Sprintf(soap, "<S:Body>"+withDeclarations(op)+forgedOp+"</S:Body>"),
			"two bodies":                  fmt.Sprintf(soap, "<S:Body>"+forgedOther+"</S:Body><S:Body>"+withDeclarations(op)+"</S:Body>"),
			"forged operation bare":       forgedOp,
			"operation in operation":      strings.Replace(forgedOther, ">", ">"+withDeclarations(op), 1),
			"DOCTYPE":                     "<!DOCTYPE x [<!ATTLIST x Id ID #IMPLIED>]>" + root,
			"entity":                      "<!DOCTYPE x [<!ENTITY e 'FORGED'>]>" + root,
		}) {
			if !yield(Variant{"re-rooted: " + name, []byte(doc)}) {
				return
			}
		}
	}
}

// namespaces plays with prefixes, declarations, comments and instructions.
func (m *maker) namespaces() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		for _, n := range m.inside {
			tagEnd := int(n.Token().Off) + 1 + int(n.Token().NameLen)
			for _, what := range []string{` xmlns=""`, ` xmlns="urn:forged"`, ` xmlns:ns2="urn:forged"`, ` xmlns:unused="urn:unused"`, ` xmlns:ds="urn:forged"`, ` xmlns:ns1="urn:forged"`, ` xml:space="preserve"`, ` xml:base="http://e.org/"`, ` xsi:nil="true" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`} {
				if !yield(m.apply(n.Local()+" with"+what, insert(tagEnd, what))) {
					return
				}
			}
			if n.Token().Flags&xmltape.SelfClosing != 0 {
				continue
			}
			for _, what := range []string{"<!-- c -->", "<?pi data?>", "<![CDATA[]]>", "<![CDATA[ ]]>", "<![CDATA[x]]>", "&#32;", "&#10;", "\u00a0", "\u200b", "<!-- <forged/> -->", "x", "<forged/>", "<forged xmlns='urn:f'/>"} {
				if !yield(m.apply(fmt.Sprintf("%s begins with %q", n.Local(), what), insert(int(n.Token().End), what))) || !yield(m.apply(fmt.Sprintf("%s ends with %q", n.Local(), what), insert(spots[3].at(n), what))) {
					return
				}
			}
		}
	}
}

// content changes, drops, doubles and swaps what was signed.
func (m *maker) content() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		for _, n := range m.inside[1:] {
			own := string(n.Bytes())
			for name, e := range ordered(map[string]edit{
				"dropped": replace(n, ""), "doubled": replace(n, own+own), "commented out": replace(n, "<!--"+strings.ReplaceAll(own, "--", "- -")+"-->"),
				"in CDATA": replace(n, "<![CDATA["+own+"]]>"), "emptied": replace(n, own[:int(n.Token().End-n.Token().Off)]+own[len(own)-len(endTag(n)):]),
			}) {
				if !yield(m.apply(n.Local()+" "+name, e)) {
					return
				}
			}
			if next := n.Next(); next.Valid() {
				if !yield(m.apply(n.Local()+" swapped with "+next.Local(), replace(n, string(next.Bytes())), replace(next, own))) {
					return
				}
			}
		}
	}
}

func endTag(n xmltape.Node) string {
	tok := n.Tape().Tokens[n.Token().Match]
	return string(n.Tape().Source()[tok.Off:tok.End])
}

// transforms puts every known transform at every place among those of the
// signature, and takes each away.
func (m *maker) transforms() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		sig := string(m.sig.Bytes())
		forged := replace(m.target, m.forged)
		step := regexp.MustCompile(`<(?:ds:)?Transform [^>]*(?:/>|></(?:ds:)?Transform>)`)
		for i, at := range step.FindAllStringIndex(sig, -1) {
			list := map[string]string{"taken away": ""}
			for _, uri := range known {
				one := `<ds:Transform xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Algorithm="` + uri + `"/>`
				list["after "+uri] = one + sig[at[0]:at[1]]
				list["before "+uri] = sig[at[0]:at[1]] + one
			}
			for name, with := range ordered(list) {
				changed := replace(m.sig, sig[:at[0]]+with+sig[at[1]:])
				if !yield(m.apply(fmt.Sprintf("transform %d %s", i, name), changed)) || !yield(m.apply(fmt.Sprintf("transform %d %s, forged", i, name), changed, forged)) {
					return
				}
			}
		}
	}
}

// doubled gives two elements one Id that no signature refers to, then turns the
// Reference to that Id, with the signed element moved under it.
func (m *maker) doubled() iter.Seq[Variant] {
	return func(yield func(Variant) bool) {
		const twin = "TWIN"
		sig := string(m.sig.Bytes())
		root := insert(int(m.tape.Root().Token().End), `<w:a xmlns:w="urn:w" Id="`+twin+`"/><w:b xmlns:w="urn:w" Id="`+twin+`"/>`)
		turned := replace(m.sig, strings.Replace(sig, `URI="#`+m.id+`"`, `URI="#`+twin+`"`, 1))
		renamed := replace(m.target, m.identified(m.forged, ` Id="`+twin+`"`))
		end := insert(rootEnd(m.tape), m.identified(m.signed, ` Id="`+twin+`"`))
		for name, edits := range ordered(map[string][]edit{
			"others": {root}, "others, forged": {root, replace(m.target, m.forged)}, "others, turned": {root, turned}, "target too": {root, renamed},
			"target too, turned": {root, renamed, turned}, "two targets": {renamed, end}, "two targets, turned": {renamed, end, turned},
			"signed at the end, forged in place": {replace(m.target, m.identified(m.forged, ` Id="OTHER"`)), root, insert(rootEnd(m.tape), m.signed)},
		}) {
			if !yield(m.apply("one Id twice: "+name, edits...)) {
				return
			}
		}
	}
}
