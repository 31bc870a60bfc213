package router

import (
	"slices"

	"mezhved/adapter/registry"
	"mezhved/adapter/yamlfile"
	"mezhved/envelopes/xmltape"
)

// homes say in which installation a message lives, by one set of services and parties. They
// do not change.
type homes struct {
	catalog    *registry.Catalog
	all        []*installation
	of         map[registry.Mnemonic]*installation // providers
	broadcasts *installation                       // where those live whose subscribers live in several; nil: nobody has said
}

// settle finds the homes of everybody, or says at which setting what is missing.
func settle(c Config, all []*installation, catalog *registry.Catalog) (*homes, yamlfile.Findings) {
	h := &homes{catalog: catalog, all: all, of: map[registry.Mnemonic]*installation{}}
	f := yamlfile.New("")
	if c.file != nil {
		*f = *c.file
		f.Findings = nil
	}
	for i, in := range c.Installations {
		for n, p := range in.Providers {
			m := registry.Mnemonic(p)
			h.of[m] = all[i]
			if catalog.Party(m) == nil {
				f.Errorf(providerAt(i, n), "there is no party %s in %s: %s", p, c.Parties, perhaps(p, catalog))
			}
		}
	}
	if i := c.named(c.Broadcasts); i >= 0 {
		h.broadcasts = all[i]
	}
	h.checkServices(f)
	return h, f.Findings
}

// perhaps says what to do about a mnemonic that nobody has.
func perhaps(mnemonic string, catalog *registry.Catalog) string {
	var known []string
	for _, p := range catalog.Parties() {
		known = append(known, string(p.Mnemonic))
	}
	if near := yamlfile.Nearest(mnemonic, known); near != "" {
		return near + " is perhaps meant"
	}
	return "register it, or take it off the list"
}

// checkServices names the services of which some messages would live nowhere.
func (h *homes) checkServices(f *yamlfile.File) {
	for _, s := range h.catalog.Services() {
		if s.Broadcast {
			if h.broadcast(s) == nil {
				f.Errorf("broadcasts", "the subscribers of the broadcast %s %s do not all live in one installation: name here the installation in which such broadcasts live, and start the router again", s.Name, s.Version)
			}
			continue
		}
		for _, p := range s.Providers {
			if h.of[p] == nil {
				f.Errorf("installations", "%s, a provider of %s %s, lives in no installation: name it among the providers of one, and start the router again", p, s.Name, s.Version)
			}
		}
	}
}

// broadcast is where a broadcast lives; nil: nowhere.
func (h *homes) broadcast(s *registry.Service) *installation {
	if len(s.Providers) == 0 {
		return h.broadcasts
	}
	home := h.of[s.Providers[0]]
	for _, p := range s.Providers {
		if h.of[p] == nil || h.of[p] != home {
			return h.broadcasts
		}
	}
	return home
}

// request is where a request lives, by its content; nil: any installation refuses it, or
// it has no way.
func (h *homes) request(content xmltape.Node) *installation {
	s := h.catalog.ByRoot(registry.QName{Space: content.Space(), Local: content.Local()})
	if s == nil {
		return nil
	}
	if s.Broadcast {
		return h.broadcast(s)
	}
	to, err := s.Route(content)
	if err != nil || len(to) == 0 {
		return nil
	}
	return h.of[to[0]]
}

// requests is where requests may wait for a party, nil when nobody knows it, of one service
// when a selector names one.
func (h *homes) requests(party *registry.Party, selector registry.QName) []*installation {
	var own *installation
	if party != nil {
		own = h.of[party.Mnemonic]
	}
	if s := h.catalog.ByRoot(selector); s != nil {
		return h.service(s, own)
	}
	var where places
	where.add(own)
	for _, s := range h.catalog.Services() {
		if s.Broadcast && party != nil && slices.Contains(s.Providers, party.Mnemonic) {
			where.add(h.broadcast(s))
		}
	}
	if len(where) == 0 {
		return h.all
	}
	return where
}

// answers is where answers may wait for a party, those of one service when a selector names
// one.
func (h *homes) answers(selector registry.QName) []*installation {
	if s := h.catalog.ByRoot(selector); s != nil {
		return h.service(s, nil)
	}
	return h.all
}

// service is where messages of any version of the service live: of those that go to one
// provider, or of all.
func (h *homes) service(s *registry.Service, of *installation) []*installation {
	var where places
	for _, v := range h.catalog.Versions(s.Name) {
		switch {
		case v.Broadcast:
			where.add(h.broadcast(v))
		case of != nil:
			where.add(of)
		default:
			for _, p := range v.Providers {
				where.add(h.of[p])
			}
		}
	}
	return where
}

// places are installations, each once.
type places []*installation

func (p *places) add(i *installation) {
	if i != nil && !slices.Contains(*p, i) {
		*p = append(*p, i)
	}
}
