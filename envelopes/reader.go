package envelopes

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mezhved/envelopes/xmltape"
)

// most is the number of violations that one envelope is told of.
const most = 10

// reader reads envelope elements strictly and collects violations.
type reader struct {
	e          *Envelope
	v          Version
	violations []Violation
}

func newReader(e *Envelope) *reader { return &reader{e: e, v: e.version} }

// verdict is nil or the *FormatError.
func (r *reader) verdict() error {
	if len(r.violations) == 0 {
		return nil
	}
	return &FormatError{Version: r.v, Operation: r.e.operation, Violations: r.violations}
}

// wrong reports a violation at an offset; at is the element whose path is told.
func (r *reader) wrong(rule string, at xmltape.Node, off int, found string, expected ...string) {
	if len(r.violations) >= most {
		return
	}
	line, col := r.e.tape.Position(off)
	r.violations = append(r.violations, Violation{
		Rule: rule, Offset: off, Line: line, Col: col, XPath: at.XPath(), Found: found, Expected: expected,
	})
}

// value reports a violation of an element's own text.
func (r *reader) value(rule string, n xmltape.Node, text, expected string) {
	off, _ := n.Range()
	r.wrong(rule, n, off, quote(text), expected)
}

// step is what a sequence allows at its present place.
type step struct {
	space, local string
	required     bool
}

// seq walks the children of an element in the order of an xs:sequence. After
// the first child that is out of place it stays silent: what follows would be
// guesses.
type seq struct {
	r      *reader
	parent xmltape.Node
	next   xmltape.Node
	broken bool
	open   [12]step // allowed here and not there
	nopen  int
}

// sequence opens an element with element-only content. attrs are its
// unqualified attributes.
func (r *reader) sequence(n xmltape.Node, attrs ...string) seq {
	s := seq{r: r, parent: n, next: n.First(), broken: !n.Valid()}
	if s.broken {
		return s
	}
	r.attributes(n, attrs...)
	if n.Token().Flags&xmltape.HasText != 0 {
		off, _ := n.Range()
		r.wrong("cvc-complex-type.2.3", n, off, saysText, saysElements)
	}
	return s
}

// attributes refuses attributes other than those named. xsi:schemaLocation is
// always allowed and never followed.
func (r *reader) attributes(n xmltape.Node, allowed ...string) {
	t := n.Tape()
	tok := n.Token()
	for i := range t.Attrs[tok.Attr : tok.Attr+uint32(tok.NAttr)] {
		a := &t.Attrs[int(tok.Attr)+i]
		space, local := t.SpaceURI(t.Space(a.Name)), t.Local(a.Name)
		if len(space) == 0 {
			if contains(allowed, local) {
				continue
			}
		} else if string(space) == XSISpace && (string(local) == "schemaLocation" || string(local) == "noNamespaceSchemaLocation") {
			continue
		}
		r.wrong("cvc-complex-type.3.2.2", n, int(a.Off), saysAttribute+quote(string(local)), quoted(allowed)...)
	}
}

func contains(list []string, b []byte) bool {
	for _, s := range list {
		if s == string(b) {
			return true
		}
	}
	return false
}

func quoted(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, saysAttribute+quote(n))
	}
	return out
}

func (s *seq) take() xmltape.Node {
	n := s.next
	s.next, s.nopen = n.Next(), 0
	return n
}

func (s *seq) missed(space, local string, required bool) {
	if s.nopen < len(s.open) {
		s.open[s.nopen] = step{space, local, required}
		s.nopen++
	}
}

// optional takes the next child if it is {space}local.
func (s *seq) optional(space, local string) xmltape.Node {
	if s.broken {
		return xmltape.Node{}
	}
	if s.next.Is(space, local) {
		return s.take()
	}
	s.missed(space, local, false)
	return xmltape.Node{}
}

// required takes the next child, which must be {space}local.
func (s *seq) required(space, local string) xmltape.Node {
	if s.broken {
		return xmltape.Node{}
	}
	if s.next.Is(space, local) {
		return s.take()
	}
	s.missed(space, local, true)
	s.fail()
	return xmltape.Node{}
}

// foreign takes the next child if its namespace is neither absent nor not: the
// wildcard ##other.
func (s *seq) foreign(not string, required bool) xmltape.Node {
	if s.broken {
		return xmltape.Node{}
	}
	if sp := s.next.Space(); s.next.Valid() && sp != "" && sp != not {
		return s.take()
	}
	s.missed("", saysForeign+quoteUpTo(200, not), required)
	if required {
		s.fail()
	}
	return xmltape.Node{}
}

// fail reports what stands where something else was due.
func (s *seq) fail() {
	if s.broken {
		return
	}
	s.broken = true
	var expected []string
	for _, st := range s.open[:s.nopen] {
		name := st.local
		if st.space != "" {
			name = "{" + st.space + "}" + st.local
		}
		expected = append(expected, name)
	}
	if !s.next.Valid() {
		_, end := s.parent.Range()
		if tok := s.parent.Token(); tok.Flags&xmltape.SelfClosing == 0 {
			end = int(s.parent.Tape().Tokens[tok.Match].Off)
		} else {
			end = int(tok.Off)
		}
		s.r.wrong("cvc-complex-type.2.4.b", s.parent, end, "", expected...)
		return
	}
	rule := "cvc-complex-type.2.4.a"
	if len(expected) == 0 {
		rule, expected = "cvc-complex-type.2.4.d", []string{saysNoFurther}
	}
	off, _ := s.next.Range()
	s.r.wrong(rule, s.next, off, quoteName(s.next), expected...)
}

// end closes the sequence: nothing may follow.
func (s *seq) end() {
	if !s.broken && s.next.Valid() {
		s.fail()
	}
}

// simple reads the text of an element of simple content; the bytes may belong to
// the tape.
func (r *reader) simple(n xmltape.Node, attrs ...string) []byte {
	if !n.Valid() {
		return nil
	}
	r.attributes(n, attrs...)
	if c := n.First(); c.Valid() {
		off, _ := c.Range()
		r.wrong("cvc-type.3.1.2", c, off, quote(c.Local()), saysOnlyText)
		return nil
	}
	return n.Text()
}

// text reads an element of simple content with at most max characters; 0: no limit.
func (r *reader) text(n xmltape.Node, max int, attrs ...string) string {
	b := r.simple(n, attrs...)
	if max > 0 && len(b) > max && utf8.RuneCount(b) > max {
		r.value("cvc-maxLength-valid", n, string(b), saysAtMost+strconv.Itoa(max)+saysCharacters)
	}
	return string(b)
}

// collapsed reads the text of an element whose type collapses white space.
func (r *reader) collapsed(n xmltape.Node, attrs ...string) string {
	return strings.Trim(r.text(n, 0, attrs...), " \t\r\n")
}

// empty reads an element that has no content.
func (r *reader) empty(n xmltape.Node) bool {
	if !n.Valid() {
		return false
	}
	s := r.sequence(n)
	s.end()
	return true
}

// identifier reads the attribute Id of an element.
func (r *reader) identifier(n xmltape.Node) string {
	id, ok := n.Attr("", "Id")
	if !ok {
		return ""
	}
	if id = strings.Trim(id, " \t\r\n"); !isNCName(id) {
		off, _ := n.Range()
		r.wrong("cvc-id.1", n, off, quote(id), saysName)
	}
	return id
}

// uuid reads a UUID that is not the sender's own MessageID. Upper case is let
// pass here: peers that are configured to accept such MessageIDs must be able
// to refer to them.
func (r *reader) uuid(n xmltape.Node, attrs ...string) string {
	s := r.text(n, 0, attrs...)
	if n.Valid() && !looksLikeUUID(s) {
		r.value("cvc-pattern-valid", n, s, saysUUID)
	}
	return s
}

// dateTime reads an xs:dateTime; zoned says that a time zone must be there.
func (r *reader) dateTime(n xmltape.Node, zoned bool, attrs ...string) time.Time {
	t, zoneless := r.moment(n, attrs...)
	if zoned && zoneless {
		r.value("cvc-pattern-valid", n, r.collapsed(n, attrs...), saysZone)
	}
	return t
}

// moment reads an xs:dateTime and says whether it came without a zone.
func (r *reader) moment(n xmltape.Node, attrs ...string) (t time.Time, zoneless bool) {
	if !n.Valid() {
		return t, false
	}
	s := r.collapsed(n, attrs...)
	t, zoned, ok := parseDateTime(s)
	if !ok {
		r.value("cvc-datatype-valid.1.2.1", n, s, saysDateTime)
		return t, false
	}
	return t, !zoned
}

// base64 reads an xs:base64Binary.
func (r *reader) base64(n xmltape.Node) []byte {
	if !n.Valid() {
		return nil
	}
	b, err := decodeBase64(r.simple(n))
	if err != nil {
		r.value("cvc-datatype-valid.1.2.1", n, string(n.Text()), saysBase64)
	}
	return b
}

// integer reads an xs:int.
func (r *reader) integer(n xmltape.Node) int {
	if !n.Valid() {
		return 0
	}
	s := r.collapsed(n)
	i, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		r.value("cvc-datatype-valid.1.2.1", n, s, saysInt)
	}
	return int(i)
}

// boolean reads an xs:boolean.
func (r *reader) boolean(at xmltape.Node, s string) bool {
	switch strings.Trim(s, " \t\r\n") {
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	r.value("cvc-datatype-valid.1.2.1", at, s, saysBoolean)
	return false
}

// signature reads an XMLDSigSignatureType: exactly one element of the XMLDSig
// namespace, which must be Signature to be of use.
func (r *reader) signature(n xmltape.Node) xmltape.Node {
	if !n.Valid() {
		return xmltape.Node{}
	}
	s := r.sequence(n)
	sig := s.required(DSigSpace, "Signature")
	s.end()
	return sig
}
