package xsd

import (
	"fmt"
	"io/fs"
	"sort"
	"time"

	"mezhved/envelopes/xmltape"
	"mezhved/xsd/internal/value"
)

// compiler holds what is known while a schema is being built.
type compiler struct {
	fsys fs.FS
	opts Options
	lim  Limits

	// Loading.
	files     map[string]*file
	docs      map[docKey]*document
	copies    map[copyKey]*document
	order     []*document         // in the order of loading
	redefined map[*node]*document // what a redefine redefines
	bytes     int
	nodes     int

	universe
	byValue map[*value.Type]*simpleType // the built-in types

	// Components, by expanded name.
	types      map[qname]typeDef
	elements   map[qname]*elementDecl
	attributes map[qname]*attributeDecl
	groups     map[qname]*groupDef
	attrGroups map[qname]*attributeGroup
	notations  map[qname]*notation
	identities map[qname]*identity

	complexes []*complexType // all, anonymous ones too, in order of discovery
	simples   []*simpleType  // all but the built-in ones
	allElems  []*elementDecl // all, local ones too
	bodies    []func()       // work put off until the components round it are whole

	redefining      *groupDef // the group whose body is being read
	selfReferences  int       // its references to itself, as redefinition
	redefinedGroups []*groupDef

	findings []Finding
	seen     map[Finding]bool
	more     bool
	depth    int
	ticks    int
	began    time.Time
	rows     int
	held     int // bytes, of Limits.Memory
}

// stop ends a compilation from any depth; Compile recovers it.
type stop struct{}

// Compile compiles the schema documents at the paths roots of fsys and all
// that they include, import and redefine. The error is a *CompileError when
// the schema is at fault, or names what could not be read.
//
// Nothing outside fsys is opened. A folder is best given as os.OpenRoot(dir).FS(),
// which, other than os.DirFS, symbolic links do not lead out of.
func Compile(fsys fs.FS, roots []string, opts Options) (s *Schema, err error) {
	c := newCompiler(fsys, opts)
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(stop); !ok {
				panic(r)
			}
			s, err = nil, c.refusal()
		}
	}()
	if err := c.load(roots); err != nil {
		return nil, err
	}
	if len(c.findings) > 0 {
		return nil, c.refusal()
	}
	c.register()
	c.resolve()
	if len(c.findings) > 0 {
		return nil, c.refusal()
	}
	c.check()
	if len(c.findings) > 0 {
		return nil, c.refusal()
	}
	s = c.emit(roots)
	if len(c.findings) > 0 {
		return nil, c.refusal()
	}
	return s, nil
}

func newCompiler(fsys fs.FS, opts Options) *compiler {
	c := &compiler{fsys: fsys, opts: opts, lim: opts.Limits.withDefaults(),
		files: map[string]*file{}, docs: map[docKey]*document{}, copies: map[copyKey]*document{}, redefined: map[*node]*document{},
		types: map[qname]typeDef{}, elements: map[qname]*elementDecl{}, attributes: map[qname]*attributeDecl{},
		groups: map[qname]*groupDef{}, attrGroups: map[qname]*attributeGroup{}, notations: map[qname]*notation{},
		identities: map[qname]*identity{}, seen: map[Finding]bool{},
	}
	if c.opts.Timeout <= 0 {
		c.opts.Timeout = 10 * time.Second
	}
	if c.opts.Now == nil {
		c.opts.Now = time.Now
	}
	c.began = c.opts.Now()
	return c
}

// tick counts a step of work and ends a compilation that takes too long.
func (c *compiler) tick() {
	if c.ticks++; c.ticks%1024 == 0 {
		c.look()
	}
}

// look ends a compilation that takes too long. Long steps call it, short ones tick.
func (c *compiler) look() {
	if c.opts.Now().Sub(c.began) > c.opts.Timeout {
		c.report(Finding{Rule: "budget-time",
			ru: fmt.Sprintf("сборка схемы прервана: она длится дольше %v", c.opts.Timeout),
			en: fmt.Sprintf("compilation stopped: it takes longer than %v", c.opts.Timeout)})
		panic(stop{})
	}
}

// exceeded ends the compilation: a limit was passed at a file.
func (c *compiler) exceeded(file, what string, limit int) {
	c.report(Finding{Rule: "budget-" + what, File: file,
		ru: fmt.Sprintf("схема превышает предел %q: %d", what, limit),
		en: fmt.Sprintf("the schema exceeds the limit %q: %d", what, limit)})
	panic(stop{})
}

// exceededAt ends the compilation: a limit was passed at a node.
func (c *compiler) exceededAt(n *node, what string, limit int) {
	c.find(n, "budget-"+what, "схема превышает предел %[1]q: %[2]d", "the schema exceeds the limit %[1]q: %[2]d", what, limit)
	panic(stop{})
}

// hold counts what one component makes of others: a few lines of a schema could
// otherwise have each of a thousand types hold the tables of the largest.
func (c *compiler) hold(n *node, bytes int) {
	if c.held += bytes; c.held > c.lim.Memory {
		c.exceededAt(n, "memory", c.lim.Memory)
	}
}

// What each of them takes, in bytes, while its table is made and afterwards.
const (
	useBytes    = 250 // an attribute in the table of a type
	memberBytes = 48  // a member of a union
	spaceBytes  = 120 // a namespace of a wildcard
	columnBytes = 350 // a column of a content model
)

// longestLiteral bounds enumerated, default and fixed values: checking one against a
// pattern may cost as many steps for each character as the pattern has positions.
const longestLiteral = 64 << 10

// literal ends the compilation at a value that is too long to be checked.
func (c *compiler) literal(n *node, value string) {
	if c.look(); len(value) > longestLiteral {
		c.exceededAt(n, "value", longestLiteral)
	}
}

// enter guards recursion along references between components.
func (c *compiler) enter(n *node) {
	c.tick()
	if c.depth++; c.depth > c.lim.Nesting {
		c.exceededAt(n, "nesting", c.lim.Nesting)
	}
}

func (c *compiler) leave() { c.depth-- }

// find reports a finding at an element of a schema document. Both texts take the same arguments.
func (c *compiler) find(n *node, rule, ru, en string, args ...any) {
	if n == nil {
		c.report(Finding{Rule: rule, ru: fmt.Sprintf(ru, args...), en: fmt.Sprintf(en, args...)})
		return
	}
	c.findAt(n.doc, n.el, rule, ru, en, args...)
}

func (c *compiler) findAt(doc *document, el xmltape.Node, rule, ru, en string, args ...any) {
	off, _ := el.Range()
	c.findOff(doc, off, rule, ru, en, args...)
}

func (c *compiler) findOff(doc *document, off int, rule, ru, en string, args ...any) {
	line, col := 0, 0
	if len(c.findings) < c.lim.Findings { // positions cost a scan of the document
		line, col = doc.tape.Position(off)
	}
	c.report(Finding{Rule: rule, File: doc.path, Line: line, Col: col, ru: fmt.Sprintf(ru, args...), en: fmt.Sprintf(en, args...)})
}

// report notes a finding, once. It ends the compilation when there are too many.
func (c *compiler) report(f Finding) {
	switch {
	case c.seen[f]:
	case len(c.findings) >= c.lim.Findings:
		c.more = true
		panic(stop{}) // enough to be repaired first
	default:
		c.seen[f] = true
		c.findings = append(c.findings, f)
	}
}

func (c *compiler) refusal() error {
	rank := map[string]int{}
	for i, d := range c.order {
		if _, ok := rank[d.path]; !ok {
			rank[d.path] = i
		}
	}
	sort.SliceStable(c.findings, func(i, j int) bool {
		a, b := c.findings[i], c.findings[j]
		if a.File != b.File {
			return rank[a.File] < rank[b.File]
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
	return &CompileError{Findings: c.findings, More: c.more}
}
