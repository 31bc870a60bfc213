package console

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mezhved/adapter"
	"mezhved/adapter/adaptertest"
	"mezhved/adapter/lifecycle/protocol"
	"mezhved/adapter/registry"
	"mezhved/envelopes"
)

const extract2 = "title: Выписка\nroot: {namespace: '" + adaptertest.Extract2 + "', request: ExtractRequest, response: ExtractResponse}\nproviders: REGISTRY\ncallers: [MUNI, MFC]\n"

// A version is published by a protocol that those have signed whom the configuration
// names; the journal has its digest, a changed byte takes the version back, by force it
// stays, for a reason; the desk shows each.
func TestAPublishedVersionHasASignedProtocol(t *testing.T) {
	ctx := context.Background()
	d := openDesk(t, adaptertest.WithConfig(func(c *adapter.Config) {
		c.Protocols = registry.Gate{Operator: "MOSCOW", Signers: []string{"operator", "provider"}}
	}))
	dir := filepath.Join(d.Dir, "services", "extract", "2.0")
	d.Write("services/extract/2.0/samples/request.xml", adaptertest.Content(adaptertest.Extract2))
	shown := func() Service {
		t.Helper()
		list := ok[struct{ Services []Service }](d, operatorToken, "/api/v1/services").Services
		return list[slices.IndexFunc(list, func(s Service) bool { return s.Name == "extract" && s.Version == "2.0" })]
	}
	sends := func(want envelopes.FaultKind) {
		t.Helper()
		var got envelopes.FaultKind
		if a := d.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract2)}); a.Fault != nil {
			got = a.Fault.Kind
		}
		if got != want {
			t.Errorf("a request: %q, want %q", got, want)
		}
	}
	told := func(outcome string) (list []Changed) {
		t.Helper()
		d.settle()
		for _, c := range ok[Changes](d, operatorToken, "/api/v1/journal/changes").Changes {
			if c.Outcome == outcome {
				list = append(list, c)
			}
		}
		return list
	}
	reload := func() string {
		t.Helper()
		var gate []string
		for _, f := range d.Gateway.Reload(ctx) {
			if f.Gate {
				gate = append(gate, f.String())
			}
		}
		return strings.Join(gate, "\n")
	}
	d.Write("services/extract/2.0/service.yaml", extract2+"stage: published\n")
	reload()
	d.must(d.Gateway.Opened(ctx))

	sends(envelopes.BusinessDataTypeIsNotSupported)
	if s := shown(); s.Stage != "test" || !s.Held || !strings.Contains(strings.Join(s.Missing, " "), "there is no test protocol") {
		t.Errorf("without a protocol: %+v", s)
	}
	if a := d.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract2), Test: true}); a.Fault != nil {
		t.Errorf("a test message is refused: %v", a.Fault)
	}

	s := d.Gateway.Catalog().Service("extract", "2.0")
	files, err := protocol.Take(dir)
	d.must(err)
	before := d.Gateway.Catalog().Service("extract", "1.0")
	doc := &protocol.Document{Form: protocol.Form, Service: "extract", Version: "2.0", Title: s.Title, Request: s.Request.String(), Response: s.Response.String(), Schema: s.SchemaDigest,
		Files: files, Digest: files.Digest(), Settings: s.Rules.Settings, Dictionaries: s.Rules.Dictionaries, Before: &protocol.Before{Version: "1.0", Schema: before.SchemaDigest, Breaking: []string{}},
		Participants: []protocol.Participant{}, Cases: []protocol.Case{}, Defects: []protocol.Defect{}, Passed: true, Made: d.Clock.Now().UTC().Truncate(time.Second), Program: "test"}
	d.must(protocol.Write(dir, doc))
	for _, m := range []string{"MOSCOW", "REGISTRY"} {
		d.must(protocol.Sign(ctx, dir, m, d.Party(m).Signer, d.Clock.Now()))
	}
	if said := reload(); strings.Contains(said, "extract 2.0") {
		t.Errorf("signed, and: %s", said)
	}
	sends("")
	if s := shown(); s.Stage != "published" || s.Held || !slices.Equal(s.SignedBy, []string{"MOSCOW", "REGISTRY"}) || s.Protocol != protocol.DigestOf(doc.Encode()) {
		t.Errorf("signed: %+v", s)
	}
	if s := shown(); len(s.Unchecked) != 2 || !strings.Contains(s.Unchecked[0], "MOSCOW: whether its certificate was revoked: neither lists nor responders are configured") {
		t.Errorf("what nobody has checked: %q", s.Unchecked)
	}
	if list := told("protocol"); len(list) != 1 || list[0].Subject != "protocol sha256:"+protocol.DigestOf(doc.Encode()) || !strings.Contains(list[0].Lines[0], "signed by MOSCOW") {
		t.Errorf("the journal has %+v", list)
	}

	d.Write("services/extract/2.0/samples/request.xml", adaptertest.Content(adaptertest.Extract2)+" ")
	if said := reload(); !strings.Contains(said, "extract 2.0 is back at the stage test") || !strings.Contains(said, "samples/request.xml: warning: was changed") {
		t.Errorf("a byte changed: %s", said)
	}
	if !strings.Contains(d.Log.String(), "extract 2.0 is back at the stage test") {
		t.Error("the log says nothing of it")
	}
	sends(envelopes.BusinessDataTypeIsNotSupported)
	if page := d.visit("/console/services", "ru"); !strings.Contains(page, "samples/request.xml: изменён после составления протокола") {
		t.Errorf("the desk does not say why:\n%s", page)
	}

	d.must(protocol.Force(protocol.Version{Dir: dir, Schema: s.SchemaDigest, Rules: d.Gateway.Catalog().Service("extract", "2.0").Rules}, "срочно, протокол подпишут в пятницу", d.Clock.Now()))
	reload()
	sends("")
	if list := told("forced"); len(list) != 1 || list[0].Lines[0] != "срочно, протокол подпишут в пятницу" || !strings.HasPrefix(list[0].Subject, "forced sha256:") {
		t.Errorf("the journal has %+v", list)
	}
	if page := d.visit("/console/services", "ru"); !strings.Contains(page, "срочно, протокол подпишут в пятницу") {
		t.Error("the desk does not say that it was forced")
	}
	d.must(os.RemoveAll(filepath.Join(dir, "protocol")))
	reload()
	sends(envelopes.BusinessDataTypeIsNotSupported)
}

// A retired version takes requests until its last day is over; who still calls it stands
// in the log, in the entry and on the desk; after that day it is refused by its own sentence.
func TestSunsetOfARetiredVersion(t *testing.T) {
	d := openDesk(t)
	last := d.Clock.Now().AddDate(0, 0, 2).Format(time.DateOnly)
	d.Write("services/extract/2.0/service.yaml", extract2+"stage: retired\nsunset: "+last+"\n")
	d.Reload()
	send := func() adaptertest.Answered {
		return d.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract2)})
	}
	if a := send(); a.Fault != nil {
		t.Fatalf("before its last day: %v", a.Fault)
	}
	d.settle()
	if log := d.Log.String(); !strings.Contains(log, "a version that comes to its end is still called") || !strings.Contains(log, "party=MUNI") {
		t.Errorf("the log says nothing of it:\n%s", log)
	}
	if e := ok[Found](d, auditorToken, "/api/v1/journal/entries?kind=accepted&service=extract&version=2.0").Entries; len(e) != 1 || e[0].Rule != "sunset" {
		t.Errorf("the entry: %+v", e)
	}
	list := ok[struct{ Services []Service }](d, operatorToken, "/api/v1/services").Services
	s := list[slices.IndexFunc(list, func(s Service) bool { return s.Name == "extract" && s.Version == "2.0" })]
	if s.LastDay != last || !slices.Equal(s.StillCalled, []StillCalled{{"MUNI", 1}}) {
		t.Errorf("the desk: %+v", s)
	}
	d.Clock.Advance(4 * 24 * time.Hour)
	a := send()
	if a.Fault == nil || a.Fault.Kind != envelopes.BusinessDataTypeIsNotSupported || !strings.Contains(a.Fault.Text, "выведен из эксплуатации, запросы принимались по") {
		t.Errorf("after its last day: %v", a.Fault)
	}
	d.Write("services/extract/2.0/service.yaml", extract2+"stage: published\nsunset: "+last+"\n")
	if bad := d.Gateway.Reload(context.Background()).Errors(); len(bad) != 1 || !strings.Contains(bad[0].Text, "belongs to a version that is retired") {
		t.Errorf("a sunset of a version in use: %v", bad)
	}
}
