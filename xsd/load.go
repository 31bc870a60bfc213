package xsd

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"sort"
	"strings"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd/internal/prolog"
)

// The namespaces of the standard.
const (
	xsdSpace = "http://www.w3.org/2001/XMLSchema"
	xsiSpace = "http://www.w3.org/2001/XMLSchema-instance"
)

// qname is an expanded name.
type qname struct{ space, local string }

func (q qname) String() string {
	if q.space == "" {
		return q.local
	}
	return "{" + q.space + "}" + q.local
}

// short is the name as people know it: with the customary prefix for XSD.
func (q qname) short() string {
	if q.space == xsdSpace {
		return "xs:" + q.local
	}
	return q.String()
}

// node is an element of a schema document, in the XSD namespace.
type node struct {
	el     xmltape.Node
	doc    *document
	name   string // local name
	parent *node
	kids   []*node // children in the XSD namespace, annotations left out
	attrs  []attribute
	about  string // its documentation, shortened
	key    grammarKey
}

type attribute struct {
	name  string // unqualified
	value string
	off   int
}

func (n *node) attr(name string) (string, bool) {
	for i := range n.attrs {
		if n.attrs[i].name == name {
			return n.attrs[i].value, true
		}
	}
	return "", false
}

// token is an attribute value with white space collapsed, "" when absent.
func (n *node) token(name string) string {
	v, _ := n.attr(name)
	return collapse(v)
}

func (n *node) has(name string) bool { _, ok := n.attr(name); return ok }

// boolean is the value of a boolean attribute whose form was checked on loading.
func (n *node) boolean(name string) bool {
	v := n.token(name)
	return v == "true" || v == "1"
}

// kid is the first child with one of the names.
func (n *node) kid(names ...string) *node {
	for _, k := range n.kids {
		for _, name := range names {
			if k.name == name {
				return k
			}
		}
	}
	return nil
}

func collapse(s string) string {
	return strings.Join(strings.FieldsFunc(s, isXMLSpace), " ")
}

func isXMLSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }

// document is a schema document in a target namespace. A chameleon included
// into two namespaces is two documents.
type document struct {
	path             string
	number           int // in the order of loading
	target           string
	chameleon        bool // took its target namespace from the includer
	root             *node
	tape             *xmltape.Tape
	elementQualified bool
	attrQualified    bool
	imports          map[string]bool
	missing          map[string]string // namespace -> location that was not found
	redefines        []*node
	includes         []*document // by include and redefine
}

type docKey struct{ path, target string }

// copyKey tells documents by what they say: one that lies in two folders, byte
// for byte the same, is one document.
type copyKey struct {
	sum    [32]byte
	target string
}

// file is a parsed file of the bundle.
type file struct {
	tape   *xmltape.Tape
	failed bool // a finding was made
	sum    [32]byte
	notes  []prolog.Note // what was done to read it
}

// errMissing: the document is not in the bundle.
var errMissing = errors.New("not in the bundle")

func (c *compiler) readFile(p string) (*file, error) {
	if f, ok := c.files[p]; ok {
		return f, nil
	}
	if !fs.ValidPath(p) {
		return nil, errMissing
	}
	info, err := fs.Stat(c.fsys, p)
	if err != nil || info.IsDir() {
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			return nil, errMissing
		}
		return nil, fmt.Errorf("schema document %s: %w", p, err)
	}
	if c.bytes += int(info.Size()); info.Size() > int64(c.lim.Bytes) || c.bytes > c.lim.Bytes {
		c.exceeded(p, "bytes", c.lim.Bytes)
	}
	src, err := fs.ReadFile(c.fsys, p)
	if err != nil {
		return nil, fmt.Errorf("schema document %s: %w", p, err)
	}
	f := &file{tape: new(xmltape.Tape), sum: sha256.Sum256(src)}
	c.files[p] = f
	f.notes, err = parse(f.tape, src)
	if c.bytes += max(len(f.tape.Source())-len(src), 0); c.bytes > c.lim.Bytes {
		c.exceeded(p, "bytes", c.lim.Bytes)
	}
	var xe *xmltape.Error
	var pe *prolog.Error
	switch {
	case errors.As(err, &pe):
		f.failed = true
		c.report(Finding{Rule: "xml", File: p, Line: pe.Line, Col: pe.Col, ru: pe.Russian(), en: pe.Error()})
	case errors.As(err, &xe):
		f.failed = true
		c.report(Finding{Rule: "xml", File: p, Line: xe.Line, Col: xe.Col,
			ru: fmt.Sprintf("это не правильно построенный XML (%s): %s", xe.Code, xe.Russian()),
			en: fmt.Sprintf("not well-formed XML (%s): %s", xe.Code, xe.Detail)})
	case err != nil:
		return nil, fmt.Errorf("schema document %s: %w", p, err)
	}
	return f, nil
}

// parse reads a schema document as an operator lays it down: in any encoding of
// XML, with a document type declaration or without.
func parse(tape *xmltape.Tape, src []byte) ([]prolog.Note, error) {
	src, notes, err := prolog.Read(src)
	if err != nil {
		return nil, err
	}
	return notes, tape.Parse(src, xmltape.Limits{Size: len(src), Names: 200_000})
}

// digest is the identity of the bundle as it was read.
func (c *compiler) digest(roots []string) [32]byte {
	paths := make([]string, 0, len(c.files))
	for p := range c.files {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	h := sha256.New()
	for _, r := range roots {
		fmt.Fprintf(h, "root %q\n", r)
	}
	for _, p := range paths {
		fmt.Fprintf(h, "%q %x\n", p, c.files[p].sum)
	}
	return [32]byte(h.Sum(nil))
}

// reference is a document to be read: an explicit list, not recursion, so
// that a long chain of includes costs no stack.
type reference struct {
	from *document // nil for a root
	at   *node     // the include, import or redefine
	kind string
	path string
}

// load reads roots and everything they refer to. Redefinitions are collected
// innermost first.
func (c *compiler) load(roots []string) error {
	var queue []reference
	for _, r := range roots {
		queue = append(queue, reference{path: path.Clean(r), kind: "root"})
	}
	for len(queue) > 0 {
		c.tick()
		ref := queue[0]
		queue = queue[1:]
		doc, fresh, err := c.loadOne(ref)
		if err != nil {
			return err
		}
		if doc == nil || !fresh {
			continue
		}
		// A copy's neighbours may differ from those of the document that it equals:
		// they are read too, and what does not fit together is found.
		for _, k := range doc.root.kids {
			switch k.name {
			case "include", "redefine", "import":
				if next, ok := c.follow(doc, ref.path, k); ok {
					queue = append(queue, next)
				}
			}
		}
	}
	return nil
}

// loadOne reads one document unless it is known; fresh says that it was not
// known under this path. A nil document without an error means that a finding
// was made, or that nothing is to be done.
func (c *compiler) loadOne(ref reference) (doc *document, fresh bool, err error) {
	f, err := c.readFile(ref.path)
	if errors.Is(err, errMissing) {
		c.missing(ref)
		return nil, false, nil
	}
	if err != nil || f.failed {
		return nil, false, err
	}
	root := f.tape.Root()
	if !root.Is(xsdSpace, "schema") {
		c.report(Finding{Rule: rootRule(ref.kind), File: ref.path, Line: 1, Col: 1,
			ru: "корневой элемент документа не xs:schema", en: "the root element of the document is not xs:schema"})
		f.failed = true
		return nil, false, nil
	}
	target, has := root.Attr("", "targetNamespace")
	if has && target == "" {
		c.report(Finding{Rule: "s4s-att-invalid-value", File: ref.path, Line: 1, Col: 1,
			ru: "пустой targetNamespace: уберите атрибут", en: "an empty targetNamespace: leave the attribute out"})
		has = false
	}
	chameleon := false
	switch ref.kind {
	case "include", "redefine":
		if !has {
			target, chameleon = ref.from.target, ref.from.target != ""
		} else if target != ref.from.target {
			c.find(ref.at, "src-"+ref.kind+".2.1",
				"документ %[1]s имеет целевое пространство имён %[2]q, а включающий его %[3]q",
				"document %[1]s has target namespace %[2]q, the including one %[3]q", ref.path, target, ref.from.target)
			return nil, false, nil
		}
	case "import":
		want := ref.at.token("namespace")
		if target != want {
			c.find(ref.at, "src-import.3",
				"документ %[1]s имеет целевое пространство имён %[2]q, а импортируется %[3]q",
				"document %[1]s has target namespace %[2]q, but %[3]q is imported", ref.path, target, want)
			return nil, false, nil
		}
	}
	key := docKey{ref.path, target}
	doc = c.docs[key]
	if same := c.copies[copyKey{f.sum, target}]; doc == nil && same != nil {
		doc, fresh = same, true
		c.docs[key] = doc
	}
	if doc == nil {
		if len(c.order) >= c.lim.Documents {
			c.exceeded(ref.path, "documents", c.lim.Documents)
		}
		fresh = true
		doc = &document{path: ref.path, number: len(c.order), target: target, chameleon: chameleon, tape: f.tape,
			imports: map[string]bool{}, missing: map[string]string{}}
		c.docs[key] = doc
		c.copies[copyKey{f.sum, target}] = doc
		c.order = append(c.order, doc)
		doc.root = c.tree(doc, root)
		c.checkStructure(doc)
		doc.elementQualified = doc.root.token("elementFormDefault") == "qualified"
		doc.attrQualified = doc.root.token("attributeFormDefault") == "qualified"
	}
	switch ref.kind {
	case "include":
		ref.from.includes = append(ref.from.includes, doc)
	case "redefine":
		ref.from.includes = append(ref.from.includes, doc)
		c.redefined[ref.at] = doc
	}
	return doc, fresh, nil
}

func rootRule(kind string) string {
	switch kind {
	case "include", "redefine":
		return "src-" + kind + ".1"
	case "import":
		return "src-import.2"
	}
	return "s4s-root"
}

// follow decides which document an include, import or redefine of a document
// that lies at a path means.
func (c *compiler) follow(doc *document, from string, at *node) (reference, bool) {
	ref := reference{from: doc, at: at, kind: at.name}
	location, located := at.attr("schemaLocation")
	location = collapse(location)
	if at.name == "import" {
		space := at.token("namespace")
		doc.imports[space] = true
		switch {
		case at.has("namespace") && space == "":
			c.find(at, "src-import.1", "пустое пространство имён в import: уберите атрибут namespace",
				"an empty namespace name in import: leave the attribute out")
			return ref, false
		case !at.has("namespace") && doc.target == "":
			c.find(at, "src-import.1.2", "документ без целевого пространства имён не может импортировать безымянное пространство",
				"a document without target namespace cannot import the absent namespace")
			return ref, false
		case space == doc.target && space != "":
			c.find(at, "src-import.1.1", "документ импортирует своё собственное пространство имён %[1]q",
				"the document imports its own namespace %[1]q", space)
			return ref, false
		}
		if p, ok := c.opts.Catalog[location]; ok && located {
			ref.path = path.Clean(p)
			return ref, true
		}
		if p, ok := c.opts.Catalog[space]; ok && space != "" {
			ref.path = path.Clean(p)
			return ref, true
		}
		if !located {
			return ref, false
		}
	} else {
		if p, ok := c.opts.Catalog[location]; ok {
			ref.path = path.Clean(p)
			return ref, true
		}
	}
	p, ok := relative(from, location)
	if !ok {
		ref.path = location
		c.missing(ref)
		return ref, false
	}
	ref.path = p
	return ref, true
}

// relative resolves a location against the path of its document; an empty one
// is that document (RFC 2396, 4.2). Absolute locations and those outside the
// bundle give false.
func relative(from, location string) (string, bool) {
	location, _, _ = strings.Cut(location, "#")
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "" || u.Host != "" {
		return "", false
	}
	if u.Path == "" && u.RawQuery == "" {
		return from, true // the document itself
	}
	p := strings.ReplaceAll(u.Path, "\\", "/")
	if strings.HasPrefix(p, "/") {
		return "", false
	}
	p = path.Join(path.Dir(from), p)
	return p, fs.ValidPath(p)
}

// missing deals with a document that is not in the bundle.
func (c *compiler) missing(ref reference) {
	if ref.kind == "root" {
		c.report(Finding{Rule: "document-missing", File: ref.path,
			ru: "документа схемы нет в пакете", en: "the schema document is not in the bundle"})
		return
	}
	space := ref.from.target
	if ref.kind == "import" {
		space = ref.at.token("namespace")
		if space == xmltape.XMLURI {
			return // built in
		}
	}
	ref.from.missing[space] = ref.path
	if ref.kind == "redefine" && len(ref.at.kids) > 0 {
		c.find(ref.at, "src-redefine.1", "переопределяемый документ %[1]s не найден", "the redefined document %[1]s is not found", quoteString(ref.path))
		return
	}
	if !c.opts.IgnoreMissing {
		c.find(ref.at, "document-missing",
			"документа %[1]s нет в пакете схем: добавьте файл или укажите его в каталоге",
			"document %[1]s is not in the bundle: add the file or name it in the catalog", quoteString(ref.path))
	}
}

// tree makes nodes of the schema elements of a document. The tape's depth limit bounds the recursion.
func (c *compiler) tree(doc *document, el xmltape.Node) *node {
	c.nodes++
	if c.nodes > c.lim.Components {
		c.exceeded(doc.path, "components", c.lim.Components)
	}
	n := &node{el: el, doc: doc, name: el.Local()}
	tok := el.Token()
	for i := range int(tok.NAttr) {
		a := &doc.tape.Attrs[int(tok.Attr)+i]
		if doc.tape.Space(a.Name) == xmltape.NoSpace {
			n.attrs = append(n.attrs, attribute{string(doc.tape.Local(a.Name)), string(doc.tape.AttrValue(a, nil)), int(a.Off)})
		}
	}
	for k := range el.Children() {
		if k.Space() == xsdSpace && n.name != "appinfo" && n.name != "documentation" {
			kid := c.tree(doc, k)
			kid.parent = n
			n.kids = append(n.kids, kid)
		}
	}
	return n
}

// resolveName gives the expanded name of a QName in a schema document.
func (n *node) resolveName(value string) (qname, bool) {
	value = collapse(value)
	prefix, local, found := strings.Cut(value, ":")
	if !found {
		prefix, local = "", value
	}
	id, ok := n.doc.tape.LookupPrefix(n.el.Token().Scope, []byte(prefix))
	if !ok {
		return qname{}, false
	}
	space := string(n.doc.tape.SpaceURI(id))
	if space == "" && n.doc.chameleon {
		space = n.doc.target
	}
	return qname{space, local}, true
}

// ResolvePrefix lets facets of QName and NOTATION find their namespaces.
func (n *node) ResolvePrefix(prefix []byte) (string, bool) {
	id, ok := n.doc.tape.LookupPrefix(n.el.Token().Scope, prefix)
	if !ok {
		return "", false
	}
	space := string(n.doc.tape.SpaceURI(id))
	if space == "" && n.doc.chameleon {
		space = n.doc.target
	}
	return space, true
}
