package impact

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mezhved/adapter"
	"mezhved/adapter/registry"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// errNoContent says that a message has no business content: a status or a rejection.
var errNoContent = errors.New("there is no content")

// Difference is why a version would refuse a message.
type Difference struct {
	Rule string
	Path string // local names from the root, without positions
	Line int    // of the envelope as received
	Col  int
	Text [2]string // what is wrong, in Russian and English: it may quote the message
}

// trial holds messages against a version.
type trial struct {
	to   *registry.Service
	tape xmltape.Tape // of the message
	anew xmltape.Tape // of the message as it would have to be sent
}

// hold says by which rules the new version would refuse the content of a message that
// was sent for a version with other roots; nil: it takes it. body is an envelope, data
// where its signed element is.
func (t *trial) hold(body []byte, data adapter.Span, from *registry.Service) ([]Difference, error) {
	if err := t.tape.Parse(body, xmltape.Widest); err != nil {
		return nil, err
	}
	content := contentOf(&t.tape, data)
	if !content.Valid() {
		return nil, errNoContent
	}
	moved, moves := rename(&t.tape, body, from.Request.Space, t.to.Request.Space)
	if err := t.anew.Parse(moved, xmltape.Widest); err != nil {
		return nil, err
	}
	as := t.anew.NodeAt(content.Index()) // renaming leaves the tokens as they are
	root := registry.QName{Space: as.Space(), Local: as.Local()}
	if want := rootOf(content, from, t.to); root != want {
		line, col := t.place(as, moves)
		text := fmt.Sprintf("%s → %s", root, want)
		return []Difference{{Rule: "root", Path: "/" + root.Local, Line: line, Col: col, Text: [2]string{text, text}}}, nil
	}
	_, err := t.to.Validate(as)
	var invalid *xsd.Invalid
	if !errors.As(err, &invalid) {
		return nil, err
	}
	within := as.Parent().XPath()
	out := make([]Difference, 0, len(invalid.Violations))
	for _, v := range invalid.Violations {
		d := Difference{Rule: v.Rule, Path: plain(strings.TrimPrefix(v.XPath, within)), Text: [2]string{v.Russian(), v.English()}}
		d.Line, d.Col = t.tape.Position(back(v.Offset, moves))
		out = append(out, d)
	}
	return out, nil
}

func (t *trial) place(n xmltape.Node, moves []move) (line, col int) {
	off, _ := n.Range()
	return t.tape.Position(back(off, moves))
}

// rootOf is the root that the new version has in the place of a message's.
func rootOf(content xmltape.Node, from, to *registry.Service) registry.QName {
	if content.Local() == from.Response.Local {
		return to.Response
	}
	return to.Request
}

// contentOf finds the business content in the signed element of an envelope.
func contentOf(t *xmltape.Tape, data adapter.Span) xmltape.Node {
	i, ok := slices.BinarySearchFunc(t.Tokens, uint32(max(data.Off, 0)), func(tok xmltape.Token, off uint32) int { return cmp.Compare(tok.Off, off) })
	for ; ok && i < len(t.Tokens) && t.Tokens[i].Kind != xmltape.Start; i++ {
	}
	if !ok || i == len(t.Tokens) {
		return xmltape.Node{}
	}
	for child := range t.NodeAt(i).Children() {
		if child.Local() == "MessagePrimaryContent" {
			return child.First()
		}
	}
	return xmltape.Node{}
}

// move is that everything from an offset on stands so much further.
type move struct{ at, by int }

// rename gives the document with one namespace in the place of another, and what moved.
func rename(t *xmltape.Tape, src []byte, from, to string) ([]byte, []move) {
	if from == to {
		return src, nil
	}
	var places []*xmltape.Decl
	for i := range t.Decls {
		if d := &t.Decls[i]; string(src[d.ValOff:d.ValEnd]) == from {
			places = append(places, d)
		}
	}
	slices.SortFunc(places, func(a, b *xmltape.Decl) int { return cmp.Compare(a.ValOff, b.ValOff) })
	out, at := make([]byte, 0, len(src)+len(places)*max(len(to)-len(from), 0)), 0
	var moves []move
	for _, d := range places {
		out = append(append(out, src[at:d.ValOff]...), to...)
		at = int(d.ValEnd)
		moves = append(moves, move{len(out), len(out) - at})
	}
	return append(out, src[at:]...), moves
}

// back is where something stood before it moved.
func back(offset int, moves []move) int {
	by := 0
	for _, m := range moves {
		if offset < m.at {
			break
		}
		by = m.by
	}
	return max(offset-by, 0)
}

// plain is a path by local names alone.
func plain(path string) string {
	steps := strings.Split(path, "/")
	for i, s := range steps {
		attribute := strings.HasPrefix(s, "@")
		if j := strings.IndexByte(s, '['); j >= 0 {
			s = s[:j]
		}
		if j := strings.LastIndexByte(s, ':'); j >= 0 {
			s = s[j+1:]
			if attribute {
				s = "@" + s
			}
		}
		steps[i] = s
	}
	return strings.Join(steps, "/")
}
