package adapter_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mezhved/adapter/adaptertest"
	"mezhved/adapter/journal"
	"mezhved/envelopes"
)

// What is no code of its dictionary is refused at the door: the sender reads which kind of
// value and which version of which dictionary, the journal has rule and place, and the log
// does not have the value.
func TestValuesAreHeldAgainstDictionaries(t *testing.T) {
	w := adaptertest.Start(t)
	name := "services/extract/1.0/service.yaml"
	service, err := os.ReadFile(filepath.Join(w.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	until := w.Clock.Now().AddDate(0, 0, 10).Format(time.DateOnly)
	w.Write("services/_dictionaries/regions/2026-01.csv", "code,title,from,to\n77,Москва,,\n78,Санкт-Петербург,,"+until+"\n99,Позже,2099-01-01,\n")
	w.Write("services/_dictionaries/owners/1.csv", "code,title,from,to\nИванов,Иванов,,\n")
	w.Write(name, string(service)+`codes:
  request: [{xpath: /ExtractRequest/RegionCode, dictionary: regions, class: код региона}]
  response: [{xpath: /ExtractResponse/Owner, dictionary: owners}]
`)
	w.Reload()
	send := func(region string) adaptertest.Answered {
		t.Helper()
		return w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Extract1, region)})
	}
	for _, good := range []string{"77", " 78 "} {
		if a := send(good); a.Fault != nil {
			t.Errorf("region %q: %v", good, a.Fault)
		}
	}
	for region, want := range map[string]string{
		"":                   "значения «код региона» нет в справочнике regions версии 2026-01", // it is there, and no code
		" ":                  "значения «код региона» нет в справочнике regions версии 2026-01",
		"value-nobody-knows": "значения «код региона» нет в справочнике regions версии 2026-01",
		"99":                 "значение «код региона» действует по справочнику regions версии 2026-01 только с 01.01.2099",
	} {
		a := send(region)
		if a.Fault == nil || a.Fault.Kind != envelopes.InvalidContent || !strings.Contains(a.Fault.Text, want) || len(a.Fault.Validation) != 1 || !strings.Contains(a.Fault.Validation[0].Text, "RegionCode") {
			t.Errorf("region %q: %+v, want %s", region, a.Fault, want)
		}
	}
	if a := w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.Content(adaptertest.Extract1)}); a.Fault != nil { // the region may be left out
		t.Error(a.Fault)
	}
	m := w.Party("REGISTRY").Await(envelopes.GetRequest, "").Message
	a := w.Party("REGISTRY").Reply(m.ReplyTo, adaptertest.Reply{Content: adaptertest.Answer(adaptertest.Extract1)})
	if a.Fault == nil || !strings.Contains(a.Fault.Text, "значения «owners» нет в справочнике owners версии 1") {
		t.Errorf("an answer: %+v", a.Fault)
	}
	w.Clock.Advance(11 * 24 * time.Hour)
	if a := send("78"); a.Fault == nil || !strings.Contains(a.Fault.Text, "исключено из справочника regions версии 2026-01 с ") {
		t.Errorf("a code whose last day was yesterday: %+v", a.Fault)
	}
	refused := 0
	for _, row := range w.Entries() {
		if l := row.Leaf; l.Kind == journal.KindRefused {
			if refused++; l.Rule != "dictionary" || l.Line == 0 || l.Service != "extract" {
				t.Errorf("the journal has %+v", l)
			}
		}
	}
	if refused != 6 {
		t.Errorf("%d refusals are in the journal, want 6", refused)
	}
	if log := w.Log.String(); strings.Contains(log, "value-nobody-knows") || strings.Contains(log, "Иванова") {
		t.Error("the log has a value")
	}
}

// A value of a list type is looked up item by item, and one of a union as the member that
// takes it.
func TestListsAreLookedUpItemByItem(t *testing.T) {
	w := adaptertest.Start(t)
	name := "services/extract/1.0/service.yaml"
	service, err := os.ReadFile(filepath.Join(w.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	w.Write("services/_dictionaries/regions/1.csv", "code,title,from,to\n77,Москва,,\n78,Санкт-Петербург,,\nвся страна,всё,,\n")
	w.Write(name, string(service)+"codes:\n  request: [{xpath: /ExtractRequest/RegionCode, dictionary: regions}]\n")
	w.Write("services/extract/1.0/extract.xsd", strings.Replace(adaptertest.Schema(adaptertest.Extract1), `<xs:element name="RegionCode" type="xs:string" minOccurs="0"/>`,
		`<xs:element name="RegionCode" minOccurs="0"><xs:simpleType><xs:union>
			<xs:simpleType><xs:list><xs:simpleType><xs:restriction base="xs:token"><xs:pattern value="\d\d"/></xs:restriction></xs:simpleType></xs:list></xs:simpleType>
			<xs:simpleType><xs:restriction base="xs:token"/></xs:simpleType>
		</xs:union></xs:simpleType></xs:element>`, 1))
	w.Reload()
	for region, good := range map[string]bool{"77": true, "77 78": true, " 78\n77 ": true, "вся  страна": true, "77 99": false, "99": false, "77 вся страна": false} {
		a := w.Party("MUNI").Send(adaptertest.Request{Content: adaptertest.ContentFor(adaptertest.Extract1, region)})
		if good != (a.Fault == nil) || a.Fault != nil && !strings.Contains(a.Fault.Text, "нет в справочнике regions версии 1") {
			t.Errorf("region %q: %+v", region, a.Fault)
		}
	}
}
