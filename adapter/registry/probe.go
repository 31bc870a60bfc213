package registry

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes/xmltape"
)

// Probe says how a service version is watched: see package lifecycle/probe.
type Probe struct {
	Short     time.Duration // how often it is looked at; 0: it is not
	Full      time.Duration // how often it is asked for real; 0: it is not
	Silent    time.Duration // a provider that has not polled for so long is silent
	Age       time.Duration // its oldest request may wait so long
	Answer    time.Duration // so long a full probe waits
	Rejection bool          // a rejection is a good answer, too
	Sample    []byte        // the request's content; nil: there is none

	file string // it is read from, in the version's folder
}

// probeFile is the probe of a service.yaml.
type probeFile struct {
	Short     string          `yaml:"short"`     // such as 1m; off (default)
	Full      string          `yaml:"full"`      // such as 15m; off (default), where a provider has no way to answer tests
	Silent    yamlfile.Period `yaml:"silent"`    // default 10m
	Age       yamlfile.Period `yaml:"age"`       // default 1h
	Answer    yamlfile.Period `yaml:"answer"`    // default 10m, at most full
	Rejection bool            `yaml:"rejection"` // default: a rejection is no good answer
	Sample    string          `yaml:"sample"`    // file of the folder samples; default: the first request of it that is not to be refused
}

// Bounds of how often. What is probed more rarely than the history is long is never seen
// in it, and the request of a full probe waits as long as its answer may take.
const (
	leastProbed = 10 * time.Second
	mostProbed  = 31 * 24 * time.Hour
)

// readProbe reads how a version is watched; nil when it is not. It comes after the schema
// and the route: the sample has to hold against both.
func (r *catalogReader) readProbe(f *yamlfile.File, s *Service, dir string, in *probeFile) {
	if in == nil {
		return
	}
	p := &Probe{
		Short: probeEvery(f, "probe.short", in.Short), Full: probeEvery(f, "probe.full", in.Full), Rejection: in.Rejection,
		Silent: cmp.Or(in.Silent.D(), 10*time.Minute), Age: cmp.Or(in.Age.D(), time.Hour), Answer: cmp.Or(in.Answer.D(), 10*time.Minute),
	}
	if p.Full > 0 {
		p.Answer = min(p.Answer, p.Full)
	}
	for name, d := range map[string]time.Duration{"silent": p.Silent, "age": p.Age, "answer": p.Answer} {
		if d < leastProbed {
			f.Errorf("probe."+name, "is shorter than ten seconds")
		}
	}
	if in.Answer > 0 && p.Full > 0 && in.Answer.D() > p.Full {
		f.Errorf("probe.answer", "is longer than probe.full: the next probe would begin before this one has ended")
	}
	if p.Full > 0 && s.Broadcast {
		f.Errorf("probe.full", "a broadcast is not answered: leave full out")
	}
	if p.Full > 0 && s.FileSignature == PersonalRequired {
		f.Warnf("probe.full", "the service wants every file signed, and a probe has no files: it shows less than a call would")
	}
	if s.Schema != nil {
		r.readProbeSample(f, s, p, dir, in.Sample)
	}
	s.Probe = p
}

// probeEvery reads how often; off and nothing are 0.
func probeEvery(f *yamlfile.File, path, text string) time.Duration {
	if text == "" || text == "off" {
		return 0
	}
	d, err := yamlfile.ParsePeriod(text)
	if err != nil || d.D() < leastProbed {
		f.Errorf(path, "a time of ten seconds or more such as 15m is expected, or off, not %q", text)
		return 0
	}
	if d.D() > mostProbed {
		f.Errorf(path, "is longer than 31 days: nothing would ever be seen of it; let it be off instead")
		return 0
	}
	return d.D()
}

// readProbeSample reads the request that probes send.
func (r *catalogReader) readProbeSample(f *yamlfile.File, s *Service, p *Probe, dir, name string) {
	if name != "" && !filepath.IsLocal(name) {
		f.Errorf("probe.sample", "a file of the folder samples is expected, not %q", name)
		return
	}
	texts, _ := protocol.ReadTexts(dir) // what cannot be read is told by lint
	i := slices.IndexFunc(texts, func(t protocol.Text) bool {
		base, ok := strings.CutPrefix(t.File, protocol.Samples+"/")
		return ok && t.Kind == protocol.Sample && (name == base || name == "" && strings.HasPrefix(base, "request"))
	})
	switch {
	case i >= 0:
	case name != "":
		f.Errorf("probe.sample", "%s is no sample of a request that is to be taken", name)
		return
	case p.Full > 0:
		f.Errorf("probe.full", "there is no samples/request.xml to ask with")
		return
	default:
		return
	}
	one := texts[i]
	tape := new(xmltape.Tape)
	if name != "" && tape.Parse(one.Content, xmltape.Limits{}) == nil && s.Request.Local != "" {
		if root := (QName{tape.Root().Space(), tape.Root().Local()}); root != s.Request {
			f.Errorf("probe.sample", "%s is no sample of a request that is to be taken", name)
			return
		}
	}
	r.digest("probe "+one.File, one.Content)
	p.Sample, p.file = one.Content, one.File
	wrong, _ := checkSample(s, dir, r.now, &one)
	if !r.samples && len(wrong) > 0 { // what lint finds names values, and a gateway writes what it finds into its log
		f.Errorf("probe", "the sample that is sent, %s, is not valid: mezhved services lint says where and why", one.File)
		return
	}
	for _, w := range wrong {
		w.Sample = false // a gateway sends it
		r.findings = append(r.findings, w)
	}
}

// ProbedBy is who is asked by the sample; empty where the schema or the route is not
// good.
func (s *Service) ProbedBy() (provider Mnemonic) {
	tape := new(xmltape.Tape)
	if s.Probe == nil || tape.Parse(s.Probe.Sample, xmltape.Limits{}) != nil {
		return ""
	}
	to, err := s.Route(tape.Root())
	if err != nil || len(to) == 0 {
		return ""
	}
	return to[0]
}

// CheckProbes says what keeps services from being probed as their settings want it:
// whoever asks, the party of the configuration, must be there and be let in. services and
// parties are the folders.
func (c *Catalog) CheckProbes(party Mnemonic, services, parties string) (found yamlfile.Findings) {
	if party != "" && c.Party(party) == nil {
		found = append(found, yamlfile.NewFinding(parties, "", "party %q, which probes (probe.party of the configuration), is not registered (parties/%s.yaml is missing)", party, party))
	}
	for _, s := range c.Services() {
		if s.Probe == nil || s.Probe.Full == 0 {
			continue
		}
		file := filepath.Join(services, s.Name, s.Version, "service.yaml")
		switch {
		case party == "":
			found = append(found, yamlfile.NewFinding(file, "probe.full", "nobody could ask: name a registered party and its key in the configuration (probe.party, probe.key), or let full be off"))
		case !s.Admits(party):
			found = append(found, yamlfile.NewFinding(file, "probe.full", "%s probes (probe.party of the configuration) and may not call: put it among the callers, or let full be off", party))
		}
	}
	return found
}
