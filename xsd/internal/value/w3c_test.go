package value

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// The W3C suite is made for whole schema processors. What is here reads as
// much of its schema documents as the parts about datatypes need: simple type
// definitions, and elements and attributes with simple types, by local name.

// suiteDir finds the excerpt of the W3C suite beside the repository.
func suiteDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	dir = filepath.Join(dir, "..", "shared", "xsts")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the W3C suite is not at %s", dir)
	}
	return dir
}

type suiteTest struct{ kind, id, expected, schemas, instance string }

func suiteTests(t *testing.T, dir string, parts ...string) []suiteTest {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "tests.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []suiteTest
	for in := bufio.NewScanner(f); in.Scan(); {
		c := append(strings.Split(in.Text(), "\t"), "")
		for _, p := range parts {
			if strings.HasPrefix(c[4], p) && !strings.Contains(c[4], "|") {
				out = append(out, suiteTest{c[0], c[2], c[3], c[4], c[5]})
			}
		}
	}
	return out
}

// node is an element with its attributes, children and text.
type node struct {
	name  xml.Name
	attrs map[string]string // by local name, xmlns declarations left out
	kids  []*node
	text  string
	ns    map[string]string
}

// ResolvePrefix makes a node the Resolver of the values in it.
func (n *node) ResolvePrefix(prefix []byte) (string, bool) {
	uri, ok := n.ns[string(prefix)]
	return uri, ok || len(prefix) == 0
}

func (n *node) each(visit func(*node)) {
	visit(n)
	for _, k := range n.kids {
		k.each(visit)
	}
}

// readTree parses a document. Literal white space in attribute values becomes
// spaces, as encoding/xml does not do; text is read from the document as it is.
func readTree(t *testing.T, path string) *node {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 2 && (raw[0] == 0xFE && raw[1] == 0xFF || raw[0] == 0xFF && raw[1] == 0xFE) {
		units := make([]uint16, 0, len(raw)/2)
		for i := 2; i+1 < len(raw); i += 2 {
			hi, lo := raw[i], raw[i+1]
			if raw[0] == 0xFF {
				hi, lo = lo, hi
			}
			units = append(units, uint16(hi)<<8|uint16(lo))
		}
		raw = []byte(string(utf16.Decode(units)))
	}
	attrs := parseTree(t, path, []byte(strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ", "\r", " ").Replace(string(raw))))
	text := parseTree(t, path, raw)
	var merge func(a, b *node)
	merge = func(a, b *node) {
		a.text = b.text
		for i := range a.kids {
			merge(a.kids[i], b.kids[i])
		}
	}
	merge(attrs, text)
	return attrs
}

func parseTree(t *testing.T, path string, doc []byte) *node {
	t.Helper()
	dec := xml.NewDecoder(bytes.NewReader(doc))
	dec.CharsetReader = nil
	dec.Strict = true
	if i := bytes.Index(doc, []byte("?>")); i > 0 && bytes.HasPrefix(bytes.TrimSpace(doc), []byte("<?xml")) {
		dec = xml.NewDecoder(bytes.NewReader(doc[i+2:])) // whatever encoding it declares
	}
	root := &node{ns: map[string]string{"xml": xmlNamespace}}
	stack := []*node{root}
	for {
		tok, err := dec.Token()
		if err != nil {
			if len(root.kids) != 1 || len(stack) != 1 {
				t.Fatalf("%s: %v", path, err)
			}
			return root.kids[0]
		}
		top := stack[len(stack)-1]
		switch tok := tok.(type) {
		case xml.StartElement:
			n := &node{name: tok.Name, attrs: map[string]string{}, ns: top.ns}
			for _, a := range tok.Attr {
				if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
					ns := map[string]string{}
					for k, v := range n.ns {
						ns[k] = v
					}
					ns[strings.TrimPrefix(a.Name.Local, "xmlns")] = a.Value
					n.ns = ns
					continue
				}
				if a.Name.Space == "http://www.w3.org/2001/XMLSchema-instance" {
					continue
				}
				n.attrs[a.Name.Local] = a.Value
			}
			top.kids = append(top.kids, n)
			stack = append(stack, n)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text += string(tok)
		}
	}
}

// suiteSchema is the simple types of one schema document.
type suiteSchema struct {
	root   *node
	global map[string]*node
	types  map[*node]*Type
	busy   map[*node]bool
	elems  map[string]*Type
	attrs  map[string]*Type
}

var errOutside = errors.New("beyond this reader")

func loadSuiteSchema(t *testing.T, path string) (*suiteSchema, error) {
	t.Helper()
	s := &suiteSchema{
		root: readTree(t, path), global: map[string]*node{}, types: map[*node]*Type{}, busy: map[*node]bool{},
		elems: map[string]*Type{}, attrs: map[string]*Type{},
	}
	for _, k := range s.root.kids {
		if k.name.Local == "simpleType" || k.name.Local == "complexType" {
			s.global[k.attrs["name"]] = k
		}
		if k.name.Local == "include" || k.name.Local == "import" || k.name.Local == "redefine" {
			return nil, errOutside
		}
	}
	var errs []error
	s.root.each(func(n *node) {
		var err error
		var typ *Type
		switch n.name.Local {
		case "simpleType":
			_, err = s.define(n)
		case "element", "attribute":
			if n.attrs["name"] == "" {
				return
			}
			typ, err = s.declared(n)
			if typ != nil && n.name.Local == "element" {
				s.elems[n.attrs["name"]] = typ
			} else if typ != nil {
				s.attrs[n.attrs["name"]] = typ
			}
		}
		if err != nil {
			errs = append(errs, err)
		}
	})
	return s, errors.Join(errs...)
}

// declared returns the simple type of an element or attribute, nil when it has
// none that this reader sees.
func (s *suiteSchema) declared(n *node) (*Type, error) {
	if ref := n.attrs["type"]; ref != "" {
		return s.named(n, ref)
	}
	for _, k := range n.kids {
		switch k.name.Local {
		case "simpleType":
			return s.define(k)
		case "complexType":
			return s.content(k)
		}
	}
	return nil, nil
}

// content returns the simple content of a complex type that extends a simple type.
func (s *suiteSchema) content(n *node) (*Type, error) {
	for _, k := range n.kids {
		if k.name.Local != "simpleContent" {
			continue
		}
		for _, e := range k.kids {
			if e.name.Local == "extension" {
				return s.named(e, e.attrs["base"])
			}
		}
	}
	return nil, nil
}

func (s *suiteSchema) named(n *node, ref string) (*Type, error) {
	prefix, local, ok := strings.Cut(strings.TrimSpace(ref), ":")
	if !ok {
		prefix, local = "", prefix
	}
	if uri := n.ns[prefix]; uri == Namespace {
		return BuiltinType(local), nil
	}
	def := s.global[local]
	switch {
	case def == nil:
		return nil, fmt.Errorf("no type %s", ref)
	case def.name.Local == "complexType":
		return s.content(def)
	}
	return s.define(def)
}

func (s *suiteSchema) define(n *node) (*Type, error) {
	if t, ok := s.types[n]; ok {
		return t, nil
	}
	if s.busy[n] {
		return nil, errors.New("circular")
	}
	s.busy[n] = true
	name := Name{s.root.attrs["targetNamespace"], n.attrs["name"]}
	for _, k := range n.kids {
		inner := func() (out []*Type, err error) {
			for _, c := range k.kids {
				if c.name.Local == "simpleType" {
					t, err := s.define(c)
					if err != nil {
						return nil, err
					}
					out = append(out, t)
				}
			}
			return out, nil
		}
		types, err := inner()
		if err != nil {
			return nil, err
		}
		refs := append(strings.Fields(k.attrs["memberTypes"]), strings.Fields(k.attrs["base"]+" "+k.attrs["itemType"])...)
		var named []*Type
		for _, ref := range refs {
			t, err := s.named(k, ref)
			if err != nil {
				return nil, err
			}
			if t == nil {
				return nil, fmt.Errorf("no simple type %s", ref)
			}
			named = append(named, t)
		}
		types = append(named, types...)
		var t *Type
		switch k.name.Local {
		case "restriction":
			if len(types) != 1 {
				return nil, errors.New("no base, or two")
			}
			var facets []Facet
			for _, f := range k.kids {
				if kind := FacetByName(f.name.Local); kind != NoFacet {
					facets = append(facets, Facet{Kind: kind, Value: f.attrs["value"], Fixed: f.attrs["fixed"] == "true" || f.attrs["fixed"] == "1", Namespaces: f})
				}
			}
			if t, err = types[0].Restrict(name, facets, Options{}); err != nil {
				return nil, err
			}
		case "list":
			if len(types) != 1 {
				return nil, errors.New("no item type, or two")
			}
			if t, err = ListOf(name, types[0]); err != nil {
				return nil, err
			}
		case "union":
			if t, err = UnionOf(name, types...); err != nil {
				return nil, err
			}
		default:
			continue
		}
		s.types[n] = t
		return t, nil
	}
	return nil, errors.New("empty simpleType")
}

var suiteParts = []string{"msData/datatypes/", "nistData/", "sunData/SType/ST_facets", "msData/regex/reD"}

// structural are tests that fail for a reason above this layer.
var structural = map[string]bool{
	"dtZ107447_a_2245/dtZ107447_a_2245": true, // an element of type ID with a fixed value
	"reDH7a/reDH7a.i":                   true, // an IDREF to no ID
}

func verdict(ok bool) string { return map[bool]string{true: "valid", false: "invalid"}[ok] }

func TestW3CSimpleTypes(t *testing.T) {
	dir := suiteDir(t)
	total := 0
	for _, tc := range suiteTests(t, dir, suiteParts...) {
		if tc.kind != "S" {
			continue
		}
		_, err := loadSuiteSchema(t, filepath.Join(dir, tc.schemas))
		if errors.Is(err, errOutside) {
			continue
		}
		total++
		if got := verdict(err == nil); got != tc.expected && !structural[tc.id] {
			t.Errorf("%s %s: got %s, want %s: %v", tc.id, tc.schemas, got, tc.expected, err)
		}
	}
	if total < 1600 {
		t.Errorf("only %d schemas were read", total)
	}
}

func TestW3CValues(t *testing.T) {
	dir := suiteDir(t)
	total := 0
	for _, tc := range suiteTests(t, dir, suiteParts...) {
		if tc.kind != "I" {
			continue
		}
		s, err := loadSuiteSchema(t, filepath.Join(dir, tc.schemas))
		if err != nil {
			continue
		}
		var ctx Context
		var first *Failure
		values := 0
		validate := func(typ *Type, n *node, v string) {
			if typ == nil {
				return
			}
			values++
			ctx.Namespaces = n
			if f := typ.Validate([]byte(v), &ctx); f != nil && first == nil {
				first = f
			}
		}
		readTree(t, filepath.Join(dir, tc.instance)).each(func(n *node) {
			validate(s.elems[n.name.Local], n, n.text)
			for name, v := range n.attrs {
				validate(s.attrs[name], n, v)
			}
		})
		if values == 0 {
			continue
		}
		total++
		if got := verdict(first == nil); got != tc.expected && !structural[tc.id] {
			t.Errorf("%s %s: got %s, want %s: %v", tc.id, tc.instance, got, tc.expected, first)
		}
	}
	if total < 2700 {
		t.Errorf("only %d instances were checked", total)
	}
}
