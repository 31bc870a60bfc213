package registry

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/settings"
	"mezhved/adapter/terms"
	"mezhved/adapter/yamlfile"
	"mezhved/signing"
)

// Gate is what a version needs before it is published: a test protocol that holds
// over its schema, samples, settings and dictionaries (package protocol) and is signed by those whom Signers
// name: mnemonics, operator, provider (all of them) and callers (those that the
// version lists). Without Signers there is no gate, and stage: published is enough. A
// service.yaml may ask for more signers (protocol.signers), never for fewer.
type Gate struct {
	Operator Mnemonic `yaml:"operator"` // party that signs for the bus
	Signers  []string `yaml:"signers"`
	// PEM files with the roots of time-stamping authorities that are believed about when a
	// protocol was signed; default: those of journal.timestamp.anchors and trust.roots.
	Authorities []string        `yaml:"authorities"`
	Judge       *protocol.Judge `yaml:"-"` // of signatures; nil: nobody is asked
	Off         bool            `yaml:"-"` // nobody has to sign, whatever the services ask for: where nothing is in use
}

// JudgedBy is the gate with a judge of signatures: the roots of authorities of time, and
// what callers' certificates are held against.
func (g Gate) JudgedBy(authorities []*signing.Certificate, trust *signing.Trust, revocation *signing.Revocation) (Gate, error) {
	judge, err := protocol.NewJudge(authorities, trust, revocation)
	if err != nil {
		return g, err
	}
	g.Judge = judge
	return g, nil
}

// protocolFile is protocol in a service.yaml.
type protocolFile struct {
	Signers []string `yaml:"signers"` // beside those of the gateway's configuration
}

// ProtocolSetting is what a version's protocol proves, among its settings.
const ProtocolSetting = "test protocol"

// Words for signers.
const (
	signOperator = "operator"
	signProvider = "provider"
	signCallers  = "callers"
)

// Before is the version of the same service that comes before: the highest that is
// lower, drafts aside; nil when this is the first. Numbers are compared as numbers.
func (c *Catalog) Before(s *Service) (before *Service) {
	for _, other := range c.byName[s.Name] {
		if other.Stage != StageDraft && other.Schema != nil && CompareVersions(other.Version, s.Version) < 0 &&
			(before == nil || CompareVersions(other.Version, before.Version) > 0) {
			before = other
		}
	}
	return before
}

// CompareVersions orders versions; numbers are compared as numbers.
func CompareVersions(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
	})
}

// gated is a version whose signers are known, for when all versions are.
type gated struct {
	service *Service
	file    *yamlfile.File
	dir     string
	signers []protocol.Signer
}

// readGate finds who must sign a version's protocol.
func (r *catalogReader) readGate(f *yamlfile.File, s *Service, dir string, in *serviceFile) {
	g := gated{service: s, file: f, dir: dir}
	add := func(path string, list []string) {
		for i, word := range list {
			at := fmt.Sprintf("%s.%d", path, i)
			var names []Mnemonic
			switch word {
			case signOperator:
				if r.gate == nil {
					f.Warnf(at, "who the operator is stands in the configuration: name it with --config")
				} else if r.gate.Operator == "" {
					f.Errorf(at, "who is the operator? set protocols.operator in the configuration")
				} else {
					names = []Mnemonic{r.gate.Operator}
				}
			case signProvider:
				if names = s.Providers; s.Broadcast { // whose service it is sends it
					if names = s.Callers(); s.callers == nil {
						f.Errorf(at, "everybody may send the broadcast: name those who sign")
					}
				}
			case signCallers:
				if names = s.Callers(); s.callers == nil {
					f.Errorf(at, "everybody may call: name those who sign")
				}
			default:
				names = []Mnemonic{Mnemonic(word)}
			}
			for _, m := range names {
				r.addSigner(f, at, &g, m)
			}
		}
	}
	off := r.gate != nil && r.gate.Off
	if r.gate != nil && !off {
		add("protocols.signers", r.gate.Signers)
	}
	if in.Protocol != nil && !off {
		add("protocol.signers", in.Protocol.Signers)
	}
	r.gated = append(r.gated, g)
}

func (r *catalogReader) addSigner(f *yamlfile.File, at string, g *gated, m Mnemonic) {
	p := r.catalog.parties[m]
	if p == nil {
		if !r.noParties {
			f.Errorf(at, "party %q is not registered (parties/%s.yaml is missing)", m, m)
		}
		return
	}
	if slices.Contains(g.service.Signers, m) {
		return
	}
	g.service.Signers = append(g.service.Signers, m)
	signer := protocol.Signer{Mnemonic: string(m)}
	for _, c := range p.Certificates {
		signer.Certificates = append(signer.Certificates, c.SHA256)
	}
	g.signers = append(g.signers, signer)
}

// examine holds every version against its protocol. One in use whose protocol does not
// hold is back at the stage test, until it does.
func (r *catalogReader) examine() {
	var judge *protocol.Judge
	if r.gate != nil {
		judge = r.gate.Judge
	}
	if slices.ContainsFunc(r.gated, func(g gated) bool { return len(g.signers) > 0 }) {
		judge.Refresh(context.Background())
	}
	for _, g := range r.gated {
		s := g.service
		if s.Schema == nil {
			continue
		}
		v := protocol.Version{Dir: g.dir, Service: s.Name, Version: s.Version, Request: s.Request.String(), Schema: s.SchemaDigest, Rules: s.Rules, Signers: g.signers, Judge: judge, Now: r.now}
		if s.Response.Local != "" {
			v.Response = s.Response.String()
		}
		if b := r.catalog.Before(s); b != nil {
			v.Before = &protocol.Before{Version: b.Version, Schema: b.SchemaDigest}
		}
		s.Protocol = protocol.Examine(v)
		if told := s.protocolSetting(); told != "" && (len(s.Signers) > 0 || s.Protocol.Document != nil || s.Protocol.Forced != nil) {
			r.catalog.Settings["service "+s.Name+" "+s.Version][ProtocolSetting] = told
			r.digest(s.Name+"/"+s.Version+"/protocol", []byte(told))
		}
		if len(s.Signers) == 0 || !s.inUse(r.now) {
			continue
		}
		if o := s.Protocol.Outdated; o != nil {
			r.warnf(filepath.Join(g.dir, filepath.FromSlash(o.File)), "%v", yamlfile.Both(o.English, o.Russian))
		}
		if s.unstaged && s.Protocol.Holds() && !s.Protocol.OfBefore() {
			s.Stage, s.Held = StageTest, true
			r.catalog.Settings["service "+s.Name+" "+s.Version]["stage in force"] = string(StageTest)
			r.late(g.file, func(f *yamlfile.File) {
				f.Warnf("", "stage is missing: %s %s is at the stage test until the file says stage: published", s.Name, s.Version)
				f.Findings[len(f.Findings)-1].Gate = true
			})
			continue
		}
		if s.Protocol.Holds() {
			if s.unstaged {
				r.late(g.file, func(f *yamlfile.File) {
					f.Warnf("", "stage is missing: it is published by a protocol of the form of before alone; say stage: published")
				})
			}
			if forced := s.Protocol.Forced; forced != nil {
				r.late(g.file, func(f *yamlfile.File) {
					f.Warnf("stage", "is published by force, without a test protocol that holds: %s", forced.Reason)
				})
			}
		} else {
			s.Stage, s.Held = StageTest, true
			r.catalog.Settings["service "+s.Name+" "+s.Version]["stage in force"] = string(StageTest)
			r.hold(g)
		}
	}
}

// inUse says that a version takes requests that are no tests: one that comes to its end
// does, too, and so none gets there without a protocol.
func (s *Service) inUse(now time.Time) bool {
	return s.Stage == StagePublished || s.Stage == StageRetired && now.Before(s.Sunset)
}

// hold says why a version is back at the stage test.
func (r *catalogReader) hold(g gated) {
	s := g.service
	r.late(g.file, func(f *yamlfile.File) {
		f.Warnf("stage", "%s %s is back at the stage test until its test protocol holds: mezhved services test, then mezhved services protocol sign", s.Name, s.Version)
		f.Findings[len(f.Findings)-1].Gate = true
	})
	for _, flaw := range s.Protocol.Flaws {
		one := yamlfile.NewFinding(filepath.Join(g.dir, filepath.FromSlash(flaw.File)), "", "%v", yamlfile.Both(flaw.English, flaw.Russian))
		one.Warning, one.Gate = true, true
		r.findings = append(r.findings, one)
	}
}

// late adds what is found in a file whose findings have been taken already.
func (r *catalogReader) late(f *yamlfile.File, find func(*yamlfile.File)) {
	taken := len(f.Findings)
	find(f)
	r.findings = append(r.findings, f.Findings[taken:]...)
}

// protocolSetting is what the journal is told of a version's protocol.
func (s *Service) protocolSetting() string {
	p := s.Protocol
	var b strings.Builder
	if p.Digest != "" {
		fmt.Fprintf(&b, "sha256:%s", p.Digest)
		for i, one := range p.Signatures {
			fmt.Fprintf(&b, "%s%s (%s)", map[bool]string{true: ", signed by ", false: ", "}[i == 0], one.Mnemonic, hex.EncodeToString(one.Certificate.SHA256[:8]))
		}
	}
	if p.Forced != nil {
		fmt.Fprintf(&b, "; forced at %s: %s", p.Forced.At.Format(time.RFC3339), p.Forced.Reason)
	}
	for _, flaw := range p.Flaws {
		fmt.Fprintf(&b, "; %s", flaw)
	}
	return strings.TrimPrefix(b.String(), "; ")
}

// readSunset reads the last day on which a retired version still takes requests.
func readSunset(f *yamlfile.File, s *Service, text string) {
	if text == "" {
		return
	}
	day, err := time.ParseInLocation(time.DateOnly, text, terms.Moscow)
	switch {
	case err != nil:
		f.Errorf("sunset", "a day such as 2027-06-30 is expected, not %q", text)
	case s.Stage != StageRetired:
		f.Errorf("sunset", "belongs to a version that is retired: set stage: retired, or leave it out")
	default:
		s.Sunset = day.AddDate(0, 0, 1)
	}
}

// LastDay is the last day on which a retired version takes requests, by Moscow time;
// empty where there is none.
func (s *Service) LastDay() string {
	if s.Sunset.IsZero() {
		return ""
	}
	return s.Sunset.Add(-time.Second).In(terms.Moscow).Format(time.DateOnly)
}

// rulesOf are the settings of a service.yaml that its protocol is over, and the
// dictionaries. Free are those by which its owner opens and closes it day by day, without
// another word about what it does: see docs/provider.md, "What is under the protocol".
func rulesOf(s *Service, in *serviceFile) (out protocol.Rules) {
	signed := *in
	signed.Stage, signed.Sunset, signed.Shadow, signed.Protocol, signed.Limits.Queue = "", "", false, nil, 0
	if s.callers != nil {
		signed.Callers = nil // who is let in, but not that everybody is
	} else {
		signed.Callers = []string{"*"}
	}
	if in.Probe != nil {
		signed.Probe = &probeFile{Rejection: in.Probe.Rejection, Sample: in.Probe.Sample}
	}
	all := settings.Of(signed)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out.Settings = append(out.Settings, protocol.Setting{Name: name, Value: all[name]})
	}
	seen := map[string]bool{}
	for _, c := range slices.Concat(s.RequestCodes, s.ResponseCodes) {
		if name := c.Of.Name + "/" + c.Of.Version; !seen[name] {
			seen[name] = true
			out.Dictionaries = append(out.Dictionaries, protocol.Edition{Name: c.Of.Name, Version: c.Of.Version, SHA256: c.Of.Digest})
		}
	}
	slices.SortFunc(out.Dictionaries, func(a, b protocol.Edition) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version))
	})
	return out
}
