package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mezhved/adapter/contentpath"
	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/lifecycle/reference"
	"mezhved/adapter/settings"
	"mezhved/adapter/subject"
	"mezhved/adapter/terms"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes/xmltape"
	"mezhved/xsd"
)

// Registry is the set of services and parties in force, read from folders. A
// reload swaps the whole set or nothing: a call sees one set from its first
// check to its last.
type Registry struct {
	services, parties string
	now               func() time.Time
	gate              *Gate
	sandbox           bool

	mu       sync.Mutex // one reload at a time
	compiled map[[32]byte]*xsd.Schema
	current  atomic.Pointer[Catalog]
}

// Open reads both folders. With errors among the findings the registry
// is nil; warnings alone do not stop it. now is asked for the dates of
// certificates. gate is the gateway's own; without one there are those of the services.
func Open(services, parties string, now func() time.Time, gate ...Gate) (*Registry, yamlfile.Findings) {
	return (&Registry{services: services, parties: parties, now: now, gate: one(gate)}).opened()
}

// OpenSandbox is Open for a sandbox: every party may call every service, and whatever is
// not retired is in use. No configuration leads here.
func OpenSandbox(services, parties string, now func() time.Time) (*Registry, yamlfile.Findings) {
	return (&Registry{services: services, parties: parties, now: now, sandbox: true}).opened()
}

func (r *Registry) opened() (*Registry, yamlfile.Findings) {
	r.compiled = map[[32]byte]*xsd.Schema{}
	found, _ := r.Reload(nil)
	if len(found.Errors()) > 0 {
		return nil, found
	}
	return r, found
}

func one(gate []Gate) *Gate {
	if len(gate) == 0 {
		return nil
	}
	return &gate[0]
}

// Reload reads the folders again. With errors among the findings, or when agree, which
// may be nil, has something against the new set, the set in force stays as it is; the
// error is agree's.
func (r *Registry) Reload(agree func(*Catalog) error) (yamlfile.Findings, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reader := catalogReader{now: r.now(), gate: r.gate, old: r.compiled, compiled: map[[32]byte]*xsd.Schema{}}
	c := reader.read(r.services, r.parties)
	if r.sandbox {
		c.open()
	}
	if len(reader.findings.Errors()) > 0 {
		return reader.findings, nil
	}
	if agree != nil {
		if err := agree(c); err != nil {
			return reader.findings, err
		}
	}
	r.compiled = reader.compiled
	r.current.Store(c)
	return reader.findings, nil
}

// open lets everybody in.
func (c *Catalog) open() {
	for _, s := range c.services {
		s.callers = nil
		if s.Stage != StageRetired {
			s.Stage = StagePublished
		}
	}
}

// Catalog is the set in force.
func (r *Registry) Catalog() *Catalog { return r.current.Load() }

// Catalog is one consistent set of services and parties. It does not change.
type Catalog struct {
	Digest   string // hex SHA-256 over everything that was read, for the journal
	Likeness string // short hex digest of what routers and installations must have alike: see likeness
	Calendar *terms.Calendar

	Settings     settings.State // as they were read, to tell what is changed
	parties      map[Mnemonic]*Party
	byCert       map[[32]byte]*Party
	services     []*Service // by name, then version as read
	byRoot       map[QName]*Service
	byName       map[string][]*Service
	streams      map[Mnemonic]bool
	dictionaries []*reference.Dictionary // by name, then version
}

// Party is a registered information system.
type Party struct {
	Mnemonic     Mnemonic
	Name         string // for people
	VIP          bool   // its requests are delivered first (MR 3.3, section 2.3.5)
	Group        string // consumer group in which it reads its topic, for services with delivery: stream
	StatusQueue  bool   // the gateway's asynchronous errors go to its status queue, not to its response queue
	Certificates []Certificate
	PerSecond    float64 // 0: the gateway's default
	Burst        int
	QueueLimit   int            // 0: the gateway's default
	Concurrent   int            // calls at work at once; 0: the gateway's default
	Waiting      int            // requests of it in one queue; 0: the gateway's default
	Lease        time.Duration  // how long it has to acknowledge; 0: the gateway's default
	Zone         *time.Location // of the times in its calls that say none, and in which its terms are counted
	Emulator     bool           // a gateway plays it by the scenarios of what it provides
	Key          string         // file of an emulator's private key
	FitUntil     time.Time      // until when its conformance report counts; zero: none is demanded

	fitness string   // the report in force, for the journal
	terms   directed // of what goes to it
}

// Certificate is one certificate by which a party is known. Several
// may overlap, so that a key is changed without a gap.
type Certificate struct {
	File      string
	SHA256    [32]byte
	Subject   string // RFC 2253
	NotBefore time.Time
	NotAfter  time.Time
}

// Stage is the stage of a service version's life.
type Stage string

// The stages.
const (
	StageDraft     Stage = "draft"     // loaded and linted, refused to everybody
	StageTest      Stage = "test"      // messages marked TestMessage only
	StagePublished Stage = "published" // for use
	StageRetired   Stage = "retired"   // no new requests, or none after its sunset; answers and queues live on
)

// Personal says what a service wants of the official's signature (ЭП-СП).
type Personal string

// The wishes. A personal signature that is there is always verified.
const (
	PersonalOptional  Personal = "optional"
	PersonalRequired  Personal = "required"
	PersonalForbidden Personal = "forbidden"
)

// Service is one version of a kind of data («вид сведений»).
type Service struct {
	Name, Version string
	Title         string
	Request       QName
	Response      QName // zero for a broadcast
	Broadcast     bool
	Providers     []Mnemonic         // who may receive; subscribers of a broadcast
	Stage         Stage              // in force
	Held          bool               // it is to be published and is at the stage test, because Protocol does not hold
	Signers       []Mnemonic         // who has to sign before it is published; empty: stage: published is enough
	Rules         protocol.Rules     // what its protocol is over beside its files
	Protocol      *protocol.Standing // what its folder proves; nil only where there is no schema
	Sunset        time.Time          // of a retired version: until then it takes requests; zero: it takes none
	Deadline      terms.Term         // of the answer: terms.answered
	EndOfLife     time.Duration      // given to requests without EOL of their own; 0: none
	KeepRequests  time.Duration      // how long the content of requests is kept; 0: as the gateway's configuration says
	KeepAnswers   time.Duration      // and of what answers them
	Quality       Quality            // what is promised of it; empty: what the gateway's configuration says
	Content       int64              // bytes of the structured part; 0: the gateway's default
	Attachments   int64
	QueueLimit    int // messages of the service in one queue; 0: as many as a queue may have
	Concurrent    int // requests at work at once; 0: the gateway's default
	Personal      Personal
	FileSignature Personal // whether each file must be signed (PKCS#7): optional or required
	Stream        bool     // providers read their topic on the bus instead of polling
	Probe         *Probe   // how it is watched; nil: it is not
	Code          string   // of the kind of data in the register; empty: it is not told
	Shadow        bool     // a draft that messages of the versions in use are held against, too

	AboutRequest  *subject.Plan // whom requests are about, and on what ground they ask
	AboutResponse *subject.Plan

	RequestCodes  []Code // what must be a code of a dictionary
	ResponseCodes []Code

	Schema       *xsd.Schema
	SchemaDigest string // hex

	unstaged   bool // service.yaml says no stage
	terms      directed
	termsOf    map[Mnemonic]terms.Rules // of requests to one provider
	callers    map[Mnemonic]bool        // nil: every registered party
	code       *contentpath.Path        // routing code; nil: fixed
	table      map[string]Mnemonic
	otherwise  Mnemonic // for codes outside the table
	validators sync.Pool
}

// Party finds a party by its mnemonic; nil when unknown.
func (c *Catalog) Party(m Mnemonic) *Party { return c.parties[m] }

// PartyOf finds the party that registered a certificate; nil when none did.
func (c *Catalog) PartyOf(sha256 [32]byte) *Party { return c.byCert[sha256] }

// Parties lists the parties by mnemonic.
func (c *Catalog) Parties() []*Party {
	out := make([]*Party, 0, len(c.parties))
	for _, p := range c.parties {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Party) int { return compare(a.Mnemonic, b.Mnemonic) })
	return out
}

func compare(a, b Mnemonic) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// likeness is over what says where a call goes and who calls: services with their roots,
// schemas, providers and routing tables, parties with their certificates. What each gateway
// may have of its own, such as limits and the standing of protocols, is not in it.
func (c *Catalog) likeness() string {
	h := sha256.New()
	for _, s := range c.services {
		fmt.Fprintf(h, "service %q %q %s %q %q %t %q\n", s.Name, s.Version, s.SchemaDigest, s.Request, s.Response, s.Broadcast, s.Providers)
		if s.code != nil {
			fmt.Fprintf(h, "by %q %q %q\n", s.code.String(), s.table, s.otherwise) // fmt orders the keys of a table
		}
	}
	for _, p := range c.Parties() {
		fmt.Fprintf(h, "party %q\n", p.Mnemonic)
		for _, one := range p.Certificates {
			fmt.Fprintf(h, "certificate %x\n", one.SHA256)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Services lists all versions of all services.
func (c *Catalog) Services() []*Service { return c.services }

// ByRoot finds the service version whose request or response has the root.
func (c *Catalog) ByRoot(root QName) *Service { return c.byRoot[root] }

// Versions lists the versions of a service.
func (c *Catalog) Versions(name string) []*Service { return c.byName[name] }

// Service finds a version of a service by name.
func (c *Catalog) Service(name, version string) *Service {
	for _, s := range c.byName[name] {
		if s.Version == version {
			return s
		}
	}
	return nil
}

// Shadows are the drafts that messages of a service are held against, too.
func (c *Catalog) Shadows(name string) (list []*Service) {
	for _, s := range c.byName[name] {
		if s.Shadow {
			list = append(list, s)
		}
	}
	return list
}

// Selected are the roots that a selector means: request and response roots of
// all versions of the service (MR 3.3, section 2.5.1).
func (c *Catalog) Selected(s *Service) []QName {
	var roots []QName
	for _, v := range c.byName[s.Name] {
		roots = append(roots, v.Request)
		if v.Response.Local != "" {
			roots = append(roots, v.Response)
		}
	}
	return roots
}

// Streams reports whether a party reads requests on the bus itself.
func (c *Catalog) Streams(p Mnemonic) bool { return c.streams[p] }

// Provides reports whether the party may find requests of any version of the
// service in its queue.
func (c *Catalog) Provides(p Mnemonic, s *Service) bool {
	return slices.ContainsFunc(c.byName[s.Name], func(v *Service) bool { return slices.Contains(v.Providers, p) })
}

// Calls reports whether the party may send requests of any version of the
// service, and so find responses to them in its queue.
func (c *Catalog) Calls(p Mnemonic, s *Service) bool {
	return slices.ContainsFunc(c.byName[s.Name], func(v *Service) bool { return v.Admits(p) })
}

// Admits reports whether the party may send requests of this version.
func (s *Service) Admits(p Mnemonic) bool { return s.callers == nil || s.callers[p] }

// Callers lists who may call; nil means every registered party.
func (s *Service) Callers() []Mnemonic {
	if s.callers == nil {
		return nil
	}
	out := make([]Mnemonic, 0, len(s.callers))
	for m := range s.callers {
		out = append(out, m)
	}
	slices.Sort(out)
	return out
}

// Route finds the recipients of a request from its content. The error is a
// *RouteError.
func (s *Service) Route(content xmltape.Node) ([]Mnemonic, error) {
	if s.Broadcast || s.code == nil {
		return s.Providers, nil
	}
	code, ok := s.code.First(content)
	if !ok {
		return nil, &RouteError{Missing: s.code.String()}
	}
	if to, ok := s.table[code]; ok {
		return []Mnemonic{to}, nil
	}
	if s.otherwise != "" {
		return []Mnemonic{s.otherwise}, nil
	}
	return nil, &RouteError{Code: code}
}

// RouteError says why no recipient was found.
type RouteError struct {
	Missing string // the XPath that found nothing
	Code    string // the routing code that the table does not know
}

func (e *RouteError) Error() string {
	if e.Missing != "" {
		return "routing code is missing: " + e.Missing
	}
	return "routing code is not in the table: " + e.Code
}

// Russian is the error in Russian.
func (e *RouteError) Russian() string {
	if e.Missing != "" {
		return "нет кода маршрутизации: " + e.Missing
	}
	return "кода маршрутизации нет в таблице: " + e.Code
}

// WithoutValues says that there is no route, not for which code.
func (e *RouteError) WithoutValues() string {
	if e.Missing != "" {
		return e.Error()
	}
	return "routing code is not in the table"
}

// Validate checks signed content against the service's schema. The error is an
// *xsd.Invalid. The SMEV transform drops what a prefix is bound to that occurs in
// values only, and renames all others, so a name in a value is taken only when the
// schema leaves it one meaning; settled is how many were.
func (s *Service) Validate(content xmltape.Node) (settled int, err error) {
	v, _ := s.validators.Get().(*xsd.Validator)
	if v == nil {
		v = s.Schema.NewValidator()
		v.PrefixesUnsigned = true
	}
	defer s.validators.Put(v)
	err = v.Validate(content)
	return v.Settled(), err
}
