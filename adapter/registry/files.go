package registry

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/contentpath"
	"mezhved/adapter/reports"
	"mezhved/adapter/settings"
	"mezhved/adapter/subject"
	"mezhved/adapter/terms"
	"mezhved/adapter/yamlfile"
	"mezhved/xsd"
)

// partyFile is parties/<mnemonic>.yaml.
type partyFile struct {
	Mnemonic     string          `yaml:"mnemonic"`     // default: the file's name; given when a name cannot be a file's
	Name         string          `yaml:"name"`         // for people
	Certificates []string        `yaml:"certificates"` // PEM or DER; default: <mnemonic>.pem (.crt, .cer, .der) and those in the folder <mnemonic>/
	VIP          bool            `yaml:"vip"`
	Group        string          `yaml:"group"`       // Kafka consumer group of delivery: stream; default: the mnemonic
	AsyncErrors  string          `yaml:"asyncErrors"` // responses (default) or statuses
	Lease        yamlfile.Period `yaml:"lease"`       // how long the party has to acknowledge what it takes; default: the gateway's
	TimeZone     string          `yaml:"timeZone"`    // of times in its calls that say none: an offset such as +10:00; default +03:00
	Terms        partyTerms      `yaml:"terms"`       // stricter ones than the services have, for what goes to it
	Limits       partyLimits     `yaml:"limits"`
	Emulator     bool            `yaml:"emulator"` // a gateway plays it by the scenarios of what it provides
	Key          string          `yaml:"key"`      // file of an emulator's private key (PEM), of the first certificate

	Conformance *conformanceFile `yaml:"conformance"` // what it must have proved; default: nothing
}

type partyLimits struct {
	PerSecond  float64 `yaml:"perSecond"`
	Burst      int     `yaml:"burst"`
	Queue      int     `yaml:"queue"`      // messages in one of its queues; default: the gateway's
	Concurrent int     `yaml:"concurrent"` // calls at work at once; default: the gateway's limits.perParty
	Waiting    int     `yaml:"waiting"`    // requests of its own in one queue; default: the gateway's queues.perSender
}

// serviceFile is services/<name>/<version>/service.yaml.
type serviceFile struct {
	Title     string          `yaml:"title"`
	Root      serviceRoot     `yaml:"root"`
	Schemas   []string        `yaml:"schemas"` // root documents; default: every .xsd in the folder itself
	Imports   []importFile    `yaml:"imports"` // where imported namespaces are found in the folder
	Broadcast bool            `yaml:"broadcast"`
	Providers []string        `yaml:"providers"`
	Routing   *routingFile    `yaml:"routing"`
	Callers   []string        `yaml:"callers"`  // mnemonics, or "*" for every registered party
	Deadline  string          `yaml:"deadline"` // terms.answered
	Terms     serviceTerms    `yaml:"terms"`
	EndOfLife yamlfile.Period `yaml:"endOfLife"`
	Retention serviceKeep     `yaml:"retention"`
	Quality   Quality         `yaml:"quality"`           // what is promised of it; default: the gateway's
	Official  string          `yaml:"personalSignature"` // optional (default), required, forbidden
	Personal  *personalFile   `yaml:"personal"`          // whose data the messages hold
	Ground    *groundFile     `yaml:"ground"`            // on what ground the requests ask
	Files     string          `yaml:"fileSignature"`     // optional (default), required
	Limits    serviceLimits   `yaml:"limits"`
	Stage     string          `yaml:"stage"`    // draft, test, published, retired; default: published, and with a gate test
	Sunset    string          `yaml:"sunset"`   // of a retired version: the last day on which it takes requests
	Protocol  *protocolFile   `yaml:"protocol"` // who must sign its test protocol before it is published
	Delivery  string          `yaml:"delivery"` // poll (default) or stream
	Probe     *probeFile      `yaml:"probe"`    // how it is watched; default: it is not
	Code      string          `yaml:"code"`     // of the kind of data in the register, such as VS00374
	Codes     *codesFile      `yaml:"codes"`    // what must be a code of a dictionary
	Shadow    bool            `yaml:"shadow"`   // a draft: messages of the versions in use are held against it, too, and nothing comes of it but a count
}

// serviceKeep is how long content of the service is kept; default: the gateway's.
type serviceKeep struct {
	Requests yamlfile.Period `yaml:"requests"`
	Answers  yamlfile.Period `yaml:"answers"`
}

type serviceRoot struct {
	Namespace string `yaml:"namespace"`
	Request   string `yaml:"request"`
	Response  string `yaml:"response"`
}

type importFile struct {
	Namespace string `yaml:"namespace"`
	File      string `yaml:"file"`
}

type routingFile struct {
	XPath      string            `yaml:"xpath"`
	Namespaces map[string]string `yaml:"namespaces"`
	Table      map[string]string `yaml:"table"`
	Otherwise  string            `yaml:"otherwise"`
}

type serviceLimits struct {
	Content     yamlfile.Size `yaml:"content"`
	Attachments yamlfile.Size `yaml:"attachments"`
	Queue       int           `yaml:"queue"`      // messages of it in one queue; default: the gateway's
	Concurrent  int           `yaml:"concurrent"` // requests at work at once; default: the gateway's limits.perService
}

// catalogReader reads one set. It goes on after a mistake, so that the operator
// sees all of them at once.
type catalogReader struct {
	now       time.Time
	old       map[[32]byte]*xsd.Schema // compiled before, by bundle
	compiled  map[[32]byte]*xsd.Schema
	samples   bool  // look at them too
	gate      *Gate // the gateway's; nil: it is not known
	gated     []gated
	forms     map[string]subject.Form // of personal fields, by name
	noParties bool                    // their folder cannot be read, so none is known
	sum       hash.Hash
	catalog   *Catalog
	findings  yamlfile.Findings
}

// Lint reads both folders as Open does, and the services' samples, and gives
// everything that is wrong in them.
func Lint(services, parties string, now time.Time, gate ...Gate) (*Catalog, yamlfile.Findings) {
	r := catalogReader{now: now, samples: true, gate: one(gate), compiled: map[[32]byte]*xsd.Schema{}}
	c := r.read(services, parties)
	return c, r.findings
}

func (r *catalogReader) read(services, parties string) *Catalog {
	r.sum, r.forms = sha256.New(), map[string]subject.Form{}
	r.catalog = &Catalog{
		parties: map[Mnemonic]*Party{}, byCert: map[[32]byte]*Party{},
		byRoot: map[QName]*Service{}, byName: map[string][]*Service{}, streams: map[Mnemonic]bool{}, Settings: settings.State{},
	}
	r.readCalendar(services)
	r.readDictionaries(services)
	r.readParties(parties)
	r.readServices(services)
	r.examine()
	for _, s := range r.catalog.services {
		if s.Stream {
			for _, m := range s.Providers {
				r.catalog.streams[m] = true
			}
		}
	}
	r.catalog.Digest, r.catalog.Likeness = hex.EncodeToString(r.sum.Sum(nil)), r.catalog.likeness()
	return r.catalog
}

func (r *catalogReader) errorf(file, format string, args ...any) {
	r.findings = append(r.findings, yamlfile.NewFinding(file, "", format, args...))
}

// missing tells of a folder that cannot be read. setting is what names it.
func (r *catalogReader) missing(dir string, err error, setting string) {
	if errors.Is(err, fs.ErrNotExist) {
		r.errorf(dir, "there is no such folder: name the right one with %s in the configuration, or with --%s where a command has it", setting, setting)
		return
	}
	r.errorf(dir, "%v", err)
}

func (r *catalogReader) warnf(file, format string, args ...any) {
	one := yamlfile.NewFinding(file, "", format, args...)
	one.Warning = true
	r.findings = append(r.findings, one)
}

func (r *catalogReader) digest(name string, content []byte) {
	var n [8]byte
	for _, b := range [][]byte{[]byte(name), content} {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		r.sum.Write(n[:])
		r.sum.Write(b)
	}
}

// take reads a settings file and adds it to the digest of the set.
func (r *catalogReader) take(name string, v any) *yamlfile.File {
	f := yamlfile.Read(name, v)
	src, _ := os.ReadFile(name)
	r.digest(filepath.Base(name), src)
	return f
}

var mnemonicForm = regexp.MustCompile(`^[\pL\pN][\pL\pN_.\-]{0,99}$`)

func (r *catalogReader) readParties(dir string) {
	names, err := filepath.Glob(filepath.Join(globQuote(dir), "*.yaml"))
	if err == nil && len(names) == 0 {
		_, err = os.Stat(dir)
	}
	if err != nil {
		r.noParties = true
		r.missing(dir, err, "parties")
		return
	}
	if len(names) == 0 {
		r.warnf(dir, "no party is registered: nobody can call (add <mnemonic>.yaml beside its certificate)")
	}
	slices.Sort(names)
	for _, name := range names {
		r.readParty(name)
	}
}

// globQuote keeps a folder's name from being read as a pattern.
func globQuote(s string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(s)
}

func (r *catalogReader) readParty(name string) {
	var in partyFile
	f := r.take(name, &in)
	defer func() { r.findings = append(r.findings, f.Findings...) }()
	if f.Broken {
		return
	}
	base := strings.TrimSuffix(filepath.Base(name), ".yaml")
	in.Mnemonic = cmp.Or(in.Mnemonic, base)
	p := &Party{
		Mnemonic: Mnemonic(in.Mnemonic), Name: in.Name, VIP: in.VIP,
		PerSecond: in.Limits.PerSecond, Burst: in.Limits.Burst, QueueLimit: in.Limits.Queue, Concurrent: in.Limits.Concurrent, Waiting: in.Limits.Waiting, Lease: in.Lease.D(),
	}
	p.Name = cmp.Or(p.Name, in.Mnemonic)
	p.Group = in.Group
	p.Group = cmp.Or(p.Group, in.Mnemonic)
	if !mnemonicForm.MatchString(in.Mnemonic) {
		f.Errorf("mnemonic", "%q: letters, digits, _ . and - are expected, 100 at most", in.Mnemonic)
	}
	switch in.AsyncErrors {
	case "", "responses":
	case "statuses":
		p.StatusQueue = true
	default:
		f.Errorf("asyncErrors", "responses or statuses is expected, not %q", in.AsyncErrors)
	}
	var ok bool
	if p.Zone, ok = parseZone(in.TimeZone); !ok {
		f.Errorf("timeZone", "an offset from UTC such as +10:00 is expected, not %q", in.TimeZone)
	}
	p.terms = readTerms(f, &in.Terms)
	if in.Lease != 0 && in.Lease.D() < time.Second {
		f.Errorf("lease", "is shorter than a second")
	}
	if in.Limits.PerSecond < 0 || min(in.Limits.Burst, in.Limits.Queue, in.Limits.Concurrent, in.Limits.Waiting) < 0 {
		f.Errorf("limits", "must not be negative")
	}
	r.readCertificates(f, p, filepath.Dir(name), base, in.Certificates)
	checkEmulator(f, p, filepath.Dir(name), &in)
	r.readConformance(f, p, filepath.Dir(name), base, in.Conformance)
	if r.catalog.parties[p.Mnemonic] != nil {
		f.Errorf("mnemonic", "%s is registered by another file already", p.Mnemonic)
		return
	}
	r.catalog.parties[p.Mnemonic] = p
	all := settings.Of(in)
	for _, c := range p.Certificates {
		all["certificate "+filepath.Base(c.File)] = fmt.Sprintf("sha256:%x, %s, %s to %s", c.SHA256, c.Subject, c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly))
	}
	if p.fitness != "" {
		all["conformance report"] = p.fitness
	}
	r.catalog.Settings["party "+string(p.Mnemonic)] = all
}

// checkEmulator reads with which key a gateway plays the party.
func checkEmulator(f *yamlfile.File, p *Party, dir string, in *partyFile) {
	p.Emulator, p.Key = in.Emulator, in.Key
	switch {
	case in.Emulator && in.Key == "":
		f.Errorf("key", "is missing: an emulator signs with a key of its own")
	case !in.Emulator && in.Key != "":
		f.Errorf("key", "stays with the party: only one that the gateway emulates has it here")
	case in.Emulator:
		if !filepath.IsAbs(p.Key) {
			p.Key = filepath.Join(dir, p.Key)
		}
		if _, err := os.Stat(p.Key); err != nil {
			f.Errorf("key", "%v", err)
		}
	}
}

// parseZone reads an offset from UTC; empty: Moscow's. Names of zones are not
// taken, because what they mean depends on the machine.
func parseZone(s string) (*time.Location, bool) {
	if s == "" {
		return terms.Moscow, true
	}
	t, err := time.Parse("-07:00", s)
	if err != nil {
		return nil, false
	}
	_, offset := t.Zone()
	return time.FixedZone(s, offset), true
}

func (r *catalogReader) readCertificates(f *yamlfile.File, p *Party, dir, base string, files []string) {
	given := len(files) > 0
	if !given {
		for _, ext := range []string{"pem", "crt", "cer", "der"} {
			if _, err := os.Stat(filepath.Join(dir, base+"."+ext)); err == nil {
				files = append(files, base+"."+ext)
			}
			found, _ := filepath.Glob(filepath.Join(globQuote(filepath.Join(dir, base)), "*."+ext))
			for _, one := range found {
				files = append(files, filepath.Join(base, filepath.Base(one)))
			}
		}
	}
	valid := false
	for i, one := range files {
		path := "certificates"
		if given {
			path = fmt.Sprintf("certificates.%d", i)
		}
		file := one
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, one)
		}
		certs, err := readCertificateFile(file)
		if err != nil {
			f.Errorf(path, "%v", err)
			continue
		}
		if len(certs) == 0 && given {
			f.Errorf(path, "%s holds no certificate", one)
		}
		for _, c := range certs {
			reg := Certificate{File: file, SHA256: sha256.Sum256(c.Raw), Subject: c.Subject.String(), NotBefore: c.NotBefore, NotAfter: c.NotAfter}
			r.digest(filepath.Base(file), c.Raw)
			if other := r.catalog.byCert[reg.SHA256]; other != nil && other != p {
				f.Errorf(path, "certificate %s is registered for %s already: a certificate names one system", one, other.Mnemonic)
				continue
			}
			r.catalog.byCert[reg.SHA256] = p
			p.Certificates = append(p.Certificates, reg)
			switch {
			case r.now.After(c.NotAfter):
				f.Warnf(path, "certificate %s expired on %s", one, c.NotAfter.Format(time.DateOnly))
			case c.NotAfter.Sub(r.now) < 30*24*time.Hour:
				f.Warnf(path, "certificate %s expires on %s: register its successor beside it now", one, c.NotAfter.Format(time.DateOnly))
				valid = true
			default:
				valid = true
			}
		}
	}
	if len(p.Certificates) == 0 {
		f.Errorf("certificates", "no certificate of %s was found, so it could never call", p.Mnemonic)
	} else if !valid {
		f.Warnf("certificates", "%s has no valid certificate: it cannot call", p.Mnemonic)
	}
}

// readCertificateFile reads all certificates of a PEM file, or the one of a DER
// file. Private keys in the file are passed over.
func readCertificateFile(name string) ([]*x509.Certificate, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(src, []byte("-----BEGIN ")) {
		c, err := x509.ParseCertificate(src)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
		return []*x509.Certificate{c}, nil
	}
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, src = pem.Decode(src); block == nil {
			return out, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
		out = append(out, c)
	}
}

func (r *catalogReader) readServices(dir string) {
	names, err := os.ReadDir(dir)
	if err != nil {
		r.missing(dir, errors.Unwrap(err), "services")
		return
	}
	for _, n := range names {
		if !n.IsDir() || hidden(n.Name()) {
			continue
		}
		versions, err := os.ReadDir(filepath.Join(dir, n.Name()))
		if err != nil {
			r.errorf(filepath.Join(dir, n.Name()), "%v", errors.Unwrap(err))
			continue
		}
		for _, v := range versions {
			if v.IsDir() && !hidden(v.Name()) {
				r.readService(filepath.Join(dir, n.Name(), v.Name()), n.Name(), v.Name())
			}
		}
		if len(r.catalog.byName[n.Name()]) == 0 {
			r.warnf(filepath.Join(dir, n.Name()), "no version of this service was loaded (expected: <version>/service.yaml)")
		}
	}
}

// LeastKept is the least time for which content may be kept.
const LeastKept = 24 * time.Hour

func hidden(name string) bool { return name[0] == '.' || name[0] == '_' }

func (r *catalogReader) readService(dir, name, version string) {
	var in serviceFile
	f := r.take(filepath.Join(dir, "service.yaml"), &in)
	defer func() { r.findings = append(r.findings, f.Findings...) }()
	if f.Broken {
		return
	}
	s := &Service{
		Name: name, Version: version, Title: in.Title, Broadcast: in.Broadcast,
		Request:   QName{in.Root.Namespace, in.Root.Request},
		EndOfLife: in.EndOfLife.D(), KeepRequests: in.Retention.Requests.D(), KeepAnswers: in.Retention.Answers.D(),
		Content: int64(in.Limits.Content), Attachments: int64(in.Limits.Attachments), QueueLimit: in.Limits.Queue, Concurrent: in.Limits.Concurrent,
		Quality: in.Quality, Stage: Stage(in.Stage), Personal: Personal(in.Official), FileSignature: Personal(in.Files), Stream: in.Delivery == "stream",
	}
	s.Stage, s.unstaged = cmp.Or(s.Stage, StagePublished), s.Stage == ""
	s.Personal = cmp.Or(s.Personal, PersonalOptional)
	s.FileSignature = cmp.Or(s.FileSignature, PersonalOptional)
	if in.Root.Response != "" {
		s.Response = QName{in.Root.Namespace, in.Root.Response}
	}
	r.checkService(f, s, &in)
	r.checkParties(f, s, &in)
	r.readServiceTerms(f, s, &in)
	in.Quality.Read(f, reports.DefaultTarget)
	r.compile(f, s, dir, &in)
	checkRoute(f, s)
	checkOfficial(f, s)
	r.checkSubject(f, s, &in)
	r.readGate(f, s, dir, &in)
	readSunset(f, s, in.Sunset)
	r.checkCodes(f, s, in.Codes)
	s.Code = in.Code
	r.readProbe(f, s, dir, in.Probe)
	if s.Shadow = in.Shadow; s.Shadow && s.Stage != StageDraft {
		f.Errorf("shadow", "goes with stage: draft: a version that is in use is no shadow of another")
	}
	if r.samples && s.Schema != nil {
		r.findings = append(r.findings, checkSamples(s, dir, r.now)...)
	}
	s.Rules = rulesOf(s, &in)
	all := settings.Of(in)
	all["schema"] = "sha256:" + s.SchemaDigest
	r.catalog.Settings["service "+name+" "+version] = all
	r.catalog.services = append(r.catalog.services, s)
	r.catalog.byName[name] = append(r.catalog.byName[name], s)
	for _, root := range []struct {
		path string
		name QName
	}{{"root.request", s.Request}, {"root.response", s.Response}} {
		if root.name.Local == "" {
			continue
		}
		if other := r.catalog.byRoot[root.name]; other != nil {
			f.Errorf(root.path, "%s is a root of %s %s already: a namespace names one version of one service", root.name, other.Name, other.Version)
			continue
		}
		r.catalog.byRoot[root.name] = s
	}
}

func (r *catalogReader) checkService(f *yamlfile.File, s *Service, in *serviceFile) {
	if s.Title == "" {
		f.Warnf("title", "is missing: people will see the folder's name only")
	}
	if in.Root.Namespace == "" {
		f.Errorf("root.namespace", "is missing: content without a namespace cannot be signed")
	}
	if in.Root.Request == "" {
		f.Errorf("root.request", "is missing")
	}
	switch {
	case in.Broadcast && in.Root.Response != "":
		f.Errorf("root.response", "a broadcast is not answered")
	case !in.Broadcast && in.Root.Response == "":
		f.Errorf("root.response", "is missing (only a broadcast has none)")
	case in.Root.Response != "" && in.Root.Response == in.Root.Request:
		f.Errorf("root.response", "is the request's root too")
	}
	switch s.Stage {
	case StageDraft, StageTest, StagePublished, StageRetired:
	default:
		f.Errorf("stage", "draft, test, published or retired is expected, not %q", in.Stage)
	}
	switch s.Personal {
	case PersonalOptional, PersonalRequired, PersonalForbidden:
	default:
		f.Errorf("personalSignature", "optional, required or forbidden is expected, not %q", in.Official)
	}
	switch s.FileSignature {
	case PersonalOptional, PersonalRequired:
	default:
		f.Errorf("fileSignature", "optional or required is expected, not %q", in.Files)
	}
	switch in.Delivery {
	case "", "poll", "stream":
	default:
		f.Errorf("delivery", "poll or stream is expected, not %q", in.Delivery)
	}
	for name, keep := range map[string]time.Duration{"requests": s.KeepRequests, "answers": s.KeepAnswers} {
		if keep != 0 && keep < LeastKept {
			f.Errorf("retention."+name, "is shorter than a day: content ends by whole days")
		}
	}
	if in.Limits.Queue < 0 {
		f.Errorf("limits.queue", "must not be negative")
	}
	if in.Limits.Concurrent < 0 {
		f.Errorf("limits.concurrent", "must not be negative")
	}
}

func (r *catalogReader) checkParties(f *yamlfile.File, s *Service, in *serviceFile) {
	known := func(path, m string) Mnemonic {
		if r.catalog.parties[Mnemonic(m)] == nil && !r.noParties {
			f.Errorf(path, "party %q is not registered (parties/%s.yaml is missing)", m, m)
		}
		return Mnemonic(m)
	}
	for i, m := range in.Providers {
		if p := known(fmt.Sprintf("providers.%d", i), m); slices.Contains(s.Providers, p) {
			f.Errorf(fmt.Sprintf("providers.%d", i), "%s is listed twice", m)
		} else {
			s.Providers = append(s.Providers, p)
		}
	}
	switch {
	case in.Routing != nil:
		r.checkRouting(f, s, in.Routing, known)
	case len(in.Providers) == 0:
		f.Errorf("providers", "who receives the requests? give one provider, or routing")
	case len(in.Providers) > 1 && !in.Broadcast:
		f.Errorf("providers", "several providers need routing to choose between them")
	}
	if len(in.Callers) == 0 {
		f.Errorf("callers", "nobody may call: list mnemonics, or \"*\" for every registered party")
	}
	s.callers = map[Mnemonic]bool{}
	for i, m := range in.Callers {
		if m == "*" {
			s.callers = nil
			break
		}
		s.callers[known(fmt.Sprintf("callers.%d", i), m)] = true
	}
}

func (r *catalogReader) checkRouting(f *yamlfile.File, s *Service, in *routingFile, known func(path, m string) Mnemonic) {
	if s.Broadcast {
		f.Errorf("routing", "a broadcast goes to all providers: leave routing out")
	}
	code, err := contentpath.Parse(in.XPath, in.Namespaces)
	if err != nil {
		f.Errorf("routing.xpath", "%v", err)
		return
	}
	s.code, s.table = code, map[string]Mnemonic{}
	add := func(path, m string) Mnemonic {
		p := known(path, m)
		if !slices.Contains(s.Providers, p) {
			if f.Has("providers") {
				f.Errorf(path, "%s is not among the providers", m)
			}
			s.Providers = append(s.Providers, p)
		}
		return p
	}
	codes := make([]string, 0, len(in.Table))
	for c := range in.Table {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	for _, c := range codes {
		if len([]rune(c)) > 200 {
			f.Errorf("routing.table", "code %.20q… is longer than 200 characters", c)
		}
		s.table[c] = add(yamlfile.Join("routing.table", c), in.Table[c])
	}
	if in.Otherwise != "" {
		s.otherwise = add("routing.otherwise", in.Otherwise)
	}
	if len(s.table) == 0 && s.otherwise == "" {
		f.Errorf("routing.table", "is empty: no request could be routed")
	}
}

// compile finds the compiled schema of the same bundle, or compiles it.
func (r *catalogReader) compile(f *yamlfile.File, s *Service, dir string, in *serviceFile) {
	roots := rootsOf(dir, in)
	if len(roots) == 0 {
		f.Errorf("schemas", "there is no .xsd in %s: the content could not be checked", dir)
		return
	}
	opts := xsd.Options{Catalog: importsOf(in)}
	key, seen, err := bundleDigest(dir, roots, in.Imports)
	if err != nil {
		f.Errorf("schemas", "%v", err)
		return
	}
	r.digest(s.Name+"/"+s.Version, key[:])
	schema := cmp.Or(r.old[key], r.compiled[key])
	if schema != nil && slices.ContainsFunc(schema.Files(), func(name string) bool { return !seen[name] }) {
		schema = nil // it is made of what the key says nothing of: a document that is no .xsd, or behind a link
	}
	if schema == nil {
		var bundle *os.Root // unlike os.DirFS it follows no link out of the folder
		if bundle, err = os.OpenRoot(dir); err == nil {
			schema, err = xsd.Compile(bundle.FS(), roots, opts)
			bundle.Close()
		}
		if err != nil {
			var ce *xsd.CompileError
			if !errors.As(err, &ce) {
				f.Errorf("schemas", "%v", err)
				return
			}
			for _, one := range ce.Findings {
				r.findings = append(r.findings, yamlfile.Finding{File: filepath.Join(dir, one.File), Line: one.Line, Col: one.Col, Text: one.Rule + ": " + one.English(), TextRussian: one.Rule + ": " + one.Russian()})
			}
			return
		}
	}
	r.compiled[key] = schema
	digest := schema.Digest()
	s.Schema, s.SchemaDigest = schema, hex.EncodeToString(digest[:])
	if s.Request.Local != "" && !schema.HasElement(s.Request.Space, s.Request.Local) {
		f.Errorf("root.request", "the schema declares no global element %s", s.Request)
	}
	if s.Response.Local != "" && !schema.HasElement(s.Response.Space, s.Response.Local) {
		f.Errorf("root.response", "the schema declares no global element %s", s.Response)
	}
}

// rootsOf are the root documents of a version's schema.
func rootsOf(dir string, in *serviceFile) []string {
	roots := slices.Clone(in.Schemas)
	if len(roots) == 0 {
		found, _ := filepath.Glob(filepath.Join(globQuote(dir), "*.xsd"))
		for _, one := range found {
			roots = append(roots, filepath.Base(one))
		}
	}
	slices.Sort(roots)
	return roots
}

// importsOf are where imported namespaces are found.
func importsOf(in *serviceFile) map[string]string {
	out := map[string]string{}
	for _, i := range in.Imports {
		out[i.Namespace] = i.File
	}
	return out
}

// bundleDigest is over every schema document in the folder, seen, and how it is compiled.
func bundleDigest(dir string, roots []string, imports []importFile) (out [32]byte, seen map[string]bool, err error) {
	h := sha256.New()
	seen = map[string]bool{}
	fmt.Fprintf(h, "%q %q\n", roots, imports)
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".xsd" {
			return err
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		seen[filepath.ToSlash(rel)] = true
		fmt.Fprintf(h, "%q %d\n", filepath.ToSlash(rel), len(src))
		h.Write(src)
		return nil
	})
	copy(out[:], h.Sum(nil))
	return out, seen, err
}
