package adaptertest

import (
	"os"
	"path/filepath"
	"strings"
)

// Namespaces of the services in the world.
const (
	Extract1 = "urn://mezhved.test/extract/1.0"  // Выписка, version 1.0: MUNI and MFC ask REGISTRY
	Extract2 = "urn://mezhved.test/extract/2.0"  // version 2.0 of the same
	Regional = "urn://mezhved.test/regional/1.0" // routed by region code: 77 to MOSCOW, 50 to OBLAST
	News     = "urn://mezhved.test/news/1.0"     // a broadcast of REGISTRY to MUNI and MFC
	Signed   = "urn://mezhved.test/signed/1.0"   // wants a personal signature
	Sealed   = "urn://mezhved.test/sealed/1.0"   // wants every file signed
	Draft    = "urn://mezhved.test/draft/1.0"    // stage draft
	Trial    = "urn://mezhved.test/trial/1.0"    // stage test
)

// Parties of the world. STRANGER has a key and is not registered.
var Parties = []string{"MUNI", "MFC", "REGISTRY", "MOSCOW", "OBLAST"}

type service struct {
	dir, yaml, xsd string
}

// Schema is the schema of every service in the world, for another namespace.
func Schema(ns string) string {
	return strings.ReplaceAll(`<?xml version="1.0" encoding="UTF-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="NS" xmlns="NS" elementFormDefault="qualified">
  <xs:element name="ExtractRequest">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="КадастровыйНомер" type="Номер"/>
        <xs:element name="RegionCode" type="xs:string" minOccurs="0"/>
      </xs:sequence>
      <xs:attribute name="Id" type="xs:string"/>
    </xs:complexType>
  </xs:element>
  <xs:element name="ExtractResponse">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="Owner" type="xs:string"/>
        <xs:element name="Area" type="xs:decimal"/>
      </xs:sequence>
    </xs:complexType>
  </xs:element>
  <xs:simpleType name="Номер"><xs:restriction base="xs:string"><xs:pattern value="\d{2}:\d{2}:\d{6,7}:\d{1,10}"/></xs:restriction></xs:simpleType>
</xs:schema>
`, "NS", ns)
}

func root(ns string) string {
	return "root:\n  namespace: " + ns + "\n  request: ExtractRequest\n  response: ExtractResponse\n"
}

var services = []service{
	{"extract/1.0", "title: Выписка из реестра\n" + root(Extract1) + "providers: [REGISTRY]\ncallers: [MUNI, MFC]\ndeadline: 5d\n", Schema(Extract1)},
	{"extract/2.0", "title: Выписка из реестра\n" + root(Extract2) + "providers: [REGISTRY]\ncallers: [MUNI, MFC]\n", Schema(Extract2)},
	{"regional/1.0", "title: Региональный запрос\n" + root(Regional) + "routing:\n  xpath: /*[local-name()=\"ExtractRequest\"]/*[local-name()=\"RegionCode\"]/text()\n  table: {\"77\": MOSCOW, \"50\": OBLAST}\ncallers: [MUNI]\n", Schema(Regional)},
	{"news/1.0", "title: Рассылка\nroot:\n  namespace: " + News + "\n  request: ExtractRequest\nbroadcast: true\nproviders: [MUNI, MFC]\ncallers: [REGISTRY]\n", Schema(News)},
	{"signed/1.0", "title: Запрос с подписью должностного лица\n" + root(Signed) + "providers: [REGISTRY]\ncallers: [MUNI]\npersonalSignature: required\n", Schema(Signed)},
	{"sealed/1.0", "title: Запрос с подписанными файлами\n" + root(Sealed) + "providers: [REGISTRY]\ncallers: [MUNI]\nfileSignature: required\n", Schema(Sealed)},
	{"draft/1.0", "title: Черновик\n" + root(Draft) + "providers: [REGISTRY]\ncallers: \"*\"\nstage: draft\n", Schema(Draft)},
	{"trial/1.0", "title: На испытании\n" + root(Trial) + "providers: [REGISTRY]\ncallers: \"*\"\nstage: test\n", Schema(Trial)},
}

func writeServices(dir string) error {
	for _, s := range services {
		d := filepath.Join(dir, s.dir)
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
		for name, text := range map[string]string{"service.yaml": s.yaml, "extract.xsd": s.xsd} {
			if err := os.WriteFile(filepath.Join(d, name), []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// Content is the content of a request that holds against the schema of ns.
func Content(ns string) string {
	return `<e:ExtractRequest xmlns:e="` + ns + `"><e:КадастровыйНомер>77:01:000101:42</e:КадастровыйНомер></e:ExtractRequest>`
}

// ContentFor is Content with a region code.
func ContentFor(ns, region string) string {
	return `<e:ExtractRequest xmlns:e="` + ns + `"><e:КадастровыйНомер>77:01:000101:42</e:КадастровыйНомер><e:RegionCode>` + region + `</e:RegionCode></e:ExtractRequest>`
}

// Answer is the content of a response that holds against the schema of ns.
func Answer(ns string) string {
	return `<ExtractResponse xmlns="` + ns + `"><Owner>Иванова Мария Петровна</Owner><Area>54.3</Area></ExtractResponse>`
}
